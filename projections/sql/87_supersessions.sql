-- supersessions: estimates of which an operator decided that they do not count.
-- grain: one message that is superseded
-- key: receipt, content_hash
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- A decision is about one content of a message: what its producer says anew counts until it is decided on again. is_withdrawn means
-- that the decision was taken back: somebody has looked, and the estimate counts.
SELECT
    body ->> '$.receipt' AS receipt,
    body ->> '$.content_hash' AS content_hash,
    arg_max(body ->> '$.by_source_id', seq) AS by_source_id,
    bool_and(coalesce(CAST(body ->> '$.is_withdrawn' AS BOOLEAN), false)) AS is_withdrawn,
    max(created_at) AS decided_at,
    max(seq) AS seq
FROM inbox
WHERE kind = 'supersession'
GROUP BY ALL
