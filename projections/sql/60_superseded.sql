-- superseded: every statement of usage that does not count, why, and what stands in its place.
-- grain: one statement
-- key: seq
-- unit: -
-- source: superseded_calls, superseded_totals, token_reports, reported_calls, task_fallbacks_doubled
-- refresh: view
--
-- by_seq is null where nothing does: a row of an old table of which nobody used the tokens, or another row has them (not_usage).
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
    if(set_aside = 'withdrawn', 'withdrawn', 'updated') AS reason
FROM token_reports
WHERE rank > 1
UNION ALL
SELECT
    seq,
    CAST(NULL AS BIGINT) AS by_seq,
    'not_usage' AS reason
FROM token_reports
WHERE rank = 1 AND set_aside = 'not_usage'
UNION ALL
SELECT
    seq,
    by_seq,
    'one_per_task' AS reason
FROM task_fallbacks_doubled
UNION ALL
SELECT
    seq,
    logged_seq AS by_seq,
    'in_log' AS reason
FROM reported_calls
WHERE logged_seq IS NOT NULL
