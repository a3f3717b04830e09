-- repo_facts: by what a repository is known: root commits, remotes and paths, as registered.
-- grain: one fact of one repository
-- key: repo, fact, value
-- unit: -
-- source: repo_registrations, repo_names
-- refresh: view
--
-- What is registered under a name that leads to several repositories is claimed by each: so it is nobody's, and says so.
-- fact: root_commit, remote (in lower case: hosts of repositories take them as one) or path.
WITH stated AS (
    SELECT repo, 'root_commit' AS fact, unnest(root_commits) AS value FROM repo_registrations
    UNION ALL
    SELECT repo, 'remote' AS fact, lower(unnest(remotes)) AS value FROM repo_registrations
    UNION ALL
    SELECT repo, 'path' AS fact, unnest(paths) AS value FROM repo_registrations
)
SELECT DISTINCT
    unnest(n.repos) AS repo,
    s.fact,
    s.value
FROM stated AS s
INNER JOIN repo_names AS n ON s.repo = n.name
