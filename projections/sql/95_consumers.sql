-- consumers: who goes by our tables, as registered: readers, and copies that were taken once.
-- grain: one registration
-- key: seq
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- up_to_seq is the last event that was in a copy; of a reader, the one from which on it reads. since and until bound the rows it uses.
SELECT
    seq,
    message_key,
    body ->> '$.consumer' AS consumer,
    coalesce(body ->> '$.how', 'reader') AS how,
    body ->> '$.table' AS table_name,
    CAST(body ->> '$.up_to_seq' AS BIGINT) AS up_to_seq,
    CAST(body ->> '$.since' AS TIMESTAMP) AS since,
    CAST(body ->> '$.until' AS TIMESTAMP) AS until,
    coalesce(CAST(body ->> '$.at' AS TIMESTAMP), created_at) AS read_at
FROM inbox
WHERE kind = 'consumption' AND NOT coalesce(CAST(body ->> '$.is_withdrawn' AS BOOLEAN), false)
