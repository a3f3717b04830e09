-- claims: what harnesses say of their sessions, each record as it was read last, with the log it points at by now.
-- grain: one record of one file
-- key: source, claim_key
-- unit: tokens as claimed, seconds, times in UTC
-- source: items, events, repairs, trajectory_looks, trajectories, high_water_marks
-- refresh: view
--
-- Nothing here was measured. claimed_path is where the record points, trajectory_path the same after repairs (plan_id), and
-- trajectory_source the file of ours that it names: itself, the conversation in a directory of that name, where a link leads, or
-- where the log of that session was moved since: one file for each session, however it is named. started_at and ended_at
-- are stated_start_at and stated_end_at, completed from the duration where one is missing. noon_times are recorded_at, started_at or
-- ended_at, those that read 12:00:00 in their own zone as stated; an older reading knew that one does, so it may be any.
-- trajectory_state is what was seen there when the record was read.
WITH logs AS (
    SELECT
        agent,
        session_id,
        source
    FROM trajectories
    WHERE session_id IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY agent, session_id ORDER BY state <> 'present', source_role <> 'main', first_at NULLS LAST, source
    ) = 1
),
places AS (
    SELECT
        h.source AS path,
        min(coalesce(l.source, t.source)) AS source
    FROM high_water_marks AS h
    LEFT JOIN logs AS l ON h.agent = l.agent AND h.session_id = l.session_id
    LEFT JOIN trajectories AS t ON h.source = t.source
    WHERE h.source_name IS NOT NULL AND h.source_role IN ('main', 'archived')
    GROUP BY h.source
),
said AS (
    SELECT
        e.seq,
        e.source,
        e.item_key AS claim_key,
        e.line_hash,
        e.ingested_at,
        e.body ->> '$.session_id' AS session_id,
        e.body ->> '$.agent' AS agent,
        e.body ->> '$.harness' AS harness,
        e.body ->> '$.run_type' AS run_type,
        e.body ->> '$.category' AS category,
        e.body ->> '$.model' AS model,
        e.body ->> '$.model_state' AS model_state,
        CAST(e.body ->> '$.recorded_at' AS TIMESTAMP) AS recorded_at,
        CAST(e.body ->> '$.started_at' AS TIMESTAMP) AS stated_start_at,
        CAST(e.body ->> '$.ended_at' AS TIMESTAMP) AS stated_end_at,
        coalesce(
            CAST(e.body -> '$.noon_times' AS VARCHAR []),
            CASE WHEN CAST(e.body ->> '$.is_noon' AS BOOLEAN) THEN ['recorded_at', 'started_at', 'ended_at'] END,
            []
        ) AS noon_times,
        CAST(e.body ->> '$.duration_seconds' AS BIGINT) AS duration_seconds,
        CAST(e.body ->> '$.token_count' AS BIGINT) AS token_count,
        CAST(e.body ->> '$.input_tokens' AS BIGINT) AS input_tokens,
        CAST(e.body ->> '$.output_tokens' AS BIGINT) AS output_tokens,
        CAST(e.body ->> '$.cache_read_tokens' AS BIGINT) AS cache_read_tokens,
        CAST(e.body ->> '$.cache_write_tokens' AS BIGINT) AS cache_write_tokens,
        e.body ->> '$.assumed_zone' AS assumed_zone,
        e.body ->> '$.trajectory_path' AS claimed_path
    FROM items AS i
    INNER JOIN events AS e ON i.seq = e.seq
    WHERE e.kind = 'claim'
),
stated AS (
    SELECT
        *,
        coalesce(stated_start_at, stated_end_at - to_seconds(duration_seconds)) AS started_at,
        coalesce(stated_end_at, stated_start_at + to_seconds(duration_seconds)) AS ended_at
    FROM said
),
repaired AS (
    SELECT
        s.*,
        r.plan_id,
        r.action AS repair_action,
        CASE WHEN r.plan_id IS NULL THEN s.claimed_path ELSE r.trajectory_path END AS trajectory_path
    FROM stated AS s
    LEFT JOIN repairs AS r
        ON
            s.source = r.claim_source
            AND s.claim_key = r.claim_key
            AND s.claimed_path IS NOT DISTINCT FROM r.claimed_path
            AND epoch_ms(s.started_at) IS NOT DISTINCT FROM epoch_ms(r.started_at)
    QUALIFY row_number() OVER (PARTITION BY s.seq ORDER BY r.revision DESC NULLS LAST, r.seq DESC) = 1
)
SELECT
    r.* EXCLUDE (started_at, ended_at),
    r.started_at,
    r.ended_at,
    coalesce(f.source, d.source, g.source, h.source) AS trajectory_source,
    l.state AS trajectory_state,
    coalesce(l.was_present, false) AS was_trajectory_present
FROM repaired AS r
LEFT JOIN trajectory_looks AS l ON r.trajectory_path = l.path
LEFT JOIN places AS f ON r.trajectory_path = f.path
LEFT JOIN places AS d ON r.trajectory_path || '/conversation.jsonl' = d.path
LEFT JOIN places AS g ON l.real_path = g.path
LEFT JOIN places AS h ON l.real_path || '/conversation.jsonl' = h.path
