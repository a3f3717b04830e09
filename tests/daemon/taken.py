"""The demo's week, counted once for a whole file of tests, and the commands that give its figures away."""

import contextlib
import io
import json
from pathlib import Path
from shutil import copytree
from typing import Any, Final, NamedTuple

from daemon.cli import main
from tests.daemon.conftest import Host

DEMO_HOME: Final = Path(__file__).parents[2] / "daemon" / "demo_logs" / "home"


def demo_host(root: Path) -> Host:
    """Return a host that has read the demo's logs."""
    host = Host(root)
    copytree(DEMO_HOME, host.home, dirs_exist_ok=True)
    host.ingest()
    return host


class Done(NamedTuple):
    """What a command ended with."""

    returncode: int
    stdout: bytes
    stderr: bytes


def command(host: Host, *words: str) -> Done:
    """Run one command as an operator does, in this process."""
    taken, told = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(taken), contextlib.redirect_stderr(told):
        code = main([*words, "--home", str(host.home), "--state-dir", str(host.state.root)])
    return Done(code, *(each.buffer.getvalue() for each in (taken, told)))


def said(host: Host, *words: str) -> bytes:
    """Return what a command that succeeds has on stdout."""
    done = command(host, *words)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def document(host: Host, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(said(host, *words))
    return answer
