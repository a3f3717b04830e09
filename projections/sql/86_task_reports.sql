-- task_reports: what was reported of tasks, each key's newest revision.
-- grain: one key, or one report without a key
-- key: seq
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- stated_at is since when the status holds as the producer says, else when the report was written.
SELECT
    seq,
    body ->> '$.task_id' AS task_id,
    body ->> '$.status' AS status,
    body ->> '$.agent' AS agent,
    body ->> '$.session_id' AS session_id,
    coalesce(CAST(body ->> '$.at' AS TIMESTAMP), created_at) AS stated_at,
    message_key,
    revision,
    producer,
    receipt
FROM inbox
WHERE kind = 'task'
