"""Which judges there are: those who ask the tables, and those who look at the host."""

from collections.abc import Callable
from datetime import datetime

import duckdb

from daemon.health.expectations import Expectations
from daemon.health.hooks import Hooks
from daemon.health.judging import Judging
from daemon.health.limits import Limits
from daemon.health.names import Names
from daemon.health.retention_race import RetentionRace
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
    return Judging(
        {
            "hooks": Hooks(settings, limits),
            "expectations": Expectations(settings),
            "retention_race": RetentionRace(settings),
        },
        clock,
        journal,
    )


def host_judges(
    limits: Limits,
    clock: Callable[[], datetime],
    journal: Journal,
) -> Judging[Settings]:
    """Return those who look at files of agents and of the host, in the scheduler's thread."""
    return Judging({"service": standing.judge, "names": Names(limits)}, clock, journal)
