-- logs: which log these tables were built from, and on which host it is written.
-- grain: one log
-- key: log_id
-- unit: -
-- source: committed (header lines of segments)
-- refresh: replace log_id
SELECT DISTINCT
    log AS log_id,
    host
FROM committed
WHERE k = 'hdr'
