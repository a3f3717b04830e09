-- declared_allocations: what operators declared about whose tokens they are, each key's newest revision.
-- grain: one declaration
-- key: seq
-- unit: thousandths, times in UTC
-- source: inbox
-- refresh: view
--
-- A declaration names a session or a call, and a task, a workstream or neither; one that was withdrawn is not here.
SELECT
    seq,
    body ->> '$.session_id' AS session_id,
    body ->> '$.source_id' AS source_id,
    body ->> '$.agent' AS agent,
    CAST(body ->> '$.since' AS TIMESTAMP) AS since,
    CAST(body ->> '$.until' AS TIMESTAMP) AS until,
    body ->> '$.task_id' AS task_id,
    body ->> '$.workstream_id' AS workstream_id,
    CAST(body ->> '$.permille' AS BIGINT) AS permille,
    message_key,
    revision,
    producer,
    receipt,
    content_hash
FROM inbox
WHERE kind = 'allocation' AND NOT coalesce(CAST(body ->> '$.is_withdrawn' AS BOOLEAN), false)
