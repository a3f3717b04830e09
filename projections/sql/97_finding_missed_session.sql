-- finding_missed_session: sessions that somebody speaks of and whose log was never read.
-- grain: one agent and day (UTC), and who speaks of them; one agent for all that were over before the log began
-- key: subject
-- unit: times in UTC
-- source: hook_runs, activities, task_reports, claims, events, high_water_marks, sessions, commits
-- refresh: part
--
-- A hook ran in it, an activity or a task was reported of it, its agent's own list of prompts names it, or a record points at a log that was there.
-- Only agents of which some log was read, as others have no logs that we know. An hour is given before the log's last commit: a session
-- is spoken of before its log is there. Sessions of such a list that were over before our log began were deleted before we came: that is
-- told once for each agent, as info.
WITH clock AS (
    SELECT
        max(committed_at) AS now_at,
        min(committed_at) AS begun_at
    FROM commits
),
spoken AS (
    SELECT
        'hook' AS by_whom,
        agent,
        session_id,
        ran_at AS seen_at
    FROM hook_runs
    UNION ALL
    SELECT
        'activity' AS by_whom,
        agent,
        session_id,
        happened_at AS seen_at
    FROM activities
    UNION ALL
    SELECT
        'task' AS by_whom,
        agent,
        session_id,
        stated_at AS seen_at
    FROM task_reports
    UNION ALL
    SELECT
        'history' AS by_whom,
        agent,
        session_id,
        max(coalesce(source_created_at, ingested_at)) AS seen_at
    FROM events
    WHERE kind = 'session_named'
    GROUP BY agent, session_id
),
known AS (
    SELECT
        agent,
        session_id
    FROM high_water_marks
    WHERE session_id IS NOT NULL
    UNION
    SELECT
        agent,
        session_id
    FROM sessions
    WHERE session_id IS NOT NULL
),
read_agents AS (
    SELECT DISTINCT agent
    FROM known
),
unmet AS (
    SELECT
        s.by_whom,
        s.agent,
        s.session_id,
        s.seen_at,
        s.by_whom = 'history' AND s.seen_at < c.begun_at AS is_before,
        CAST(NULL AS VARCHAR) AS path
    FROM spoken AS s
    CROSS JOIN clock AS c
    SEMI JOIN read_agents AS r ON s.agent = r.agent
    ANTI JOIN known AS k ON s.agent = k.agent AND s.session_id = k.session_id
    WHERE s.session_id IS NOT NULL AND s.seen_at < c.now_at - INTERVAL 1 HOUR
    UNION ALL
    SELECT
        'claim' AS by_whom,
        p.agent,
        p.session_id,
        coalesce(p.started_at, p.recorded_at, p.ingested_at) AS seen_at,
        false AS is_before,
        p.trajectory_path AS path
    FROM claims AS p
    ANTI JOIN high_water_marks AS h ON p.trajectory_path = h.source
    ANTI JOIN high_water_marks AS d ON p.trajectory_path || '/conversation.jsonl' = d.source
    WHERE p.trajectory_path IS NOT NULL AND p.was_trajectory_present
)
SELECT
    concat_ws(':', if(is_before, 'before', by_whom), coalesce(agent, ''), CAST(if(is_before, NULL, seen_at) AS DATE)) AS subject,
    min(seen_at) AS since,
    agent,
    list_sort(list(DISTINCT session_id)) AS sessions,
    list_concat(
        ['known_by:' || by_whom, 'sessions:' || count(DISTINCT session_id)],
        list_transform(coalesce(list_sort(list(DISTINCT path) FILTER (WHERE path IS NOT NULL)), []) [:3], lambda each: 'path:' || each)
    ) AS evidence
FROM unmet
GROUP BY by_whom, agent, is_before, CAST(if(is_before, NULL, seen_at) AS DATE)
