-- sessions: one row per session, also of those without any usage.
-- grain: one session of one agent
-- key: agent, session_id
-- unit: tokens, times in UTC
-- source: usage_measured, high_water_marks
-- refresh: view
--
-- A session whose files state no usage is unmetered: its tokens are null, not zero.
WITH metered AS (
    SELECT
        agent,
        session_id,
        arg_min(parent_session_id, struct_pack(at := called_at, call := source_id)) AS parent_session_id,
        min(called_at) AS first_call_at,
        max(called_at) AS last_call_at,
        count(*) AS calls,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
        CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
        count_if(is_incomplete) AS incomplete_calls,
        count(DISTINCT model) AS model_count
    FROM usage_measured
    GROUP BY agent, session_id
),
unmetered AS (
    SELECT
        agent,
        session_id
    FROM high_water_marks
    WHERE session_id IS NOT NULL AND lines > 0 AND state <> 'moved'
    GROUP BY agent, session_id
    HAVING sum(usage_lines) = 0
)
SELECT
    *,
    true AS is_metered
FROM metered
UNION ALL BY NAME
SELECT
    u.agent,
    u.session_id,
    CAST(0 AS BIGINT) AS calls,
    CAST(0 AS BIGINT) AS incomplete_calls,
    CAST(0 AS BIGINT) AS model_count,
    false AS is_metered
FROM unmetered AS u
ANTI JOIN metered AS m ON u.agent = m.agent AND u.session_id = m.session_id
