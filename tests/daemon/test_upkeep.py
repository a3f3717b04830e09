"""Sealing, compressing and retiring by a running daemon; the schedule that asks for it."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from daemon.bootstrap import catch_up, seen_files
from daemon.inbox_client import outcome, submit
from daemon.living import living
from daemon.projector import Projector
from daemon.schedule import Schedule
from daemon.upkeep import seal_when_old
from projections.retention import retire_old
from state.cursors import Cursor
from state.log import Log
from state.sealing import compress
from tests.daemon.conftest import Host, claude_line

#: The daemon with intervals of its own; everything else is as in `tallystick run`.
DAEMON = """
import sys
from daemon.loop import Pace
from daemon.run import run
from daemon.settings import load
sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(seal=0.0, upkeep=0.2, in_place=0.2)))
"""


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for something that has to happen; a test that waits in vain is ended by its timeout."""
    while not is_so():
        time.sleep(0.02)


def archives(host: Host) -> int:
    return len(list(host.state.log_directory.glob("*.zst")))


class Told:
    """Keeps what a part of the daemon tells."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        self.events.append(event)

    warning = error = info


def test_a_running_daemon_seals_and_compresses(host: Host) -> None:
    """
    What is closed is compressed while the daemon goes on, and the tables are those of a plain log.
    """
    log = host.claude()
    log.write_bytes(b"")
    command = [sys.executable, "-c", DAEMON, str(host.home), str(host.state.root)]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for number in range(3):
            before = archives(host)
            with log.open("ab") as more:
                more.write(claude_line(f"msg_{number}", 5, second=number))
            while archives(host) <= before:
                time.sleep(0.02)
    finally:
        daemon.send_signal(signal.SIGTERM)
        _, told = daemon.communicate(timeout=60)

    host.ingest()
    assert (3, 45) == host.totals()
    assert 0 == daemon.returncode
    assert "event=segment_sealed" in told
    assert "event=segment_compressed" in told
    assert "level=error" not in told


def test_a_segment_is_sealed_when_it_is_old_and_not_before(host: Host) -> None:
    """
    A day after it was begun, whatever happened in between; a young one and one without events go on.
    """
    host.state.create()
    told = Told()
    with Log.open(host.state, Cursor, clock=lambda: host.now) as log:
        seal_when_old(host.state, log, host.now + timedelta(days=2), 86_400, told)
        log.append([b'{"k":"x"}'], {})
        seal_when_old(host.state, log, host.now + timedelta(hours=23), 86_400, told)

        assert 1 == len(list(host.state.log_directory.iterdir()))
        seal_when_old(host.state, log, host.now + timedelta(hours=25), 86_400, told)

        assert 2 == len(list(host.state.log_directory.iterdir()))
    assert ["segment_sealed"] == told.events


def test_evidence_is_retired_only_when_asked_and_its_totals_stay(host: Host) -> None:
    """
    Measured covers what still has evidence, retired what has not; together they are what was measured.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    with Log.open(host.state, Cursor, clock=lambda: host.now) as log:
        log.roll()
    host.claude("3c0ffee0-0000-4000-8000-000000000001").write_bytes(claude_line("msg_b", 7))
    host.now += timedelta(days=10)
    host.ingest()
    told = Told()

    for retention in (
        None,
        lambda tables: retire_old(tables, host.state, host.now - timedelta(days=1), lambda: host.now),
    ):
        projector = Projector(host.state, told, retention=retention)
        projector.start()
        projector.retire()
        projector.stop()
        projector.join()
        if retention is None:
            assert (2, 32) == host.totals()

    assert (1, 17) == host.totals()
    assert [{"calls": 1, "total_tokens": 15}] == host.rows("SELECT calls, total_tokens FROM retired")
    assert (1, 15) == (host.usage()["retired_calls"], host.usage()["retired_tokens"])
    assert "evidence_retired" in told.events
    assert "projection_failed" not in told.events


def test_a_job_that_fails_is_told_by_its_kind_and_goes_on() -> None:
    """
    No job ends the schedule, hides behind another one, or tells the text of what went wrong.
    """
    failures: list[tuple[str, str]] = []
    done = threading.Event()

    def fail() -> None:
        message = "canary: what somebody wrote"
        raise ValueError(message)

    schedule = Schedule({"bad": (0.05, fail), "good": (0.05, done.set)}, lambda *told: failures.append(told))
    schedule.start()
    try:
        wait_until(lambda: len(failures) > 1)
        wait_until(done.is_set)
    finally:
        schedule.stop()

    assert {("bad", "ValueError")} == set(failures)


def test_a_schedule_that_was_stopped_can_begin_anew() -> None:
    """
    The loop begins it again when it is overdue, as after a clock that was put back.
    """
    done = threading.Event()
    schedule = Schedule({"job": (0.05, done.set)}, lambda *_: None)
    schedule.start()
    schedule.start()
    wait_until(done.is_set)
    schedule.stop()
    done.clear()
    schedule.start()
    wait_until(done.is_set)
    schedule.stop()


def test_tables_are_made_anew_from_compressed_segments(host: Host) -> None:
    """
    A rebuild over a log whose old part is compressed gives the rows it gave before.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    before = host.facts_hash()
    with Log.open(host.state, Cursor) as log:
        log.roll()
    assert 1 == len(list(compress(host.state.log_directory)))
    host.state.projection.unlink()
    catch_up(host.settings, seen_files(host.settings), clock=lambda: host.now)

    assert before == host.facts_hash()
    assert list(host.state.log_directory.glob("*.zst"))


def test_a_running_daemon_takes_what_is_sent_to_the_inbox(host: Host) -> None:
    """
    A message is evidence soon after it was sent, also while nobody writes a log; its file goes after that.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    command = [sys.executable, "-c", DAEMON, str(host.home), str(host.state.root)]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    body = {"task_id": "T-1", "status": "completed"}
    try:
        wait_until(host.state.published.exists)
        first = submit(host.state, "task", body, key="T-1", revision=1, producer="test")
        wait_until(lambda: outcome(host.state, first).state == "stored")
        second = submit(host.state, "task", body | {"status": "failed"}, key="T-1", revision=2, producer="test")
        wait_until(lambda: outcome(host.state, second).state == "stored")
        host.state.inbox.chmod(0o777)
        (host.state.inbox / "planted.json").write_text("{}", encoding="utf-8")
        wait_until(lambda: living(host.settings).document()["inbox_failure"])
        host.state.inbox.chmod(0o700)
        wait_until(lambda: not living(host.settings).document()["inbox_failure"])
    finally:
        daemon.send_signal(signal.SIGTERM)
        _, told = daemon.communicate(timeout=60)

    assert "superseded" == outcome(host.state, first).state
    assert "event=inbox_unusable failure=writable_by_others" in told
    assert [host.state.inbox / "rejected"] == list(host.state.inbox.iterdir())
