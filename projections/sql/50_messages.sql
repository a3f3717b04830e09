-- messages: what came through the inbox, each message once.
-- grain: one message
-- key: seq
-- unit: times in UTC
-- source: events
-- refresh: view
--
-- A daemon killed between its commit and the removal of the file reads the message again: the same receipt and the same
-- content are one message, and seq is its first event. ingested_at is that event's, created_at the earliest.
SELECT
    min(seq) AS seq,
    kind,
    message_key,
    revision,
    receipt,
    content_hash,
    any_value(producer) AS producer,
    any_value(body) AS body,
    min(source_created_at) AS created_at,
    arg_min(ingested_at, seq) AS ingested_at
FROM events
WHERE content_hash IS NOT NULL
GROUP BY kind, message_key, revision, receipt, content_hash
