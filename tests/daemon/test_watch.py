"""
Every way in which a watch goes blind is noticed, told, and made up for by the sweep.
"""

import mmap
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.bootstrap import open_log, roots, utc_now
from daemon.discover import Seen
from daemon.ingest import Ingest
from daemon.journal import open_journal
from daemon.mailbox import PATHS_MAX, Mail, Mailbox
from daemon.sweeper import Sweeper
from daemon.tail import SourceFile
from daemon.watch import Watch
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import QUICK, Daemon, append, daemon, needs, until

#: Only what is heard is read.
DEAF = {"sweep_all": 3_600.0, "sweep_hot": 3_600.0, "sweep_blind": 3_600.0, "heartbeat": 0.2}


def other(host: Host, number: int) -> Path:
    """Return the log of another session, in a project directory of its own."""
    return host.home / f".claude/projects/-srv-{number}" / f"11111111-1111-4111-8111-{number:012}.jsonl"


def is_told(run: Daemon, reason: str) -> None:
    until(lambda: any("watch_blind" in line and reason in line for line in run.told().splitlines()), f"{reason} told")


def with_limit(name: str, value: int) -> tuple[str, ...]:
    """Return a wrapper that runs a command in a namespace with its own inotify limit."""
    needs("unshare", "-Ur", "sh", "-c", f"echo {value} > /proc/sys/user/{name}")
    return ("unshare", "-Ur", "sh", "-c", f'echo {value} > /proc/sys/user/{name} && exec "$0" "$@"')


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


def test_more_directories_than_may_be_watched(host: Host) -> None:
    """
    The library says nothing and lives on; the kernel's own list shows that some are not watched.
    """
    limit = with_limit("max_inotify_watches", 20)
    for n in range(40):
        append(other(host, n), claude_line(f"msg_{n}", 5))
    with daemon(host, wrapper=limit) as run:
        is_told(run, "watch_limit")
        until(lambda: "watch_limit" in run.health()["watch"]["blindness"], "watch_limit in health.json")
        for n in range(40):
            append(other(host, n), claude_line(f"more_{n}", 6, second=n))
        run.has_read(*(other(host, n) for n in range(40)))


def test_no_watch_at_all(host: Host) -> None:
    """
    Every inotify instance of this user is taken: the sweep alone finds everything.
    """
    limit = with_limit("max_inotify_instances", 0)
    append(other(host, 1), claude_line("msg_a", 5))
    with daemon(host, wrapper=limit) as run:
        is_told(run, "no_inotify")
        until(lambda: "no_inotify" in run.health()["watch"]["blindness"], "no_inotify in health.json")
        append(other(host, 1), claude_line("msg_b", 6, second=1))
        append(other(host, 2), claude_line("msg_c", 7, second=2))
        run.has_read(other(host, 1), other(host, 2))


def test_a_queue_that_ran_over(host: Host) -> None:
    """
    More changes than the kernel keeps for a process that stands still: the rest is dropped.
    """
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    append(other(host, 1), claude_line("msg_a", 5))
    append(other(host, 2), claude_line("msg_b", 5, second=1))
    with daemon(host) as run:
        run.signal(signal.SIGSTOP)
        with other(host, 1).open("ab", buffering=0) as one, other(host, 2).open("ab", buffering=0) as two:
            for _ in range(queued):  # in turns: the kernel merges equal neighbours
                one.write(b"{}\n")
                two.write(b"{}\n")
        append(other(host, 3), claude_line("msg_c", 5, second=2))
        run.signal(signal.SIGCONT)
        run.has_read(other(host, 1), other(host, 2), other(host, 3))
        is_told(run, "overflow")


def test_a_root_that_is_deleted_and_made_again(host: Host) -> None:
    """
    The old watch hears nothing of the new directory, and the library does not notice.
    """
    append(other(host, 1), claude_line("msg_a", 5))
    with daemon(host) as run:
        run.has_read(other(host, 1))
        shutil.rmtree(host.home / ".claude/projects")
        append(other(host, 2), claude_line("msg_b", 6, second=1))
        run.has_read(other(host, 2))
        until(lambda: run.health()["watch"]["blindness"] == [], "sees again")
        append(other(host, 2), claude_line("msg_c", 7, second=2))
        run.has_read(other(host, 2))


def test_a_root_that_appears_later(host: Host) -> None:
    """
    An agent that is installed while the daemon runs.
    """
    with daemon(host) as run:
        append(other(host, 1), claude_line("msg_a", 5))
        append(host.gptme(), b'{"role": "user"}\n')
        run.has_read(other(host, 1), host.gptme())


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


