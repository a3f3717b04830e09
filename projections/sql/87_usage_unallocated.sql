-- usage_unallocated: what of measured usage belongs to no task and no workstream.
-- grain: one row of usage_measured that is not allocated as a whole
-- key: agent, source_id
-- unit: tokens, micro-dollars, times in UTC
-- source: costs, usage_allocated
-- refresh: view
--
-- Each row less the shares that usage_allocated has of it: the two add up to usage_measured, class by class, and in what they cost. calls is 0 where a
-- part of the call is allocated: then it is counted there.
WITH taken AS (
    SELECT
        value_seq,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
        CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
        CAST(sum(cache_write_5m_tokens) AS BIGINT) AS cache_write_5m_tokens,
        CAST(sum(cache_write_1h_tokens) AS BIGINT) AS cache_write_1h_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(sum(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
        CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
        CAST(sum(total_without_cache_read_tokens) AS BIGINT) AS total_without_cache_read_tokens,
        CAST(sum(cost_usd_micros) AS BIGINT) AS cost_usd_micros,
        CAST(sum(cache_savings_usd_micros) AS BIGINT) AS cache_savings_usd_micros
    FROM usage_allocated
    GROUP BY value_seq
)
SELECT
    u.agent,
    u.source_id,
    u.source_class,
    u.session_id,
    u.parent_session_id,
    u.called_at,
    u.model,
    u.cwd,
    u.git_branch,
    u.git_remote,
    'measured' AS measurement,
    CAST(t.value_seq IS NULL AS BIGINT) AS calls,
    u.input_tokens - coalesce(t.input_tokens, 0) AS input_tokens,
    u.cache_read_tokens - coalesce(t.cache_read_tokens, 0) AS cache_read_tokens,
    u.cache_write_tokens - coalesce(t.cache_write_tokens, 0) AS cache_write_tokens,
    u.cache_write_5m_tokens - coalesce(t.cache_write_5m_tokens, 0) AS cache_write_5m_tokens,
    u.cache_write_1h_tokens - coalesce(t.cache_write_1h_tokens, 0) AS cache_write_1h_tokens,
    u.output_tokens - coalesce(t.output_tokens, 0) AS output_tokens,
    u.reasoning_tokens - coalesce(t.reasoning_tokens, 0) AS reasoning_tokens,
    u.total_tokens - coalesce(t.total_tokens, 0) AS total_tokens,
    u.total_without_cache_read_tokens - coalesce(t.total_without_cache_read_tokens, 0) AS total_without_cache_read_tokens,
    u.cost_usd_micros - coalesce(t.cost_usd_micros, 0) AS cost_usd_micros,
    u.cache_savings_usd_micros - coalesce(t.cache_savings_usd_micros, 0) AS cache_savings_usd_micros,
    u.is_incomplete AND t.value_seq IS NULL AS is_incomplete,
    u.is_progress_only AND t.value_seq IS NULL AS is_progress_only,
    u.is_split_unknown AND t.value_seq IS NULL AS is_split_unknown,
    u.is_clamped AND t.value_seq IS NULL AS is_clamped,
    u.is_inheritance_unknown AND t.value_seq IS NULL AS is_inheritance_unknown,
    u.is_time_quality AND t.value_seq IS NULL AS is_time_quality,
    u.is_identity_inferred AND t.value_seq IS NULL AS is_identity_inferred,
    u.is_conflict AND t.value_seq IS NULL AS is_conflict,
    u.value_seq
FROM costs AS u
LEFT JOIN taken AS t ON u.value_seq = t.value_seq
WHERE
    t.value_seq IS NULL
    OR (
        u.input_tokens, u.cache_read_tokens, u.cache_write_tokens, u.cache_write_5m_tokens, u.cache_write_1h_tokens, u.output_tokens,
        u.reasoning_tokens, u.cost_usd_micros, u.cache_savings_usd_micros
    ) IS DISTINCT FROM (
        t.input_tokens, t.cache_read_tokens, t.cache_write_tokens, t.cache_write_5m_tokens, t.cache_write_1h_tokens, t.output_tokens,
        t.reasoning_tokens, t.cost_usd_micros, t.cache_savings_usd_micros
    )
