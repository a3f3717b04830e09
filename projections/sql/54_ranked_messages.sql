-- ranked_messages: every message with its place among the messages of its key; the one that holds has rank 1.
-- grain: one message
-- key: seq
-- unit: times in UTC
-- source: messages
-- refresh: view
--
-- Order is the producer's revision, then the content hash; never the order of arrival. No revision is before revision
-- 0. A message without a key stands for itself.
WITH named AS (
    SELECT
        *,
        CASE WHEN message_key IS NULL THEN receipt || content_hash END AS own_name
    FROM messages
)
SELECT
    * EXCLUDE (own_name),
    row_number() OVER (
        PARTITION BY kind, message_key, own_name
        ORDER BY revision DESC NULLS LAST, content_hash DESC, seq ASC
    ) AS rank,
    count(*) OVER (PARTITION BY kind, message_key, own_name) AS message_count,
    first_value(seq) OVER (
        PARTITION BY kind, message_key, own_name
        ORDER BY revision DESC NULLS LAST, content_hash DESC, seq ASC
    ) AS holding_seq
FROM named
