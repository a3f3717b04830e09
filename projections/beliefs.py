"""What was believed, and what of today's totals is other than what was stated last."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import duckdb

#: What a total states, beside its calls.
BELIEVED: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "total_tokens",
    "cost_usd_micros",
)


#: Totals by day (UTC), agent and class; never add classes.
TOTALS: Final = f"""
    SELECT
        day,
        agent,
        measurement,
        count(*) AS calls,
        {", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in BELIEVED)}
    FROM {{parts}}
    GROUP BY day, agent, measurement
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Publication:
    """The last time that totals were stated; ``believed_at`` is naive UTC."""

    believed_at: datetime
    up_to_seq: int


def last_publication(connection: duckdb.DuckDBPyConnection) -> Publication | None:
    """Return when totals were stated last; null when they never were."""
    row = connection.execute("SELECT believed_at, up_to_seq FROM publications ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else Publication(*row)


def first_commit(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return when the log began, naive UTC; null for one without commits."""
    (begun_at,) = connection.execute("SELECT arg_min(committed_at, first_seq) FROM commits").fetchall()[0]
    return begun_at if isinstance(begun_at, datetime) else None


def unstated(connection: duckdb.DuckDBPyConnection, ended_before: date) -> list[dict[str, Any]]:
    """
    Return the totals of days before *ended_before*, and of no day, that are other than they were stated last.

    A total that was stated and is nothing any more has zero calls, and null in each class of tokens.
    """
    cursor = connection.execute(_UNSTATED, {"ended_before": ended_before})
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


#: The total of each key that was stated last.
LAST_STATED: Final = """
    SELECT *
    FROM beliefs
    WHERE {condition}
    QUALIFY row_number() OVER (PARTITION BY day, agent, measurement ORDER BY seq DESC) = 1
"""

_SAME_KEY: Final = """
    n.day IS NOT DISTINCT FROM s.day
    AND n.agent IS NOT DISTINCT FROM s.agent
    AND n.measurement = s.measurement
"""

_UNSTATED: Final = f"""
    WITH stated AS ({LAST_STATED.format(condition="coalesce(day < $ended_before, true)")}),
    now AS (
        SELECT *
        FROM ({TOTALS.format(parts="usage_parts")})
        WHERE coalesce(day < $ended_before, true)
    )
    SELECT
        CAST(coalesce(n.day, s.day) AS VARCHAR) AS day,
        coalesce(n.agent, s.agent) AS agent,
        coalesce(n.measurement, s.measurement) AS measurement,
        coalesce(n.calls, 0) AS calls,
        {", ".join(f"n.{name}" for name in BELIEVED)}
    FROM now AS n
    FULL JOIN stated AS s ON {_SAME_KEY}
    WHERE
        coalesce(n.calls, 0) <> coalesce(s.calls, 0)
        OR {" OR ".join(f"n.{name} IS DISTINCT FROM s.{name}" for name in BELIEVED)}
    ORDER BY day NULLS FIRST, agent NULLS FIRST, measurement
"""  # noqa: S608 - constants
