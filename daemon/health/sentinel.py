"""
A session that nobody had: planted as a log, read, committed, projected and published like any other, missed when lost.

The daemon's own reader and the decoder of Claude Code read it. What they make of it is an event of a kind of its own,
`sentinel`, under an agent of its own, so that it is in no total, session or count of files; only the table `sentinels`
has it. Four files of one day each take turns, so there are never more of them, nor of their cursors and rows.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

import duckdb

from adapters.claude_code import ADAPTER as CLAUDE_CODE
from adapters.contract import Header, LineRejected, Observation, Root, SentinelStated, UsageStated
from adapters.decode import log_stem
from daemon.discover import Place
from daemon.health.finding import Finding
from daemon.health.steps import Steps
from daemon.settings import Settings, options
from projections.read import NothingPublished, Tables, TablesUnusable
from state.errors import DiskFull, LogIoError, StateUnusable
from state.files import as_known, write_all
from state.paths import StatePaths
from state.vocabulary import SENTINEL, Agent, SourceClass

#: So many days are kept, today among them.
DAYS: Final = 4


class Sentinel:
    """Reads planted sessions with the decoder of Claude Code; what it states is no usage of anybody."""

    kind: Final = "lines"
    agent: Agent = SENTINEL
    parser = SENTINEL
    source_class: SourceClass = SENTINEL
    parser_version = CLAUDE_CODE.parser_version

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name none: it is planted in the state directory, where no agent writes."""
        return ()

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim what the daemon plants."""
        stem = log_stem(relative.name)
        return Header(name=stem, role="main", session_id=stem) if stem else None

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Return *header*."""
        return header

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """State that a planted call was read."""
        return tuple(_as_sentinel(each) for each in CLAUDE_CODE.read_line(line, header))


def _as_sentinel(said: Observation) -> Observation:
    if isinstance(said, UsageStated):
        return SentinelStated(
            session_id=said.session_id, line_id=said.line_id, source_created_at=said.source_created_at
        )
    return said if isinstance(said, LineRejected) else LineRejected(code="adapter_failed")


def place(paths: StatePaths) -> Place:
    """Return the root in which planted sessions are looked for, made when it is missing."""
    with as_known(paths.sentinel):
        paths.sentinel.mkdir(mode=0o700, exist_ok=True)
    return Place(os.fspath(paths.sentinel), Sentinel(), Root(PurePath(paths.sentinel)))


class Planter:
    """Plants one call at a time; `plant` may be called by any one thread."""

    def __init__(self, paths: StatePaths, clock: Callable[[], datetime]) -> None:
        self._directory = paths.sentinel
        self._clock = clock

    def plant(self) -> None:
        """
        Append a call to the session of today; on a full disk nothing is left of it.

        Raises:
            StateUnusable, LogIoError: It cannot be written for another reason.
        """
        now = self._clock()
        with contextlib.suppress(DiskFull), as_known(self._directory):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            path = self._directory / f"{SENTINEL}-{now.toordinal() % DAYS}.jsonl"
            if not _is_of(path, now.date()):
                path.unlink(missing_ok=True)
            _append(path, _line(now))


def _is_of(path: Path, day: date) -> bool:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).date() == day
    except FileNotFoundError:
        return True


def _append(path: Path, line: bytes) -> None:
    """Append a whole line or nothing: half of one would spoil the next."""
    with path.open("ab", buffering=0) as file:
        size_bytes = file.tell()
        try:
            write_all(file.fileno(), line)
        except OSError:
            file.truncate(size_bytes)
            raise


def _line(now: datetime) -> bytes:
    """Return a line as Claude Code writes them; there is nothing in it that anybody said."""
    name = f"{SENTINEL}-{now:%Y%m%dT%H%M%S.%f}"
    line = {
        "type": "assistant",
        "uuid": name,
        "sessionId": f"{SENTINEL}-{now:%Y-%m-%d}",
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "message": {
            "id": name,
            "model": SENTINEL,
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    }
    return json.dumps(line).encode() + b"\n"


class Lookout:
    """Judges whether planted calls come out of the published tables; by monotonic time, as the wall clock may jump."""

    def __init__(self, window_seconds: int) -> None:
        self._window_seconds = window_seconds
        self._newest: str | None = None
        self._seen_at = time.monotonic()

    def __call__(self, settings: Settings, now: datetime) -> Iterable[Finding]:
        """Return a finding when nothing new has come out for a window."""
        newest = _newest(settings.state)
        if newest is not None and newest != self._newest:
            self._newest, self._seen_at = newest, time.monotonic()
        silent_seconds = time.monotonic() - self._seen_at
        if silent_seconds > self._window_seconds:
            message = f"no planted session came out of the published tables for {round(silent_seconds)} seconds"
            yield Finding("sentinel_lost", None, None, message, _restart(settings))


def _restart(settings: Settings) -> str:
    """Return what ends this daemon and starts it, by whoever keeps it running."""
    how = Steps(str(settings.state.root), options(settings), settings.manager, settings.unit)
    return how.restart(os.getpid())


def _newest(paths: StatePaths) -> str | None:
    """Return the planted call that was published last; ``None`` when there is none, or nothing can be asked."""
    try:
        with Tables(paths.published) as tables:
            rows = tables.rows("SELECT line_id FROM sentinels ORDER BY seq DESC LIMIT 1")
    except (NothingPublished, TablesUnusable, StateUnusable, LogIoError, OSError, duckdb.Error):
        return None
    return rows[0]["line_id"] if rows else None
