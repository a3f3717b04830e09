-- repairs: steps of repairs that were applied and not taken back: which log a claim points at in the place of its own.
-- grain: one step
-- key: seq
-- unit: times in UTC
-- source: inbox
-- refresh: view
--
-- A step holds only while its claim points where it pointed when the plan was made (claimed_path), and tells of a
-- session that began when that one did (started_at): names of sessions come again.
SELECT
    seq,
    message_key,
    body ->> '$.plan_id' AS plan_id,
    CAST(body ->> '$.step' AS BIGINT) AS step,
    body ->> '$.claim_source' AS claim_source,
    body ->> '$.claim_key' AS claim_key,
    body ->> '$.claimed_path' AS claimed_path,
    CAST(body ->> '$.started_at' AS TIMESTAMP) AS started_at,
    body ->> '$.action' AS action,
    body ->> '$.trajectory_path' AS trajectory_path,
    body ->> '$.session_id' AS session_id,
    body ->> '$.agent' AS agent,
    created_at AS applied_at,
    revision
FROM inbox
WHERE kind = 'repair' AND NOT coalesce(CAST(body ->> '$.is_undone' AS BOOLEAN), false)
