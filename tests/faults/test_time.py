"""
Clocks that are set, and processes, threads and disks that stand still.
"""

import mmap
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
import zstandard

from state.head import recall
from state.paths import StatePaths
from state.verify import verify
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import CLOCK_SET, QUICK, Daemon, append, daemon, needs, until
from tests.daemon.manager import Manager
from tests.daemon.watching import other
from tests.faults.disks import Disk


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(str(tmp_path / "notify"))
    yield listening
    listening.close()


def write_unheard(log: Path, line: bytes) -> None:
    """
    Write *line* into the room that was left for it at the end of *log*; no watch is told of that.
    """
    with log.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        start = memory.find(b"\0")
        memory[start : start + len(line)] = line


def test_wall_clock_set(host: Host) -> None:
    """
    An hour back, then an hour ahead: sweeps go on by a clock that nobody sets, and numbers say what came after what.
    """
    lines = [claude_line(f"msg_{n}", 5, second=n) for n in range(3)]
    with daemon(host, script=CLOCK_SET) as run:
        append(host.claude(), lines[0] + bytes(2 * len(lines[0])))
        run.has_read(host.claude())
        for wrong, line in zip(("hour-back", "hour-ahead"), lines[1:], strict=True):
            (host.home / wrong).touch()
            write_unheard(host.claude(), line)
            run.has_read(host.claude())
            (host.home / wrong).unlink()
        run.has_published(3, 45)
        assert 0 == run.stop()

    times = [row["at"] for row in host.rows("SELECT ingested_at AS at FROM events WHERE kind = 'usage' ORDER BY seq")]
    assert times[1] < times[0] < times[2] - timedelta(minutes=50)
    assert verify(host.state.log_directory, recall(host.state.head)).ok


def test_stopped_for_long(host: Host, manager: Manager) -> None:
    """
    What was written meanwhile is found, also what nobody could have heard of; and the daemon is as well as it was.
    """
    quiet, line = other(host, 0), claude_line("msg_b", 6, second=1)
    append(quiet, claude_line("msg_a", 5) + bytes(len(line)))
    with daemon(host, environment=manager.environment) as run:
        manager.waits_for("WATCHDOG=1", times=2)
        run.signal(signal.SIGSTOP)
        for n in range(1, 200):
            append(other(host, n), claude_line(f"msg_{n}", 1, second=n))
        write_unheard(quiet, line)
        pings = manager.heard().count("WATCHDOG=1")
        run.signal(signal.SIGCONT)
        run.has_published(201, 31 + 199 * 11)
        manager.waits_for("WATCHDOG=1", times=pings + 2)
        assert "worker_stalled" not in run.told()


#: The thread that keeps the tables goes no further while a file says so, and who is silent for seconds hangs.
_HANGING: Final = """
import json, os, sys, time
from pathlib import Path
from daemon import projector, workers
from daemon.loop import Pace
from daemon.projector import Projector
from daemon.run import run
from daemon.settings import load
workers.FRESH_SECONDS, projector.BEAT_SECONDS = 3.0, 0.1
judge = Projector._judge_when_due
def judge_or_hang(self, projection):
    while Path(sys.argv[1], "hang").exists():
        time.sleep(0.05)
    judge(self, projection)
Projector._judge_when_due = judge_or_hang
os.umask(0o077)
sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(**json.loads(sys.argv[3]))))
"""


