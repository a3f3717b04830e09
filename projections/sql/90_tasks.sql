-- tasks: every task that was reported, declared or found, with what was measured and what was only estimated for it.
-- grain: one task
-- key: task_id
-- unit: tokens, times in UTC
-- source: task_reports, usage_allocated, usage_estimated, declared_allocations
-- refresh: view
--
-- status is the one last reported; null for a task that nobody reported. Tokens are those of usage_allocated and, apart from them, of
-- usage_estimated; null where there are none.
WITH reported AS (
    SELECT
        task_id,
        min(stated_at) AS first_reported_at,
        max(stated_at) AS last_reported_at,
        max(stated_at) FILTER (WHERE status = 'completed') AS completed_at,
        arg_max(status, struct_pack(at := coalesce(stated_at, TIMESTAMP '1970-01-01'), content := content_hash)) AS status,
        arg_max(workstream_id, struct_pack(at := coalesce(stated_at, TIMESTAMP '1970-01-01'), content := content_hash))
            FILTER (WHERE workstream_id IS NOT NULL) AS workstream_id,
        arg_max(repo, struct_pack(at := coalesce(stated_at, TIMESTAMP '1970-01-01'), content := content_hash))
            FILTER (WHERE repo IS NOT NULL) AS repo
    FROM task_reports
    GROUP BY task_id
),
slices AS MATERIALIZED (
    SELECT
        task_id,
        workstream_id,
        value_seq,
        session_id,
        called_at,
        rule,
        total_tokens AS allocated_tokens,
        CAST(NULL AS BIGINT) AS estimate_seq,
        CAST(NULL AS BIGINT) AS estimated_tokens
    FROM usage_allocated
    UNION ALL BY NAME
    SELECT
        task_id,
        seq AS estimate_seq,
        total_tokens AS estimated_tokens
    FROM usage_estimated
    UNION ALL BY NAME
    SELECT task_id
    FROM task_reports
    UNION ALL BY NAME
    SELECT task_id
    FROM declared_allocations
),
used AS (
    SELECT
        task_id,
        min(workstream_id) AS workstream_id,
        count(DISTINCT value_seq) AS calls,
        count(DISTINCT session_id) AS sessions,
        min(called_at) AS first_call_at,
        max(called_at) AS last_call_at,
        CAST(sum(allocated_tokens) AS BIGINT) AS allocated_tokens,
        coalesce(list(DISTINCT rule ORDER BY rule) FILTER (WHERE rule IS NOT NULL), []) AS rules,
        count(estimate_seq) AS estimates,
        CAST(sum(estimated_tokens) AS BIGINT) AS estimated_tokens
    FROM slices
    WHERE task_id IS NOT NULL
    GROUP BY task_id
)
SELECT
    u.task_id,
    coalesce(r.workstream_id, u.workstream_id) AS workstream_id,
    r.repo,
    r.status,
    r.first_reported_at,
    r.last_reported_at,
    r.completed_at,
    u.calls,
    u.sessions,
    u.first_call_at,
    u.last_call_at,
    u.allocated_tokens,
    u.rules,
    u.estimates,
    u.estimated_tokens
FROM used AS u
LEFT JOIN reported AS r ON u.task_id = r.task_id
