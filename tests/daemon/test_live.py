"""`tallystick run` as a process: what is written is counted, whatever happens to process, disk, clock and tables."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import zstandard

from daemon.living import living
from state.errors import TallystickError
from state.head import recall
from state.verify import verify
from tests.daemon.conftest import Host, claude_line, codex_lines, gptme_lines, gptme_messages
from tests.daemon.live import QUICK, Daemon, append, daemon, fill, needs, until

CANARY = "xyzzy-plugh-4711"


def totals_of(outputs: list[int]) -> tuple[int, int]:
    """Return calls and tokens of as many Claude Code calls."""
    return len(outputs), sum(10 + output for output in outputs)


def daemon_events(host: Host) -> list[str]:
    return [json.loads(line)["change"] for line in evidence(host) if b'"k":"daemon"' in line]


def evidence(host: Host) -> list[bytes]:
    """Return the events of the log, as they stand there."""
    lines = (line for path in sorted(host.state.log_directory.iterdir()) for line in path.read_bytes().splitlines())
    return [line for line in lines if line.startswith(b'{"q":')]


def changes(host: Host) -> list[str]:
    """Return what the log says of sources, in order; a missing root is no news."""
    events = [json.loads(line) for line in evidence(host) if b'"k":"source"' in line]
    return [event["change"] for event in events if event["change"] != "missing"]


# -- a day in its life ---------------------------------------------------------------------------------------------


def test_a_line_is_counted_while_the_daemon_runs_and_sigterm_ends_it_whole(host: Host) -> None:
    """
    The command as operators have it: lines of all agents are in the log, then in the published tables. SIGTERM ends it
    with 0, nothing read is lost, and the silence after it is explained.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace=None) as run:
        run.has_published(1, 15)
        append(host.claude(), claude_line("msg_b", 6, second=1))
        append(host.codex(), codex_lines([100, 250]))
        append(host.gptme(), gptme_lines([1, 2]))
        run.has_read(host.claude(), host.codex(), host.gptme())
        run.has_published(6, 15 + 16 + 250 + 13)
        append(host.claude(), claude_line("msg_c", 7, second=2))
        run.has_read(host.claude())

        assert 0 == run.stop()

        assert "stopped" == run.health()["state"]
        assert (7, 311) == host.totals()
        assert ["started", "stopped"] == daemon_events(host)
        assert verify(host.state.log_directory, recall(host.state.head)).ok


def test_nothing_anybody_said_reaches_the_daemons_own_log(host: Host) -> None:
    """
    Every string of the logs holds a word; stderr has events and numbers, and under journald a priority before each.
    """
    line = json.loads(claude_line("msg_a", 5))
    line |= {"cwd": f"/srv/{CANARY}", "gitBranch": CANARY, "version": CANARY, "note": CANARY, CANARY: CANARY}
    line["message"] |= {"model": CANARY, "content": [{"text": CANARY}]}
    broken = f'{{"{CANARY}": "{CANARY}'.encode()
    append(host.claude(), json.dumps(line).encode() + b"\n" + broken + b"\n")
    append(
        host.claude(), claude_line("msg_b", 5).replace(b'"output_tokens": 5', f'"output_tokens": "{CANARY}"'.encode())
    )
    append(host.gptme(), gptme_lines([1]).replace(b'"content": "x"', f'"content": "{CANARY}"'.encode()) + broken)

    with daemon(host, environment={"JOURNAL_STREAM": "8:1"}) as run:
        run.has_read(host.claude(), host.gptme())
        run.stop()
        told = run.told()

    assert CANARY not in told
    assert "daemon_ready" in told
    assert all(line[:3] in ("<3>", "<4>", "<6>") for line in told.splitlines())


# -- killed --------------------------------------------------------------------------------------------------------


