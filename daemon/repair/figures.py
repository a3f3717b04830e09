"""The figures that hang on which log a claim points at, and which of them moved."""

from collections.abc import Iterator
from typing import Any, Final

from daemon.repair.outlook import Outlook
from projections.read import Tables

_COUNTED: Final = ("calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "total_tokens")

_OF_LOGS: Final = """
WITH logs AS MATERIALIZED (
    SELECT
        c.source AS claim_source, c.claim_key, c.session_id, c.agent, c.run_type, c.category,
        CAST(coalesce(c.started_at, c.recorded_at) AS DATE) AS day,
        t.calls, t.input_tokens, t.cache_read_tokens, t.cache_write_tokens, t.output_tokens,
        t.input_tokens + coalesce(t.cache_read_tokens, 0) + coalesce(t.cache_write_tokens, 0) + t.output_tokens
            AS total_tokens
    FROM claims AS c
    LEFT JOIN trajectories AS t ON c.trajectory_source = t.source
),
figures AS (
    SELECT 'session' AS figure, session_id || ' ' || claim_source || ' ' || claim_key AS of, * FROM logs
    UNION ALL BY NAME
    SELECT 'day' AS figure, coalesce(CAST(day AS VARCHAR), '-') AS of, * FROM logs
    UNION ALL BY NAME
    SELECT 'run_type' AS figure, coalesce(run_type, '-') AS of, * FROM logs
    UNION ALL BY NAME
    SELECT 'category' AS figure, coalesce(category, '-') AS of, * FROM logs
    UNION ALL BY NAME
    SELECT 'agent' AS figure, coalesce(agent, '-') AS of, * FROM logs
)
SELECT
    figure, of, any_value(session_id) AS session_id,
    CAST(sum(calls) AS BIGINT) AS calls, CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens, CAST(sum(total_tokens) AS BIGINT) AS total_tokens
FROM figures
GROUP BY figure, of
ORDER BY figure, of
"""

#: Value by what it is of, and its name.
Figures = dict[tuple[str, str, str], int | None]


def figures(tables: Tables, outlook: Outlook) -> Figures:
    """Return tokens of the logs that claims point at, by session, day, run type, category and agent; and findings."""
    read: Figures = {}
    for row in tables.rows(_OF_LOGS):
        read |= {(row["figure"], row["of"], name): row[name] for name in _COUNTED}
    return read | {("rule", rule, "findings"): count for rule, count in outlook.counts().items()}


def moved(before: Figures, after: Figures) -> Iterator[dict[str, Any]]:
    """Yield each figure that is another one now; null where nothing is measured, zero for no finding."""
    for key in sorted({*before, *after}):
        figure, of, name = key
        none = 0 if figure == "rule" else None
        old, new = before.get(key, none), after.get(key, none)
        if old != new:
            yield {"figure": figure, "of": of.split(" ")[0], "name": name, "before": old, "after": new}
