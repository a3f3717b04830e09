"""
`health.json`: what the daemon says of itself, replaced by rename at every tick.

Read by people in a hurry, by `tallystick health` and by `tallystick status`; whoever reads it judges its age, for a
daemon that hangs writes nothing. It holds no text of anybody; a path stands in it only where a finding names a file.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from daemon.checkout_reader import Looking
from daemon.health.finding import Finding
from daemon.health.heard import SCHEMA
from daemon.health.limits import Limits
from daemon.ingest import Pass
from daemon.projector import Projected
from daemon.service.standing import Standing
from daemon.workers import Worker
from state.errors import DiskFull
from state.files import as_known, publish, write_all
from state.head import Mark
from state.paths import StatePaths

#: What each field says; a test holds it against what is written.
FIELDS: Final[dict[str, str]] = {
    "pid": "process",
    "at": "when this was written, UTC",
    "uptime_seconds": "since the process began to read",
    "state": "`starting` (first sweep), `running`, `paused` (disk full), `stopping`, `stopped`",
    "log.log_id": "which log",
    "log.seq": "last event that is durable, -1 before the first",
    "log.hash": "hash of the log up to there",
    "tables.seq": "last event in the daemon's own tables; null before they were opened",
    "tables.lag_events": "events that are durable and not in the tables",
    "tables.published_seq": "last event in the published tables; null before this process published any",
    "tables.published_age_seconds": "since they were published",
    "tables.failure": "what went wrong with the tables last; null when nothing is wrong",
    "tables.is_alive": "whether the thread that keeps them is there",
    "watch.blindness": "why changes may go unheard; empty when all are heard",
    "sweep.age_seconds": "since the last sweep over all roots ended",
    "sweep.files": "log files it met",
    "checkouts.busy_seconds": "for how long a directory has been looked at by now; null when none is",
    "checkouts.waiting": "directories of the logs that are to be looked at",
    "checkouts.failure": "why a checkout could not be read last; null when nothing is wrong",
    "workers.NAME.is_alive": "whether the thread is there: `loop`, `projector`, `checkouts`, `watch`, `scheduler`; "
    "null while it is not wanted",
    "workers.NAME.age_seconds": "since it last showed that it goes on; null for one that only waits to be told",
    "service.manager": "whose unit runs this process, `user` or `system`; null for none",
    "service.unit": "name of that unit; null for none",
    "service.is_enabled": "whether the unit is started at boot; where none runs this process, this user's own; null "
    "where none is installed, or before that was looked at",
    "service.is_timer_enabled": "the same of the timer that asks for health",
    "config.failure": "why the configuration could not be read again; null when it could, or nobody asked",
    "inbox.failure": "why nothing is taken from the inbox; null when nothing is wrong",
    "window_seconds": "within so long every silence is told: `reporting_window_seconds` of the configuration",
    "disk_free_mib": "less room than this on the disk of the state directory is told",
    "signals": "what the tables and the surroundings say is wrong: rule, source, since, message, next; null before "
    "they were asked",
    "sources.AGENT.backlog_bytes": "bytes behind the marks of this agent's files",
    "sources.AGENT.unreadable": "places of this agent that the last sweep could not read",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """What a heartbeat tells of; monotonic times in seconds, null for what never was."""

    state: str
    started_at: float
    head: Mark
    tables: Projected
    is_projector_alive: bool
    blindness: Iterable[str]
    last_sweep: Pass | None
    swept_at: float | None
    backlog: Mapping[str, int]
    agents: Mapping[str, str]  #: by name of the adapter
    inbox_failure: str | None
    checkouts: Looking
    limits: Limits = field(default_factory=Limits)
    surroundings: tuple[Finding, ...] | None = None
    workers: Mapping[str, Worker] = field(default_factory=dict)
    service: Standing = field(default_factory=Standing)
    config_failure: str | None = None


def document(signs: Signs, at: datetime) -> dict[str, Any]:
    """Return what the daemon says of itself; ages in seconds, null for what never was."""
    now = time.monotonic()
    backlog: Counter[str] = Counter()
    for key, left in signs.backlog.items():
        parser = key.partition(":")[0]
        backlog[signs.agents.get(parser, parser)] += left
    swept = signs.last_sweep
    denied = Counter(each.adapter.agent for each in swept.denied) if swept is not None else Counter[str]()
    tables = signs.tables
    return {
        "schema": SCHEMA,
        "pid": os.getpid(),
        "at": at.isoformat(timespec="seconds"),
        "uptime_seconds": round(now - signs.started_at),
        "state": signs.state,
        "log": {"log_id": signs.head.log_id, "seq": signs.head.seq, "hash": signs.head.chain},
        "tables": {
            "seq": tables.seq,
            "lag_events": None if tables.seq is None else signs.head.seq - tables.seq,
            "published_seq": tables.published_seq,
            "published_age_seconds": _age(now, tables.published_at),
            "failure": tables.failure,
            "is_alive": signs.is_projector_alive,
        },
        "watch": {"blindness": sorted(signs.blindness)},
        "sweep": {"age_seconds": _age(now, signs.swept_at), "files": None if swept is None else swept.files},
        "checkouts": {
            "busy_seconds": _age(now, signs.checkouts.since),
            "waiting": signs.checkouts.waiting,
            "failure": signs.checkouts.failure,
        },
        "workers": {name: worker.document(now) for name, worker in signs.workers.items()},
        "service": signs.service.document(),
        "config": {"failure": signs.config_failure},
        "inbox": {"failure": signs.inbox_failure},
        "window_seconds": signs.limits.reporting_window_seconds,
        "disk_free_mib": signs.limits.disk_free_mib,
        "signals": _signals(signs),
        "sources": {
            agent: {"backlog_bytes": backlog[agent], "unreadable": denied[agent]}
            for agent in sorted(set(signs.agents.values()))
        },
    }


def _signals(signs: Signs) -> list[dict[str, Any]] | None:
    """Return what the judges of the daemon found; null while some of them were never asked."""
    if signs.tables.signals is None or signs.surroundings is None:
        return None
    return [finding.document() for finding in (*signs.tables.signals, *signs.surroundings)]


def _age(now: float, at: float | None) -> int | None:
    return None if at is None else round(now - at)


def write(paths: StatePaths, content: Mapping[str, Any]) -> None:
    """
    Put *content* in the place of the last heartbeat.

    On a full disk it is written over the last one, whose room it has: of all things this must still be told.

    Raises:
        DiskFull, StateUnusable, LogIoError: It cannot be written; the last one stays.
    """
    text = json.dumps(content, indent=1).encode() + b"\n"
    try:
        publish(paths.temporary / "health.json", paths.health, [text])
    except DiskFull:
        if not paths.health.exists():
            raise
        with as_known(paths.health), paths.health.open("r+b", buffering=0) as file:
            write_all(file.fileno(), text)
            file.truncate()
