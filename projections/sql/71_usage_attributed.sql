-- usage_attributed: measured usage with the repository each row belongs to, by which evidence, or why to none.
-- grain: one row of usage_measured
-- key: agent, source_id
-- unit: tokens, micro-dollars, times in UTC
-- source: costs, places, checkout_periods, token_reports, repo_names
-- refresh: view
--
-- The very rows of usage_measured, with what they cost: totals by repository, with those of none, are the measured totals. repo is null where the evidence
-- is missing or says several things (repo_gap). A session whose directory changes is split call by call. repo_confidence: high if
-- stated, or if root commit and remote agree; medium by remote; low by path, or where the directory was first seen more than
-- a day after the call.
WITH named AS (
    SELECT
        t.seq,
        coalesce(n.repo, CASE WHEN n.name IS NULL THEN t.repo END) AS repo,
        t.repo AS stated_repo
    FROM token_reports AS t
    LEFT JOIN repo_names AS n ON t.repo = n.name
    WHERE t.repo IS NOT NULL
)
SELECT
    u.*,
    coalesce(s.repo, CASE WHEN s.seq IS NULL THEN l.repo END) AS repo,
    CASE
        WHEN s.repo IS NOT NULL THEN 'stated'
        WHEN s.seq IS NULL THEN l.repo_rung
    END AS repo_rung,
    CASE
        WHEN s.repo IS NOT NULL THEN 'high'
        WHEN s.seq IS NOT NULL OR l.repo IS NULL THEN NULL
        WHEN l.repo_rung = 'path' THEN 'low'
        WHEN u.git_remote IS NULL AND p.from_at IS NULL AND p.first_seen_at > coalesce(u.called_at, p.first_seen_at) + INTERVAL 1 DAY THEN 'low'
        WHEN l.repo_rung = 'root_and_remote' THEN 'high'
        ELSE 'medium'
    END AS repo_confidence,
    CASE
        WHEN s.seq IS NOT NULL AND s.repo IS NULL THEN 'several_repos'
        WHEN s.seq IS NULL THEN l.repo_gap
    END AS repo_gap,
    p.seq AS checkout_seq,
    p.top_path
FROM costs AS u
LEFT JOIN checkout_periods AS p
    ON
        u.cwd = p.cwd
        AND (p.from_at IS NULL OR u.called_at >= p.from_at)
        AND (p.until_at IS NULL OR coalesce(u.called_at < p.until_at, p.from_at IS NULL))
LEFT JOIN places AS l
    ON
        u.cwd IS NOT DISTINCT FROM l.cwd
        AND u.git_remote IS NOT DISTINCT FROM l.git_remote
        AND p.seq IS NOT DISTINCT FROM l.checkout_seq
LEFT JOIN named AS s ON u.value_seq = s.seq
