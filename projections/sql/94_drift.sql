-- drift: per agent and version, what was read of it, how much of that was usage, and whether that fell.
-- grain: one agent and version
-- key: agent, agent_version
-- unit: bytes, lines and answers in whole numbers, shares from 0 to 1, times in UTC
-- source: tallies
-- refresh: view
--
-- metered_share is the part of answers that state usage. floor_share is half of its median over the tallies of the version in
-- which there was any usage, or of the agent where the version has fewer than three; null where there never was any. A tally is
-- good when it has usage and reaches the floor. What grew since the last good one is in the columns that begin with `silent`.
-- A version is known from the first answer on: what a session says before it is of no known version, and is not judged by its
-- size where the agent states usage otherwise.
-- state: drifting (since then it grew, there was something to count, and it did not reach the floor), metered (it states
-- usage), quiet (nothing was there to count), history (only old files were read, and they state none).
WITH measured AS (
    SELECT
        *,
        usage_statements / (usage_statements + turns_without_usage) AS share
    FROM tallies
    WHERE usage_statements > 0
),
agent_floors AS (
    SELECT
        agent,
        median(share) / 2 AS floor_share
    FROM measured
    GROUP BY agent
),
version_floors AS (
    SELECT
        agent,
        agent_version,
        median(share) / 2 AS floor_share
    FROM measured
    GROUP BY agent, agent_version
    HAVING count(*) >= 3
),
versions AS (
    SELECT DISTINCT
        agent,
        agent_version
    FROM tallies
),
floors AS (
    SELECT
        v.agent,
        v.agent_version,
        coalesce(o.floor_share, a.floor_share) AS floor_share
    FROM versions AS v
    LEFT JOIN agent_floors AS a ON v.agent = a.agent
    LEFT JOIN version_floors AS o ON v.agent = o.agent AND v.agent_version IS NOT DISTINCT FROM o.agent_version
),
last_good AS (
    SELECT
        m.agent,
        m.agent_version,
        max(m.seq) AS seq
    FROM measured AS m
    INNER JOIN floors AS f ON m.agent = f.agent AND m.agent_version IS NOT DISTINCT FROM f.agent_version
    WHERE m.share >= f.floor_share
    GROUP BY m.agent, m.agent_version
),
sums AS (
    SELECT
        t.agent,
        t.agent_version,
        any_value(f.floor_share) AS floor_share,
        min(t.since) AS first_at,
        max(t.told_at) AS last_at,
        CAST(sum(t.bytes) AS BIGINT) AS bytes,
        CAST(sum(t.lines) AS BIGINT) AS lines,
        CAST(sum(t.recognised_lines) AS BIGINT) AS recognised_lines,
        CAST(sum(t.rejected_lines) AS BIGINT) AS rejected_lines,
        CAST(sum(t.usage_statements) AS BIGINT) AS usage_statements,
        CAST(sum(t.turns_without_usage) AS BIGINT) AS turns_without_usage,
        count_if(NOT t.is_history) > 0 AS is_growing,
        min(t.since) FILTER (WHERE since_good AND t.signs > 0) AS silent_since,
        max(t.told_at) FILTER (WHERE since_good) AS silent_until,
        CAST(coalesce(sum(t.bytes) FILTER (WHERE since_good), 0) AS BIGINT) AS silent_bytes,
        CAST(coalesce(sum(t.lines) FILTER (WHERE since_good), 0) AS BIGINT) AS silent_lines,
        CAST(coalesce(sum(t.lines - t.recognised_lines) FILTER (WHERE since_good), 0) AS BIGINT) AS silent_unknown_lines,
        CAST(coalesce(sum(t.turns_without_usage) FILTER (WHERE since_good), 0) AS BIGINT) AS silent_turns,
        CAST(coalesce(sum(t.usage_statements) FILTER (WHERE since_good), 0) AS BIGINT) AS silent_statements,
        coalesce(
            list_distinct(flatten(list(t.sources ORDER BY t.seq DESC) FILTER (WHERE since_good)))[1:3], []
        ) AS silent_sources
    FROM (
        SELECT
            a.*,
            NOT a.is_history AND a.seq > coalesce(g.seq, -1) AS since_good
        FROM tallies AS a
        LEFT JOIN last_good AS g ON a.agent = g.agent AND a.agent_version IS NOT DISTINCT FROM g.agent_version
    ) AS t
    INNER JOIN floors AS f ON t.agent = f.agent AND t.agent_version IS NOT DISTINCT FROM f.agent_version
    GROUP BY t.agent, t.agent_version
)
SELECT
    agent,
    agent_version,
    CASE
        WHEN silent_turns >= 2 AND coalesce(
            silent_statements < floor_share * (silent_statements + silent_turns), silent_statements = 0
        ) THEN 'drifting'
        WHEN silent_statements = 0 AND silent_unknown_lines >= 4 AND silent_unknown_lines * 2 >= silent_lines THEN 'drifting'
        WHEN usage_statements = 0 AND silent_bytes >= 1048576 AND (agent_version IS NOT NULL OR floor_share IS NULL) THEN 'drifting'
        WHEN usage_statements > 0 THEN 'metered'
        WHEN is_growing OR turns_without_usage = 0 THEN 'quiet'
        ELSE 'history'
    END AS state,
    first_at,
    last_at,
    bytes,
    lines,
    recognised_lines,
    rejected_lines,
    usage_statements,
    turns_without_usage,
    CASE
        WHEN usage_statements + turns_without_usage > 0
            THEN usage_statements / (usage_statements + turns_without_usage)
    END AS metered_share,
    floor_share,
    silent_since,
    silent_until,
    silent_bytes,
    silent_lines,
    silent_unknown_lines,
    silent_turns,
    silent_sources
FROM sums
ORDER BY agent, agent_version
