-- usage_estimated: tokens that nobody measured: reports without the provider's figure, and what completed tasks left behind.
-- grain: one report, or one completed task
-- key: seq
-- unit: tokens, times in UTC
-- source: estimates, repo_names, task_workstreams
-- refresh: view
--
-- Never part of measured totals. Tokens are null where even a guess is missing, the total too; it adds what is stated.
SELECT
    e.agent,
    e.source_id,
    e.source_class,
    'estimated' AS measurement,
    'claimed' AS confidence,
    e.session_id,
    e.called_at,
    e.model,
    e.cwd,
    e.git_branch,
    e.git_remote,
    coalesce(n.repo, CASE WHEN n.name IS NULL THEN e.repo END) AS repo,
    e.task_id,
    coalesce(e.workstream_id, w.workstream_id) AS workstream_id,
    e.input_tokens,
    e.cache_read_tokens,
    e.cache_write_tokens,
    CAST(NULL AS BIGINT) AS cache_write_5m_tokens,
    CAST(NULL AS BIGINT) AS cache_write_1h_tokens,
    e.output_tokens,
    e.reasoning_tokens,
    CASE
        WHEN coalesce(e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens) IS NOT NULL
            THEN
                coalesce(e.input_tokens, 0) + coalesce(e.cache_read_tokens, 0) + coalesce(e.cache_write_tokens, 0)
                + coalesce(e.output_tokens, 0)
    END AS total_tokens,
    CASE
        WHEN coalesce(e.input_tokens, e.cache_write_tokens, e.output_tokens) IS NOT NULL
            THEN coalesce(e.input_tokens, 0) + coalesce(e.cache_write_tokens, 0) + coalesce(e.output_tokens, 0)
    END AS total_without_cache_read_tokens,
    e.seq
FROM estimates AS e
LEFT JOIN repo_names AS n ON e.repo = n.name
LEFT JOIN task_workstreams AS w ON e.task_id = w.task_id
WHERE e.measured_seq IS NULL AND e.decided_seq IS NULL
