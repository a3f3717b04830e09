-- finding_missed_session: sessions that somebody speaks of and whose log was never read.
-- grain: one agent and day (UTC), and who speaks of them
-- key: subject
-- unit: times in UTC
-- source: hook_runs, activities, task_reports, claims, high_water_marks, sessions, commits
-- refresh: part
--
-- A hook ran in it, an activity or a task was reported of it, or a record points at a log that was there. Only agents of which some log was read,
-- as others have no logs that we know. An hour is given before the log's last commit: a session is spoken of before its log is there.
WITH clock AS (
    SELECT max(committed_at) AS now_at
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
        p.trajectory_path AS path
    FROM claims AS p
    ANTI JOIN high_water_marks AS h ON p.trajectory_path = h.source
    ANTI JOIN high_water_marks AS d ON p.trajectory_path || '/conversation.jsonl' = d.source
    WHERE p.trajectory_path IS NOT NULL AND p.was_trajectory_present
)
SELECT
    concat_ws(':', by_whom, coalesce(agent, ''), CAST(seen_at AS DATE)) AS subject,
    min(seen_at) AS since,
    agent,
    list_sort(list(DISTINCT session_id)) AS sessions,
    list_concat(
        ['known_by:' || by_whom, 'sessions:' || count(DISTINCT session_id)],
        list_transform(coalesce(list_sort(list(DISTINCT path) FILTER (WHERE path IS NOT NULL)), []) [:3], lambda each: 'path:' || each)
    ) AS evidence
FROM unmet
GROUP BY by_whom, agent, CAST(seen_at AS DATE)