@pytest.fixture
def layered(host: Host) -> Iterator[Path]:
    """Give the lower layer of an overlay that is mounted as the root of an agent."""
    lower, upper, work = (host.home.parent / name for name in ("lower", "upper", "work"))
    root = host.home / ".claude/projects"
    for directory in (lower / "-srv-1", upper, work, root):
        directory.mkdir(parents=True)
    append(lower / "-srv-1" / other(host, 1).name, claude_line("msg_a", 5))
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    if subprocess.run(
        ["mount", "-t", "overlay", "-o", options, "overlay", root], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting an overlay is not allowed here")
    yield lower
    subprocess.run(["umount", "-l", root], check=True)


def test_a_file_system_that_tells_nothing(host: Host, layered: Path) -> None:
    """
    What is written to the lower layer of an overlay is no event above it; a sweep notices that nobody told.
    """
    with daemon(host) as run:
        run.has_read(other(host, 1))
        append(layered / "-srv-1" / other(host, 1).name, claude_line("msg_b", 6, second=1))
        run.has_read(other(host, 1))


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


class Ear:
    """A watch over one directory, and what it put into the mailbox."""

    def __init__(self, root: Path) -> None:
        self.mailbox = Mailbox()
        self.watch = Watch(self.mailbox, [str(root)])
        self.watch.start()

    def hears(self, path: Path) -> bool:
        """Append to *path* until somebody tells of it."""

        def is_heard() -> bool:
            append(path, b"{}\n")
            return str(path) in self.mailbox.take(0.1).paths

        return until(is_heard, f"{path.name} is heard of")

    def silence(self) -> Mail:
        """Let what is under way arrive, and return what comes after it."""
        while self.mailbox.take(0.3).paths:
            pass
        return self.mailbox.take(0)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    root = tmp_path / "root"
    root.mkdir()
    ear = Ear(root)
    yield ear
    ear.watch.stop()


def test_a_thread_that_died_is_begun_again(ear: Ear, tmp_path: Path) -> None:
    """
    The emitter of one root ends while the observer lives on: noticed, begun anew, and changes are heard again.
    """
    assert ear.hears(tmp_path / "root/a.jsonl")
    assert ear.watch._observer is not None
    for emitter in ear.watch._observer.emitters:
        emitter.stop()
        emitter.join()

    assert ear.watch.check()

    assert {"dead_thread"} == ear.watch.blindness
    assert ear.hears(tmp_path / "root/a.jsonl")
    ear.watch.settle(1)
    assert not ear.watch.blindness
    assert not ear.watch.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_raises_is_begun_again(ear: Ear, tmp_path: Path) -> None:
    """
    It ends the library's dispatcher, and only that.
    """

    def raising(_: object) -> None:
        raise RuntimeError

    assert ear.watch._observer is not None
    observer = ear.watch._observer
    for handlers in observer._handlers.values():
        for handler in handlers:
            handler.dispatch = raising  # type: ignore[method-assign,assignment]
    append(tmp_path / "root/a.jsonl", b"{}\n")
    until(lambda: not observer.is_alive(), "the dispatcher is dead")

    assert ear.watch.check()

    assert {"dead_thread"} == ear.watch.blindness
    assert ear.hears(tmp_path / "root/a.jsonl")


def test_a_root_made_anew_is_watched_anew(ear: Ear, tmp_path: Path) -> None:
    """
    Deleted, gone for a while, and there again as another directory.
    """
    (tmp_path / "root").rmdir()
    assert ear.watch.check()
    (tmp_path / "root").mkdir()

    assert ear.watch.check()

    assert ear.hears(tmp_path / "root/a.jsonl")
    assert not ear.watch.check()


def test_our_own_reading_wakes_nobody(ear: Ear, tmp_path: Path) -> None:
    """
    Opening, reading and closing a watched file are events for inotify; we do not ask for them.
    """
    log = tmp_path / "root/a.jsonl"
    assert ear.hears(log)
    ear.silence()

    for _ in range(10):
        with SourceFile(str(log)) as source:
            source.read_at(0, 100)
        list(log.parent.iterdir())

    assert Mail() == ear.silence()
    assert ear.hears(log)


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
        assert ear.hears(database)
        append(database.parent / "below" / "other.db", b"{}")
        assert not ear.silence().paths
        assert not ear.watch.blindness
    finally:
        ear.watch.stop()
