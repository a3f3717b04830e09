-- commits: every batch that became durable, with the log's hash after it.
-- grain: one commit
-- key: log_id, head_hash
-- unit: events in whole numbers, times in UTC
-- source: committed (commit lines of the log)
-- refresh: append
--
-- "Now" inside the tables is the time of the last commit: the tables of a log do not depend on when they are read.
SELECT
    log_id,
    s AS first_seq,
    n AS event_count,
    t AS committed_at,
    boot AS boot_id,
    h AS head_hash
FROM committed
WHERE k = 'commit'
ORDER BY line
