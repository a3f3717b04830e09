"""Real logs as `matching` has them: of the published tables, or of the names of directories on this disk."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from daemon.bootstrap import roots
from daemon.discover import Found, sweep
from daemon.repair.matching import Loop, Run, instants, loop_of
from daemon.settings import Settings
from projections.read import Tables

#: As the harness names the directory of a run, in this host's local time.
_RUN_NAME: Final = re.compile(r"(?:^|/)run-(?P<run_type>.+)-(?P<local>[0-9]{14})")

#: One row for a session: the same one may stand in several files, and a file that is there is the better pointer.
_LOGS: Final = """
SELECT agent, session_id, source, models, run_type, run_local_at, first_at, last_at
FROM trajectories
WHERE NOT is_evaluation AND session_id IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY agent, session_id ORDER BY state <> 'present', source_role <> 'main', first_at NULLS LAST, source
) = 1
"""


class Log(NamedTuple):
    """A log that was found: whose session it is, and where it stands."""

    run: Run
    agent: str
    session_id: str
    path: str


def read_logs(tables: Tables, zone: str) -> Iterator[Log]:
    """Yield every session log of the tables whose beginning is known; evaluations are no sessions of anybody."""
    for row in tables.rows(_LOGS):
        loop, moments = loop_of(row["agent"], row["run_type"]), _moments(row, zone)
        if loop is not None and moments:
            run = Run(row["source"], loop, moments, tuple(row["models"] or ()), row["last_at"])
            yield Log(run, row["agent"], row["session_id"], row["source"])


def _moments(row: Mapping[str, Any], zone: str) -> tuple[datetime, ...]:
    """Return when a log began: as its name says, which comes before its first message, else as it says itself."""
    if row["run_local_at"] is not None:
        return instants(row["run_local_at"], zone)
    return () if row["first_at"] is None else (row["first_at"],)


def runs_on_disk(settings: Settings, agent: str) -> Iterator[Log]:
    """Yield the logs of *agent* on disk whose names say run type and time; nothing of them is read."""
    for seen in logs_on_disk(settings, agent):
        run = named_run(agent, seen.header.name, settings.zone)
        if run is not None and seen.header.session_id is not None:
            yield Log(run._replace(key=seen.path), agent, seen.header.session_id, seen.path)


def logs_on_disk(settings: Settings, agent: str) -> Iterable[Found]:
    """Yield every log of *agent* that is on disk now."""
    known = [place for place in roots(settings) if place.adapter.agent == agent]
    return (seen for seen in sweep(known, settings.zone) if isinstance(seen, Found) and seen.header.role in _ROLES)


_ROLES: Final = ("main", "archived")


def named_run(agent: str, name: str, zone: str) -> Run | None:
    """Return the run that a log of this name is; null when it is not called like one."""
    match = _RUN_NAME.fullmatch(name) or _RUN_NAME.fullmatch(name.rsplit("/", 1)[-1])
    if match is None:
        return None
    try:
        local = datetime.strptime(match["local"], "%Y%m%d%H%M%S")  # noqa: DTZ007 - local time, read with its zone below
    except ValueError:
        return None
    return Run(name, Loop(agent, match["run_type"]), instants(local, zone))
