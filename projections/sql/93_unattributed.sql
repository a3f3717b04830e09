-- unattributed: measured usage that belongs to no repository, and why.
-- grain: one session, directory and reason
-- key: agent, session_id, cwd, git_remote, repo_gap
-- unit: tokens, times in UTC
-- source: usage_attributed
-- refresh: view
SELECT
    agent,
    session_id,
    cwd,
    git_remote,
    repo_gap,
    count(*) AS calls,
    CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
    min(called_at) AS first_call_at,
    max(called_at) AS last_call_at
FROM usage_attributed
WHERE repo IS NULL
GROUP BY agent, session_id, cwd, git_remote, repo_gap
