-- supersessions: estimates of which an operator decided that they do not count.
-- grain: one message that is superseded
-- key: receipt, content_hash
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- A decision is about one content of a message: what its producer says anew counts until it is decided on again. is_withdrawn means
-- that the decision was taken back: somebody has looked, and the estimate counts. A decision with a key is taken back under it; one
-- without has no next revision, and is itself what another decision supersedes.
WITH decisions AS MATERIALIZED (
    SELECT
        seq,
        receipt AS decision_receipt,
        content_hash AS decision_hash,
        body ->> '$.receipt' AS receipt,
        body ->> '$.content_hash' AS content_hash,
        body ->> '$.by_source_id' AS by_source_id,
        coalesce(CAST(body ->> '$.is_withdrawn' AS BOOLEAN), false) AS is_withdrawn,
        created_at
    FROM inbox
    WHERE kind = 'supersession'
),
taken_back AS (
    SELECT
        receipt,
        content_hash
    FROM decisions
    WHERE NOT is_withdrawn
)
SELECT
    d.receipt,
    d.content_hash,
    arg_max(d.by_source_id, d.seq) AS by_source_id,
    bool_and(d.is_withdrawn OR t.receipt IS NOT NULL) AS is_withdrawn,
    max(d.created_at) AS decided_at,
    max(d.seq) AS seq
FROM decisions AS d
LEFT JOIN (SELECT DISTINCT * FROM taken_back) AS t ON d.decision_receipt = t.receipt AND d.decision_hash = t.content_hash
GROUP BY d.receipt, d.content_hash
