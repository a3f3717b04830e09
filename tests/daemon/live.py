"""The daemon as a process of its own: started, asked, killed, and waited for."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from daemon.identity import stored_path
from tests.daemon.conftest import Host
from tests.templates import begin_with_empty_tables

T = TypeVar("T")

#: Far above what anything here takes: what is not there by then has not been forgotten by the machine but by us.
DEADLINE_SECONDS: Final = 90.0

#: What a test cannot wait for is done sooner.
QUICK: Final[Mapping[str, float]] = {
    "sweep_all": 3.0,
    "sweep_blind": 0.5,
    "sweep_hot": 0.5,
    "heartbeat": 0.2,
    "shrunk": 0.2,
}

_WITH_PACE: Final = """
import json, os, sys
from daemon.loop import Pace
from daemon.run import run
from daemon.settings import load
from state.errors import TallystickError
os.umask(0o077)
try:
    sys.exit(run(load(sys.argv[1], sys.argv[2]), pace=Pace(**json.loads(sys.argv[3]))))
except TallystickError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""

#: Its wall clock, and its scheduler's, goes wrong by an hour while a file says so; what sleeps is woken in time.
CLOCK_SET: Final = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from apscheduler.schedulers import base
from daemon.loop import Pace
from daemon.run import run
from daemon.settings import load
back, ahead = (Path(sys.argv[1]) / name for name in ("hour-back", "hour-ahead"))
class Wall(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.now(zone) + timedelta(hours=ahead.exists() - back.exists())
base.datetime = Wall
pace = Pace(sweep_all=1, sweep_hot=0.3, heartbeat=0.2)
sys.exit(run(load(sys.argv[1], sys.argv[2]), clock=lambda: Wall.now(UTC), pace=pace))
"""


def until(condition: Callable[[], T], what: str, pause_seconds: float = 0.02) -> T:
    """Return the first true value of *condition*; whatever is not so in time fails with *what*."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause_seconds)
    pytest.fail(f"in vain: {what}")


class Daemon:
    """
    One `tallystick run`, and the next after it was killed.

    Args:
        host: Its home and state directory.
        pace: Intervals in seconds that differ from the product's own; null for the command as operators have it, which
            makes its tables itself.
        wrapper: What stands before the command line, `strace` for example.
        script: Python that is run in its place; it gets home, state directory and the pace as JSON.
        environment: What is set for it beside the test's own environment.
    """

    def __init__(
        self,
        host: Host,
        *,
        pace: Mapping[str, float] | None = QUICK,
        wrapper: tuple[str, ...] = (),
        script: str = _WITH_PACE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        places = [str(host.home), str(host.state.root)]
        if pace is None:
            command = [sys.executable, "-m", "daemon.cli", "run", "--home", places[0], "--state-dir", places[1]]
        else:
            command = [sys.executable, "-c", script, *places, json.dumps(pace)]
        self._command = [*wrapper, *command]
        self._begins_with_tables = pace is not None and not wrapper  # which may make it another user
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})}
        self._stderr = host.home.parent / "stderr"
        self.marks = Marks(host.state.log_directory)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Daemon":
        if self._begins_with_tables:
            begin_with_empty_tables(self.host.state)
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, env=self._environment
            )
        return self

    def ready(self) -> "Daemon":
        """Wait until this process says that its first sweep is done."""
        process = self._running
        until(lambda: self.is_dead or (self.health().get("pid") == process.pid and self.is_running), "daemon is ready")
        assert not self.is_dead, self.told()
        return self

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None
        return self.process

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def is_traced(self) -> bool:
        """Whether some `strace` stands between it and the kernel."""
        return self._status("TracerPid") != ["0"]

    @property
    def is_dead(self) -> bool:
        return self._running.poll() is not None

    @property
    def is_running(self) -> bool:
        return self.health().get("state") == "running"

    def signal(self, number: int) -> None:
        self._running.send_signal(number)

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        self._running.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        return self._running.wait(DEADLINE_SECONDS)

    def told(self) -> str:
        """Return what it wrote to stderr, in all its lives."""
        return self._stderr.read_text() if self._stderr.exists() else ""

    def health(self) -> dict[str, Any]:
        """Return the last heartbeat; empty before the first."""
        try:
            found: dict[str, Any] = json.loads(self.host.state.health.read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def rss_mib(self) -> int:
        """Return the memory it holds."""
        return int(self._status("VmRSS")[0]) // 1024

    def may_use_no_more_memory(self) -> None:
        """Let the kernel give it no more address space than it has."""
        size_bytes = 1024 * int(self._status("VmSize")[0])
        resource.prlimit(self.pid, resource.RLIMIT_AS, (size_bytes, size_bytes))

    def _status(self, field: str) -> list[str]:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return status.partition(f"\n{field}:")[2].partition("\n")[0].split()

    def has_read(self, *paths: Path) -> None:
        """Wait until the log says that every complete line of these files is evidence."""
        for path in paths:
            end = path.read_bytes().rfind(b"\n") + 1
            until(lambda path=path, end=end: self.is_dead or self.marks.of(path) == end, f"{path.name} read to {end}")  # type: ignore[misc]
        assert not self.is_dead, self.told()

    def has_published(self, calls: int, tokens: int) -> None:
        """Wait until the published tables say so."""
        asked: set[tuple[int, int]] = set()

        def says() -> bool:
            if not self.host.state.published.exists():
                return False
            status = self.host.state.published.stat()
            this = (status.st_ino, status.st_mtime_ns)
            if this in asked:
                return False  # once is enough: asking takes processor time from the daemon
            asked.add(this)
            return self.host.totals() == (calls, tokens)

        until(says, f"{calls} calls and {tokens} tokens published")


class Marks:
    """How far every source is read, as a log says that somebody writes at this moment."""

    def __init__(self, log_directory: Path) -> None:
        self._directory = log_directory
        self._offsets: dict[Path, int] = {}
        self._marks: dict[str, dict[str, Any]] = {}

    def of(self, path: Path) -> int:
        """Return the offset behind the last line of *path* that is evidence."""
        self._read()
        found = [mark for key, mark in self._marks.items() if key.partition(":")[2] == stored_path(str(path))]
        return int(found[0].get("offset_bytes", 0)) if found else 0

    def _read(self) -> None:
        """Take in what was committed since; a batch that is being written is left for later."""
        for segment in sorted(self._directory.glob("*.ndjson")):
            start = self._offsets.get(segment, 0)
            with segment.open("rb") as file:
                file.seek(start)
                content = file.read()
            for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
                start += len(line)
                if line.startswith(b'{"k":"commit"'):
                    self._marks |= json.loads(line)["cur"]
                    self._offsets[segment] = start


@contextmanager
def daemon(host: Host, **how: Any) -> Iterator[Daemon]:
    """Give a running daemon; however the test ends, none is left."""
    started = Daemon(host, **how).start()
    try:
        yield started.ready()
    finally:
        started.signal(signal.SIGCONT)
        started.kill()


def append(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(content)


def fill(path: Path) -> None:
    """Leave no byte of room."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def needs(command: str, *arguments: str) -> None:
    """Skip the test where a command is missing, or not allowed to do this."""
    if not shutil.which(command):
        pytest.skip(f"{command} is not installed")
    if arguments and subprocess.run([command, *arguments], check=False, capture_output=True).returncode:
        pytest.skip(f"{command} is not allowed to do this here")


def as_nobody(host: Host) -> tuple[str, ...]:
    """Give all that is there to a user whom permissions hold back, and return a wrapper that runs a command as him."""
    needs("setpriv", "--reuid", "65534", "true")
    host.state.root.mkdir()
    for place in (host.home.parent, *host.home.parent.rglob("*")):
        os.chown(place, 65534, 65534)
    opened = [place for place in host.home.parents if not place.stat().st_mode & 0o005 and len(place.parts) > 2]
    for place in opened:
        place.chmod(place.stat().st_mode | 0o055)
    return ("setpriv", "--reuid", "65534", "--clear-groups")
