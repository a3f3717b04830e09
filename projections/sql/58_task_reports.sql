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
    body ->> '$.workstream_id' AS workstream_id,
    body ->> '$.repo' AS repo,
    body ->> '$.origin' AS origin,
    CAST(body ->> '$.estimated_input_tokens' AS BIGINT) AS estimated_input_tokens,
    CAST(body ->> '$.estimated_output_tokens' AS BIGINT) AS estimated_output_tokens,
    coalesce(CAST(body ->> '$.at' AS TIMESTAMP), created_at) AS stated_at,
    message_key,
    revision,
    producer,
    receipt,
    content_hash
FROM inbox
WHERE kind = 'task'
