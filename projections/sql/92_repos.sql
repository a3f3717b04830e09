-- repos: every repository that was registered or in which tokens were used.
-- grain: one repository
-- key: repo
-- unit: tokens, times in UTC
-- source: repo_names, repo_facts, usage_attributed, places
-- refresh: view
--
-- One that nobody registered goes by its remote. top_paths are the checkouts that were seen of it.
WITH names AS (
    SELECT
        repo,
        list(name ORDER BY name) FILTER (WHERE name <> repo) AS aliases
    FROM repo_names
    WHERE repo IS NOT NULL
    GROUP BY repo
),
facts AS (
    SELECT
        repo,
        list(value ORDER BY value) FILTER (WHERE fact = 'root_commit') AS root_commits,
        list(value ORDER BY value) FILTER (WHERE fact = 'remote') AS remotes,
        list(value ORDER BY value) FILTER (WHERE fact = 'path') AS paths
    FROM repo_facts
    GROUP BY repo
),
used AS (
    SELECT
        repo,
        count(*) AS calls,
        count(DISTINCT session_id) AS sessions,
        CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
        max(called_at) AS last_call_at,
        list(DISTINCT top_path ORDER BY top_path) FILTER (WHERE top_path IS NOT NULL) AS top_paths
    FROM usage_attributed
    WHERE repo IS NOT NULL
    GROUP BY repo
),
seen AS (
    SELECT
        repo,
        list(DISTINCT remote ORDER BY remote) FILTER (WHERE remote IS NOT NULL) AS remotes,
        list(DISTINCT root_commit ORDER BY root_commit) FILTER (WHERE root_commit IS NOT NULL) AS root_commits
    FROM places
    WHERE repo IS NOT NULL
    GROUP BY repo
),
named AS (
    SELECT repo FROM names
    UNION
    SELECT repo FROM used
)
SELECT
    n.repo,
    f.repo IS NOT NULL AS is_registered,
    coalesce(f.root_commits, s.root_commits, []) AS root_commits,
    coalesce(f.remotes, s.remotes, []) AS remotes,
    coalesce(f.paths, []) AS paths,
    coalesce(a.aliases, []) AS aliases,
    coalesce(u.top_paths, []) AS top_paths,
    coalesce(u.calls, 0) AS calls,
    coalesce(u.sessions, 0) AS sessions,
    u.total_tokens,
    u.last_call_at
FROM named AS n
LEFT JOIN names AS a ON n.repo = a.repo
LEFT JOIN facts AS f ON n.repo = f.repo
LEFT JOIN used AS u ON n.repo = u.repo
LEFT JOIN seen AS s ON n.repo = s.repo
