"""
Whether an agent works and not one token of it is measured.

A sign of work is covered when tokens of its agent were measured since a window before it: a task is reported, and a
commit made, after the work. A sign that stays uncovered for a third of a window is a flatline, until tokens are
measured again or a day has passed. What an agent says itself is proof of its work. A commit and an operator's report
may be anybody's: they are proof while files of the agent grow, else a hint; so are files that keep growing without
anything in them that should be counted. A hint alone makes a warning, for as long as a window.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

from daemon.health.finding import Finding

#: So long a flatline is told after its last sign of work.
REMEMBERED: Final = timedelta(days=1)

#: Where the time begins that is looked at: what was read before it costs nothing.
_FIRST: Final = "SELECT min(seq) FROM events WHERE ingested_at >= ?"

#: Signs of work that no tokens cover, by agent.
_UNCOVERED: Final = """
WITH recent AS (
    SELECT
        kind,
        body ->> '$.agent' AS agent,
        body ->> '$.origin' AS origin,
        body ->> '$.what' AS what,
        body ->> '$.top_path' AS top_path,
        least(
            coalesce(
                CAST(coalesce(body ->> '$.at', body ->> '$.committed_at') AS TIMESTAMP), source_created_at, ingested_at
            ),
            ingested_at
        ) AS happened_at
    FROM events
    WHERE seq >= $first_seq AND kind IN ('task', 'activity', 'git_commit')
),
growth AS (
    SELECT
        agent,
        since,
        told_at,
        signs
    FROM tallies
    WHERE seq >= $first_seq AND NOT is_history
),
at_home AS (
    SELECT DISTINCT
        c.top_path,
        e.agent
    FROM recent AS c
    INNER JOIN events AS e ON e.cwd = c.top_path OR starts_with(e.cwd, c.top_path || '/')
    WHERE c.kind = 'git_commit' AND e.seq >= $first_seq AND e.agent IS NOT NULL
),
first_hand AS (
    SELECT
        agent,
        happened_at,
        kind
    FROM recent
    WHERE
        (kind = 'task' AND coalesce(origin NOT IN ('operator', 'bulk_import'), true))
        OR (kind = 'activity' AND what IN ('turn_started', 'turn_ended', 'compacted'))
    UNION ALL
    SELECT
        agent,
        since AS happened_at,
        'growth' AS kind
    FROM growth
    WHERE signs > 0
),
second_hand AS (
    SELECT
        h.agent,
        c.happened_at,
        c.kind
    FROM recent AS c
    INNER JOIN at_home AS h ON c.top_path = h.top_path
    WHERE c.kind = 'git_commit'
    UNION ALL
    SELECT
        agent,
        happened_at,
        kind
    FROM recent
    WHERE kind = 'task' AND origin = 'operator'
),
growing AS (
    SELECT agent
    FROM growth
    WHERE told_at >= $hint_at
    GROUP BY agent
    HAVING max(told_at) - min(since) >= $window / 3
),
second_hand_signs AS (
    SELECT
        s.*,
        EXISTS (
            SELECT 1
            FROM growth AS g
            WHERE
                g.agent = s.agent
                AND s.happened_at - $window <= g.told_at
                AND s.happened_at + $window >= g.since
        ) AS is_proof
    FROM second_hand AS s
),
signs AS (
    SELECT
        *,
        kind <> 'growth' AS is_proof
    FROM first_hand
    UNION ALL
    SELECT
        agent,
        happened_at,
        kind,
        is_proof
    FROM second_hand_signs
    WHERE is_proof OR happened_at >= $hint_at
    UNION ALL
    SELECT
        g.agent,
        g.since AS happened_at,
        'growth' AS kind,
        false AS is_proof
    FROM growth AS g
    SEMI JOIN growing AS o ON g.agent = o.agent
    WHERE g.signs = 0 AND g.since >= $hint_at
),
counted AS (
    SELECT
        agent,
        value_seq
    FROM calls
    WHERE value_seq >= $first_seq AND coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0
    UNION ALL
    SELECT
        agent,
        value_seq
    FROM thread_calls
    WHERE value_seq >= $first_seq AND coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0
    UNION ALL
    SELECT
        body ->> '$.agent' AS agent,
        seq AS value_seq
    FROM events
    WHERE seq >= $first_seq AND kind = 'token_event' AND (body ->> '$.measurement') = 'measured'
),
measured AS (
    SELECT
        c.agent,
        max(e.ingested_at) AS measured_at
    FROM counted AS c
    INNER JOIN events AS e ON c.value_seq = e.seq
    WHERE e.seq >= $first_seq
    GROUP BY c.agent
),
covers AS (
    SELECT
        agent,
        measured_at
    FROM measured
    UNION ALL
    SELECT
        CAST(NULL AS VARCHAR) AS agent,
        max(measured_at) AS measured_at
    FROM measured
)
SELECT
    s.agent,
    min(s.happened_at) AS since,
    count_if(s.kind = 'task') AS tasks,
    count_if(s.kind = 'activity') AS activities,
    count_if(s.kind = 'git_commit') AS commits,
    count_if(s.kind = 'growth') AS tallies,
    bool_or(s.is_proof) AS is_proven
FROM signs AS s
LEFT JOIN covers AS m ON s.agent IS NOT DISTINCT FROM m.agent
WHERE
    s.happened_at >= $from_at
    AND s.happened_at <= $settled_at
    AND coalesce(m.measured_at < s.happened_at - $window, true)
GROUP BY s.agent
ORDER BY s.agent
"""


def flatlines(
    window_seconds: int, canary_events: int
) -> Callable[[duckdb.DuckDBPyConnection, datetime], Iterable[Finding]]:
    """Return the judge: so many signs of work without a token are a flatline."""
    window = timedelta(seconds=window_seconds)

    def judge(connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterable[Finding]:
        for agent, since, tasks, activities, commits, tallies, is_proven in _uncovered(connection, window, now):
            counts = {"tasks": tasks, "activities": activities, "commits": commits, "tallies of growing files": tallies}
            if sum(counts.values()) >= canary_events:
                yield _finding(agent, since, counts, is_proven=is_proven)

    return judge


def _uncovered(connection: duckdb.DuckDBPyConnection, window: timedelta, now: datetime) -> list[tuple[Any, ...]]:
    """Return per agent since when it works without a token, and how many signs of each kind say so."""
    now_at = now.astimezone(UTC).replace(tzinfo=None)
    from_at = now_at - REMEMBERED
    first = connection.execute(_FIRST, [from_at - window]).fetchone()
    if first is None or first[0] is None:
        return []  # nothing was read for a day
    asked = {"first_seq": first[0], "from_at": from_at, "settled_at": now_at - window / 3, "window": window}
    asked["hint_at"] = now_at - window
    return connection.execute(_UNCOVERED, asked).fetchall()


def _finding(agent: str | None, since: datetime, counts: dict[str, int], *, is_proven: bool) -> Finding:
    """Return the finding; what may be somebody else's, and files that grow, are less than proof that an agent works."""
    signs = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return Finding(
        "flatline",
        agent,
        since.replace(tzinfo=UTC).isoformat(timespec="seconds"),
        f"{agent or 'this host'} works ({signs}) and no token was measured since",
        "tallystick adapters list",
        None if is_proven else "warning",
    )
