-- calls: one row per call that a source states by itself, folded from all its witnesses.
-- grain: one API call, as the provider names it
-- key: agent, source_id
-- unit: tokens
-- source: folded_witnesses, events
-- refresh: replace agent, source_id
--
-- Tokens and model come from the best line (value_seq), session, directory and branch from the earliest (owner_seq).
-- Both are looked up by number first: a plain join with two sides scans every column of all events.
SELECT
    f.agent,
    f.source_id,
    v.source_class,
    'richest_line' AS rule,
    v.confidence,
    o.session_id,
    o.parent_session_id,
    o.agent_id,
    f.called_at,
    f.last_stated_at,
    v.model,
    v.model_provider,
    v.service_tier,
    CAST(1 AS BIGINT) AS requests,
    o.agent_version,
    o.cwd,
    o.git_branch,
    o.git_remote,
    v.input_tokens,
    v.cache_read_tokens,
    v.cache_write_tokens,
    v.cache_write_5m_tokens,
    v.cache_write_1h_tokens,
    v.output_tokens,
    v.reasoning_tokens,
    v.provider_total_tokens,
    v.stated_cost_usd_micros,
    (v.witness = 'transcript' AND v.stop_reason IS NULL AND coalesce(v.output_tokens <= 8, true))
    OR list_contains(coalesce(v.flags, []), 'incomplete')
    OR v.input_tokens IS NULL
    OR v.output_tokens IS NULL AS is_placeholder,
    v.witness = 'progress' AS is_progress_only,
    list_contains(coalesce(v.flags, []), 'split_unknown') AS is_split_unknown,
    list_contains(coalesce(v.flags, []), 'clamped') AS is_clamped,
    false AS is_inheritance_unknown,
    list_contains(coalesce(v.flags, []), 'identity_inferred') AS is_identity_inferred,
    false AS is_conflict,
    f.source_count,
    f.value_seq,
    CAST(NULL AS BIGINT) AS baseline_seq,
    f.owner_seq
FROM folded_witnesses AS f
INNER JOIN (
    SELECT *
    FROM events
    WHERE seq IN (SELECT value_seq FROM folded_witnesses)
) AS v ON f.value_seq = v.seq
INNER JOIN (
    SELECT *
    FROM events
    WHERE seq IN (SELECT owner_seq FROM folded_witnesses)
) AS o ON f.owner_seq = o.seq
ORDER BY f.agent, f.source_id
