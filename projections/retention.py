"""
Which old evidence can be retired without changing any number that remains, and what it came to.

A log can begin at a segment if no call, no thread and no message has statements on both sides of its first event: a
call is folded from all its statements, a thread's totals from all before them, a child's from those of its ancestors,
and of the messages of a key the greatest revision holds. What is stated again after its evidence has gone is measured
again: retire nothing that agents still write to or copy from.

What says whose tokens are (registrations, declarations, reports of tasks, checkouts, rules) is small and goes on saying
it: those events stay, in the tombstone. What was believed of them stays too, and by which rates they are priced.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import duckdb

from projections.build import Projection, ProjectionUnusable
from state.head import Mark
from state.paths import StatePaths
from state.read import event_lines, slices
from state.retention import Limit, boundaries, retire
from state.tombstones import RETIRED_CLASSES, Tombstone, Total

#: Kinds of events that stay when their segments go.
KEPT: Final = ("allocation", "checkout", "git_commit", "published", "rates", "repo", "rules", "task", "task_named")
_KEPT_LINE: Final = re.compile(rf'\{{"q":\d+,"k": ?"(?:{"|".join(KEPT)})"'.encode())

#: From the first to the last event that must stay together.
_SPANS: Final = """
    CREATE OR REPLACE TEMP TABLE spans AS
    WITH threads AS (
        SELECT
            agent,
            unnest([source_session_id, session_id]) AS thread_id,
            seq
        FROM events
        WHERE
            kind IN ('session', 'turn')
            OR (kind = 'usage' AND (basis = 'counter' OR witness IN ('ledger', 'ledger_copy')))
    ),
    thread_spans AS (
        SELECT agent, thread_id, min(seq) AS first_seq, max(seq) AS last_seq
        FROM threads
        WHERE thread_id IS NOT NULL
        GROUP BY agent, thread_id
    )
    SELECT first_seq, last_seq
    FROM thread_spans
    UNION ALL
    SELECT least(c.first_seq, a.first_seq), greatest(c.last_seq, a.last_seq)
    FROM lineage AS l
    INNER JOIN thread_spans AS c ON l.agent = c.agent AND l.thread_id = c.thread_id
    INNER JOIN thread_spans AS a ON l.agent = a.agent AND l.ancestor_id = a.thread_id
    UNION ALL
    SELECT min(seq), max(seq)
    FROM events
    WHERE kind = 'usage' AND source_id IS NOT NULL
    GROUP BY agent, source_id
    UNION ALL
    SELECT min(seq), max(seq)
    FROM events
    WHERE kind = 'hidden_call'
    GROUP BY agent, coalesce(line_id, line_hash)
    UNION ALL
    SELECT min(seq), max(seq)
    FROM token_reports
    GROUP BY identity
    UNION ALL
    SELECT least(seq, logged_seq), greatest(seq, logged_seq)
    FROM reported_calls
    WHERE logged_seq IS NOT NULL
    UNION ALL
    SELECT min(seq), max(seq)
    FROM events
    WHERE content_hash IS NOT NULL AND kind NOT IN ('allocation', 'repo', 'task')
    GROUP BY kind, message_key, CASE WHEN message_key IS NULL THEN receipt || content_hash END
"""

_STRADDLES: Final = "SELECT count(*) FROM spans WHERE first_seq < ? AND last_seq >= ?"

_TOTALS: Final = f"""
    SELECT
        agent,
        CAST(called_at AS DATE) AS day,
        model,
        count(*) AS calls,
        count_if(is_incomplete) AS incomplete_calls,
        {", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in RETIRED_CLASSES)}
    FROM costs
    WHERE value_seq < ?
    GROUP BY agent, CAST(called_at AS DATE), model
    ORDER BY agent, day, model
"""  # noqa: S608 - names from constants


def retire_old(
    projection: Projection,
    paths: StatePaths,
    closed_before: datetime,
    clock: Callable[[], datetime],
    marks: Iterable[Mark] = (),
) -> Tombstone | None:
    """
    Retire as much as may go of what was closed by then, and make the tables anew from what remains.

    The caller publishes the tables afterwards: those that were published still hold what went.

    Args:
        projection: The writer's own tables.
        paths: The state directory.
        closed_before: Segments that were closed later stay; aware.
        clock: Aware time of day.
        marks: How far everything else has read the log.

    Returns:
        None when nothing may go.

    Raises:
        LogBroken: The log or a tombstone is damaged; nothing was changed.
        DiskFull: There is no room for the tombstone; nothing was changed.
        StateUnusable, LogIoError: The log cannot be read or written.
        ProjectionUnusable: The database failed; the next refresh makes it anew.
    """
    projection.refresh(paths.log_directory)
    mark = projection.mark()
    if mark is None:
        return None
    limit = Limit(closed_before, (mark, *marks))
    try:
        first_kept_seq = greatest_boundary(projection.connection, boundaries(paths.log_directory, limit))
        totals = totals_before(projection.connection, first_kept_seq or 0)
    except duckdb.Error as error:
        raise ProjectionUnusable(kind=type(error).__name__) from None
    if first_kept_seq is None:
        return None
    tombstone = retire(paths, first_kept_seq, limit, totals, clock, _kept(paths, first_kept_seq))
    projection.refresh(paths.log_directory)
    return tombstone


def _kept(paths: StatePaths, first_kept_seq: int) -> list[str]:
    """Return the lines before *first_kept_seq* that stay."""
    parts = (part for part in slices(paths.log_directory) if part.first_seq < first_kept_seq)
    return [line.decode("ascii") for part in parts for line in event_lines(part) if _KEPT_LINE.match(line)]


def greatest_boundary(connection: duckdb.DuckDBPyConnection, allowed: Sequence[int]) -> int | None:
    """Return the greatest of *allowed* that parts no call, thread, lineage or message; null when there is none."""
    connection.execute(_SPANS)
    for seq in sorted(allowed, reverse=True):
        if connection.execute(_STRADDLES, [seq, seq]).fetchall() == [(0,)]:
            return seq
    return None


def totals_before(connection: duckdb.DuckDBPyConnection, first_kept_seq: int) -> list[Total]:
    """Return measured usage of the calls stated before *first_kept_seq*, per agent, day (UTC) and model."""
    rows = connection.execute(_TOTALS, [first_kept_seq]).fetchall()
    return [
        Total(
            agent=agent,
            day=day,
            model=model,
            calls=calls,
            incomplete_calls=incomplete_calls,
            tokens=dict(zip(RETIRED_CLASSES, tokens, strict=True)),
        )
        for agent, day, model, calls, incomplete_calls, *tokens in rows
    ]
