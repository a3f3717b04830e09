-- inbox_superseded: messages that do not hold any more, and the one that stands in their place.
-- grain: one message
-- key: seq
-- unit: times in UTC
-- source: ranked_messages
-- refresh: view
SELECT
    seq,
    holding_seq AS by_seq,
    kind,
    message_key,
    revision,
    receipt,
    content_hash,
    producer,
    body,
    created_at,
    ingested_at
FROM ranked_messages
WHERE rank > 1
