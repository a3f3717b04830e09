"""A home full of synthetic logs, and the real product over it."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Adapter
from daemon.bootstrap import Caught, catch_up, open_log, refresh_and_publish, seen_files
from daemon.discover import places, sweep
from daemon.inbox_client import submit
from daemon.ingest import Ingest
from daemon.settings import Settings
from daemon.usage_verb import usage_document
from projections.hashes import facts_hash, tables_hash
from projections.read import Tables, Window
from state.evidence import KINDS
from state.paths import StatePaths
from tests.templates import begin_with_empty_tables

SESSION = "11111111-1111-4111-8111-111111111111"
THREAD = "019a0000-0001-7000-8000-000000000001"


class Host:
    """One host: a home with agents' logs, a state directory, and the commands an operator would run."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.state = StatePaths(root / "state")
        self.now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
        self.claims: tuple[str, ...] = ()
        self.home.mkdir()

    @property
    def settings(self) -> Settings:
        return Settings(self.home, self.state, zone="UTC", host="test", claims=self.claims)

    def records(self, *rows: dict[str, Any]) -> Path:
        """Write a harness's file of records, whole; it is read from now on."""
        path = self.home / "state/sessions/session-records.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        self.claims = (str(path),)
        return path

    def submit(self, kind: str, *bodies: dict[str, Any]) -> None:
        """Put messages into the inbox, as an operator does."""
        for body in bodies:
            submit(self.state, kind, body, producer="operator")

    def ingest(self) -> Caught:
        begin_with_empty_tables(self.state)
        return catch_up(self.settings, seen_files(self.settings), clock=lambda: self.now)

    def ingest_with(self, *adapters: Adapter) -> None:
        """Run a pass of these adapters alone."""
        begin_with_empty_tables(self.state)
        with open_log(self.settings) as log:
            Ingest(log, lambda: self.now).run(sweep(places(adapters, self.home, {}), "UTC"))
            refresh_and_publish(self.settings)

    def claude(self, session: str = SESSION) -> Path:
        return self._made(self.home / ".claude/projects/-srv-repo" / f"{session}.jsonl")

    def codex(self, thread: str = THREAD, *, archived: bool = False) -> Path:
        folder = "archived_sessions" if archived else "sessions/2026/11/01"
        return self._made(self.home / ".codex" / folder / f"rollout-2026-11-01T10-00-00-{thread}.jsonl")

    def gptme(self, name: str = "2026-11-01-calm-red-fox") -> Path:
        return self._made(self.home / ".local/share/gptme/logs" / name / "conversation.jsonl")

    def _made(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def usage(self, *by: str) -> dict[str, Any]:
        with Tables(self.state.published) as tables:
            return usage_document(tables, by or ("agent",), Window(), ())

    def totals(self) -> tuple[int | None, int | None]:
        """Return calls and tokens of everything measured."""
        measured = self.usage()["totals"]["measured"]
        return measured["calls"], measured["total_tokens"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        with Tables(self.state.published) as tables:
            return tables.rows(query)

    def hashes(self) -> tuple[str, str]:
        with Tables(self.state.published) as tables:
            return facts_hash(tables.connection), tables_hash(tables.connection)

    def facts_hash(self) -> str:
        with Tables(self.state.published) as tables:
            return facts_hash(tables.connection)

    def tables_hash(self) -> str:
        """Return the hash of every stored row; what facts and views say is computed from these alone."""
        with Tables(self.state.published) as tables:
            return tables_hash(tables.connection)

    def events(self) -> list[dict[str, Any]]:
        """Return what stands in the log, each event held against its model."""
        lines = (line for path in sorted(self.state.log_directory.iterdir()) for line in path.read_bytes().splitlines())
        events = [event for event in map(json.loads, lines) if event["k"] not in ("hdr", "commit", "seal")]
        for event in events:
            KINDS[event["k"]].model_validate(event, strict=False)
        return events

    def changes(self) -> list[str]:
        """Return what happened to sources, in order; a missing root is no news."""
        found = self.rows("SELECT change FROM events WHERE kind = 'source' AND change <> 'missing' ORDER BY seq")
        return [row["change"] for row in found]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def small_disk(host: Host) -> Iterator[Host]:
    """Give a host whose state directory is a disk of 24 MiB."""
    host.state.root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(host.state.root)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield host
    subprocess.run(["umount", "-l", host.state.root], check=True)


def claude_line(call: str, output: int, *, second: int = 0, stop: str | None = "end_turn", **over: Any) -> bytes:
    """Return one assistant line of a transcript: 10 tokens in, *output* out."""
    line = {
        "type": "assistant",
        "uuid": f"u-{call}-{output}",
        "sessionId": over.pop("session", SESSION),
        "timestamp": f"2026-11-01T10:{second // 60:02}:{second % 60:02}.000Z",
        "cwd": "/srv/repo",
        "version": "2.1.233",
        "message": {
            "id": call,
            "model": over.pop("model", "claude-opus-4-8"),
            "stop_reason": stop,
            "usage": {"input_tokens": 10, "output_tokens": output},
        },
    }
    return json.dumps(line | over).encode() + b"\n"


def codex_lines(totals: list[int], *, thread: str = THREAD, start: int = 0) -> bytes:
    """Return a rollout whose running total goes through *totals*, all input."""
    lines: list[dict[str, Any]] = [
        {"type": "session_meta", "payload": {"id": thread, "cwd": "/srv/repo", "cli_version": "0.150.0"}},
        {"type": "turn_context", "payload": {"model": "gpt-5.5", "cwd": "/srv/repo"}},
    ]
    previous = 0
    for total in totals:
        usage = {"input_tokens": total, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": total}
        last = usage | {"input_tokens": total - previous, "total_tokens": total - previous}
        info = {"total_token_usage": usage, "last_token_usage": last}
        lines.append({"type": "event_msg", "payload": {"type": "token_count", "info": info}})
        previous = total
    stamped = ({"timestamp": f"2026-11-01T10:00:{start + i:02}.000Z", **line} for i, line in enumerate(lines))
    return b"".join(json.dumps(line).encode() + b"\n" for line in stamped)


def gptme_lines(outputs: list[int]) -> bytes:
    """Return a conversation with one answer per entry of *outputs*."""
    lines = [
        {
            "role": "assistant",
            "content": "x",
            "timestamp": f"2026-11-01T10:00:{i:02}.000000",
            "metadata": {"model": "local/m", "usage": {"input_tokens": 5, "output_tokens": output}},
        }
        for i, output in enumerate(outputs)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def gptme_messages(count: int) -> bytes:
    """Return as many answers, each of its own minute."""
    lines = gptme_lines(list(range(1, count + 1))).splitlines(keepends=True)
    times = [f"2026-11-01T{n // 60:02}:{n % 60:02}:00".encode() for n in range(count)]
    return b"".join(re.sub(rb"2026-11-01T10:00:\d+", time, line) for time, line in zip(times, lines, strict=True))


Writer = Callable[[], None]


def later(path: Path) -> None:
    """Let the clock of *path* move on, as between two runs of an agent."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
