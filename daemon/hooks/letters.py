"""
The messages that a hook's run leaves: the run itself, and the tasks it reports or what the agent does.

Written as `daemon/inbox_client.py` writes them, by code that starts in milliseconds; a test holds the two equal.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from daemon.envelope import SCHEMA, stated_hash
from daemon.hooks.claims import Claim, Claims, claims_of
from daemon.hooks.seen import ACTIVITIES, Seen
from state.vocabulary import HookEffect, HookSkip

PRODUCER: Final = "tallystick_hook"
#: What makes a report of one task, and of many at once: only the first may leave an estimate behind.
ORIGIN: Final = "hook"
BULK_ORIGIN: Final = "bulk"

Body = dict[str, Any]


class Run:
    """What one run of a hook comes to; ``messages`` are (receipt, content), to be put into the inbox together."""

    def __init__(self, hook: str, agent: str, created_at: str) -> None:
        self._hook, self._agent, self._created_at = hook, agent, created_at
        self._messages: dict[str, bytes] = {}

    def saw(self, seen: Seen, duration_ms: int) -> Mapping[str, bytes]:
        """Return the messages of a run that understood its agent."""
        claims = claims_of(seen.call) if seen.call is not None else Claims((), _skipped(seen))
        effect: HookEffect = "none"
        for claim in claims.reports:
            self._add("task", self._task(claim, seen, is_bulk=claims.is_bulk), _key(self._agent, seen, claim))
            effect = "task_reported"
        if seen.event in ACTIVITIES:
            body = {"agent": self._agent, "what": ACTIVITIES[seen.event], "session_id": seen.session_id}
            self._add("activity", body, _key(self._agent, seen, seen.event))
            effect = "activity_noted"
        self._ran("skipped" if effect == "none" else "ok", seen, effect, claims.skip, duration_ms)
        return self._messages

    def failed(self, skip: HookSkip, duration_ms: int) -> Mapping[str, bytes]:
        """Return the message of a run that could not read what its agent handed over."""
        self._ran("failed", Seen("unknown"), "none", skip, duration_ms)
        return self._messages

    def _task(self, claim: Claim, seen: Seen, *, is_bulk: bool) -> Body:
        return {
            "task_id": claim.task_id,
            "status": claim.status,
            "agent": self._agent,
            "session_id": seen.session_id,
            "workstream_id": claim.workstream_id,
            "origin": BULK_ORIGIN if is_bulk else ORIGIN,
        }

    def _ran(self, outcome: str, seen: Seen, effect: HookEffect, skip: HookSkip | None, duration_ms: int) -> None:
        body = {
            "hook": self._hook,
            "outcome": outcome,
            "agent": self._agent,
            "session_id": seen.session_id,
            "event": seen.event,
            "source_id": seen.source_id,
            "effect": effect,
            "skip": skip,
            "duration_ms": duration_ms,
        }
        self._add("hook_run", body, None)

    def _add(self, kind: str, body: Body, key: str | None) -> None:
        known = {name: value for name, value in body.items() if value is not None}
        message: dict[str, Any] = {"schema": SCHEMA, "kind": kind, "producer": PRODUCER, "body": known}
        if key is not None:
            message["key"] = key
        receipt = stated_hash(message) if key is not None else os.urandom(16).hex()
        self._messages[receipt] = json.dumps(message | {"created_at": self._created_at}).encode("ascii")


def _skipped(seen: Seen) -> HookSkip | None:
    """Return why an event without a call reports no task; ``None`` where nobody would expect one."""
    if seen.event == "plan_changed":
        return "session_internal"
    return "unknown_event" if seen.event == "unknown" else None


def _key(agent: str, seen: Seen, about: object) -> str | None:
    """Return a key under which the same event, handed over twice, is one message; ``None`` where it has no id."""
    if seen.source_id is None:
        return None
    stated = json.dumps([agent, seen.session_id, seen.source_id, about])
    return f"hook:{hashlib.sha256(stated.encode()).hexdigest()[:32]}"
