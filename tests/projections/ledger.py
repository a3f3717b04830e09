"""
Logs whose events are put together by hand: what a reader would have written, without the files it would have read.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from daemon.bootstrap import open_log
from daemon.envelope import SCHEMA
from daemon.message import check
from projections.build import Projection

#: When everything here begins; `at` counts minutes from then.
START = datetime(2026, 11, 20, 8, tzinfo=UTC)
#: When everything was read: days later.
NOW = datetime(2026, 11, 25, tzinfo=UTC)

CLASSES = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "total_without_cache_read_tokens",
)


def moment(minutes: float) -> str:
    """Return a time as the log writes it, in minutes from the beginning."""
    return (START + timedelta(minutes=minutes)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def line(event: dict[str, Any]) -> bytes:
    """Return an event as the log takes it."""
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def call(name: str, at: float | None = 0, session: str | None = "s", **fields: Any) -> bytes:
    """Return the statement of one call in a transcript; its tokens are 10, 20 and 30 unless *fields* says otherwise."""
    tokens = {"input_tokens": 10, "cache_read_tokens": 20, "output_tokens": 30}
    event = {
        "k": "usage",
        "v": 1,
        "agent": "claude_code",
        "source_class": "claude_transcript",
        "source_path": f"/logs/{session}.jsonl",
        "source_generation": f"1:{crc32(str(session).encode())}:0",
        "source_role": "main",
        "source_session_id": session,
        "parser": "claude_code",
        "parser_version": 1,
        "ingested_at": moment(0),
        "offset_bytes": 0,
        "length_bytes": 1,
        "line_hash": name.encode().hex().ljust(32, "0")[-32:],
        "source_id": name,
        "basis": "call",
        "witness": "transcript",
        "confidence": "stated",
        "session_id": session,
        "stop_reason": "end_turn",
        "source_created_at": None if at is None else moment(at),
        **tokens,
    }
    return line(event | fields)


def named(task: str | None, at: float, session: str = "s", status: str | None = None, **fields: Any) -> bytes:
    """Return a tool call that names a task."""
    return line(
        {
            "k": "task_named",
            "v": 1,
            "agent": "claude_code",
            "source_class": "claude_transcript",
            "source_path": f"/logs/{session}.jsonl",
            "source_generation": "1:1:0",
            "parser": "claude_code",
            "parser_version": 1,
            "ingested_at": moment(0),
            "offset_bytes": 0,
            "length_bytes": 1,
            "line_hash": "0" * 32,
            "session_id": session,
            "source_created_at": moment(at),
            "tool_name": "mcp__hub__update",
            "tool_call_id": f"{session}-{task}-{at}",
            "task_id": task,
            "task_status": status,
            **fields,
        }
    )


def checkout(cwd: str, at: float = 0, **facts: Any) -> bytes:
    """Return what a look at a directory found; a checkout unless *facts* says otherwise."""
    body = {"cwd": cwd, "state": "present", "checkout_kind": "main", "top_path": cwd, "main_path": cwd, "remotes": {}}
    return line({"k": "checkout", "v": 1, "ingested_at": moment(at), "body": body | facts})


def commit(top: str, at: float, *tasks: str, name: str | None = None) -> bytes:
    """Return a commit that was seen in a checkout, and the tasks that its trailers name."""
    body = {
        "top_path": top,
        "git_path": f"{top}/.git",
        "commit": (name or f"{at}{top}").encode().hex().ljust(40, "0")[:40],
        "committed_at": moment(at),
        "task_ids": tasks,
    }
    return line({"k": "git_commit", "v": 1, "ingested_at": moment(at), "body": body})


def rules(**body: Any) -> bytes:
    """Return the operator's rules."""
    return line({"k": "rules", "v": 1, "ingested_at": moment(0), "body": body})


