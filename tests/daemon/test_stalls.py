"""
Every way of standing still turns health to the right state, and the command that it prints ends it.

Real daemons with a short reporting window; what health prints is typed into a shell as it stands.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.daemon.conftest import Host, claude_line, gptme_lines
from tests.daemon.live import CLOCK_SET, QUICK, Daemon, append, as_nobody, daemon, fill, needs, until

BIN: Final = Path(sys.executable).parent

#: Each question is a process: asked without a pause they would take the processor from the daemon.
ASKED_EVERY_SECONDS: Final = 0.25

#: The thread that keeps the tables ends, by what ends a thread, when a file says so.
_MORTAL: Final = """
import json, os, sys
from pathlib import Path
from daemon.loop import Pace
from daemon.projector import Projector
from daemon.run import run
from daemon.settings import load
class Mortal(Projector):
    def _is_published_gone(self):
        if Path(sys.argv[1], "end").exists():
            sys.exit()
        return super()._is_published_gone()
import daemon.run
daemon.run.Projector = Mortal
os.umask(0o077)
sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(**json.loads(sys.argv[3]))))
"""


class Patient:
    """A daemon, and an operator who only does what health says."""

    def __init__(self, run: Daemon, environment: dict[str, str], wrapper: tuple[str, ...]) -> None:
        self.run = run
        self._environment = environment
        self._wrapper = wrapper
        self._typed: list[subprocess.Popen[bytes]] = []

    def asked(self) -> tuple[int, dict[str, Any]]:
        """Return the exit code of `health --json`, and what it says."""
        places = ["--home", str(self.run.host.home), "--state-dir", str(self.run.host.state.root)]
        command = [*self._wrapper, str(BIN / "tallystick"), "health", "--json", *places]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=self._environment
        )
        assert done.stdout, done.stderr
        said = json.loads(done.stdout)
        self.run.host.home.with_name("asked").write_text(json.dumps(said["findings"]))  # for who looks why it failed
        return done.returncode, said

    def falls_ill(self, rule: str, code: int) -> str:
        """Wait until health finds this, with this exit code; return the command that it prints."""
        return until(lambda: self._next_of(rule, code), f"{rule} is found, exit {code}", ASKED_EVERY_SECONDS)

    def _next_of(self, rule: str, code: int) -> str:
        exit_code, said = self.asked()
        steps = [str(found["next"]) for found in said["findings"] if found["rule"] == rule]
        return steps[0] if steps and exit_code == code else ""

    def types(self, command: str) -> None:
        """Type a command that ends, and see it work."""
        shell = [*self._wrapper, "sh", "-c", command]
        done = subprocess.run(shell, stdin=subprocess.DEVNULL, env=self._environment, capture_output=True, check=False)
        assert 0 == done.returncode, (command, done.stderr)

    def types_and_leaves_it(self, command: str) -> None:
        """Type a command that starts the daemon, and so does not end."""
        threading.Thread(target=self.run._running.wait, daemon=True).start()  # as init does with what has ended
        self._typed.append(
            subprocess.Popen(
                ["sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        )

    def is_well(self) -> None:
        until(lambda: self.asked()[0] == 0, "health is well", ASKED_EVERY_SECONDS)

    def leave(self) -> None:
        for each in self._typed:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()


@contextmanager
def patient(host: Host, *, window_seconds: int = 2, wrapper: tuple[str, ...] = (), **how: Any) -> Iterator[Patient]:
    """Give a daemon whose every silence is to be told within *window_seconds*."""
    configuration = host.home.parent / "configuration"
    configuration.mkdir()
    (configuration / "config.toml").write_text(
        f"[health]\nreporting_window_seconds = {window_seconds}\ndisk_free_mib = 1\n", encoding="utf-8"
    )
    own = {"CONFIGURATION_DIRECTORY": str(configuration), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with daemon(host, environment=own, wrapper=wrapper, **how) as run:
        it = Patient(run, os.environ | own, wrapper)
        try:
            yield it
        finally:
            it.leave()


@pytest.fixture
def host(host: Host) -> Host:
    """Give a host whose agent has written something."""
    append(host.claude(), claude_line("msg_a", 5))
    return host


# -- the process -----------------------------------------------------------------------------------------------------


def test_a_stopped_process(host: Host) -> None:
    """
    Stopped by a signal it says nothing; it goes on by the command that is printed.
    """
    with patient(host) as it:
        it.is_well()
        it.run.signal(signal.SIGSTOP)

        it.types(it.falls_ill("heartbeat_stale", 2))

        it.is_well()


def test_a_killed_process(host: Host) -> None:
    """
    Nothing is left that could say so; it is started again by the command that is printed.
    """
    with patient(host) as it:
        it.is_well()
        it.run.kill()

        it.types_and_leaves_it(it.falls_ill("heartbeat_stale", 2))

        it.is_well()


def test_a_stopped_daemon(host: Host) -> None:
    """
    It was asked to end, and nobody has asked it to begin.
    """
    with patient(host) as it:
        it.is_well()
        assert 0 == it.run.stop()

        it.types_and_leaves_it(it.falls_ill("daemon_stopped", 2))

        it.is_well()


def test_a_dead_thread(host: Host) -> None:
    """
    The daemon goes on reading, and the tables stand still: a thread of it has ended.
    """
    with patient(host, script=_MORTAL) as it:
        it.is_well()
        (host.home / "end").touch()

        it.types_and_leaves_it(it.falls_ill("worker_dead", 2))

        it.is_well()


def test_tables_that_cannot_be_written(host: Host) -> None:
    """
    Something stands where they should be published; the command shows it, and once it is gone they come back.
    """
    with patient(host) as it:
        it.is_well()
        until(host.state.published.exists, "tables are published")
        host.state.published.unlink()
        (host.state.published / "in-the-way").mkdir(parents=True)

        it.types(it.falls_ill("projection_lag", 2))

        (host.state.published / "in-the-way").rmdir()
        host.state.published.rmdir()
        it.is_well()


# -- the surroundings ------------------------------------------------------------------------------------------------


def test_a_full_disk(small_disk: Host) -> None:
    """
    The daemon can hardly write that it waits; the command shows the disk, and room is all that it needs.
    """
    host = small_disk
    with patient(host, pace={**QUICK, "retry_first": 0.2, "retry_max": 0.5}) as it:
        it.is_well()
        fill(host.state.root / "ballast")
        append(host.gptme(), gptme_lines(list(range(1, 400))))

        it.types(it.falls_ill("disk_full", 2))

        subprocess.run(["mount", "-o", "remount,size=64m", host.state.root], check=True)
        it.is_well()


def test_a_blind_directory(host: Host) -> None:
    """
    A folder of logs may not be read any more; the command gives this user its own folder back.
    """
    append(host.gptme(), gptme_lines([1]))  # so that there is still something to read
    with patient(host, wrapper=as_nobody(host)) as it:
        it.is_well()
        host.claude().parent.chmod(0)

        it.types(it.falls_ill("unreadable_path", 1))

        it.is_well()


def test_a_watch_without_room(host: Host) -> None:
    """
    More directories than may be watched: swept more often instead, and the command shows the limit.
    """
    limit = "echo 3 > /proc/sys/user/max_inotify_watches"
    needs("unshare", "-Ur", "sh", "-c", limit)
    for n in range(12):
        append(host.home / f".claude/projects/-srv-{n}" / f"11111111-1111-4111-8111-{n:012}.jsonl", claude_line("m", 5))
    with patient(host, wrapper=("unshare", "-Ur", "sh", "-c", f'{limit} && exec "$0" "$@"')) as it:
        command = it.falls_ill("watch_degraded", 1)

        assert "/proc/sys/fs/inotify/max_user_watches" in command
        it.types(command)


def test_an_inbox_that_others_can_write_to(host: Host) -> None:
    """
    Nothing is taken from it until it is this user's alone again.
    """
    with patient(host) as it:
        it.is_well()
        host.state.inbox.chmod(0o777)

        it.types(it.falls_ill("inbox_blocked", 2))

        it.is_well()


def test_an_empty_home(host: Host) -> None:
    """
    Zero files are no measurement: unknown, until there is a log where the command says that logs are looked for.
    """
    host.claude().unlink()
    with patient(host) as it:
        it.types(it.falls_ill("nothing_to_read", 3))

        append(host.claude(), claude_line("msg_a", 5))
        it.is_well()


def test_a_clock_that_was_set_back_an_hour(host: Host) -> None:
    """
    It is told for as long as it holds; a daemon that is started again takes the clock as it is.
    """
    with patient(host, script=CLOCK_SET) as it:
        it.is_well()
        (host.home / "hour-back").touch()

        it.types_and_leaves_it(it.falls_ill("clock_skew", 1))

        it.is_well()


def test_a_clock_that_is_right_again_is_well_without_a_step(host: Host) -> None:
    """
    A time server corrected it: nothing is left to do.
    """
    with patient(host, script=CLOCK_SET) as it:
        (host.home / "hour-back").touch()
        it.falls_ill("clock_skew", 1)

        (host.home / "hour-back").unlink()

        it.is_well()


# -- the sources -----------------------------------------------------------------------------------------------------


def test_a_frozen_mark(host: Host) -> None:
    """
    An agent writes on and on and never ends its line; the command shows the file, and a newline is all it lacks.
    """
    with patient(host) as it:
        it.is_well()
        line = claude_line("msg_b", 7, second=1)
        is_enough = threading.Event()

        def write_on() -> None:
            append(host.claude(), line[:1])
            while not is_enough.wait(0.1):
                append(host.claude(), b" ")

        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            it.types(it.falls_ill("mark_frozen", 2))
        finally:
            is_enough.set()
            writer.join()

        append(host.claude(), line[1:])
        it.is_well()
        it.run.has_published(2, 15 + 17)


# -- no false alarms -------------------------------------------------------------------------------------------------


def stays_well(it: Patient, seconds: float, but: str = "") -> None:
    """Ask again and again; every answer is that all is well, but for one rule that may be so on a slow machine."""
    until(lambda: it.run.health()["signals"] is not None, "tables and host are judged")
    it.is_well()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _, said = it.asked()
        assert [] == [found["message"] for found in said["findings"] if found["rule"] != but]
        time.sleep(0.25)


def an_idle_day(host: Host, *, window_seconds: int, windows: int) -> None:
    append(host.claude(), b'{"type": "assist')  # the torn last line of an agent that was killed
    with patient(host, window_seconds=window_seconds, pace={**QUICK, "heartbeat": 5.0}) as it:
        stays_well(it, windows * window_seconds)


def test_idle_windows_give_no_alarm(host: Host) -> None:
    """
    Nobody works, and nothing is wrong.
    """
    an_idle_day(host, window_seconds=10, windows=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_idle_day_gives_no_alarm(host: Host) -> None:
    """
    As many windows as a day has.
    """
    an_idle_day(host, window_seconds=10, windows=96)


def an_active_day(host: Host, seconds: float) -> None:
    """An agent works in bursts, writes half lines and pauses; another one writes its whole file at every message."""
    is_over = threading.Event()

    def work() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            line = claude_line(f"msg_{number}", 5, second=number)
            append(host.claude(), line[:40])
            is_over.wait(0.3)
            append(host.claude(), line[40:])
            host.gptme().write_bytes(gptme_lines(list(range(1, number + 1))))
            is_over.wait(3.0 if number % 5 == 0 else 0.1)

    with patient(host, window_seconds=15, pace={**QUICK, "heartbeat": 5.0}) as it:
        writer = threading.Thread(target=work)
        writer.start()
        try:
            stays_well(it, seconds, but="projection_lag")  # 15 s is little for tables, and 900 are allowed
        finally:
            is_over.set()
            writer.join()


def test_work_with_pauses_gives_no_alarm(host: Host) -> None:
    """
    Half lines, pauses and files that are rewritten are how agents work.
    """
    an_active_day(host, 16)


@pytest.mark.slow
def test_an_active_day_gives_no_alarm(host: Host) -> None:
    """
    The same for longer.
    """
    an_active_day(host, 600)
