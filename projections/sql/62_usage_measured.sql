-- usage_measured: tokens a source itself reported, one row per call.
-- grain: one API call, or one increase of a running total
-- key: agent, source_id
-- unit: tokens, times in UTC
-- source: calls, thread_calls, reported_calls, commits
-- refresh: view
--
-- A part is null where the source did not state it; total_tokens adds what is stated. A time that is missing, before
-- 2015 or later than the log's last commit puts the call on no day. "incomplete": output is a streaming placeholder
-- and nothing was stated about the call for five minutes before the last commit. What a program reported (rule report) is one row
-- per report, of a call or of a whole session; agent is null where it named none. requests is null where a row may hold several
-- requests to a model: an increase of a total, a report of a session.
WITH clock AS (
    SELECT max(committed_at) AS now_at
    FROM commits
),
folded AS (
    SELECT * EXCLUDE (thread_id)
    FROM thread_calls
    UNION ALL BY NAME
    SELECT *
    FROM calls
    UNION ALL BY NAME
    SELECT
        agent,
        provider || ':' || source_id AS source_id,
        source_class,
        'report' AS rule,
        'stated' AS confidence,
        session_id,
        parent_session_id,
        used_at AS called_at,
        used_at AS last_stated_at,
        model,
        provider AS model_provider,
        service_tier,
        CASE WHEN scope = 'call' THEN CAST(1 AS BIGINT) END AS requests,
        cwd,
        git_branch,
        git_remote,
        input_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
        output_tokens,
        reasoning_tokens,
        provider_total_tokens,
        input_tokens IS NULL OR output_tokens IS NULL AS is_placeholder,
        false AS is_progress_only,
        false AS is_split_unknown,
        false AS is_clamped,
        false AS is_inheritance_unknown,
        false AS is_identity_inferred,
        false AS is_conflict,
        CAST(1 AS BIGINT) AS source_count,
        seq AS value_seq,
        seq AS owner_seq
    FROM reported_calls
    WHERE logged_seq IS NULL
),
timed AS (
    SELECT
        folded.*,
        clock.now_at,
        folded.called_at BETWEEN TIMESTAMP '2015-01-01' AND clock.now_at + INTERVAL 10 MINUTE AS has_time
    FROM folded
    CROSS JOIN clock
)
SELECT
    agent,
    source_id,
    source_class,
    'measured' AS measurement,
    rule,
    confidence,
    session_id,
    parent_session_id,
    agent_id,
    CASE WHEN has_time THEN called_at END AS called_at,
    model,
    model_provider,
    service_tier,
    requests,
    agent_version,
    cwd,
    git_branch,
    git_remote,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    output_tokens,
    reasoning_tokens,
    coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)
    + coalesce(output_tokens, 0) AS total_tokens,
    coalesce(input_tokens, 0) + coalesce(cache_write_tokens, 0)
    + coalesce(output_tokens, 0) AS total_without_cache_read_tokens,
    provider_total_tokens,
    stated_cost_usd_micros,
    is_placeholder AND NOT coalesce(last_stated_at BETWEEN now_at - INTERVAL 5 MINUTE AND now_at + INTERVAL 5 MINUTE, false)
    AS is_incomplete,
    is_progress_only,
    is_split_unknown,
    is_clamped,
    is_inheritance_unknown,
    NOT coalesce(has_time, false) AS is_time_quality,
    is_identity_inferred,
    is_conflict,
    source_count,
    value_seq,
    baseline_seq,
    owner_seq
FROM timed