def message(
    kind: str, body: dict[str, Any], key: str | None = None, revision: int | None = None, **fields: Any
) -> bytes:
    """Return a message of the inbox as it stands in the log."""
    stated: dict[str, Any] = {"schema": SCHEMA, "kind": kind, "producer": "test", "body": body, **fields}
    stated |= {name: value for name, value in (("key", key), ("revision", revision)) if value is not None}
    checked = check(json.dumps(stated).encode())
    receipt = checked.receipt or f"{crc32(json.dumps(stated, sort_keys=True).encode()):032x}"
    return checked.event(receipt, NOW)


def report(task: str, status: str, at: float | None = None, **body: Any) -> bytes:
    """Return the report of a task."""
    stated = {"task_id": task, "status": status, **({} if at is None else {"at": moment(at)}), **body}
    return message("task", stated)


def declare(task: str | None = None, **body: Any) -> bytes:
    """Return an operator's declaration."""
    return message("allocation", ({} if task is None else {"task_id": task}) | body)


def register(repo: str, **body: Any) -> bytes:
    """Return the registration of a repository."""
    return message("repo", {"repo": repo, **body})


def tokens(key: str | None = None, revision: int | None = None, **body: Any) -> bytes:
    """Return a report of measured tokens, or of whatever *body* makes of it."""
    stated: dict[str, Any] = {
        "measurement": "measured",
        "source_class": "llm_connect",
        "provider": "anthropic",
        "source_id": "msg_p",
        "input_tokens": 1,
        "output_tokens": 2,
        "at": moment(0),
    }
    stated |= body
    if "raw_usage" not in body:
        stated["raw_usage"] = {"in": stated["input_tokens"] or 0, "out": stated["output_tokens"] or 0}
    return message("token_event", {name: value for name, value in stated.items() if value is not None}, key, revision)


class Ledger:
    """
    A log and its tables; `write` may be called again and again, as by several runs.
    """

    def __init__(self, live: Any) -> None:
        self.settings = live.settings
        self._projection: Projection | None = None

    def write(self, events: Iterable[bytes]) -> "Ledger":
        """Append *events* in one run, and bring the tables up to them."""
        with open_log(self.settings, lambda: NOW) as log:
            batch = list(events)
            if batch:
                log.append(batch, {})
        self.close()
        self._projection = Projection.open(self.settings.state)
        self._projection.refresh(self.settings.state.log_directory)
        return self

    @property
    def connection(self) -> Any:
        assert self._projection is not None
        return self._projection.connection

    def close(self) -> None:
        if self._projection is not None:
            self._projection.close()
            self._projection = None

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of *query*."""
        found: list[tuple[Any, ...]] = self.connection.execute(query).fetchall()
        return found

    def tasks(self) -> dict[str, tuple[Any, ...]]:
        """Return task and rule of each call that is allocated as a whole."""
        found = self.rows("SELECT source_id, task_id, rule FROM usage_allocated ORDER BY source_id, task_id")
        return {name: (task, rule) for name, task, rule in found}

    def repos(self) -> dict[str, tuple[Any, ...]]:
        """Return repository and rung, or gap, of each call."""
        found = self.rows("SELECT source_id, repo, coalesce(repo_rung, repo_gap) FROM usage_attributed")
        return {name: (repo, why) for name, repo, why in found}


def unequal(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Return the measured rows that shares and rest do not add up to in every class, or where one is negative."""
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in CLASSES)
    both = " OR ".join(
        f"coalesce(u.{name}, 0) <> coalesce(a.{name}, 0) + coalesce(r.{name}, 0) OR a.{name} < 0 OR r.{name} < 0"
        for name in CLASSES
    )
    return ledger.rows(f"""
        WITH a AS (SELECT value_seq, {sums} FROM usage_allocated GROUP BY value_seq)
        SELECT u.source_id FROM usage_measured AS u
        LEFT JOIN a ON u.value_seq = a.value_seq
        LEFT JOIN usage_unallocated AS r ON u.value_seq = r.value_seq
        WHERE {both}
    """)  # noqa: S608


def by_name(rows: Sequence[tuple[Any, ...]]) -> dict[Any, Any]:
    """Return rows of two columns as a mapping."""
    return dict(rows)
