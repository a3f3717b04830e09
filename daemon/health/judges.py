"""Which judges there are: those who ask the tables, and those who look at the host."""

from collections.abc import Callable
from datetime import datetime

import duckdb

from daemon.health.drift import Drift
from daemon.health.expectations import Expectations
from daemon.health.flatline import flatlines
from daemon.health.hooks import Hooks
from daemon.health.judging import Judge, Judging
from daemon.health.limits import Limits
from daemon.health.names import Names
from daemon.health.retention_race import RetentionRace
from daemon.health.sentinel import Lookout
from daemon.journal import Journal
from daemon.service import standing
from daemon.settings import Settings


def table_judges(
    settings: Settings,
    limits: Limits,
    clock: Callable[[], datetime],
    journal: Journal,
) -> Judging[duckdb.DuckDBPyConnection]:
    """Return those who ask the daemon's own tables, in its projector's thread."""
    judges: dict[str, Judge[duckdb.DuckDBPyConnection]] = {
        "drift": Drift(),
        "flatline": flatlines(limits.reporting_window_seconds, limits.canary_events),
        "hooks": Hooks(settings, limits),
        "expectations": Expectations(settings),
        "retention_race": RetentionRace(settings),
    }
    return Judging(judges, clock, journal)


def host_judges(
    limits: Limits,
    clock: Callable[[], datetime],
    journal: Journal,
) -> Judging[Settings]:
    """Return those who look at files of agents and of the host, in the scheduler's thread."""
    judges: dict[str, Judge[Settings]] = {"service": standing.judge, "names": Names(limits)}
    if limits.has_sentinel:
        judges["sentinel"] = Lookout(limits.reporting_window_seconds)
    return Judging(judges, clock, journal)
