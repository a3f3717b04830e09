"""
Which totals are other than they were believed to be, and what of the difference has which cause.

A belief is compared with the log up to the same event, counted by today's rules: what differs is the rules'. That is
compared with what is counted later, part by part (`usage_parts`): so the causes add up, or the rest is unexplained.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import duckdb

from projections.beliefs import BELIEVED, TOTALS
from projections.read import Tables
from state.vocabulary import COST

#: What a total states.
FIGURES: Final = ("calls", *BELIEVED)

#: Views that are asked: of a belief's time the first, of a later one all.
ASKED: Final = ("usage_parts", "usage_superseded", "inbox")

Figures = dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Key:
    """Whose total it is; ``day`` is null for calls without a time, ``agent`` for none."""

    day: date | None
    agent: str | None
    measurement: str


@dataclass(frozen=True, slots=True)
class Restated:
    """
    A total that was believed to be ``then`` and is ``now`` another.

    ``believed_at`` (naive UTC), ``rules`` and ``up_to_seq`` are those of the belief; ``now_rules`` and
    ``now_up_to_seq`` of the later one, null where it is what the tables say.
    """

    key: Key
    believed_at: datetime
    rules: str
    up_to_seq: int
    then: Figures
    now: Figures
    now_rules: str | None
    now_up_to_seq: int | None


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Why a part of a difference came about; ``parts`` counts calls, estimates or shares.

    ``cause`` is one of `RestatementCause`, or `unexplained`.
    """

    cause: str
    reason: str | None
    parts: int
    difference: Figures


def minus(now: Figures, then: Figures) -> Figures:
    """Return the difference figure by figure; null where neither side states one."""
    return {name: _minus(now[name], then[name]) for name in FIGURES}


def total(figures: Iterable[Figures]) -> Figures:
    """Return the sum figure by figure; null where none states one."""
    known = list(figures)
    stated = {name: [each[name] or 0 for each in known if each[name] is not None] for name in FIGURES}
    return {name: sum(values) if values else None for name, values in stated.items()}


def is_nothing(figures: Figures) -> bool:
    """Say whether a difference is none."""
    return not any(figures.values())


def _minus(now: int | None, then: int | None) -> int | None:
    return None if now is None and then is None else (now or 0) - (then or 0)


def has_beliefs(tables: Tables, until: datetime | None) -> bool:
    """Say whether anything was stated as believed by then."""
    return bool(tables.rows("SELECT 1 FROM publications WHERE $u IS NULL OR believed_at <= $u LIMIT 1", {"u": until}))


def restated(tables: Tables, since: datetime | None, until: datetime | None) -> list[Restated]:
    """
    Return the totals that are other now, or at *until*, than they were believed to be at *since*; both naive UTC.

    Without *since*, and for a day that had not ended by then, the first belief that covers the day.
    """
    rows = tables.rows(_RESTATED, {"since": since, "until": until})
    return [
        Restated(
            Key(row["day"], row["agent"], row["measurement"]),
            row["believed_at"],
            row["rules"],
            row["up_to_seq"],
            {name: row[f"then_{name}"] for name in FIGURES},
            {name: row[f"now_{name}"] for name in FIGURES},
            row["now_rules"],
            row["now_up_to_seq"],
        )
        for row in rows
    ]


