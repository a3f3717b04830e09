"""
`sessions.json`: what was measured of the sessions in which an agent called last, beside the published tables.

A status line is asked at every message: it opens no table, and reads this. Only one agent has such a line.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

from state.paths import StatePaths

SCHEMA: Final = "tallystick.session_totals/1"
AGENT: Final = "claude_code"
#: Sessions that are told, those that called last; more are not worked on at once.
SESSIONS_MAX: Final = 100
#: An id of a session is a few dozen characters; a file of more bytes than these is none of ours.
_BYTES_MAX: Final = 64 * 1024

_LAST: Final = """
    SELECT
        session_id,
        CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
        CAST(count(*) FILTER (WHERE is_incomplete) AS BIGINT) AS incomplete_calls
    FROM usage_measured
    WHERE agent = ? AND length(session_id) <= 128
    GROUP BY session_id
    ORDER BY max(called_at) DESC NULLS LAST, session_id
    LIMIT ?
"""


class SessionTotal(NamedTuple):
    """What was measured of one session: tokens, a lower bound where calls are incomplete."""

    total_tokens: int
    incomplete_calls: int


def write_session_totals(connection: Any, paths: StatePaths) -> None:  # noqa: ANN401 - who reads imports no database
    """
    Say it anew, of the tables that *connection* leads to.

    Raises:
        duckdb.Error: They cannot be asked.
        DiskFull, LogIoError, StateUnusable: It cannot be written; what was there before stays.
    """
    from state.files import publish

    rows = connection.execute(_LAST, [AGENT, SESSIONS_MAX]).fetchall()
    document = {"schema": SCHEMA, "agent": AGENT, "sessions": {name: total for name, *total in rows}}
    content = json.dumps(document, indent=1).encode() + b"\n"
    publish(paths.temporary / paths.session_totals.name, paths.session_totals, [content])


def session_total(paths: StatePaths, session: str) -> SessionTotal | None:
    """Return what was measured of a session when tables were published last; null where that is not known."""
    try:
        known = json.loads(_content(paths.session_totals))
        total, incomplete = known["sessions"][session]
        is_ours = known["schema"] == SCHEMA and all(type(each) is int and each >= 0 for each in (total, incomplete))
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return SessionTotal(total, incomplete) if is_ours else None


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # nobody answers a pipe
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_BYTES_MAX) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
