"""Whether the logs of some version of an agent grow and say less usage than they did: its format changed."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

from daemon.health.finding import Finding

#: A version that has not grown for so long is one that nobody runs any more.
FORGOTTEN: Final = timedelta(days=7)

#: Other tallies than before; those of retired evidence are gone, and the floor with them.
_WHICH: Final = "SELECT min(seq), max(seq) FROM tallies"

_DRIFTING: Final = """
SELECT
    agent,
    agent_version,
    silent_since,
    silent_until,
    silent_bytes,
    silent_lines,
    silent_unknown_lines,
    silent_turns,
    silent_sources,
    usage_statements
FROM drift
WHERE state = 'drifting'
ORDER BY agent, agent_version
"""


@dataclass(slots=True)
class Drift:
    """Judges each version by all its tallies, which are read when there are others than at the last question."""

    _which: tuple[int | None, ...] | None = None
    _versions: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterable[Finding]:
        """Return a finding for each version whose recognised usage fell below its floor, or never came."""
        which = connection.execute(_WHICH).fetchone()
        if which != self._which:
            self._versions = connection.execute(_DRIFTING).fetchall()
            self._which = which
        after = (now - FORGOTTEN).astimezone(UTC).replace(tzinfo=None)
        for agent, version, since, until, *figures in self._versions:
            if until >= after:
                yield _finding(agent, version, since, *figures)


def _finding(
    agent: str,
    version: str | None,
    since: datetime | None,
    size: int,
    lines: int,
    unknown: int,
    turns: int,
    sources: list[str],
    statements: int,
) -> Finding:
    who = f"{agent} {version}" if version else f"{agent} of an unknown version"
    fell = "less usage is recognised than before" if statements else "no usage was ever recognised"
    files = f", in {', '.join(sources)}" if sources else ""
    message = (
        f"{who}: {fell}: {turns} answers without usage and {unknown} unknown lines among {lines} ({size} bytes){files}"
    )
    return Finding("drift", f"{agent} {version or 'unknown'}", _utc(since), message, next_command(sources))


def next_command(sources: list[str]) -> str:
    """Return the command that shows what is recognised in the first file that can be named in a shell."""
    named = next((source for source in sources if not source.startswith("file://")), None)
    return f"tallystick adapters check {shlex.quote(named)}" if named else "tallystick adapters list"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat(timespec="seconds")
