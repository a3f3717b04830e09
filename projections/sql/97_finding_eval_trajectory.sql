-- finding_eval_trajectory: a log of another kind than the session that claims it: of an evaluation, or of another harness.
-- grain: one log, and what is wrong with it
-- key: subject
-- unit: times in UTC
-- source: claims, trajectories, high_water_marks
-- refresh: part
--
-- An evaluation is known by the name of its directory, also where nobody has read it; a record whose run_type says that it was an
-- evaluation may point at one. Whose log it is says the adapter that read it, never its name; the harness of a record is compared
-- only where it is an agent that we read, as harnesses have names of their own.
WITH read_agents AS (
    SELECT DISTINCT agent
    FROM high_water_marks
),
pointing AS (
    SELECT
        c.*,
        coalesce(c.trajectory_source, c.trajectory_path) AS log_path,
        t.agent AS log_agent,
        CASE
            WHEN
                regexp_matches(coalesce(c.trajectory_source, c.trajectory_path), '/logs/([0-9]{4}-[0-9]{2}-[0-9]{2}-)?gptme-evals-[^/]*(/|$)|/[0-9]{4}-[0-9]{2}-[0-9]{2}-gptme-evals-[^/]*(/|$)')
                AND NOT coalesce(regexp_matches(lower(c.run_type), '^evals?($|[^a-z])'), false)
                THEN 'evaluation'
            WHEN c.agent <> t.agent AND r.agent IS NOT NULL THEN 'other_harness'
        END AS reason
    FROM claims AS c
    LEFT JOIN trajectories AS t ON c.trajectory_source = t.source
    LEFT JOIN read_agents AS r ON c.agent = r.agent
    WHERE c.trajectory_path IS NOT NULL
)
SELECT
    reason || ':' || log_path AS subject,
    min(coalesce(started_at, recorded_at, ingested_at)) AS since,
    CASE WHEN count(DISTINCT agent) = 1 THEN any_value(agent) END AS agent,
    list_sort(list(DISTINCT session_id)) AS sessions,
    list_concat(
        ['reason:' || reason, 'path:' || log_path],
        list_transform([x for x in list_sort(list(DISTINCT log_agent)) if x IS NOT NULL], lambda each: 'log_agent:' || each)
    ) AS evidence
FROM pointing
WHERE reason IS NOT NULL
GROUP BY reason, log_path
