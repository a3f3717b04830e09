"""What one `tallystick health` costs, from the start of its process: it is asked every minute, for ever."""

import resource
import statistics
import subprocess
import sys
from pathlib import Path


def asked(times: int) -> None:
    """Print CPU milliseconds of an interpreter that does nothing, and of one health."""
    health = [str(Path(sys.executable).parent / "tallystick"), "health", "--state-dir", "/nonexistent/tallystick"]
    for name, command in (("interpreter", [sys.executable, "-c", "pass"]), ("health", health)):
        spent = [_cpu_milliseconds(command) for _ in range(times)]
        print(f"{name:12} {min(spent):6.0f} ms at least, {statistics.median(spent):6.0f} ms median of {times}")


def _cpu_milliseconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
