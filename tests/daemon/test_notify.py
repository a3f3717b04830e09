"""What systemd hears of the daemon, on a socket of the kind that it listens on."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.workers import FRESH_SECONDS, Worker
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import Daemon, append, daemon, until
from tests.daemon.manager import Manager

#: The thread that keeps the tables ends when a file says so; nothing else of the daemon does.
_MORTAL_PROJECTOR = """
import json, os, sys
from pathlib import Path
from daemon.loop import Pace
from daemon.projector import Projector
from daemon.run import run
from daemon.settings import load
judge = Projector._judge_when_due
def judge_or_end(self, projection):
    judge(self, projection)
    if Path(sys.argv[1], "end").exists():
        sys.exit()
Projector._judge_when_due = judge_or_end
os.umask(0o077)
sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(**json.loads(sys.argv[3]))))
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@tallystick-test-{os.getpid()}"
    listening = Manager(address)
    yield listening
    listening.close()


def config(path: Path, text: str) -> dict[str, str]:
    """Write a configuration, and return the variable that names its directory."""
    path.mkdir(exist_ok=True)
    (path / "config.toml").write_text(text)
    return {"CONFIGURATION_DIRECTORY": str(path)}


def test_ready_is_said_when_what_was_there_is_read(host: Host, manager: Manager) -> None:
    """
    Until then more time is asked for; afterwards signs of life come, and the end is announced.
    """
    append(host.claude(), claude_line("msg_a", 1))
    with daemon(host, environment=manager.environment) as live:
        manager.waits_for("READY=1")
        live.has_read(host.claude())
        manager.waits_for("STATUS=running")
        manager.waits_for("WATCHDOG=1", times=5)
        assert 0 == live.stop()

    heard = manager.heard()
    assert "EXTEND_TIMEOUT_USEC" == heard[0].partition("=")[0]
    assert ["READY=1"] == [line for line in heard if line.startswith("READY")]
    assert heard.index("READY=1") < heard.index("STOPPING=1")
    assert not [line for line in heard[heard.index("READY=1") :] if line.startswith("EXTEND")]
    assert not [line for line in heard if "/" in line]


def test_without_a_manager_nothing_is_said(host: Host) -> None:
    """
    A daemon that somebody typed has nobody to tell, and works.
    """
    with daemon(host, environment={"NOTIFY_SOCKET": ""}) as live:
        assert live.is_running


def test_a_daemon_with_a_dead_thread_gives_no_sign_of_life(host: Host, manager: Manager) -> None:
    """
    Its loop goes on and writes heartbeats, which name the thread; systemd hears nothing more and starts it anew.
    """
    with daemon(host, script=_MORTAL_PROJECTOR, environment=manager.environment) as live:
        manager.waits_for("WATCHDOG=1", times=2)
        (host.home / "end").touch()
        append(host.claude(), claude_line("msg_a", 1))
        until(lambda: "worker_stalled workers=projector" in live.told(), "the dead thread is told")
        before = manager.heard().count("WATCHDOG=1")
        uptime = live.health()["uptime_seconds"]
        until(lambda: live.health()["uptime_seconds"] >= uptime + 2, "the loop goes on")

        assert before == manager.heard().count("WATCHDOG=1")
        assert live.health()["workers"]["projector"]["is_alive"] is False


def test_sighup_reads_the_configuration_again(host: Host, manager: Manager, tmp_path: Path) -> None:
    """
    What it says now holds at once; a broken one leaves what held before, and is told by journal and heartbeat.
    """
    environment = manager.environment | config(tmp_path / "etc", "[health]\nreporting_window_seconds = 60\n")
    with daemon(host, environment=environment) as live:
        assert 60 == live.health()["window_seconds"]

        config(tmp_path / "etc", "[health]\nreporting_window_seconds = 70\n")
        live.signal(signal.SIGHUP)
        until(lambda: live.health()["window_seconds"] == 70, "the new window holds")

        config(tmp_path / "etc", "[health]\nreporting_window_seconds = 'soon'\n")
        live.signal(signal.SIGHUP)
        entry = "int_type:health.reporting_window_seconds"
        until(lambda: live.health()["config"]["failure"] == entry, "the heartbeat names the entry")
        assert 70 == live.health()["window_seconds"]
        assert "config_refused failure=int_type entry=health.reporting_window_seconds" in live.told()

        config(tmp_path / "etc", "[health]\n'an entry of mine' = 1\n[log]\n")
        live.signal(signal.SIGHUP)
        until(lambda: live.health()["config"]["failure"] == "extra_forbidden:health", "its table is named at least")

        config(tmp_path / "etc", f"{'x' * 300} = 1\n")
        live.signal(signal.SIGHUP)
        until(lambda: live.health()["config"]["failure"] == "extra_forbidden", "a name that is no word is left out")

        config(tmp_path / "etc", "")
        live.signal(signal.SIGHUP)
        until(lambda: live.health()["config"]["failure"] is None, "the correction is told")
        assert 900 == live.health()["window_seconds"]
        manager.waits_for("READY=1", times=6)

    about = [line.partition("=")[0] for line in manager.heard() if line.startswith(("READY", "RELOADING", "MONOTONIC"))]
    assert ["READY", *["RELOADING", "MONOTONIC_USEC", "READY"] * 5] == about


def test_a_closed_terminal_ends_a_daemon_that_nobody_manages(host: Host) -> None:
    """
    SIGHUP means another thing there: the daemon does not stay behind unseen.
    """
    live = Daemon(host, environment={"NOTIFY_SOCKET": ""}).start().ready()
    live.signal(signal.SIGHUP)

    assert -signal.SIGHUP == live.ended()


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        (Worker(is_alive=True, beat_at=1.0), True),
        (Worker(is_alive=True, beat_at=1.0 - FRESH_SECONDS), False),
        (Worker(is_alive=True, beat_at=1.0 - FRESH_SECONDS, is_excused=True), True),
        (Worker(is_alive=False, beat_at=1.0, is_excused=True), False),
        (Worker(is_alive=True), True),
        (Worker(is_alive=None), True),
    ],
)
def test_who_is_there_and_silent_too_long_hangs(worker: Worker, expected: bool) -> None:
    """
    A restart is asked for where it mends something: not for who waits for a disk that the next process would wait for.
    """
    assert expected == worker.is_well(1.0)
