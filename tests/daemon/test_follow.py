"""What `tail` shows while a log grows, and what `status` says of a daemon."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.follow import follow, sentence
from daemon.living import living
from daemon.provenance import DaemonChanged, daemon_event
from state.cursors import Cursor
from state.log import Log
from tests.daemon.beats import own_process, well
from tests.daemon.conftest import Host, claude_line


def tallystick(host: Host, *arguments: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "tallystick"), *arguments]
    command += ["--home", str(host.home), "--state-dir", str(host.state.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(host: Host, *arguments: str) -> tuple[int, str, str]:
    process = tallystick(host, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_last_events_are_shown_as_they_stand_in_the_log(host: Host) -> None:
    """
    Without following, `tail -n 2` ends after the last two events; the commit lines between are nobody's business.
    """
    host.claude().write_bytes(claude_line("msg_a", 5) + claude_line("msg_b", 6))
    host.ingest()
    head = json.loads(next(host.state.log_directory.iterdir()).read_bytes().splitlines()[-1])

    code, out, _ = said(host, "tail", "--no-follow", "-n", "2", "--json")

    shown = [json.loads(line) for line in out.splitlines()]
    assert 0 == code
    assert [head["s"] + head["n"] - 2, head["s"] + head["n"] - 1] == [event["q"] for event in shown]
    assert {"msg_a", "msg_b"} >= {event.get("source_id") for event in shown if event["k"] == "usage"}


def test_an_event_is_shown_once_it_is_committed(host: Host) -> None:
    """
    A following `tail` shows what later passes append, each event once and in order, and ends when interrupted.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_0", 5))
    host.ingest()
    process = tallystick(host, "tail", "-n", "0", "--json")
    assert process.stdout is not None
    try:
        for number in range(1, 4):
            time.sleep(0.3 if number == 1 else 0)  # it may begin to follow before or after the next pass
            with log.open("ab") as more:
                more.write(claude_line(f"msg_{number}", 5, second=number))
            host.ingest()
        lines: list[dict[str, Any]] = []
        while not lines or lines[-1].get("source_id") != "msg_3":
            lines.append(json.loads(process.stdout.readline()))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    numbers = [line["q"] for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert 0 == process.returncode


def test_following_goes_on_over_the_end_of_a_segment(host: Host) -> None:
    """
    What stands in the next segment is shown like the rest.
    """
    with Log.open(host.state, Cursor, segment_bytes_max=1) as log:
        for _ in range(4):
            log.append([daemon_event(DaemonChanged(change="started", program_version="1"), host.now)], {})

        shown = [json.loads(line)["q"] for line in follow(host.settings, last=3, is_following=False)]

    assert 4 == len(list(host.state.log_directory.iterdir()))
    assert [1, 2, 3] == shown


def test_a_sentence_cannot_act_in_a_terminal() -> None:
    """
    A name with control characters is shown, and does nothing.
    """
    event = {"q": 1, "k": "source", "agent": "codex", "change": "opened", "source_uri": "file:///x%1B%5B2J.jsonl"}

    assert "\x1b" not in sentence(json.dumps(event).encode())
    assert "x?[2J.jsonl" in sentence(json.dumps(event).encode())


def test_a_missing_log_is_said(host: Host) -> None:
    """
    There is nothing to follow before the first pass.
    """
    code, out, err = said(host, "tail")

    assert (3, "") == (code, out)
    assert "tallystick ingest" in err


def beat(host: Host, over: dict[str, Any] | None = None, ago_seconds: int = 0) -> None:
    """Write a heartbeat as the daemon does, of this very process."""
    host.state.create()
    said = well(own_process() | {"disk_free_mib": 1} | (over or {}))
    if ago_seconds:
        said["clock"] |= {"boot_id": "another"}
        said["at"] = (datetime.now(UTC) - timedelta(seconds=ago_seconds)).isoformat(timespec="seconds")
    host.state.health.write_text(json.dumps(said), encoding="utf-8")


def test_a_daemon_that_never_was_is_no_finding(host: Host) -> None:
    """
    A host with single passes only has none.
    """
    assert ("none", []) == (living(host.settings).state, living(host.settings).findings)


@pytest.mark.parametrize(
    ("state", "ago_seconds", "expected"),
    [("running", 3, "running"), ("running", 300, "silent"), ("paused", 3, "paused"), ("stopped", 90_000, "stopped")],
)
def test_a_heartbeat_is_judged_by_its_age(host: Host, state: str, ago_seconds: int, expected: str) -> None:
    """
    A daemon that says nothing any more is silent, unless its last word was that it ends.
    """
    beat(host, {"state": state}, ago_seconds)

    assert expected == living(host.settings).state
    assert (expected != "running") == bool(living(host.settings).findings)


def test_a_daemon_whose_process_is_gone_is_silent_after_two_beats(host: Host) -> None:
    """
    A killed daemon leaves a fresh heartbeat behind.
    """
    gone = subprocess.Popen(["true"])
    gone.wait()
    beat(host, {"pid": gone.pid}, ago_seconds=12)

    assert "silent" == living(host.settings).state


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "other/1"}', "null"])
def test_a_heartbeat_that_cannot_be_read_is_none(host: Host, content: str) -> None:
    """
    Whatever stands in the file, status goes on.
    """
    host.state.create()
    host.state.health.write_text(content, encoding="utf-8")

    assert "none" == living(host.settings).state


def test_status_tells_what_an_operator_should_know_of_the_daemon(host: Host) -> None:
    """
    Blindness, failed tables and silence are findings with a next step; exit 1.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    for root in (".codex/sessions", ".local/share/gptme/logs", ".codex/archived_sessions"):
        (host.home / root).mkdir(parents=True, exist_ok=True)
    host.ingest()
    beat(
        host,
        {"watch.blindness": ["watch_limit"], "watch.blind_seconds": 90, "tables.failure": "IOException"},
    )

    code, out, err = said(host, "status", "--json")

    daemon = json.loads(out)["daemon"]
    assert 1 == code
    assert ("running", ["watch_limit"], "IOException") == (
        daemon["state"],
        daemon["blindness"],
        daemon["tables_failure"],
    )
    assert "swept more often" in err
    assert ["projection_lag", "watch_degraded"] == [found["rule"] for found in json.loads(out)["findings"]]
    assert "IOException" in err


@pytest.mark.parametrize(
    "over",
    [
        {"watch": "x"},
        {"watch": {"blindness": 7}},
        {"tables": []},
        {"pid": 10**20},
        {"pid": True},
        {"at": 5},
        {"at": "+999999-01-01"},
        {"inbox": None, "sweep": "y"},
        {"tables": {"published_age_seconds": "long"}},
    ],
)
def test_a_heartbeat_of_nonsense_ends_nobody(host: Host, over: dict[str, Any]) -> None:
    """
    The file lies where others may write: whatever stands in it, `status` shows what it can.
    """
    beat(host, over)

    assert living(host.settings).document()
    assert isinstance(living(host.settings).findings, list)


def test_a_daemon_that_has_published_nothing_yet_is_shown(host: Host) -> None:
    """
    During the first sweep there are no tables, and it is the daemon that an operator asks about.
    """
    beat(host, {"state": "starting", "uptime_seconds": 5})

    code, out, err = said(host, "status")

    assert 1 == code
    assert "daemon starting" in out
    assert "first sweep is under way" in err
    assert "ingest" not in err