def killed_and_killed_again(host: Host, kills: int) -> None:
    """Write all the time, kill at random moments; what was written is counted, once."""
    dice = random.Random(11)
    outputs: list[int] = []
    run = Daemon(host)
    for _ in range(kills):
        run.start()
        for _ in range(dice.randint(1, 12)):
            outputs.append(dice.randint(1, 1_000))
            line = claude_line(f"msg_{len(outputs)}", outputs[-1], second=len(outputs) % 3_600)
            cut = dice.randint(0, len(line))
            append(host.claude(), line[:cut])
            time.sleep(dice.random() / 10)
            append(host.claude(), line[cut:])
        run.kill()
    with daemon(host) as run:
        run.has_read(host.claude())
        assert 0 == run.stop()
    assert totals_of(outputs) == host.totals()
    assert ["opened"] == changes(host)
    usage = host.rows("SELECT count(*) AS n, count(DISTINCT offset_bytes) AS places FROM events WHERE kind = 'usage'")
    assert [{"n": len(outputs), "places": len(outputs)}] == usage
    assert verify(host.state.log_directory, recall(host.state.head)).ok


def test_a_daemon_killed_at_random_loses_and_doubles_nothing(host: Host) -> None:
    """
    SIGKILL while lines are being written, again and again: each is evidence exactly once.
    """
    killed_and_killed_again(host, kills=5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_daemon_killed_a_hundred_times_loses_and_doubles_nothing(host: Host) -> None:
    """
    The same, for long.
    """
    killed_and_killed_again(host, kills=100)


@pytest.mark.parametrize("when", [2, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 5, 6, 7, 8, 9, 10))])
def test_a_daemon_killed_at_any_call_of_a_commit_states_each_line_once(host: Host, when: int) -> None:
    """
    The kernel kills it at the n-th call that touches the segment it writes: the batch is there with its mark, or not.
    """
    needs("strace", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true")
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host) as run:
        run.has_read(host.claude())
        run.stop()
    (segment,) = host.state.log_directory.iterdir()
    calls = "write,pwrite64,pwritev,fdatasync,fsync,ftruncate"
    killer = ("strace", "-f", "-o", "/dev/null", "-P", str(segment), "-e", f"trace={calls}")
    append(host.gptme(), gptme_lines(list(range(50))))
    traced = Daemon(host, wrapper=(*killer, "-e", f"inject={calls}:signal=KILL:when={when}")).start()
    try:
        for n in range(60):
            append(host.claude(), claude_line(f"msg_{n}", n + 1, second=n))
            if traced.is_dead:
                break
            time.sleep(0.1)
        until(lambda: traced.is_dead or traced.health().get("state") == "running", "killed, or never so far")
    finally:
        if not traced.is_dead:
            traced.stop()
    with daemon(host) as run:
        run.has_read(host.claude(), host.gptme())
        run.stop()

    lines = len(host.claude().read_bytes().splitlines())
    assert lines + 50 == host.totals()[0]
    assert [{"n": lines + 50}] == host.rows("SELECT count(*) AS n FROM events WHERE kind = 'usage'")


# -- readers -------------------------------------------------------------------------------------------------------


def test_a_large_archive_is_read_with_signs_of_life_in_the_middle(host: Host) -> None:
    """
    It is read in one go, and whoever asks meanwhile is told how far the log is: silence would be told as a hang.
    """
    calls = 20_000
    archive = host.codex().with_suffix(".jsonl.zst")
    ready = host.home.parent / "archive"
    ready.write_bytes(zstandard.compress(codex_lines(list(range(1, calls + 1)))))
    with daemon(host, pace={**QUICK, "heartbeat": 0.01}) as run:
        before = run.health()["log"]["seq"]

        ready.rename(archive)

        def in_the_middle() -> int:
            seq: int = run.health()["log"]["seq"]
            return seq if seq > before + 1_000 else 0

        assert until(in_the_middle, "a heartbeat tells of the archive") < before + calls


# -- disk, directory, tables -----------------------------------------------------------------------------------------


