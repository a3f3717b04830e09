"""
Files that are moved, cut, rewritten, replaced and deleted while somebody reads them.
"""

import os
import shutil
import time
from collections import defaultdict
from pathlib import Path

import pytest

from daemon.beneath import open_beneath
from daemon.bootstrap import catch_up, open_log, roots, seen_files, utc_now
from daemon.discover import look_at
from daemon.ingest import Ingest
from tests.daemon.conftest import Host, claude_line, codex_lines, gptme_messages, later
from tests.daemon.live import append, daemon


def changes(host: Host) -> list[str]:
    """
    Return what happened to files, in order; a root that can be read is no news.
    """
    return [each for each in host.changes() if each != "readable"]


def generations(host: Host) -> int:
    """
    Return how many contents of files the log knows.
    """
    return len(host.rows("SELECT DISTINCT source_generation FROM events WHERE change IN ('opened', 'replaced')"))


def test_file_renamed(host: Host) -> None:
    """
    Codex moves finished rollouts to its archive; the mark goes with the file.
    """
    host.codex().write_bytes(codex_lines([100, 250]))
    host.ingest()
    host.codex().rename(host.codex(archived=True))

    second = host.ingest()

    assert (2, 250) == host.totals()
    assert 0 == second.read.bytes_read
    assert ["opened", "moved"] == changes(host)
    assert 1 == generations(host)


def test_file_copied_and_truncated(host: Host) -> None:
    """
    The running total goes on in a file without its beginning, and the copy says again what was said.
    """
    log = host.codex()
    log.write_bytes(codex_lines([100, 250]))
    host.ingest()
    shutil.copyfile(log, host.codex(archived=True))
    os.truncate(log, 0)
    append(log, codex_lines([100, 250, 400]).splitlines(keepends=True)[-1])

    host.ingest()

    assert (3, 400) == host.totals()
    assert ["opened", "opened", "truncated"] == sorted(changes(host))


def test_file_changed_in_place(host: Host) -> None:
    """
    A line became another, far before the mark and without a byte more or less.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 100) + claude_line("msg_b", 7) * 3)
    host.ingest()
    with log.open("r+b") as file:
        file.write(claude_line("msg_a", 999))
    later(log)

    host.ingest()

    assert (2, 10 + 999 + 17) == host.totals()
    assert ["opened", "replaced"] == changes(host)


def test_file_rewritten_whole(host: Host) -> None:
    """
    As gptme did at every message: caught at size 0 and at half, again and again, it is the same file all the time.
    """
    log, messages = host.gptme(), gptme_messages(200)
    lines = messages.splitlines(keepends=True)
    log.write_bytes(lines[0])
    with daemon(host) as run:
        for count in range(2, len(lines) + 1):
            content = b"".join(lines[:count])
            with log.open("wb", buffering=0) as file:
                time.sleep(0.002)
                file.write(content[: len(content) // 2])
                time.sleep(0.002)
                file.write(content[len(content) // 2 :])
        run.has_read(log)
        run.has_published(len(lines), sum(5 + n + 1 for n in range(len(lines))))
        assert 0 == run.stop()
    told = host.rows("SELECT offset_bytes FROM events WHERE kind = 'usage'")
    assert sorted(content.index(line) for line in lines) == sorted(row["offset_bytes"] for row in told)
    assert ["opened"] == changes(host)


def test_file_replaced(host: Host) -> None:
    """
    By one that begins with the same lines: they are stated by both, and count once.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5))
    host.ingest()
    fresh = host.home / "fresh"
    fresh.write_bytes(claude_line("msg_a", 5) + claude_line("msg_b", 6, second=1))
    fresh.replace(log)

    host.ingest()

    assert (2, 31) == host.totals()
    assert ["opened", "replaced"] == changes(host)
    assert 2 == generations(host)


