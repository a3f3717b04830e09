"""A heartbeat of a daemon that is well, written by the daemon's own code, and what is otherwise about it."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from daemon import heartbeat
from daemon.checkout_reader import Looking
from daemon.health.heard import heard
from daemon.health.look import Looked
from daemon.heartbeat import Signs
from daemon.ingest import Pass
from daemon.projector import Projected
from daemon.service.standing import Standing
from daemon.workers import Worker
from state.head import Mark

#: When the pure tests take place.
NOW: Final = datetime(2026, 11, 1, 10, tzinfo=UTC)


def well(over: dict[str, Any] | None = None, *, ago_seconds: float = 0.0, at: datetime = NOW) -> dict[str, Any]:
    """
    Return the heartbeat of a daemon that is well.

    Args:
        over: What stands in it instead; a null removes nothing, it stands there.
        ago_seconds: How old it is.
        at: What time it is now.
    """
    now = time.monotonic()
    swept = Pass(files=3, roots_seen=["/home/a/.claude/projects"], roots_missing=["/home/a/.codex"])
    swept.agent_files.update({"claude_code": 3})
    signs = Signs(
        state="running",
        started_at=now - 86_400,
        head=Mark("log", 41, "0" * 64, 0, 100),
        tables=Projected(seq=41, published_seq=41, published_at=now - 3_600, signals=()),
        is_projector_alive=True,
        blindness=(),
        last_sweep=swept,
        swept_at=now - 100,
        behind={},
        agents={"claude_code": "claude_code", "codex": "codex"},
        inbox_failure=None,
        checkouts=Looking(),
        surroundings=(),
        workers={name: Worker(is_alive=True, beat_at=now) for name in ("loop", "projector", "checkouts", "scheduler")},
        service=Standing(),
        held=heartbeat.Held(unasked=30.0),
    )
    said = heartbeat.document(signs, at - timedelta(seconds=ago_seconds))
    said["clock"] |= {"monotonic_seconds": 1_000_000.0 - ago_seconds, "boottime_seconds": 1_000_000.0 - ago_seconds}
    return _over(said, over or {})


def _over(said: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return *said* with what *over* says at the same places; names with dots lead down."""
    for name, value in over.items():
        place = said
        *parts, last = name.split(".")
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return said


def looked(said: dict[str, Any] | bytes, **over: Any) -> Looked:
    """Return what is seen of a host that is well, but for what is *over* it."""
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    boot = said["clock"]["boot_id"] if isinstance(said, dict) and isinstance(said.get("clock"), dict) else ""
    seen = Looked(
        heard=heard(content),
        process="there",
        boot_id=boot if isinstance(boot, str) else "",
        monotonic_seconds=1_000_000.0,
        stamps={"health": NOW.timestamp() - 60, "reconcile": None},
        disk_free_bytes=10**12,
        rejected_messages=0,
        has_state=True,
        own_paths=frozenset(),
        stamp_failure=None,
    )
    return seen._replace(**over)


def own_process() -> dict[str, Any]:
    """Return what a heartbeat says of this very process, now."""
    clocks = {"monotonic_seconds": time.monotonic(), "boottime_seconds": time.clock_gettime(time.CLOCK_BOOTTIME)}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "at": at, **{f"clock.{name}": value for name, value in clocks.items()}}
