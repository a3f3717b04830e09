-- superseded: every usage statement that does not count, why, and what stands in its place.
-- grain: one statement
-- key: seq
-- unit: -
-- source: superseded_calls, superseded_totals
-- refresh: view
SELECT
    seq,
    by_seq,
    reason
FROM superseded_calls
UNION ALL
SELECT
    seq,
    by_seq,
    reason
FROM superseded_totals