def test_a_daemon_can_be_stopped_while_the_disk_is_full(small_disk: Host) -> None:
    """
    What was not committed is in the sources still; the next start reads it.
    """
    host = small_disk
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace={**QUICK, "retry_first": 0.2, "retry_max": 0.5}) as run:
        run.has_published(1, 15)
        fill(host.state.root / "ballast")
        append(host.gptme(), gptme_lines(list(range(1, 400))))
        until(lambda: "disk_full" in run.told(), "the daemon has met the full disk")

        code = run.stop()

        assert "Traceback" not in run.told()
        assert 0 == code
        assert "stopped" == living(host.settings).state
        subprocess.run(["mount", "-o", "remount,size=64m", host.state.root], check=True)
        run.start().ready()
        run.has_read(host.gptme())
        run.has_published(400, 15 + 5 * 399 + 399 * 400 // 2)


def children(run: Daemon) -> list[int]:
    """Return the processes that the daemon waits for."""
    tasks = Path(f"/proc/{run.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def opened(pid: int) -> set[str]:
    """Return the files that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return found


@pytest.mark.slow
def test_a_large_step_of_the_tables_ends_with_the_daemon(host: Host) -> None:
    """
    The process that makes it does not outlive a killed daemon: it would hold the database against the next one.
    """
    append(host.gptme(), gptme_messages(1_400) + b"".join(gptme_lines([n]) for n in range(30_000)))
    host.ingest()
    calls, tokens = host.totals()
    host.state.projection.unlink()
    run = Daemon(host).start()
    (child, *_) = until(lambda: children(run), "a child process works")
    until(lambda: str(host.state.projection) in opened(child), "it has the database")
    os.kill(child, signal.SIGSTOP)  # so that it does not end by itself
    run.kill()

    try:
        until(lambda: not Path(f"/proc/{child}").exists(), "it has ended, too")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    host.state.published.unlink()
    with daemon(host) as run:
        run.has_published(calls or 0, tokens or 0)


@pytest.mark.parametrize("damage", ["deleted", "garbage"])
def test_tables_that_are_damaged_under_the_daemon_are_made_anew(host: Host, damage: str) -> None:
    """
    By itself, live and at the next start. Damaged tables are never published: readers keep the last good ones.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host) as run:
        run.has_published(1, 15)
        spoil(host, damage)
        append(host.claude(), claude_line("msg_b", 6, second=1))
        run.has_published(2, 31)
        run.kill()
        spoil(host, damage)
        append(host.claude(), claude_line("msg_c", 7, second=2))

        run.start()

        run.has_published(3, 48)
        until(lambda: run.health()["tables"]["failure"] is None, "the failure is over")
        assert 0 == run.stop()


def test_published_tables_that_somebody_removed_or_wrote_over_come_back(host: Host) -> None:
    """
    Also while nobody writes a log: readers have nothing else.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace=None) as run:
        run.has_published(1, 15)
        host.state.published.unlink()
        until(lambda: is_readable(host), "they are there again")
        host.state.published.write_bytes(b"garbage")

        until(lambda: is_readable(host), "they are whole again")


def is_readable(host: Host) -> bool:
    try:
        return (1, 15) == host.totals()
    except TallystickError:
        return False


def test_a_file_with_a_second_name_is_heard_like_any_other(host: Host) -> None:
    """
    A backup of hard links beside the home must not slow its numbers down to the next sweep over everything.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace=None) as run:
        run.has_published(1, 15)
        (host.home / "backup.jsonl").hardlink_to(host.claude())
        append(host.claude(), claude_line("msg_b", 6, second=1))

        run.has_published(2, 31)


def spoil(host: Host, damage: str) -> None:
    """Damage the daemon's own database."""
    if damage == "deleted":
        host.state.projection.unlink()
        return
    size = host.state.projection.stat().st_size
    with host.state.projection.open("r+b") as file:
        file.write(random.Random(3).randbytes(size))


# -- clocks --------------------------------------------------------------------------------------------------------

