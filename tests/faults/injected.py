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
    # What lies below a root is opened from there: by how the path ends, wherever it is opened from.
    names = [str(path), *("/".join(path.parts[-count:]) for count in range(1, len(path.parts)))]
    named = [word for name in names for word in ("-P", name)]
    faults = ("-e", f"trace={calls}", "-e", f"inject={calls}:error={error}")
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(run.pid), *named, *faults])
    try:
        until(lambda: run.is_traced, "the kernel fails our calls")
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait()
