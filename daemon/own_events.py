"""Events with a body: how a stored shape is written, by the daemon itself and by those who send messages."""

import json
from datetime import UTC, datetime
from typing import Any

from daemon.provenance import utc_text
from state.evidence import Frozen
from state.vocabulary import EVENT_VERSION


def stated(body: Frozen) -> dict[str, Any]:
    """Return *body* as it is stored: times in UTC, nothing that is null."""
    return {
        name: utc_text(value.astimezone(UTC)) if isinstance(value, datetime) else value
        for name, value in body.model_dump(exclude_none=True).items()
    }


def own_event(kind: str, body: Frozen, now: datetime) -> bytes:
    """Return the line for the log, without its number, of something that the daemon itself saw at *now*."""
    event = {"k": kind, "v": EVENT_VERSION, "ingested_at": utc_text(now), "body": stated(body)}
    return json.dumps(event, separators=(",", ":")).encode("ascii")
