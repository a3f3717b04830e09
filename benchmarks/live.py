"""
The daemon while it runs: how long until a line is evidence and a number, what idleness costs, how fast a restart is.

Real processes and real files. Latencies are seen from outside: durable is when the log's remembered head has moved,
published when the published tables were replaced by some that hold the event.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from logs import write_home

from state.head import recall
from state.paths import StatePaths

_TICKS = os.sysconf("SC_CLK_TCK")
SESSION = "0c0ffee0-0000-4000-8000-%012d"
LINE = (
    b'{"type":"assistant","uuid":"u%d","sessionId":"%b","timestamp":"2026-05-01T10:00:00.000Z","cwd":"/srv/repo",'
    b'"version":"2.1.233","message":{"id":"msg_%d","model":"claude-opus-4-8","stop_reason":"end_turn","content":'
    b'[{"type":"text","text":"%b"}],"usage":{"input_tokens":3,"cache_read_input_tokens":90000,"output_tokens":7}}}\n'
)


class Daemon:
    """A running `tallystick run`, and what the kernel says it costs."""

    def __init__(self, top: Path) -> None:
        foreign = ("CLAUDE", "CODEX", "GPTME", "XDG", "TALLYSTICK")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.paths = StatePaths(top / "state")
        command = [str(Path(sys.executable).parent / "tallystick"), "run"]
        command += ["--home", str(top / "home"), "--state-dir", str(self.paths.root)]
        self.started_at = time.monotonic()
        self.told: dict[str, float] = {}
        self.process = subprocess.Popen(
            command, env=environment | {"HOME": str(top / "home"), "TZ": "UTC"}, stderr=subprocess.PIPE, text=True
        )

    def wait_for(self, event: str) -> float:
        """Return the seconds from its start until it told of *event*, which may have been before it was asked for."""
        assert self.process.stderr is not None
        while event not in self.told:
            line = self.process.stderr.readline()
            if not line:
                sys.exit(f"the daemon ended before it told of {event}")
            name = line.partition("event=")[2].split()[0]
            self.told.setdefault(name, time.monotonic() - self.started_at)
        return self.told[event]

    def wait_until_published(self) -> float:
        """Return the seconds from its start until the published tables held everything that it found."""
        self.wait_for("daemon_ready")
        while True:
            head = recall(self.paths.head)
            if self.paths.published.exists():
                with duckdb.connect(str(self.paths.published), read_only=True) as tables:
                    found = tables.execute("SELECT seq FROM projection").fetchone()
                if head is not None and found == (head.seq,):
                    return time.monotonic() - self.started_at
            time.sleep(0.1)

    def cpu_seconds(self) -> float:
        """Return user and system time so far, that of ended children included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def memory_mib(self, name: str = "VmRSS") -> float:
        """Return its resident memory, or its peak (VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024

    def end(self) -> None:
        """Ask it to end, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


@contextmanager
def running(top: Path) -> Iterator[Daemon]:
    """Yield a daemon over *top*/home that has done its first sweep."""
    daemon = Daemon(top)
    try:
        yield daemon
    finally:
        daemon.end()


def latency(top: Path, lines: int) -> None:
    """Append single lines to a log and wait for each to be durable; then for a line of each second to be published."""
    log = top / "home/.claude/projects/-srv-repo" / f"{SESSION % 1}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    rng = random.Random(1)  # noqa: S311 - a benchmark's data
    durable, published = [], []
    with running(top) as daemon:
        daemon.wait_until_published()
        for number in range(lines):
            time.sleep(rng.uniform(0.02, 0.15))
            durable.append(_append(log, number, daemon.paths))
        for number in range(lines, lines + max(lines // 10, 5)):
            time.sleep(rng.uniform(0.5, 2))
            start = time.monotonic()
            _append(log, number, daemon.paths)
            published.append(_until_published(daemon.paths, number) - start)
    _percentiles("line written -> durable", durable, "10 ms")
    _percentiles("line written -> published", published, "2 s")


def _append(log: Path, number: int, paths: StatePaths) -> float:
    """Append a line and return the seconds until a commit followed it."""
    line = LINE % (number, (SESSION % 1).encode(), number, b"x" * 600)
    before = recall(paths.head)
    with log.open("ab") as file:
        start = time.monotonic()
        file.write(line)
    while recall(paths.head) == before:
        time.sleep(0.0002)
    return time.monotonic() - start


def _until_published(paths: StatePaths, number: int) -> float:
    while True:
        with duckdb.connect(str(paths.published), read_only=True) as tables:
            found = tables.execute("SELECT count(*) FROM calls WHERE source_id LIKE ?", [f"%msg_{number}"]).fetchone()
        if found and found[0]:
            return time.monotonic()
        time.sleep(0.02)


def _percentiles(name: str, seconds: list[float], aim: str) -> None:
    ordered = sorted(seconds)
    middle, late = ordered[len(ordered) // 2], ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    print(f"{name:36} p50 {middle * 1e3:8.1f} ms   p99 {late * 1e3:8.1f} ms   n {len(ordered):4}   aim p99 {aim}")


def idle(top: Path, files: int, seconds: int) -> None:
    """Measure a daemon over many unchanged files: its restart, and what it costs to be there."""
    for number in range(files):
        path = top / "home/.claude/projects" / f"-srv-repo{number // 100}" / f"{SESSION % number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LINE % (number, (SESSION % number).encode(), number, b""))
    with running(top) as daemon:
        first = daemon.wait_until_published()
    with running(top) as daemon:
        ready = daemon.wait_for("daemon_ready")
        daemon.wait_until_published()
        time.sleep(5)
        before = daemon.cpu_seconds()
        time.sleep(seconds)
        cpu = daemon.cpu_seconds() - before
        memory = daemon.memory_mib()
    print(f"{f'first start over {files} files':36} {first:8.2f} s")
    print(f"{f'restart on {files} unchanged files':36} {ready:8.2f} s     aim 1 s")
    print(f"{f'idle with {files} files':36} {100 * cpu / seconds:8.2f} % of a core over {seconds} s     aim 0.5 %")
    print(f"{'resident memory, idle':36} {memory:8.0f} MiB     aim 150 MiB")


def backfill(top: Path, megabytes: int) -> None:
    """Measure the peak memory of a daemon that begins with many logs."""
    size = write_home(top / "home", megabytes)
    with running(top) as daemon:
        seconds = daemon.wait_until_published()
        peak, cpu = daemon.memory_mib("VmHWM"), daemon.cpu_seconds()
    print(f"{f'first start over {size / 1e6:.0f} MB':36} {seconds:8.2f} s, {cpu:.2f} s of CPU")
    print(f"{'peak memory of a backfill':36} {peak:8.0f} MiB     aim 300 MiB")


def live(files: int, seconds: int, megabytes: int) -> None:
    """Measure everything and print a line each."""
    for name, work in (
        ("latency", lambda top: latency(top, 200)),
        ("idle", lambda top: idle(top, files, seconds)),
        ("backfill", lambda top: backfill(top, megabytes)),
    ):
        with tempfile.TemporaryDirectory(prefix=f"tallystick-bench-{name}-") as directory:
            (Path(directory) / "home").mkdir()
            work(Path(directory))
