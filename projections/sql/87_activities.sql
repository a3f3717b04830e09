-- activities: what agents were reported to do, without saying on what.
-- grain: one report
-- key: seq
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- happened_at is when it happened as the producer says, else when the report was written.
SELECT
    seq,
    body ->> '$.agent' AS agent,
    body ->> '$.session_id' AS session_id,
    body ->> '$.what' AS what,
    coalesce(CAST(body ->> '$.at' AS TIMESTAMP), created_at) AS happened_at,
    producer,
    receipt
FROM inbox
WHERE kind = 'activity'
