"""What the published tables say of everything that is not as good as a measured call of a known repository."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from projections.read import Tables, plain

#: States of `fallbacks` in which an estimate is part of usage_estimated.
_COUNTING: Final = ("counted", "leaked", "kept")


@dataclass(frozen=True, slots=True)
class Counted:
    """
    Numbers of the tables, each with the rows behind it where they are few.

    Args:
        source_ids: Ids of measured calls.
        counted_twice: Of which are more than one row; 0 unless a rule of ours is broken.
        disagreeing: Ids under which programs reported other tokens than one another.
        fallbacks: Estimates that completed tasks and old callers left, by what became of them.
        leaked: Those that count beside a measurement of the same, and of which nobody has decided anything.
        superseded: Statements that do not count, by reason.
        unattributed_sessions: Sessions with tokens of no repository.
        unattributed_tokens: Those tokens; null where there are none.
        without_provenance: Reports that name no source.
        flatline_days: Days with signs of work and without a token.
    """

    source_ids: int
    counted_twice: int
    disagreeing: int
    fallbacks: dict[str, int]
    leaked: list[dict[str, Any]]
    superseded: dict[str, int]
    unattributed_sessions: int
    unattributed_tokens: int | None
    without_provenance: int
    flatline_days: list[dict[str, Any]]

    @property
    def fallback_events(self) -> int:
        """All fallbacks, superseded ones too."""
        return sum(self.fallbacks.values())

    @property
    def counting_fallbacks(self) -> int:
        """Those that are part of what is estimated."""
        return sum(self.fallbacks.get(state, 0) for state in _COUNTING)

    @property
    def superseded_rows(self) -> int:
        """All statements that do not count."""
        return sum(self.superseded.values())

    @property
    def duplicates(self) -> int:
        """Source ids that are wrong in one way or the other."""
        return self.counted_twice + self.disagreeing

    def document(self) -> dict[str, Any]:
        """Return what is shown of it, by part."""
        return {
            "duplicates": {
                "source_ids": self.source_ids,
                "counted_twice": self.counted_twice,
                "disagreeing": self.disagreeing,
            },
            "fallbacks": {
                "events": self.fallback_events,
                "counting": self.counting_fallbacks,
                **{state: self.fallbacks.get(state, 0) for state in _STATES},
                "leaked_rows": plain(self.leaked),
            },
            "superseded": {"rows": self.superseded_rows, "by_reason": self.superseded},
            "unattributed": {"sessions": self.unattributed_sessions, "total_tokens": self.unattributed_tokens},
            "without_provenance": self.without_provenance,
            "flatline_days": plain(self.flatline_days),
        }


_STATES: Final = ("measured_since", "operator_decision", "leaked", "kept", "counted")


def count(tables: Tables, since: datetime | None, canary_events: int) -> Counted:
    """
    Ask the tables.

    Args:
        tables: The published ones.
        since: Only what happened from then on, aware; null for everything. What is on no day counts always.
        canary_events: So many signs of work without a token make a day a flatline.
    """
    start = None if since is None else since.replace(tzinfo=None)

    def rows(query: str, **more: object) -> list[dict[str, Any]]:
        return tables.rows(query, {"since": start, **more})

    superseded = "superseded_rows" if "superseded_rows" in tables.settled else "usage_superseded"
    calls, unattributed, fallbacks = rows(_SOURCE_IDS)[0], rows(_UNATTRIBUTED)[0], rows(_FALLBACKS)
    return Counted(
        source_ids=calls["source_ids"],
        counted_twice=calls["counted_twice"],
        disagreeing=rows(_DISAGREEING)[0]["source_ids"],
        fallbacks={row["state"]: row["rows"] for row in fallbacks},
        leaked=[each for row in fallbacks if row["state"] == "leaked" for each in row["named"]],
        superseded={row["reason"]: row["rows"] for row in rows(_SUPERSEDED.format(table=superseded))},
        unattributed_sessions=unattributed["sessions"],
        unattributed_tokens=unattributed["total_tokens"],
        without_provenance=rows(_WITHOUT_PROVENANCE)[0]["reports"],
        flatline_days=rows(_FLATLINES, canary_events=canary_events),
    )


_SOURCE_IDS: Final = """
WITH ids AS (
    SELECT
        agent,
        source_id,
        count(*) AS rows
    FROM usage_measured
    WHERE coalesce(called_at >= $since, true)
    GROUP BY ALL
)
SELECT
    count(*) AS source_ids,
    count(*) FILTER (WHERE rows > 1) AS counted_twice
FROM ids
"""

# A session only grows: another total of the same program is its next state, another program's is another opinion.
_DISAGREEING: Final = """
WITH stated AS (
    SELECT
        identity,
        producer,
        measurement,
        arg_max(
            concat_ws('/', input_tokens, cache_read_tokens, cache_write_tokens, output_tokens), (revision, content_hash)
        ) AS tokens
    FROM token_reports
    WHERE source_id IS NOT NULL AND coalesce(used_at >= $since, true)
    GROUP BY ALL
),
told AS (
    SELECT identity
    FROM stated
    GROUP BY identity, measurement
    HAVING count(DISTINCT tokens) > 1
)
SELECT count(DISTINCT identity) AS source_ids
FROM told
"""

# Of those that leaked, who they are: asked at once, as each question to estimates costs as much as all others together.
_FALLBACKS: Final = """
SELECT
    state,
    count(*) AS rows,
    list(struct_pack(
        seq := seq,
        receipt := receipt,
        source_class := source_class,
        agent := agent,
        session_id := session_id,
        task_id := task_id,
        called_at := called_at,
        beside_seq := beside_seq,
        beside_source_id := beside_source_id
    ) ORDER BY seq) FILTER (WHERE state = 'leaked') AS named
FROM fallbacks
WHERE coalesce(called_at >= $since, true)
GROUP BY state
"""

_SUPERSEDED: Final = """
SELECT
    reason,
    count(*) AS rows
FROM {table}
WHERE coalesce(source_created_at >= $since, true)
GROUP BY reason
ORDER BY reason
"""

_UNATTRIBUTED: Final = """
SELECT
    count(DISTINCT concat_ws('|', agent, session_id)) AS sessions,
    CAST(sum(total_tokens) AS BIGINT) AS total_tokens
FROM unattributed
WHERE coalesce(last_call_at >= $since, true)
"""

_WITHOUT_PROVENANCE: Final = """
SELECT count(*) AS reports
FROM token_reports
WHERE rank = 1 AND source_id IS NULL AND coalesce(used_at >= $since, true)
"""

_FLATLINES: Final = """
SELECT
    agent,
    day,
    tasks,
    activities,
    commits,
    silent_tallies,
    measured_tokens
FROM flatlines
WHERE
    is_flatline
    AND tasks + activities + commits + silent_tallies >= $canary_events
    AND coalesce(day >= CAST($since AS DATE), true)
ORDER BY day, agent NULLS FIRST
"""
