"""
The product over a planted home, as an operator runs it: killed, aborted, caught up, and asked everything.

Each command is a process of its own, with a home, a state directory, a folder for temporary files and a working
directory that are all in the scratch directory; all that it says is kept.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.envelope import SCHEMA
from daemon.privacy.planting import Planter
from state.evidence import MESSAGES
from state.paths import StatePaths

#: What is asked when everything is read; whatever it exits with, what it says must be clean.
QUESTIONS: Final[Sequence[Sequence[str]]] = (
    ("usage", "--by", "day,agent,model,session,repo,branch,task", "--include", "estimated,allocated,superseded"),
    ("usage", "--json"),
    ("sessions", "--json"),
    ("findings", "--json"),
    ("quality", "--json"),
    ("status",),
    ("doctor",),
    ("health", "--json"),
    ("task", "list"),
    ("repo", "list", "--json"),
    ("inbox", "list", "--json"),
    ("list", "rejected", "--json"),
    ("list", "high-water-marks", "--json"),
    ("list", "freshness", "--json"),
    ("reconcile", "--json"),
    ("restatements",),
    ("tail", "--no-follow", "--last", "1000000"),
    ("export", "csv", "--no-record"),
    ("verify", "--sources"),
    ("sessions", "nobody"),
    ("explain", "nobody"),
    ("invariants", "--context"),
)

#: A daemon is killed when it has written so much more, in bytes: in the middle of its first sweep.
_KILLED_AT_BYTES: Final = 256 * 1024
#: So long a daemon may take to begin, in seconds; then it is killed all the same.
_BEGIN_SECONDS: Final = 20.0
#: So long one command may take, in seconds.
_COMMAND_SECONDS: Final = 600.0

#: What Python says when nobody has caught an error.
_UNCAUGHT: Final = b"Traceback (most recent call last)"


@dataclass(slots=True)
class Said:
    """All that the processes have said; ``uncaught`` names the commands that ended by an error of their own."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    metrics: bytes = b""
    uncaught: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scratch:
    """The directories of one proof."""

    root: Path

    @property
    def home(self) -> Path:
        """Where the planted sources are."""
        return self.root / "home"

    @property
    def state(self) -> StatePaths:
        """Where the log is kept."""
        return StatePaths(self.root / "state")

    @property
    def work(self) -> Path:
        """Where the processes run, and put temporary files: a core would be here."""
        return self.root / "work"

    @property
    def config(self) -> Path:
        """Where a configuration would be."""
        return self.root / "config"

    def create(self) -> None:
        """Make them."""
        for each in (self.home, self.work, self.config):
            each.mkdir(parents=True)
        self.state.create()


class Runs:
    """Runs commands over the planted home and keeps what they say."""

    def __init__(self, scratch: Scratch, claims: Iterable[Path]) -> None:
        self._scratch = scratch
        self._claims = [word for path in claims for word in ("--claims", str(path))]
        self.said = Said()

    def crash(self, number: signal.Signals) -> None:
        """Start the daemon and end it by *number* while it reads."""
        end = self._log_bytes() + _KILLED_AT_BYTES
        process = self._started("run", *self._claims)
        deadline = time.monotonic() + _BEGIN_SECONDS
        while process.poll() is None and self._log_bytes() < end and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(number)
        self._keep(process, ("run",))

    def catch_up(self) -> None:
        """Read everything that is left."""
        self.run("ingest", *self._claims)

    def ask(self) -> None:
        """Ask everything that there is to ask."""
        for question in QUESTIONS:
            self.run(*question)
        self.said.metrics = self.run("metrics")

    def with_bad_configuration(self, planter: Planter) -> None:
        """Run over a configuration that nobody can read."""
        text = planter.text("config.toml")
        file = self._scratch.config / "config.toml"
        for content in (f'[log]\nretention_days = "correct {text}"', f'"correct {text}" = "{text}"', f"{text} {text}"):
            file.write_text(content)
            self.run("ingest")
        file.unlink()

    def submit(self, planter: Planter) -> None:
        """Put messages into the inbox of which no string is what it should be, nor every name."""
        for number, content in enumerate(_messages(planter)):
            (self._scratch.state.inbox / f"{number:032x}.json").write_text(json.dumps(content))

    def run(self, *arguments: str) -> bytes:
        """Run one command to its end; returns its output."""
        return self._keep(self._started(*arguments), arguments)

    def _keep(self, process: "subprocess.Popen[bytes]", arguments: Sequence[str]) -> bytes:
        try:
            stdout, stderr = process.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
        self.said.stdout += stdout
        self.said.stderr += stderr
        if _UNCAUGHT in stderr:
            self.said.uncaught.append(" ".join(arguments[:2]))
        return stdout

    def _started(self, *arguments: str) -> "subprocess.Popen[bytes]":
        places = ["--home", str(self._scratch.home), "--state-dir", str(self._scratch.state.root)]
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-P", "-m", "daemon.command", *arguments, *places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._scratch.work,
            env=self._environment(),
        )

    def _environment(self) -> Mapping[str, str]:
        """Return nothing of this user's variables but where programs and plug-ins are."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TZ") if name in os.environ}
        return {
            **kept,
            "HOME": str(self._scratch.home),
            "CONFIGURATION_DIRECTORY": str(self._scratch.config),
            "TMPDIR": str(self._scratch.work),
            "NO_COLOR": "1",
        }

    def _log_bytes(self) -> int:
        return sum(each.stat().st_size for each in self._scratch.state.log_directory.iterdir())


def _messages(planter: Planter) -> Iterable[object]:
    for kind, body in MESSAGES.items():
        for name in body.model_fields:
            words = f"correct horse, {planter.text(f'inbox: {kind}.{name}')}"
            yield _message(kind, {name: words})
        text = planter.text(f"inbox: an unknown name of {kind}")
        yield _message(kind, {text: text})
    text = planter.text("inbox: the envelope")
    words = f"correct horse, {text}"
    yield {**_message("activity", {}), "producer": words}
    yield {**_message("activity", {}), "kind": words, "key": words}
    yield {**_message("activity", {}), text: text}
    yield [words]


def _message(kind: str, body: Mapping[str, object]) -> dict[str, object]:
    return {"schema": SCHEMA, "kind": kind, "producer": "prover", "body": body}
