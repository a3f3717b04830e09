-- workstreams: every workstream, with its tasks and what was measured and what was only estimated for it.
-- grain: one workstream
-- key: workstream_id
-- unit: tokens, times in UTC
-- source: task_reports, usage_allocated, usage_estimated
-- refresh: view
WITH slices AS (
    SELECT
        workstream_id,
        task_id,
        value_seq,
        called_at,
        total_tokens AS allocated_tokens,
        CAST(NULL AS BIGINT) AS estimated_tokens
    FROM usage_allocated
    UNION ALL BY NAME
    SELECT
        workstream_id,
        task_id,
        total_tokens AS estimated_tokens
    FROM usage_estimated
    UNION ALL BY NAME
    SELECT
        workstream_id,
        task_id
    FROM task_reports
)
SELECT
    workstream_id,
    count(DISTINCT task_id) AS tasks,
    count(DISTINCT value_seq) AS calls,
    max(called_at) AS last_call_at,
    CAST(sum(allocated_tokens) AS BIGINT) AS allocated_tokens,
    CAST(sum(estimated_tokens) AS BIGINT) AS estimated_tokens
FROM slices
WHERE workstream_id IS NOT NULL
GROUP BY workstream_id