def test_worker_that_hangs(host: Host, manager: Manager) -> None:
    """
    It is there and does nothing, and the loop goes on: systemd hears of nobody until everybody works.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, script=_HANGING, environment=manager.environment) as run:
        run.has_published(1, 15)
        manager.waits_for("WATCHDOG=1", times=2)
        before = len(run.told())
        (host.home / "hang").touch()
        until(lambda: "worker_stalled workers=projector" in run.told()[before:], "the hanging thread is told")
        pings = manager.heard().count("WATCHDOG=1")
        uptime = run.health()["uptime_seconds"]
        until(lambda: run.health()["uptime_seconds"] >= uptime + 2, "the loop goes on")
        assert pings == manager.heard().count("WATCHDOG=1")

        (host.home / "hang").unlink()
        manager.waits_for("WATCHDOG=1", times=pings + 2)


def hangs_in_the_kernel(run: Daemon) -> bool:
    """
    Say whether a thread of the daemon waits for what no signal can end.
    """
    stats = (each.read_text() for each in Path(f"/proc/{run.pid}/task").glob("*/stat"))
    return any(stat.rpartition(")")[2].split()[0] == "D" for stat in stats)


def test_disk_that_hangs(host: Host, manager: Manager, disk: Disk) -> None:
    """
    Nothing is said until it answers again; then the daemon goes on where it was.
    """
    needs("fsfreeze")
    host.state = StatePaths(disk.mountpoint / "state")
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, environment=manager.environment) as run:
        run.has_read(host.claude())
        manager.waits_for("WATCHDOG=1", times=2)
        disk.run("fsfreeze", "-f", disk.mountpoint)
        try:
            append(host.claude(), claude_line("msg_b", 6, second=1))
            until(lambda: hangs_in_the_kernel(run), "the daemon waits for the disk")
            heard = until(lambda: silent_for(manager, 2.0), "no ping is sent")
        finally:
            disk.run("fsfreeze", "-u", disk.mountpoint)
        run.has_read(host.claude())
        until(lambda: "WATCHDOG=1" in manager.heard()[heard:], "pings are sent again")
        assert 0 == run.stop()
    assert (2, 31) == host.totals()


def silent_for(manager: Manager, seconds: float) -> int:
    """
    Return how much was heard so far; 0 when something comes within *seconds*, which is many pings.
    """
    before = len(manager.heard())
    time.sleep(seconds)
    return before if before == len(manager.heard()) else 0


#: One file says that a log is read for long, another that something was read and not yet committed.
_HOLDING: Final = """
import json, os, sys
from pathlib import Path
from daemon.ingest import Ingest
from daemon.loop import Pace
from daemon.run import run
from daemon.settings import load
look, move = Ingest.look, Ingest._move
def look_and_tell(self, seen):
    has_more = look(self, seen)
    if has_more:
        Path(sys.argv[1], "busy").touch()
    return has_more
def move_and_tell(self, key, cursor):
    move(self, key, cursor)
    if any(b'"k":"usage"' in event for event in self.batch._events):
        Path(sys.argv[1], "held").touch()
Ingest.look, Ingest._move = look_and_tell, move_and_tell
os.umask(0o077)
sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(**json.loads(sys.argv[3]))))
"""


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
def test_asked_to_end_with_much_to_do(host: Host, *, is_compressed: bool) -> None:
    """
    Gigabytes are left to look at, and a line is read that no batch holds yet: that one is committed, and it ends. Also
    in the middle of an archive, which is read in one go.
    """
    large = host.claude("22222222-2222-4222-8222-222222222222")
    with daemon(host, script=_HOLDING, pace={**QUICK, "sweep_hot": 3_600.0, "batch": 3_600.0}) as run:
        if is_compressed:
            gibibyte = b"".join(zstandard.compress(bytes(1 << 27)) for _ in range(8))
            archive = host.home / "archive"
            archive.write_bytes(zstandard.compress(claude_line("msg_a", 5)) + 64 * gibibyte)
            archive.rename(large.with_suffix(".jsonl.zst"))
        else:
            with large.open("wb") as file:
                file.truncate(64 << 30)  # a hole: no byte of it is on the disk
            until((host.home / "busy").exists, "the large one is read")
            append(host.claude(), claude_line("msg_a", 5))
        until((host.home / "held").exists, "a line is read and not committed")
        run.signal(signal.SIGTERM)

        assert 0 == run._running.wait(10)

    assert (1, 15) == host.totals()
    assert verify(host.state.log_directory, recall(host.state.head)).ok
