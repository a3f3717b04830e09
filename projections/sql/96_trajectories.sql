-- trajectories: every session log that was read, as something that a claim can point at.
-- grain: one file
-- key: source
-- unit: tokens of the session, times in UTC, run_local_at in the zone of the host
-- source: high_water_marks, events, sessions
-- refresh: view
--
-- first_at and last_at are the first and last time that the file itself states; null where it states none. run_type and
-- run_local_at are what the name of an autonomous run says, is_evaluation what that of an evaluation does.
WITH files AS (
    SELECT
        source,
        agent,
        source_name,
        source_role,
        source_generation,
        session_id,
        state
    FROM high_water_marks
    WHERE source_name IS NOT NULL AND state <> 'moved' AND source_role IN ('main', 'archived')
),
spans AS (
    SELECT
        source_generation,
        min(source_created_at) AS first_at,
        max(source_created_at) AS last_at,
        list_sort(list(DISTINCT model) FILTER (WHERE model IS NOT NULL)) AS models
    FROM events
    WHERE kind IN ('usage', 'session', 'turn', 'hidden_call', 'task_named') AND source_generation IS NOT NULL
    GROUP BY source_generation
)
SELECT
    f.source,
    f.agent,
    f.source_name,
    f.source_role,
    f.session_id,
    f.state,
    s.first_at,
    s.last_at,
    s.models,
    nullif(regexp_extract(f.source_name, '(?:^|/)run-(.+)-([0-9]{14})$', 1), '') AS run_type,
    try_strptime(
        nullif(regexp_extract(f.source_name, '(?:^|/)run-(.+)-([0-9]{14})$', 2), ''), '%Y%m%d%H%M%S'
    ) AS run_local_at,
    f.agent = 'gptme' AND contains(f.source_name, 'gptme-evals') AS is_evaluation,
    coalesce(t.calls, 0) AS calls,
    t.input_tokens,
    t.cache_read_tokens,
    t.cache_write_tokens,
    t.output_tokens
FROM files AS f
LEFT JOIN spans AS s ON f.source_generation = s.source_generation
LEFT JOIN sessions AS t ON f.agent = t.agent AND f.session_id = t.session_id
