-- usage_allocated: measured tokens by task and workstream: another slicing of the same tokens, never an addend.
-- grain: the share of one task and workstream in one row of usage_measured
-- key: agent, source_id, task_id, workstream_id
-- unit: tokens, micro-dollars, times in UTC
-- source: allocated_calls, costs, task_workstreams
-- refresh: view
--
-- Shares are whole numbers by largest remainder, class by class, with what is left as one of those that share; what is of which never exceeds the share of its whole. Of one row they
-- add up to the row at most; the rest is in usage_unallocated. What the call cost, and what its cache saved, is shared like a class of tokens. A class that the row does not state is null.
-- evidence_seqs are the events that the rule rests on; a task's workstream is the one last reported.
WITH shares AS MATERIALIZED (
    SELECT *
    FROM allocated_calls
    WHERE coalesce(task_id, workstream_id) IS NOT NULL AND weight > 0
),
wanted AS MATERIALIZED (
    SELECT *
    FROM costs
    WHERE value_seq IN (SELECT value_seq FROM shares)
),
parted AS (
    SELECT
        s.value_seq,
        s.task_id,
        s.workstream_id,
        unnest([
            {'class': 'input', 'tokens': u.input_tokens},
            {'class': 'cache_read', 'tokens': u.cache_read_tokens},
            {'class': 'cache_write', 'tokens': u.cache_write_tokens},
            {'class': 'cache_write_5m', 'tokens': u.cache_write_5m_tokens},
            {'class': 'cache_write_1h', 'tokens': u.cache_write_1h_tokens},
            {'class': 'output', 'tokens': u.output_tokens},
            {'class': 'reasoning', 'tokens': u.reasoning_tokens},
            {'class': 'cost', 'tokens': u.cost_usd_micros},
            {'class': 'cache_savings', 'tokens': u.cache_savings_usd_micros}
        ], recursive := true),
        CAST(s.weight AS HUGEINT) AS weight,
        s.whole,
        sum(s.weight) OVER (PARTITION BY s.value_seq) AS weights
    FROM shares AS s
    INNER JOIN wanted AS u ON s.value_seq = u.value_seq
    WHERE s.weight <> s.whole
),
quotas AS (
    SELECT
        *,
        tokens * weight // whole AS quota,
        tokens - sum(tokens * weight // whole) OVER (PARTITION BY value_seq, class) - tokens * (whole - weights) // whole AS left_over,
        row_number() OVER (
            PARTITION BY value_seq, class ORDER BY tokens * weight % whole DESC, task_id ASC, workstream_id ASC
        ) + if(tokens * (whole - weights) % whole > tokens * weight % whole, 1, 0) AS turn
    FROM parted
    WHERE tokens IS NOT NULL
),
parts AS (
    SELECT
        value_seq,
        task_id,
        workstream_id,
        class,
        CAST(quota + if(turn <= left_over, 1, 0) AS BIGINT) AS tokens
    FROM quotas
),
classes AS (
    SELECT
        value_seq,
        task_id,
        workstream_id,
        any_value(tokens) FILTER (WHERE class = 'input') AS input_tokens,
        any_value(tokens) FILTER (WHERE class = 'cache_read') AS cache_read_tokens,
        any_value(tokens) FILTER (WHERE class = 'cache_write') AS cache_write_tokens,
        any_value(tokens) FILTER (WHERE class = 'cache_write_5m') AS cache_write_5m_tokens,
        any_value(tokens) FILTER (WHERE class = 'cache_write_1h') AS cache_write_1h_tokens,
        any_value(tokens) FILTER (WHERE class = 'output') AS output_tokens,
        any_value(tokens) FILTER (WHERE class = 'reasoning') AS reasoning_tokens,
        any_value(tokens) FILTER (WHERE class = 'cost') AS cost_usd_micros,
        any_value(tokens) FILTER (WHERE class = 'cache_savings') AS cache_savings_usd_micros
    FROM parts
    GROUP BY value_seq, task_id, workstream_id
),
split AS (
    SELECT
        * REPLACE (
            CASE
                WHEN cache_write_1h_tokens IS NOT NULL
                    THEN least(cache_write_1h_tokens, greatest(coalesce(cache_write_tokens, 0) - coalesce(cache_write_5m_tokens, 0), 0))
            END AS cache_write_1h_tokens,
            CASE WHEN cache_write_5m_tokens IS NOT NULL THEN least(cache_write_5m_tokens, coalesce(cache_write_tokens, 0)) END
                AS cache_write_5m_tokens,
            CASE WHEN reasoning_tokens IS NOT NULL THEN least(reasoning_tokens, coalesce(output_tokens, 0)) END AS reasoning_tokens
        )
    FROM classes
),
shared AS (
    SELECT
        s.*,
        p.* EXCLUDE (value_seq, task_id, workstream_id)
    FROM split AS p
    INNER JOIN shares AS s
        ON
            p.value_seq = s.value_seq
            AND p.task_id IS NOT DISTINCT FROM s.task_id
            AND p.workstream_id IS NOT DISTINCT FROM s.workstream_id
    UNION ALL BY NAME
    SELECT
        s.*,
        u.input_tokens,
        u.cache_read_tokens,
        u.cache_write_tokens,
        u.cache_write_5m_tokens,
        u.cache_write_1h_tokens,
        u.output_tokens,
        u.reasoning_tokens,
        u.cost_usd_micros,
        u.cache_savings_usd_micros
    FROM shares AS s
    INNER JOIN wanted AS u ON s.value_seq = u.value_seq
    WHERE s.weight = s.whole
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
    p.task_id,
    coalesce(p.workstream_id, w.workstream_id) AS workstream_id,
    'allocated' AS measurement,
    p.rule,
    p.rule_version,
    p.confidence,
    p.evidence_seqs,
    p.weight,
    p.whole,
    p.input_tokens,
    p.cache_read_tokens,
    p.cache_write_tokens,
    p.cache_write_5m_tokens,
    p.cache_write_1h_tokens,
    p.output_tokens,
    p.reasoning_tokens,
    coalesce(p.input_tokens, 0) + coalesce(p.cache_read_tokens, 0) + coalesce(p.cache_write_tokens, 0)
    + coalesce(p.output_tokens, 0) AS total_tokens,
    coalesce(p.input_tokens, 0) + coalesce(p.cache_write_tokens, 0) + coalesce(p.output_tokens, 0)
    AS total_without_cache_read_tokens,
    p.cost_usd_micros,
    p.cache_savings_usd_micros,
    u.is_incomplete,
    u.is_progress_only,
    u.is_split_unknown,
    u.is_clamped,
    u.is_inheritance_unknown,
    u.is_time_quality,
    u.is_identity_inferred,
    u.is_conflict,
    u.value_seq
FROM shared AS p
INNER JOIN wanted AS u ON p.value_seq = u.value_seq
LEFT JOIN task_workstreams AS w ON p.task_id = w.task_id
