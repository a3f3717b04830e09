-- task_fallbacks_doubled: fallbacks of an old table whose task has one of its own here: one for each task is enough.
-- grain: one report that holds
-- key: seq
-- unit: -
-- source: token_reports, task_fallbacks
-- refresh: view
SELECT
    r.seq,
    f.seq AS by_seq
FROM token_reports AS r
INNER JOIN task_fallbacks AS f ON r.task_id = f.task_id
WHERE r.legacy_class = 'task_fallback' AND r.rank = 1 AND r.set_aside IS NULL
