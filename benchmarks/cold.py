"""
First figures: a cold pass over real-shaped logs against ccusage on the same files, and what an operator then waits for.

Whole processes, warm page cache, CPU seconds of user and system together: quote ratios. Nothing else may run meanwhile.
ccusage is installed from npm into `.bench/`; without npm its rows are missing.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from logs import write_home

TOP = Path(__file__).parent.parent
CCUSAGE = "ccusage@20.0.24"
PEER = f"{CCUSAGE} daily"


class Run:
    """CPU and wall seconds of one child process."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.wall_seconds = time.perf_counter() - start
        self.cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.out = done.stdout
        if done.returncode not in (0, 1):
            sys.exit(f"{command[0]} failed: {done.stderr[-500:]}")


def median_of(times: int, command: list[str], environment: dict[str, str], reset: Path | None = None) -> Run:
    """Return the run of median CPU; *reset* is removed before each."""
    runs = []
    for _ in range(times):
        if reset is not None:
            shutil.rmtree(reset, ignore_errors=True)
        runs.append(Run(command, environment))
    return sorted(runs, key=lambda run: run.cpu_seconds)[times // 2]


def ccusage() -> list[str] | None:
    """Return the command of the peer, installed on first use; ``None`` where it cannot be had."""
    folder = TOP / ".bench"
    command, npm = folder / "node_modules" / ".bin" / "ccusage", shutil.which("npm")
    if not command.exists() and npm:
        folder.mkdir(exist_ok=True)
        install = [npm, "install", "--silent", "--prefix", str(folder), CCUSAGE]
        subprocess.run(install, check=False, capture_output=True)
    return [str(command), "daily", "--json", "--offline"] if command.exists() else None


@contextmanager
def home(megabytes: int) -> Iterator[tuple[Path, int]]:
    """Yield a home of synthetic logs, and its bytes."""
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as directory:
        path = Path(directory)
        yield path, write_home(path / "home", megabytes)


def cold(megabytes: int, times: int) -> None:
    """Measure single passes against the peer, and print a table."""
    tallystick = [str(Path(sys.executable).parent / "tallystick")]
    with home(megabytes) as (top, size):
        foreign = ("CLAUDE", "CODEX", "XDG")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        environment |= {"HOME": str(top / "home"), "TZ": "UTC"}
        place = ["--home", str(top / "home"), "--state-dir", str(top / "state")]

        def measured(*verb: str, reset: Path | None = None) -> Run:
            return median_of(times, [*tallystick, *verb, *place], environment, reset)

        rows = {"ingest, cold": measured("ingest", reset=top / "state")}
        events = json.loads(Run([*tallystick, "verify", "--json", *place], environment).out)["events"]
        rows["ingest, nothing new"] = measured("ingest")
        rows["usage --by day,model"] = measured("usage", "--by", "day,model", "--json")
        rows["rebuild"] = measured("rebuild")
        rows["verify"] = measured("verify")
        peer = ccusage()
        if peer:
            rows[PEER] = median_of(times, peer, environment)
    report(rows, size, events)


def report(rows: dict[str, Run], size: int, events: int) -> None:
    """Print the table."""
    base = rows.get(PEER)
    print(f"{size / 1e6:.0f} MB of synthetic logs, {events} events")
    print(f"{'command':24} {'CPU s':>7} {'wall s':>7} {'CPU / ccusage':>14}")
    for name, run in rows.items():
        ratio = f"{run.cpu_seconds / base.cpu_seconds:.2f}" if base else "-"
        print(f"{name:24} {run.cpu_seconds:7.2f} {run.wall_seconds:7.2f} {ratio:>14}")
