-- acknowledgements: findings that an operator knows of, by the newest statement about each.
-- grain: one finding
-- key: finding_id
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- acknowledged_until is null for ever; whether it has expired is said when read. A finding that changed has another id.
SELECT
    body ->> '$.finding_id' AS finding_id,
    body ->> '$.rule' AS rule,
    body ->> '$.reason' AS reason,
    body ->> '$.ticket' AS ticket,
    CAST(body ->> '$.until' AS TIMESTAMP) AS acknowledged_until,
    created_at AS acknowledged_at,
    seq
FROM inbox
WHERE kind = 'acknowledgement' AND NOT coalesce(CAST(body ->> '$.is_withdrawn' AS BOOLEAN), false)
