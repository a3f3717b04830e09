-- finding_unattributed_session: measured sessions that belong to no repository, and why.
-- grain: one agent, directory, remote and reason
-- key: subject
-- unit: times in UTC
-- source: unattributed
-- refresh: part
--
-- Their tokens are in every total; what is missing is whose they are. `tallystick repo register` says it.
SELECT
    concat_ws(':', coalesce(agent, ''), repo_gap, coalesce(cwd, ''), coalesce(git_remote, '')) AS subject,
    min(first_call_at) AS since,
    agent,
    coalesce(list_sort(list(DISTINCT session_id) FILTER (WHERE session_id IS NOT NULL)), []) AS sessions,
    [x for x in [
        'gap:' || repo_gap,
        'cwd:' || cwd,
        'remote:' || git_remote,
        'calls:' || CAST(sum(calls) AS BIGINT),
        'total_tokens:' || CAST(sum(total_tokens) AS BIGINT)
    ] if x IS NOT NULL] AS evidence
FROM unattributed
GROUP BY agent, repo_gap, cwd, git_remote
