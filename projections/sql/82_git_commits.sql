-- git_commits: commits of the checkouts in which agents worked, and what their trailers name.
-- grain: one commit in one working tree
-- key: top_path, commit
-- unit: times in UTC
-- source: events
-- refresh: view
SELECT
    body ->> '$.top_path' AS top_path,
    body ->> '$.commit' AS commit,
    min(seq) AS seq,
    min(CAST(body ->> '$.committed_at' AS TIMESTAMP)) AS committed_at,
    arg_min(body ->> '$.git_branch', seq) AS git_branch,
    coalesce(CAST(arg_min(body -> '$.task_ids', seq) AS VARCHAR []), []) AS task_ids,
    coalesce(CAST(arg_min(body -> '$.workstream_ids', seq) AS VARCHAR []), []) AS workstream_ids
FROM events
WHERE kind = 'git_commit'
GROUP BY ALL
