"""
Log lines to rows: the one place where JSON becomes columns.

`read_json` over our own segments with explicit types is as fast as Arrow and the same statement serves a live refresh
and a rebuild. Fields that no column names are ignored: a newer writer may add some.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

from state.read import Slice
from state.segment import open_segment
from state.tombstones import RETIRED_CLASSES, Tombstone
from state.upcast import UPCASTS, upcast_line

_COMMIT_LINE: Final = b'{"k":"commit"'
_BLOCK_BYTES: Final = 4 * 1024 * 1024

_CURSOR: Final = (
    "STRUCT(agent VARCHAR, source_path VARCHAR, name VARCHAR, role VARCHAR, session_id VARCHAR, state VARCHAR, "
    "generation VARCHAR, parser_version BIGINT, offset_bytes BIGINT, size_bytes BIGINT, lines BIGINT, "
    "usage_lines BIGINT, rejected_lines BIGINT, unrecognised_lines BIGINT, unmetered_turns BIGINT, is_reparsed BOOLEAN)"
)

#: Every field that an event line may carry, with the type it has in the tables.
EVENT: Final[dict[str, str]] = {
    "k": "VARCHAR",
    "q": "BIGINT",
    "v": "BIGINT",
    "agent": "VARCHAR",
    "source_class": "VARCHAR",
    "source_id": "VARCHAR",
    "source_path": "VARCHAR",
    "source_uri": "VARCHAR",
    "source_role": "VARCHAR",
    "source_generation": "VARCHAR",
    "source_session_id": "VARCHAR",
    "offset_bytes": "BIGINT",
    "length_bytes": "BIGINT",
    "item_key": "VARCHAR",
    "line_hash": "VARCHAR",
    "parser": "VARCHAR",
    "parser_version": "BIGINT",
    "confidence": "VARCHAR",
    "basis": "VARCHAR",
    "witness": "VARCHAR",
    "source_created_at": "TIMESTAMP",
    "assumed_zone": "VARCHAR",
    "ingested_at": "TIMESTAMP",
    "session_id": "VARCHAR",
    "parent_session_id": "VARCHAR",
    "stated_session_id": "VARCHAR",
    "forked_from_id": "VARCHAR",
    "history_base_id": "VARCHAR",
    "history_end_ordinal": "BIGINT",
    "agent_id": "VARCHAR",
    "is_sidechain": "BOOLEAN",
    "line_id": "VARCHAR",
    "request_id": "VARCHAR",
    "turn_id": "VARCHAR",
    "ordinal": "BIGINT",
    "model": "VARCHAR",
    "model_provider": "VARCHAR",
    "service_tier": "VARCHAR",
    "originator": "VARCHAR",
    "agent_version": "VARCHAR",
    "cwd": "VARCHAR",
    "git_branch": "VARCHAR",
    "git_remote": "VARCHAR",
    "git_commit": "VARCHAR",
    "stop_reason": "VARCHAR",
    "input_tokens": "BIGINT",
    "cache_read_tokens": "BIGINT",
    "cache_write_tokens": "BIGINT",
    "cache_write_5m_tokens": "BIGINT",
    "cache_write_1h_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT",
    "provider_total_tokens": "BIGINT",
    "stated_cost_usd_micros": "BIGINT",
    "flags": "VARCHAR[]",
    "raw": "JSON",
    "code": "VARCHAR",
    "field": "VARCHAR",
    "change": "VARCHAR",
    "previous_path": "VARCHAR",
    "size_bytes": "BIGINT",
    "first_missing_seq": "BIGINT",
    "last_missing_seq": "BIGINT",
    "producer": "VARCHAR",
    "key": "VARCHAR",
    "revision": "BIGINT",
    "receipt": "VARCHAR",
    "content_hash": "VARCHAR",
    "body": "JSON",
    "tool_name": "VARCHAR",
    "tool_call_id": "VARCHAR",
    "task_id": "VARCHAR",
    "workstream_id": "VARCHAR",
    "task_status": "VARCHAR",
}

#: The fields of header and commit lines.
COMMIT: Final[dict[str, str]] = {
    "k": "VARCHAR",
    "log": "VARCHAR",
    "host": "VARCHAR",
    "s": "BIGINT",
    "n": "BIGINT",
    "t": "TIMESTAMP",
    "boot": "VARCHAR",
    "h": "VARCHAR",
    "cur": f"MAP(VARCHAR, {_CURSOR})",
}

#: Rows that `projections/threads.py` hands back, with their types.
FOLDED: Final[dict[str, dict[str, str]]] = {
    "folded_calls": {
        "agent": "VARCHAR",
        "thread_id": "VARCHAR",
        "source_id": "VARCHAR",
        "source_class": "VARCHAR",
        "rule": "VARCHAR",
        "confidence": "VARCHAR",
        "session_id": "VARCHAR",
        "parent_session_id": "VARCHAR",
        "time_micros": "BIGINT",
        "model": "VARCHAR",
        "model_provider": "VARCHAR",
        "service_tier": "VARCHAR",
        "requests": "BIGINT",
        "agent_version": "VARCHAR",
        "cwd": "VARCHAR",
        "git_branch": "VARCHAR",
        "git_remote": "VARCHAR",
        "input_tokens": "BIGINT",
        "cache_read_tokens": "BIGINT",
        "cache_write_tokens": "BIGINT",
        "output_tokens": "BIGINT",
        "reasoning_tokens": "BIGINT",
        "provider_total_tokens": "BIGINT",
        "is_clamped": "BOOLEAN",
        "is_inheritance_unknown": "BOOLEAN",
        "is_conflict": "BOOLEAN",
        "value_seq": "BIGINT",
        "baseline_seq": "BIGINT",
    },
    "folded_losers": {
        "agent": "VARCHAR",
        "thread_id": "VARCHAR",
        "seq": "BIGINT",
        "by_seq": "BIGINT",
        "reason": "VARCHAR",
    },
    "folded_reconciliations": {
        "agent": "VARCHAR",
        "thread_id": "VARCHAR",
        "source_generation": "VARCHAR",
        "basis": "VARCHAR",
        "own_total_tokens": "BIGINT",
        "baseline_tokens": "BIGINT",
        "counted_tokens": "BIGINT",
        "reason": "VARCHAR",
    },
}

#: Rows of what was retired, one per total of a tombstone, with their types.
RETIRED: Final[dict[str, str]] = {
    "log_id": "VARCHAR",
    "first_seq": "BIGINT",
    "last_seq": "BIGINT",
    "retired_at": "TIMESTAMP",
    "agent": "VARCHAR",
    "day": "DATE",
    "model": "VARCHAR",
    "calls": "BIGINT",
    "incomplete_calls": "BIGINT",
    **dict.fromkeys(RETIRED_CLASSES, "BIGINT"),
}


def retired_rows(found: Iterable[Tombstone]) -> list[dict[str, Any]]:
    """Return the totals of tombstones as rows of `RETIRED`."""
    return [
        {
            "log_id": each.log,
            "first_seq": each.first_seq,
            "last_seq": each.last_seq,
            "retired_at": each.t,
            "agent": total.agent,
            "day": total.day,
            "model": total.model,
            "calls": total.calls,
            "incomplete_calls": total.incomplete_calls,
            **total.tokens,
        }
        for each in found
        for total in each.totals
    ]


class NewLines:
    """
    The new lines of a log, copied aside while they are read: events in one file, headers and commits in another.

    What stands behind the last commit may be half a batch, so the segments themselves are not read. ``kept`` are event
    lines of segments that are gone.
    """

    def __init__(self, temporary: Path, parts: Sequence[Slice], kept: Sequence[str] = ()) -> None:
        self._events = temporary / f"events-{os.getpid()}.ndjson"
        self._commits = temporary / f"commits-{os.getpid()}.ndjson"
        self._parts = parts
        self._kept = kept

    def __enter__(self) -> Self:
        with self._events.open("wb") as events, self._commits.open("wb") as commits:
            _write_events(b"".join(f"{line}\n".encode("ascii") for line in self._kept), events)
            for part in self._parts:
                _split(part, events, commits)
        return self

    def __exit__(self, *_: object) -> None:
        self._events.unlink(missing_ok=True)
        self._commits.unlink(missing_ok=True)

    @property
    def events(self) -> str:
        """The event lines, as a table function."""
        return read_json(self._events, EVENT)

    @property
    def commits(self) -> str:
        """The header and commit lines, as a table function."""
        return read_json(self._commits, COMMIT)


def _split(part: Slice, events: IO[bytes], commits: IO[bytes]) -> None:
    with open_segment(part.path) as source:
        commits.write(source.readline())
        source.seek(max(part.start_offset_bytes, source.tell()))
        while (left := part.end_offset_bytes - source.tell()) > 0:
            block = source.read(min(left, _BLOCK_BYTES))
            if len(block) < left:
                block += source.readline()
            _split_block(block, events, commits)


def _split_block(block: bytes, events: IO[bytes], commits: IO[bytes]) -> None:
    """Write whole lines to where they belong; quotes in a line are escaped, so a commit is found by its beginning."""
    start = 0
    while (commit := block.find(_COMMIT_LINE, start)) >= 0:
        end = block.index(b"\n", commit) + 1
        _write_events(block[start:commit], events)
        commits.write(block[commit:end])
        start = end
    _write_events(block[start:], events)


def _write_events(lines: bytes, events: IO[bytes]) -> None:
    events.write(b"".join(map(upcast_line, lines.splitlines(keepends=True))) if UPCASTS else lines)


def read_json(path: Path, columns: dict[str, str]) -> str:
    """Return the table function that reads lines of ours from a path of ours."""
    quoted = str(path).replace("'", "''")
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    return f"read_json('{quoted}', format = 'newline_delimited', columns = {{{types}}})"
