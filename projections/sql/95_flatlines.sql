-- flatlines: per agent and day, signs of work and what was measured.
-- grain: one agent and day (UTC); the host as a whole where the agent is null
-- key: agent, day
-- unit: signs in whole numbers, tokens
-- source: tallies, task_reports, activities, git_commits, usage_daily
-- refresh: view
--
-- A sign is a report of a task, a turn that an agent reported, a commit (of the host as a whole) or a tally of growing files in
-- which something should have been counted as usage. Reports of operators are no signs. A day is a flatline when there were
-- signs and no token was measured; of the host when none of any agent was. Days without signs are not in here.
WITH signs AS (
    SELECT
        agent,
        CAST(stated_at AS DATE) AS day,
        'task' AS kind
    FROM task_reports
    WHERE coalesce(origin, 'agent') NOT IN ('operator', 'bulk_import')
    UNION ALL
    SELECT
        agent,
        CAST(happened_at AS DATE) AS day,
        'activity' AS kind
    FROM activities
    WHERE what IN ('turn_started', 'turn_ended', 'compacted')
    UNION ALL
    SELECT
        CAST(NULL AS VARCHAR) AS agent,
        CAST(committed_at AS DATE) AS day,
        'commit' AS kind
    FROM git_commits
    UNION ALL
    SELECT
        agent,
        CAST(told_at AS DATE) AS day,
        'growth' AS kind
    FROM tallies
    WHERE NOT is_history AND signs > 0
),
days AS (
    SELECT
        agent,
        day,
        count_if(kind = 'task') AS tasks,
        count_if(kind = 'activity') AS activities,
        count_if(kind = 'commit') AS commits,
        count_if(kind = 'growth') AS silent_tallies
    FROM signs
    WHERE day IS NOT NULL
    GROUP BY agent, day
),
tokens AS (
    SELECT
        day,
        agent,
        total_tokens
    FROM usage_daily
    UNION ALL
    SELECT
        day,
        CAST(NULL AS VARCHAR) AS agent,
        total_tokens
    FROM usage_daily
),
measured AS (
    SELECT
        day,
        agent,
        CAST(sum(total_tokens) AS BIGINT) AS measured_tokens
    FROM tokens
    GROUP BY day, agent
)
SELECT
    d.agent,
    d.day,
    d.tasks,
    d.activities,
    d.commits,
    d.silent_tallies,
    coalesce(m.measured_tokens, 0) AS measured_tokens,
    coalesce(m.measured_tokens, 0) = 0 AS is_flatline
FROM days AS d
LEFT JOIN measured AS m ON d.day = m.day AND d.agent IS NOT DISTINCT FROM m.agent
ORDER BY d.day, d.agent
