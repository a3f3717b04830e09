"""
Every way in which a watch goes blind is noticed, told, and made up for by the sweep.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.bootstrap import open_log, roots, utc_now
from daemon.discover import Seen
from daemon.ingest import Ingest
from daemon.journal import open_journal
from daemon.mailbox import PATHS_MAX, Mailbox
from daemon.sweeper import Sweeper
from daemon.watch import Watch
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import QUICK, append, daemon
from tests.daemon.watching import DEAF, Ear, listening, other

# -- the process -----------------------------------------------------------------------------------------------------


def test_what_is_written_is_heard(host: Host) -> None:
    """
    The yardstick of the others: without any sweep, a line in an old and a new directory is read.
    """
    append(other(host, 1), claude_line("msg_a", 5))
    with daemon(host, pace=DEAF) as run:
        append(other(host, 1), claude_line("msg_b", 6, second=1))
        append(other(host, 2), claude_line("msg_c", 7, second=2))
        run.has_read(other(host, 1), other(host, 2))
        assert [] == run.health()["watch"]["blindness"]


def test_a_root_that_is_a_link_is_heard(host: Host) -> None:
    """
    The library does not follow links; the operator named this one.
    """
    real = host.home / "elsewhere"
    (real / "projects").mkdir(parents=True)
    (host.home / ".claude").symlink_to(real)
    with daemon(host, pace=DEAF) as run:
        append(other(host, 1), claude_line("msg_a", 5))
        run.has_read(other(host, 1))


def test_one_directory_under_two_names_is_read_once(host: Host) -> None:
    """
    `~/.config/claude` linked to `~/.claude`: what is heard under both names has one.
    """
    (host.home / ".claude/projects").mkdir(parents=True)
    (host.home / ".config").mkdir()
    (host.home / ".config/claude").symlink_to(host.home / ".claude")
    first = host.home / ".config/claude/projects/-srv-1" / other(host, 1).name
    with daemon(host, pace={**QUICK, "sweep_hot": 3_600.0}) as run:
        for n in range(20):
            append(other(host, 1), claude_line(f"msg_{n}", 5, second=n))
        run.has_read(first)
        run.has_published(20, 300)
        assert 0 == run.stop()
    assert [{"n": 20}] == host.rows("SELECT count(*) AS n FROM events WHERE kind = 'usage'")


def test_writing_through_memory_is_found_by_the_sweep(host: Host) -> None:
    """
    Such a write is no event for anybody.
    """
    log, line = other(host, 1), claude_line("msg_b", 6, second=1)
    append(log, claude_line("msg_a", 5) + bytes(len(line)))
    with daemon(host) as run:
        with log.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[-len(line) :] = line
        run.has_read(log)


def test_what_is_lost_behind_a_sweep_that_is_under_way_is_found_by_the_next(host: Host) -> None:
    """
    The watch died while a sweep was half done: the part it had already walked is walked again, and only then it sees.
    """
    append(other(host, 1), claude_line("msg_a", 5))
    append(other(host, 9), claude_line("msg_b", 5, second=1))
    places, watch = roots(host.settings), Watch(Mailbox(), [str(host.home / ".claude/projects")])
    with open_log(host.settings) as log:
        ingest = Ingest(log, utc_now, is_live=True)

        def look(seen: Seen) -> None:
            ingest.look(seen)

        sweeper = Sweeper(places, "UTC", ingest, watch, look, open_journal(), utc_now)
        watch.start()
        sweeper.begin()
        while not ingest.read_bytes:
            sweeper.step(0)
        assert watch._observer is not None
        watch._observer.stop()
        watch._observer.join()
        append(other(host, 1), claude_line("msg_c", 5, second=2))

        sweeper.check_watch()
        assert sweeper.is_blind
        while sweeper.is_walking:
            sweeper.step(1)

        watch.stop()
        ingest.commit()
        read = {cursor.source_path: cursor.offset_bytes for cursor in log.cursors.values()}
        assert other(host, 1).stat().st_size == read[str(other(host, 1))]
        assert not sweeper.is_blind


# -- the watch by itself ---------------------------------------------------------------------------------------------


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    with listening(tmp_path / "root") as ear:
        yield ear


def test_a_thread_that_died_is_begun_again(ear: Ear, tmp_path: Path) -> None:
    """
    The emitter of one root ends while the observer lives on: noticed, begun anew, and changes are heard again.
    """
    ear.told_before(tmp_path / "root/a.jsonl")
    assert ear.watch._observer is not None
    for emitter in ear.watch._observer.emitters:
        emitter.stop()
        emitter.join()

    assert ear.watch.check()

    assert {"dead_thread"} == ear.watch.blindness
    ear.told_before(tmp_path / "root/a.jsonl")
    ear.watch.settle(1)
    assert not ear.watch.blindness
    assert not ear.watch.check()


def test_a_root_made_anew_is_watched_anew(ear: Ear, tmp_path: Path) -> None:
    """
    Deleted, gone for a while, and there again as another directory.
    """
    (tmp_path / "root").rmdir()
    assert ear.watch.check()
    (tmp_path / "root").mkdir()

    assert ear.watch.check()

    ear.told_before(tmp_path / "root/a.jsonl")
    assert not ear.watch.check()


def test_a_watch_that_misses_again_and_again_is_not_believed(ear: Ear) -> None:
    """
    A file system that tells of some writers only: a sweep makes up for one change, not for those to come.
    """
    assert ear.watch.check(has_missed=True)
    ear.watch.settle(0)
    assert not ear.watch.blindness

    assert ear.watch.check(has_missed=True)
    ear.watch.settle(0)

    assert {"missed"} == ear.watch.blindness


def test_a_storm_of_paths_is_made_up_for_by_a_sweep_of_its_own() -> None:
    """
    What a full mailbox drops may lie behind a sweep that is under way: another one is asked for, and memory is bounded.
    """
    mailbox = Mailbox()
    for number in range(PATHS_MAX + 5):
        mailbox.put_path(f"/srv/{number}.jsonl")

    mail = mailbox.take(0)

    assert PATHS_MAX == len(mail.paths)
    assert {"make_up"} == mail.wishes


def test_a_root_that_is_a_file_is_heard(tmp_path: Path) -> None:
    """
    An operator may name a database anywhere: its own folder is watched, and not what is below that.
    """
    database = tmp_path / "elsewhere" / "my.db"
    (database.parent / "below").mkdir(parents=True)
    database.write_bytes(b"")
    ear = Ear(database)
    try:
        append(database.parent / "below" / "other.db", b"{}")
        assert set() == ear.told_before(database)
        assert not ear.watch.blindness
    finally:
        ear.watch.stop()
