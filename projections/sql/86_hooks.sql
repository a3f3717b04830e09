-- hooks: every hook that ever ran: when last, on what, what it left, and why it reported no task.
-- grain: one hook of one agent
-- key: hook, agent
-- unit: counts, times in UTC
-- source: hook_runs
-- refresh: view
--
-- All that is called last is of the newest run, by its time; null where that run says nothing.
SELECT
    hook,
    agent,
    max(ran_at) AS last_ran_at,
    arg_max_null(event, (ran_at, seq)) AS last_event,
    arg_max_null(source_id, (ran_at, seq)) AS last_source_id,
    arg_max_null(effect, (ran_at, seq)) AS last_effect,
    arg_max_null(skip, (ran_at, seq)) AS last_skip,
    count(*) AS runs,
    count(*) FILTER (WHERE effect = 'task_reported') AS tasks_reported,
    count(*) FILTER (WHERE effect = 'activity_noted') AS activities_noted,
    count(*) FILTER (WHERE outcome = 'skipped') AS skipped,
    count(*) FILTER (WHERE outcome IN ('failed', 'timed_out')) AS failed
FROM hook_runs
GROUP BY hook, agent
