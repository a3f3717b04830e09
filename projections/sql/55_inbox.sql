-- inbox: what holds of what came through the inbox: per key the message with the greatest revision.
-- grain: one key of one kind, or one message without a key
-- key: seq
-- unit: times in UTC
-- source: ranked_messages
-- refresh: view
--
-- superseded_count is how many other messages there were of the same key; they stand in inbox_superseded.
SELECT
    seq,
    kind,
    message_key,
    revision,
    receipt,
    content_hash,
    producer,
    body,
    created_at,
    ingested_at,
    message_count - 1 AS superseded_count
FROM ranked_messages
WHERE rank = 1
