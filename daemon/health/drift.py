"""Whether the logs of some version of an agent grow and say less usage than they did: its format changed."""

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb

from daemon.health.finding import Finding

#: A version that has not grown for so long is one that nobody runs any more.
FORGOTTEN: Final = timedelta(days=7)

_DRIFTING: Final = """
SELECT
    agent,
    agent_version,
    silent_since,
    silent_bytes,
    silent_lines,
    silent_unknown_lines,
    silent_turns,
    silent_sources,
    usage_statements
FROM drift
WHERE state = 'drifting' AND silent_until >= ?
ORDER BY agent, agent_version
"""


def drifting(connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterable[Finding]:
    """Return a finding for each version whose recognised usage fell below its floor, or never came."""
    after = (now - FORGOTTEN).astimezone(UTC).replace(tzinfo=None)
    for agent, version, since, size, lines, unknown, turns, sources, statements in connection.execute(
        _DRIFTING, [after]
    ).fetchall():
        who = f"{agent} {version}" if version else f"{agent} of an unknown version"
        fell = "less usage is recognised than before" if statements else "no usage was ever recognised"
        files = f", in {', '.join(sources)}" if sources else ""
        message = (
            f"{who}: {fell}: {turns} answers without usage and {unknown} unknown lines among {lines} "
            f"({size} bytes){files}"
        )
        yield Finding("drift", f"{agent} {version or 'unknown'}", _utc(since), message, next_command(sources))


def next_command(sources: list[str]) -> str:
    """Return the command that shows what is recognised in the first file that can be named in a shell."""
    named = next((source for source in sources if not source.startswith("file://")), None)
    return f"tallystick adapters check {shlex.quote(named)}" if named else "tallystick adapters list"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat(timespec="seconds")
