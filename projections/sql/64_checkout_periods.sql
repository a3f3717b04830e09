-- checkout_periods: from when to when a directory is taken for what it was seen to be.
-- grain: one look that found the directory readable and there
-- key: seq
-- unit: times in UTC
-- source: checkouts
-- refresh: view
--
-- What was seen first also holds for the time before: from_at is then null, and first_seen_at tells how much later that was. A
-- directory that is gone stays what it last was.
SELECT
    * EXCLUDE (seen_at),
    seen_at AS first_seen_at,
    CASE WHEN lag(seq) OVER (PARTITION BY cwd ORDER BY seen_at, seq) IS NOT NULL THEN seen_at END AS from_at,
    lead(seen_at) OVER (PARTITION BY cwd ORDER BY seen_at, seq) AS until_at
FROM checkouts
WHERE state IN ('present', 'none')
