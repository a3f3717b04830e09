"""
`health.json`: what the daemon says of itself, replaced by rename at every tick.

Read by people in a hurry, by `tallystick health` and by `tallystick status`; whoever reads it judges its age, for a
daemon that hangs writes nothing. It holds no text of anybody; a path stands in it only where a finding names a file.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from daemon.ages import boottime_seconds
from daemon.behind import Unread
from daemon.checkout_reader import Looking
from daemon.health.finding import Finding
from daemon.health.heard import SCHEMA
from daemon.health.limits import Limits
from daemon.identity import stored_path
from daemon.ingest import Pass
from daemon.projector import Projected
from daemon.service.standing import Standing
from daemon.workers import Worker
from state.boot import boot_id
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
    "log.damages": "places where opening the log found bytes that are not what was committed",
    "beat_seconds": "between two of these while nothing takes longer",
    "clock.monotonic_seconds": "when this was written, by the clock of this boot that nobody can set",
    "clock.boottime_seconds": "the same by the clock that also counts while the machine sleeps",
    "clock.boot_id": "which boot that is; null where the system does not tell",
    "clock.step_seconds": "by how much the wall clock was set since the daemon began, when that is more than a minute",
    "clock.stepped_at": "when that was first seen, UTC; null when it was not",
    "plugins.failures": "adapters of somebody else that failed, with the method, or that are none",
    "last_runs.health.silent_seconds": "for how long, of the time the daemon was awake, nobody has asked for health",
    "tables.seq": "last event in the daemon's own tables; null before they were opened",
    "tables.lag_events": "events that are durable and not in the tables",
    "tables.published_seq": "last event in the published tables; null before this process published any",
    "tables.published_age_seconds": "since they were published",
    "tables.lag_age_seconds": "for how long the published tables have lacked something; null when they lack nothing",
    "tables.failure": "what went wrong with the tables last; null when nothing is wrong",
    "tables.is_alive": "whether the thread that keeps them is there",
    "watch.blindness": "why changes may go unheard; empty when all are heard",
    "watch.blind_seconds": "for how long that has been so; null when all are heard",
    "sweep.age_seconds": "since the last sweep over all roots ended",
    "sweep.files": "log files it met; null before the first",
    "sweep.roots": "places of logs that it found",
    "sweep.roots_missing": "places of logs that are not there",
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
    "config.failure": "why the configuration could not be read again, and where; null when it could, or nobody asked",
    "inbox.failure": "why nothing is taken from the inbox; null when nothing is wrong",
    "window_seconds": "within so long every silence is told: `reporting_window_seconds` of the configuration",
    "disk_free_mib": "less room than this on the disk of the state directory is told",
    "signals": "what the tables and the surroundings say is wrong: rule, source, since, message, next; null before "
    "they were asked",
    "sources.AGENT.backlog_bytes": "bytes behind the marks of this agent's files",
    "sources.AGENT.backlog_age_seconds": "for how long complete lines of them may have been unread, their marks "
    "standing; null when only the end of a line, or of a document, is awaited",
    "sources.AGENT.backlog_path": "the file of which that is said",
    "sources.AGENT.frozen_seconds": "for how long a file has grown while its mark stood; null when none has",
    "sources.AGENT.frozen_path": "the file of which that is said",
    "sources.AGENT.files": "log files of this agent that the last sweep met; null before the first",
    "sources.AGENT.unreadable": "places of this agent that the last sweep could not read",
    "sources.AGENT.unreadable_path": "one of them; null for none",
}


@dataclass(frozen=True, slots=True)
class Held:
    """
    For how long things have been so, in seconds; null for what is not so.

    ``lag`` of the published tables behind the log, ``blind`` of the watch, ``unasked`` of health.
    """

    lag: float | None = None
    blind: float | None = None
    unasked: float = 0.0


@dataclass(frozen=True, slots=True)
class Clock:
    """By how much the wall clock was set since the daemon began, and since when; 0 and null for not."""

    step_seconds: int = 0
    stepped_at: datetime | None = None


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
    behind: Mapping[str, Unread]
    agents: Mapping[str, str]  #: by name of the adapter
    inbox_failure: str | None
    checkouts: Looking
    limits: Limits = field(default_factory=Limits)
    surroundings: tuple[Finding, ...] | None = None
    workers: Mapping[str, Worker] = field(default_factory=dict)
    service: Standing = field(default_factory=Standing)
    config_failure: str | None = None
    held: Held = field(default_factory=Held)
    clock: Clock = field(default_factory=Clock)
    beat_seconds: float = 5.0
    damages: int = 0
    plugin_failures: Iterable[str] = ()


def document(signs: Signs, at: datetime) -> dict[str, Any]:
    """Return what the daemon says of itself; ages in seconds, null for what never was."""
    now = time.monotonic()
    tables, swept = signs.tables, signs.last_sweep
    return {
        "schema": SCHEMA,
        "pid": os.getpid(),
        "at": at.isoformat(timespec="seconds"),
        "uptime_seconds": round(now - signs.started_at),
        "state": signs.state,
        "log": {"log_id": signs.head.log_id, "seq": signs.head.seq, "hash": signs.head.chain, "damages": signs.damages},
        "beat_seconds": signs.beat_seconds,
        "clock": _clock(signs.clock),
        "tables": {
            "seq": tables.seq,
            "lag_events": None if tables.seq is None else signs.head.seq - tables.seq,
            "published_seq": tables.published_seq,
            "published_age_seconds": _age(now, tables.published_at),
            "lag_age_seconds": _seconds(signs.held.lag),
            "failure": tables.failure,
            "is_alive": signs.is_projector_alive,
        },
        "watch": {"blindness": sorted(signs.blindness), "blind_seconds": _seconds(signs.held.blind)},
        "sweep": {
            "age_seconds": _age(now, signs.swept_at),
            "files": None if swept is None else swept.files,
            "roots": None if swept is None else len(swept.roots_seen),
            "roots_missing": None if swept is None else len(swept.roots_missing),
        },
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
        "plugins": {"failures": sorted(signs.plugin_failures)},
        "last_runs": {"health": {"silent_seconds": round(signs.held.unasked)}},
        "sources": {agent: _source(signs, agent, now) for agent in sorted(set(signs.agents.values()))},
    }


def _clock(clock: Clock) -> dict[str, Any]:
    at = clock.stepped_at
    return {
        "monotonic_seconds": round(time.monotonic(), 3),
        "boottime_seconds": round(boottime_seconds(), 3),
        "boot_id": boot_id() or None,
        "step_seconds": clock.step_seconds,
        "stepped_at": None if at is None else at.isoformat(timespec="seconds"),
    }


def _source(signs: Signs, agent: str, now: float) -> dict[str, Any]:
    """Return how the files of one agent are."""
    mine = [(key, left) for key, left in signs.behind.items() if _agent(signs, key) == agent]
    late_seconds, late_path = _longest((left.late_seconds(now), key) for key, left in mine)
    frozen_seconds, frozen_path = _longest((left.frozen_seconds(), key) for key, left in mine)
    swept = signs.last_sweep
    denied = [each.path for each in swept.denied if each.adapter.agent == agent] if swept is not None else []
    return {
        "backlog_bytes": sum(left.left_bytes for _, left in mine),
        "backlog_age_seconds": _seconds(late_seconds),
        "backlog_path": late_path,
        "frozen_seconds": _seconds(frozen_seconds),
        "frozen_path": frozen_path,
        "files": None if swept is None else swept.agent_files[agent],
        "unreadable": len(denied),
        "unreadable_path": stored_path(denied[0]) if denied else None,
    }


def _agent(signs: Signs, key: str) -> str:
    parser = key.partition(":")[0]
    return signs.agents.get(parser, parser)


def _longest(held: Iterable[tuple[float | None, str]]) -> tuple[float | None, str | None]:
    """Return what has been so longest, and its stored path; nulls when nothing has."""
    found = [(seconds, key) for seconds, key in held if seconds is not None]
    if not found:
        return None, None
    seconds, key = max(found)
    return seconds, key.partition(":")[2]


def _signals(signs: Signs) -> list[dict[str, Any]] | None:
    """Return what the judges of the daemon found; null while some of them were never asked."""
    if signs.tables.signals is None or signs.surroundings is None:
        return None
    return [finding.document() for finding in (*signs.tables.signals, *signs.surroundings)]


def _seconds(held: float | None) -> int | None:
    return None if held is None else round(held)


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