def given_away(inode: int, directory: Path) -> Path:
    """
    Return a new file in *directory* that has got the inode of a deleted one.
    """
    for number in range(200):
        file = directory / f"{number}.tmp"
        file.touch()
        if file.stat().st_ino == inode:
            return file
    pytest.skip("this file system does not give an inode away at once")


def test_inode_reused(host: Host) -> None:
    """
    By a file of the same name in another folder, then by one in the same place: none goes on where another ended.
    """
    log = host.claude()
    other = log.parent.with_name("-srv-other") / log.name
    other.parent.mkdir()
    log.write_bytes(claude_line("msg_a", 5))
    inode = log.stat().st_ino
    host.ingest()

    log.unlink()
    given_away(inode, host.home).rename(other)
    other.write_bytes(claude_line("msg_b", 6) + claude_line("msg_c", 7))
    host.ingest()

    other.unlink()
    given_away(inode, host.home).rename(other)
    other.write_bytes(claude_line("msg_d", 8) + claude_line("msg_e", 9) + claude_line("msg_f", 1))
    host.ingest()

    assert (6, 6 * 10 + 5 + 6 + 7 + 8 + 9 + 1) == host.totals()
    assert ["gone", "opened", "opened", "replaced"] == sorted(changes(host))
    assert 3 == generations(host)


def test_file_deleted_while_open(host: Host) -> None:
    """
    It is read to its end all the same; then it is told to be gone, and what it said stays.
    """
    log = host.claude()
    log.write_bytes(b"".join(claude_line(f"msg_{n}", 1, second=n) for n in range(3_000)))

    catch_up(host.settings, seen_files(host.settings), lambda: host.now, lambda _: log.unlink(missing_ok=True))

    assert (3_000, 33_000) == host.totals()
    host.ingest()
    assert (3_000, 33_000) == host.totals()
    assert ["opened", "gone"] == changes(host)


@pytest.mark.parametrize("moment", ["seen", "opened", "half read"])
def test_file_replaced_while_read(host: Host, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """
    Before it is opened, just after that, and between two parts of it: no line is taken for one of the other file.
    """
    log, fresh = host.claude(), host.home / "fresh"
    calls = {file: [f"msg_{file.name[:1]}{n}" for n in range(2_000)] for file in (log, fresh)}
    for file, names in calls.items():
        file.write_bytes(b"".join(claude_line(name, 1, second=n) for n, name in enumerate(names)))
    owners = {str(file.stat().st_ino): set(names) for file, names in calls.items()}
    seen = seen_files(host.settings)

    def replace() -> None:
        if fresh.exists():
            fresh.replace(log)

    def open_too_late(directory: str, name: str, flags: int) -> int:
        descriptor = open_beneath(directory, name, flags)
        replace()
        return descriptor

    if moment == "seen":
        replace()
    elif moment == "opened":
        monkeypatch.setattr("daemon.tail.open_beneath", open_too_late)
    catch_up(host.settings, seen, lambda: host.now, lambda _: replace())
    host.ingest()

    said = defaultdict(set)
    for row in host.rows("SELECT source_generation, source_id FROM events WHERE kind = 'usage'"):
        said[row["source_generation"].split(":")[1]].add(row["source_id"])
    assert not fresh.exists()
    assert said == {inode: names for inode, names in owners.items() if inode in said}
    assert str(log.stat().st_ino) in said


def test_last_line_that_grows(host: Host) -> None:
    """
    Byte by byte, and looked at after each of them: nothing is said until the newline is there, and then once.
    """
    log, line = host.claude(), claude_line("msg_a", 5)
    places = roots(host.settings)
    with open_log(host.settings) as held:
        ingest = Ingest(held, utc_now, is_live=True)
        for number in range(len(line)):
            append(log, line[number : number + 1])
            found = look_at(places, str(log), "UTC")
            assert found is not None
            ingest.look(found)
            ingest.commit()
    host.ingest()

    assert (1, 15) == host.totals()
    assert [{"n": 1}] == host.rows("SELECT count(*) AS n FROM events WHERE kind = 'usage'")