def _on(left: str, right: str) -> str:
    same = (f"{left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in ("day", "agent"))
    return " AND ".join([*same, f"{left}.measurement = {right}.measurement"])


_RESTATED: Final = f"""
    WITH published AS (
        SELECT max(seq) AS seq, believed_at, up_to_seq, rules, ended_before
        FROM publications
        WHERE $until IS NULL OR believed_at <= $until
        GROUP BY believed_at, up_to_seq, rules, ended_before
    ),
    later AS (
        SELECT *
        FROM published
        WHERE $until IS NOT NULL
        ORDER BY seq DESC
        LIMIT 1
    ),
    stated AS (
        SELECT b.*
        FROM beliefs AS b
        WHERE b.seq <= (SELECT max(seq) FROM published)
    ),
    now AS (
        SELECT day, agent, measurement, {", ".join(FIGURES)}
        FROM ({TOTALS.format(parts="usage_parts")})
        WHERE $until IS NULL
        UNION ALL
        (
            SELECT day, agent, measurement, {", ".join(FIGURES)}
            FROM stated
            WHERE $until IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY day, agent, measurement ORDER BY seq DESC) = 1
        )
    ),
    keys AS (
        SELECT day, agent, measurement
        FROM stated
        UNION
        SELECT day, agent, measurement
        FROM now
    ),
    chosen AS (
        SELECT k.*, coalesce(max(p.seq) FILTER (WHERE p.believed_at <= $since), min(p.seq)) AS belief_seq
        FROM keys AS k
        INNER JOIN published AS p ON k.day IS NULL OR k.day < p.ended_before
        GROUP BY ALL
    ),
    then_ AS (
        SELECT c.*, s.* EXCLUDE (day, agent, measurement)
        FROM chosen AS c
        LEFT JOIN stated AS s ON {_on("c", "s")} AND s.seq <= c.belief_seq
        QUALIFY row_number() OVER (PARTITION BY c.day, c.agent, c.measurement ORDER BY s.seq DESC NULLS LAST) = 1
    )
    SELECT
        t.day,
        t.agent,
        t.measurement,
        p.believed_at,
        p.rules,
        p.up_to_seq,
        coalesce(t.calls, 0) AS then_calls,
        {", ".join(f"t.{name} AS then_{name}" for name in BELIEVED)},
        coalesce(n.calls, 0) AS now_calls,
        {", ".join(f"n.{name} AS now_{name}" for name in BELIEVED)},
        (SELECT rules FROM later) AS now_rules,
        (SELECT up_to_seq FROM later) AS now_up_to_seq
    FROM then_ AS t
    INNER JOIN published AS p ON t.belief_seq = p.seq
    LEFT JOIN now AS n ON {_on("t", "n")}
    WHERE
        coalesce(t.calls, 0) <> coalesce(n.calls, 0)
        OR {" OR ".join(f"t.{name} IS DISTINCT FROM n.{name}" for name in BELIEVED)}
    ORDER BY t.day NULLS FIRST, t.agent NULLS FIRST, t.measurement
"""  # noqa: S608 - constants


class Comparison:
    """
    The parts of changed totals, as they are later, beside a connection on which the log is evaluated step by step.

    Args:
        connection: Tables that are brought from belief to belief.
        later: Database file of the tables to compare with.
        changed: The totals that changed.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, later: Path, changed: Iterable[Restated]) -> None:
        self._connection = connection
        name = str(later).replace("'", "''")
        connection.execute(f"ATTACH '{name}' AS later (READ_ONLY)")
        connection.execute(
            "CREATE TEMP TABLE changed (day DATE, agent VARCHAR, measurement VARCHAR, up_to_seq BIGINT, "
            "believed_at TIMESTAMP)"
        )
        for each in changed:
            connection.execute(
                "INSERT INTO changed VALUES (?, ?, ?, ?, ?)",
                [each.key.day, each.key.agent, each.key.measurement, each.up_to_seq, each.believed_at],
            )
        connection.execute("CREATE TEMP TABLE all_later AS SELECT * FROM later.usage_parts")

    def close(self) -> None:
        """Let go of the later tables."""
        self._connection.execute("DETACH later")

    def later_totals(self) -> dict[Key, Figures]:
        """Return what the later tables count for each key, by today's rules."""
        return self._totals("all_later")

    def causes(self, up_to_seq: int) -> tuple[dict[Key, list[Cause]], dict[Key, Figures], dict[Key, Figures]]:
        """
        Return for the beliefs of one commit, which the tables have just reached, the causes of what came later.

        Returns:
            By key: causes that have a part; what is counted by today's rules; and what was retired since.
        """
        for statement in _COMPARED:
            self._connection.execute(statement, {"up_to_seq": up_to_seq} if "$up_to_seq" in statement else None)
        found: dict[Key, list[Cause]] = {}
        for day, agent, measurement, cause, reason, parts, *figures in self._connection.execute(_CAUSES).fetchall():
            difference = dict(zip(FIGURES, figures, strict=True))
            found.setdefault(Key(day, agent, measurement), []).append(Cause(cause, reason, parts, difference))
        return found, self._totals("all_then"), self._retired()

    def _totals(self, table: str) -> dict[Key, Figures]:
        rows = self._connection.execute(TOTALS.format(parts=table)).fetchall()
        return {Key(*row[:3]): dict(zip(FIGURES, row[3:], strict=True)) for row in rows}

    def _retired(self) -> dict[Key, Figures]:
        rows = self._connection.execute(_RETIRED).fetchall()
        return {Key(*row[:3]): dict(zip(FIGURES, row[3:], strict=True)) for row in rows}


#: Measured tokens of the day whose evidence was retired after the belief.
_RETIRED: Final = f"""
    SELECT k.day, k.agent, k.measurement, CAST(sum(r.calls) AS BIGINT) AS calls,
        {", ".join(f"CAST(sum(r.{name}) AS BIGINT)" for name in BELIEVED)}
    FROM keys AS k
    INNER JOIN later.retired AS r
        ON k.day IS NOT DISTINCT FROM r.day AND k.agent IS NOT DISTINCT FROM r.agent AND r.retired_at > k.believed_at
    WHERE k.measurement = 'measured'
    GROUP BY ALL
"""  # noqa: S608 - constants

#: The parts on both sides of the changed totals of one belief: their own, and all of the same calls.
_COMPARED: Final = (
    "CREATE OR REPLACE TEMP TABLE keys AS SELECT * FROM changed WHERE up_to_seq = $up_to_seq",
    "CREATE OR REPLACE TEMP TABLE all_then AS SELECT * FROM usage_parts",
    f"""
    CREATE OR REPLACE TEMP TABLE wanted AS
    SELECT p.source_id FROM all_then AS p INNER JOIN keys AS k ON {_on("p", "k")}
    UNION
    SELECT p.source_id FROM all_later AS p INNER JOIN keys AS k ON {_on("p", "k")}
    """,  # noqa: S608 - constants
    "CREATE OR REPLACE TEMP TABLE then_parts AS SELECT * FROM all_then WHERE source_id IN (FROM wanted)",
    "CREATE OR REPLACE TEMP TABLE now_parts AS SELECT * FROM all_later WHERE source_id IN (FROM wanted)",
    """
    CREATE OR REPLACE TEMP TABLE beaten AS
    SELECT seq, min(reason) AS reason
    FROM later.usage_superseded
    WHERE seq IN (SELECT seq FROM then_parts)
    GROUP BY seq
    """,
    """
    CREATE OR REPLACE TEMP TABLE decided AS
    SELECT
        e.seq,
        bool_and(coalesce(CAST(i.body ->> '$.is_withdrawn' AS BOOLEAN), false)) AS is_withdrawn
    FROM later.inbox AS i
    INNER JOIN later.events AS e
        ON e.receipt = (i.body ->> '$.receipt') AND e.content_hash = (i.body ->> '$.content_hash')
    WHERE i.kind = 'supersession' AND i.seq > $up_to_seq
    GROUP BY e.seq
    """,
    """
    CREATE OR REPLACE TEMP TABLE known AS
    SELECT
        agent,
        source_id,
        bool_or(is_then AND measurement = 'measured') AS was_measured,
        bool_or(NOT is_then AND measurement = 'measured') AS is_measured,
        bool_or(coalesce(rule = 'declared', false)) AS is_declared
    FROM (SELECT *, true AS is_then FROM then_parts UNION ALL BY NAME SELECT *, false AS is_then FROM now_parts)
    GROUP BY agent, source_id
    """,
    f"""
    CREATE OR REPLACE TEMP TABLE paired AS
    SELECT
        t AS then_part,
        n AS now_part,
        t.part IS NOT NULL AS has_then,
        n.part IS NOT NULL AS has_now,
        coalesce(t.measurement, n.measurement) = 'allocated' AS is_share,
        $up_to_seq AS up_to_seq,
        k.was_measured,
        k.is_measured,
        k.is_declared,
        b.reason,
        coalesce(if(n.part IS NULL, NOT d.is_withdrawn, t.part IS NULL AND d.is_withdrawn), false) AS is_decided
    FROM then_parts AS t
    FULL JOIN now_parts AS n
        ON t.measurement = n.measurement AND t.agent IS NOT DISTINCT FROM n.agent AND t.part = n.part
    INNER JOIN known AS k
        ON coalesce(t.source_id, n.source_id) = k.source_id AND coalesce(t.agent, n.agent) IS NOT DISTINCT FROM k.agent
    LEFT JOIN beaten AS b ON t.seq = b.seq
    LEFT JOIN decided AS d ON coalesce(t.seq, n.seq) = d.seq
    WHERE
        NOT coalesce(t.part = n.part, false)
        OR t.day IS DISTINCT FROM n.day
        OR {" OR ".join(f"t.{name} IS DISTINCT FROM n.{name}" for name in BELIEVED)}
    """,  # noqa: S608 - constants
)

#: Both sides state the same tokens: then only what they cost can be another.
_SAME_TOKENS: Final = " AND ".join(
    f"then_part.{name} IS NOT DISTINCT FROM now_part.{name}" for name in BELIEVED if name != COST
)

#: One cause for each pair. Shares of a call that is on both sides change by a decision, or by evidence of whose it is.
_CAUSES: Final = f"""
    WITH caused AS (
        SELECT
            *,
            CASE
                WHEN has_then AND has_now AND {_SAME_TOKENS} AND then_part.seq = now_part.seq
                    AND then_part.day IS NOT DISTINCT FROM now_part.day
                    THEN 'price_book'
                WHEN is_share AND was_measured AND is_measured
                    AND (NOT (has_then AND has_now) OR then_part.seq = now_part.seq)
                    THEN if(is_declared, 'decision', 'attribution')
                WHEN has_then AND has_now AND then_part.day IS DISTINCT FROM now_part.day THEN 'moved'
                WHEN has_then AND has_now AND then_part.seq <> now_part.seq THEN 'superseded'
                WHEN has_then AND has_now THEN 'recounted'
                WHEN has_now AND now_part.seq > up_to_seq THEN 'late'
                WHEN is_decided THEN 'decision'
                WHEN has_now THEN 'recounted'
                WHEN reason IS NOT NULL OR is_share THEN 'superseded'
                ELSE 'gone'
            END AS cause
        FROM paired
    ),
    named AS (
        SELECT
            * EXCLUDE (reason),
            CASE
                WHEN cause = 'decision' THEN if(is_decided, 'supersession', 'allocation')
                WHEN cause = 'superseded' THEN reason
            END AS reason
        FROM caused
    ),
    contributions AS (
        SELECT cause, reason, now_part.*, 1 AS calls, 1 AS sign
        FROM named
        WHERE has_now
        UNION ALL BY NAME
        SELECT cause, reason, then_part.*, -1 AS calls, -1 AS sign
        FROM named
        WHERE has_then
    )
    SELECT
        c.day,
        c.agent,
        c.measurement,
        c.cause,
        c.reason,
        count(DISTINCT c.part) AS parts,
        CAST(sum(c.calls) AS BIGINT) AS calls,
        {", ".join(f"CAST(sum(c.sign * c.{name}) AS BIGINT) AS {name}" for name in BELIEVED)}
    FROM contributions AS c
    INNER JOIN keys AS k ON {_on("c", "k")}
    GROUP BY ALL
    ORDER BY ALL
"""  # noqa: S608 - constants
