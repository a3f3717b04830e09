-- thread_calls: one row per call counted from a thread's running totals or its ledger.
-- grain: one increase of a total, or one ledger record
-- key: agent, source_id
-- unit: tokens
-- source: thread_statements, folded by projections/counters.py
-- refresh: replace agent, thread_id
SELECT
    agent,
    thread_id,
    source_id,
    source_class,
    rule,
    confidence,
    session_id,
    parent_session_id,
    CAST(NULL AS VARCHAR) AS agent_id,
    make_timestamp(time_micros) AS called_at,
    make_timestamp(time_micros) AS last_stated_at,
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
    CAST(NULL AS BIGINT) AS cache_write_5m_tokens,
    CAST(NULL AS BIGINT) AS cache_write_1h_tokens,
    output_tokens,
    reasoning_tokens,
    provider_total_tokens,
    CAST(NULL AS BIGINT) AS stated_cost_usd_micros,
    false AS is_placeholder,
    false AS is_progress_only,
    false AS is_split_unknown,
    is_clamped,
    is_inheritance_unknown,
    false AS is_identity_inferred,
    is_conflict,
    CAST(1 AS BIGINT) AS source_count,
    value_seq,
    baseline_seq,
    value_seq AS owner_seq
FROM folded_calls
ORDER BY agent, source_id