_SCHEDULE_DIES = """
import gc, sys, threading, time
from pathlib import Path
from apscheduler.schedulers.background import BackgroundScheduler
from daemon.loop import Pace
from daemon.run import run
from daemon.settings import load
flag = Path(sys.argv[1]) / "kill-schedule"
def killer():
    while not flag.exists():
        time.sleep(0.05)
    for each in [each for each in gc.get_objects() if isinstance(each, BackgroundScheduler)]:
        each.shutdown(wait=False)
    flag.unlink()
threading.Thread(target=killer, daemon=True).start()
sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(sweep_all=0.5, sweep_hot=0.3, heartbeat=0.2)))
"""


def test_a_schedule_that_died_is_noticed_and_made_up_for(host: Host) -> None:
    """
    A sweep that nobody asked for is done by the loop's own clock, and the schedule begins anew.
    """
    with daemon(host, script=_SCHEDULE_DIES) as run:
        (host.home / "kill-schedule").touch()
        until(lambda: not (host.home / "kill-schedule").exists(), "the schedule is dead")

        until(lambda: "schedule_overdue" in run.told(), "the loop notices it")

        append(host.claude(), claude_line("msg_a", 5))
        run.has_read(host.claude())


# -- files that are hard to read -------------------------------------------------------------------------------------


def test_lines_without_end_are_passed_over_in_constant_memory(host: Host) -> None:
    """
    One of 9 MiB, and one of 256 MiB that never ends: the file beside them is read, and so is the line after the first.
    """
    long, endless = host.claude(), host.claude("22222222-2222-4222-8222-222222222222")
    with daemon(host) as run:
        append(host.codex(), codex_lines([100]))
        run.has_published(1, 100)
        before_mib = run.rss_mib()
        append(long, b"x" * (9 << 20) + b"\n" + claude_line("msg_a", 5))
        for _ in range(256):
            append(endless, b"y" * (1 << 20))
        append(host.codex(), codex_lines([100, 250]).splitlines(keepends=True)[-1])
        run.has_read(long, host.codex())
        run.has_published(3, 250 + 15)
        after_mib = run.rss_mib()
        run.stop()

    assert after_mib < before_mib + 160  # the database has its share of this
    assert [{"code": "too_long", "length_bytes": 9 << 20}] == host.rows("SELECT code, length_bytes FROM rejected")


def test_heartbeat_tells_of_every_thread(host: Host) -> None:
    """
    Who judges health from outside sees each thread by itself: whether it is there, and when it last went on.
    """
    append(host.claude(), claude_line("msg_a", 1))
    with daemon(host) as live:
        workers = until(lambda: (found := live.health()["workers"])["scheduler"]["is_alive"] and found, "all are there")

        assert {"loop", "projector", "checkouts", "watch", "scheduler"} == set(workers)
        assert [True] * 5 == [each["is_alive"] for each in workers.values()]
        assert ["watch"] == [name for name, each in workers.items() if each["age_seconds"] is None]


#: The tables are asked something that takes for ever, and nobody waits for the answer when it ends.
_LOST_IN_THE_DATABASE = """
import json, os, sys
from pathlib import Path
import daemon.run
from daemon.loop import Pace
from daemon.projector import Projector
from daemon.settings import load
def get_lost(self, projection):
    Path(sys.argv[1], "lost").touch()
    projection.connection.execute("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b").fetchall()
Projector._judge_when_due = get_lost
daemon.run._LAST_REFRESH_SECONDS = 0.1
os.umask(0o077)
sys.exit(daemon.run.run(load(sys.argv[1], sys.argv[2]), pace=Pace(**json.loads(sys.argv[3]))))
"""


def test_a_database_that_does_not_answer_does_not_spoil_the_end(host: Host) -> None:
    """
    The daemon was asked to end, and what it read is committed: an interpreter that aborts would look like a failure.
    """
    append(host.claude(), claude_line("msg_a", 1))
    with daemon(host, script=_LOST_IN_THE_DATABASE) as live:
        until((host.home / "lost").exists, "the tables are being asked")

        assert 0 == live.stop()
        assert "stopped" == live.health()["state"]
