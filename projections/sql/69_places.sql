-- places: to which repository each place belongs where tokens were used, by which evidence, or why to none.
-- grain: one directory and remote as they were stated, and one period in which the directory was the same
-- key: cwd, git_remote, checkout_seq
-- unit: -
-- source: calls, thread_calls, token_reports, checkout_periods, checkouts, repo_facts, repo_names
-- refresh: view
--
-- Rungs, the first that answers: root commit and remote both are a repository's; the remote is; the directory lies in a registered
-- path. A remote that nobody registered names a repository by itself: rung root_and_remote where all its checkouts have one
-- root commit. The worktrees of one git directory have one another's root commits: a branch without common history is still of
-- the repository. A stated remote beats the one that was seen later. Several answers, or contradicting ones, are none: gap says why. In a checkout a path counts if it is the checkout's own or lies within it, so that a repository
-- inside another one's directory is not taken for it.
WITH stated AS (
    SELECT
        cwd,
        git_remote
    FROM calls
    UNION
    SELECT
        cwd,
        git_remote
    FROM thread_calls
    UNION
    SELECT
        cwd,
        git_remote
    FROM token_reports
),
git_roots AS (
    SELECT
        git_path,
        list(DISTINCT root_commit) AS root_commits
    FROM checkouts
    WHERE git_path IS NOT NULL AND root_commit IS NOT NULL
    GROUP BY git_path
),
known AS MATERIALIZED (
    SELECT
        row_number() OVER () AS place,
        d.cwd,
        d.git_remote,
        p.seq AS checkout_seq,
        lower(coalesce(d.git_remote, p.remote)) AS remote,
        CASE WHEN d.git_remote IS NULL OR lower(d.git_remote) = lower(p.remote) THEN p.root_commit END AS root_commit,
        CASE WHEN d.git_remote IS NULL OR lower(d.git_remote) = lower(p.remote) THEN list_append(g.root_commits, p.root_commit) END
            AS root_commits,
        p.state,
        p.top_path,
        p.main_path,
        coalesce(p.remote_count, 0) AS remote_count
    FROM stated AS d
    LEFT JOIN checkout_periods AS p ON d.cwd = p.cwd
    LEFT JOIN git_roots AS g ON p.git_path = g.git_path
),
facts AS MATERIALIZED (
    SELECT
        repo,
        fact,
        value
    FROM repo_facts
),
seen_roots AS MATERIALIZED (
    SELECT
        lower(remote) AS remote,
        min(root_commit) AS root_commit
    FROM checkouts
    WHERE remote IS NOT NULL AND root_commit IS NOT NULL
    GROUP BY lower(remote)
    HAVING count(DISTINCT root_commit) = 1
),
roots AS (
    SELECT
        repo,
        list(value) AS root_commits
    FROM facts
    WHERE fact = 'root_commit'
    GROUP BY repo
),
by_remote AS (
    SELECT
        k.place,
        list(f.repo ORDER BY f.repo) FILTER (WHERE list_has_any(r.root_commits, k.root_commits)) AS agreeing,
        list(f.repo ORDER BY f.repo) FILTER (WHERE r.repo IS NULL OR k.root_commit IS NULL) AS possible,
        count_if(r.repo IS NULL AND s.root_commit = k.root_commit) = 1 AS is_root_seen,
        list(f.repo ORDER BY f.repo) AS candidates
    FROM known AS k
    INNER JOIN facts AS f ON f.fact = 'remote' AND k.remote = f.value
    LEFT JOIN roots AS r ON f.repo = r.repo
    LEFT JOIN seen_roots AS s ON k.remote = s.remote
    GROUP BY k.place
),
by_path AS (
    SELECT
        k.place,
        f.repo,
        rank() OVER (PARTITION BY k.place ORDER BY length(f.value) DESC) AS rank
    FROM known AS k
    INNER JOIN facts AS f
        ON
            f.fact = 'path'
            AND CASE
                WHEN k.state = 'present'
                    THEN
                        f.value IN (k.top_path, k.main_path)
                        OR (starts_with(f.value, k.top_path || '/') AND (k.cwd = f.value OR starts_with(k.cwd, f.value || '/')))
                ELSE k.cwd = f.value OR starts_with(k.cwd, rtrim(f.value, '/') || '/')
            END
),
nearest AS (
    SELECT
        place,
        list(DISTINCT repo) AS candidates
    FROM by_path
    WHERE rank = 1
    GROUP BY place
),
names AS (
    SELECT
        lower(name) AS name,
        CASE WHEN count(DISTINCT repo) = 1 AND bool_and(repo IS NOT NULL) THEN min(repo) END AS repo
    FROM repo_names
    GROUP BY lower(name)
),
judged AS (
    SELECT
        k.*,
        n.candidates AS path_candidates,
        coalesce(r.candidates, n.candidates) AS candidates,
        CASE
            WHEN len(r.agreeing) = 1 THEN r.agreeing[1]
            WHEN r.agreeing IS NULL AND len(r.possible) = 1 THEN r.possible[1]
            WHEN r.place IS NOT NULL THEN NULL
            WHEN k.remote NOT LIKE 'hash:%' THEN CASE WHEN a.name IS NULL THEN k.remote ELSE a.repo END
            WHEN len(n.candidates) = 1 THEN n.candidates[1]
        END AS repo,
        CASE
            WHEN len(r.agreeing) = 1 OR (r.is_root_seen AND len(r.possible) = 1) THEN 'root_and_remote'
            WHEN r.place IS NOT NULL THEN 'remote'
            WHEN k.remote IS NULL OR k.remote LIKE 'hash:%' THEN 'path'
            WHEN s.root_commit = k.root_commit THEN 'root_and_remote'
            ELSE 'remote'
        END AS rung,
        CASE
            WHEN k.cwd IS NULL AND k.remote IS NULL THEN 'no_directory'
            WHEN len(r.agreeing) > 1 OR len(r.possible) > 1 THEN 'several_repos'
            WHEN r.place IS NOT NULL THEN 'roots_disagree'
            WHEN a.name IS NOT NULL OR len(n.candidates) > 1 THEN 'several_repos'
            WHEN k.state = 'present' AND k.remote_count > 1 THEN 'several_remotes'
            WHEN k.state = 'present' THEN 'no_remote'
            WHEN k.state = 'none' THEN 'no_checkout'
            ELSE 'not_seen'
        END AS possible_gap
    FROM known AS k
    LEFT JOIN by_remote AS r ON k.place = r.place
    LEFT JOIN nearest AS n ON k.place = n.place
    LEFT JOIN seen_roots AS s ON k.remote = s.remote
    LEFT JOIN names AS a ON k.remote = a.name
)
SELECT
    cwd,
    git_remote,
    checkout_seq,
    remote,
    root_commit,
    top_path,
    repo,
    CASE WHEN repo IS NOT NULL THEN rung END AS repo_rung,
    CASE WHEN repo IS NULL THEN possible_gap END AS repo_gap,
    candidates
FROM judged
