-- expectations: whether a log that a harness expected under an exact name was there, as it was found last.
-- grain: one name of one agent
-- key: seq
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- looked_at is when it was looked for as the producer says, else when that was written.
SELECT
    seq,
    body ->> '$.agent' AS agent,
    body ->> '$.name' AS name,
    CAST(body ->> '$.is_found' AS BOOLEAN) AS is_found,
    coalesce(CAST(body ->> '$.at' AS TIMESTAMP), created_at) AS looked_at,
    message_key,
    producer,
    receipt
FROM inbox
WHERE kind = 'expectation'
