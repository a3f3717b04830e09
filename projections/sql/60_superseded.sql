-- superseded: every statement of measured usage that does not count, why, and what stands in its place.
-- grain: one statement
-- key: seq
-- unit: -
-- source: superseded_calls, superseded_totals, token_reports, reported_calls
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
UNION ALL
SELECT
    seq,
    holding_seq AS by_seq,
    'updated' AS reason
FROM token_reports
WHERE rank > 1
UNION ALL
SELECT
    seq,
    logged_seq AS by_seq,
    'in_log' AS reason
FROM reported_calls
WHERE logged_seq IS NOT NULL
