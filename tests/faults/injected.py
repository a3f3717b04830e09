"""System calls of a running daemon that fail, because `strace` stands between it and the kernel."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.live import Daemon, needs, until


@contextmanager
def failing(run: Daemon, path: Path, calls: str, error: str) -> Iterator[None]:
    """
    Let each of *calls* that is about *path* fail with *error*, for as long as the block lasts.
    """
    needs("strace", "-o", "/dev/null", "-e", "inject=pwrite64:error=EIO", "true")
    faults = ("-P", str(path), "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}")
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(run.pid), *faults])
    try:
        until(lambda: run.is_traced, "the kernel fails our calls")
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait()
