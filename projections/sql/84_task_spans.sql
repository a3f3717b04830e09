-- task_spans: from when to when which task had a session, or a checkout.
-- grain: one span of one session or checkout, per rule
-- key: rule, agent, session_id, top_path, from_at
-- unit: times in UTC
-- source: task_marks, git_commits, task_reports
-- refresh: view
--
-- A call belongs to a span when it was made after from_at and not after until_at; null is no bound. Between two moments a task has the
-- session if it was begun by the first and the second does not end another one, or if the second ends it and nothing was begun;
-- everything else belongs to no task, and has a span without one: a guess is worse. is_contested: several tasks have a claim, so
-- that no weaker rule is asked either. A commit's tasks have its checkout since the commit before, at most a
-- day; a commit that names several has none. A completion without a session has its agent's tokens since the agent's completion before,
-- at most a day; session_id and top_path are then null.
WITH neighbours AS MATERIALIZED (
    SELECT
        *,
        row_number() OVER moments AS number,
        lead(marked_at) OVER moments AS next_at,
        lead(task_id) OVER moments AS next_task_id,
        lead(workstream_id) OVER moments AS next_workstream_id,
        lead(phase) OVER moments AS next_phase,
        lead(seqs) OVER moments AS next_seqs
    FROM task_marks
    WINDOW moments AS (PARTITION BY rule, agent, session_id ORDER BY marked_at)
),
gaps AS (
    SELECT
        rule, agent, session_id,
        CAST(NULL AS TIMESTAMP) AS from_at,
        marked_at AS until_at,
        CAST(NULL AS VARCHAR) AS task_id, CAST(NULL AS VARCHAR) AS workstream_id, CAST(NULL AS VARCHAR) AS phase, CAST([] AS BIGINT []) AS seqs,
        task_id AS next_task_id, workstream_id AS next_workstream_id, phase AS next_phase, seqs AS next_seqs
    FROM neighbours
    WHERE number = 1
    UNION ALL
    SELECT
        rule, agent, session_id,
        marked_at AS from_at,
        next_at AS until_at,
        task_id, workstream_id, phase, seqs,
        next_task_id, next_workstream_id, next_phase, next_seqs
    FROM neighbours
),
judged AS (
    SELECT
        *,
        coalesce(phase = 'begin' AND coalesce(task_id, workstream_id) IS NOT NULL, false) AS is_begun,
        coalesce(next_phase = 'end' AND coalesce(next_task_id, next_workstream_id) IS NOT NULL, false) AS is_ended,
        (task_id, workstream_id) IS NOT DISTINCT FROM (next_task_id, next_workstream_id) AS is_same
    FROM gaps
),
cleared AS (
    SELECT
        *,
        CASE
            WHEN is_begun
                THEN is_same OR next_phase IS NULL OR (next_phase = 'begin' AND coalesce(next_task_id, next_workstream_id) IS NOT NULL)
            ELSE is_ended
        END AS is_clear,
        coalesce(is_begun, false)
        OR (len(seqs) > 0 AND coalesce(task_id, workstream_id) IS NULL)
        OR coalesce(next_phase = 'end' AND coalesce(next_task_id, next_workstream_id) IS NULL, false) AS has_claims
    FROM judged
),
of_sessions AS (
    SELECT
        rule, agent, session_id,
        CAST(NULL AS VARCHAR) AS top_path,
        from_at, until_at,
        CASE WHEN is_clear AND is_begun THEN task_id WHEN is_clear THEN next_task_id END AS task_id,
        CASE WHEN is_clear AND is_begun THEN workstream_id WHEN is_clear THEN next_workstream_id END AS workstream_id,
        CASE
            WHEN NOT is_clear OR (is_begun AND is_same) THEN list_concat(seqs, coalesce(next_seqs, CAST([] AS BIGINT [])))
            WHEN is_begun THEN seqs
            ELSE next_seqs
        END AS evidence_seqs,
        NOT is_clear AND has_claims AS is_contested
    FROM cleared
),
moments AS (
    SELECT
        top_path,
        committed_at,
        list_distinct(flatten(list(task_ids))) AS task_ids,
        list_distinct(flatten(list(workstream_ids))) AS workstream_ids,
        list(seq ORDER BY seq) AS seqs
    FROM git_commits
    GROUP BY top_path, committed_at
),
of_checkouts AS (
    SELECT
        'commit_trailer' AS rule,
        CAST(NULL AS VARCHAR) AS agent,
        CAST(NULL AS VARCHAR) AS session_id,
        top_path,
        greatest(
            committed_at - INTERVAL 1 DAY, coalesce(lag(committed_at) OVER (PARTITION BY top_path ORDER BY committed_at), committed_at - INTERVAL 1 DAY)
        ) AS from_at,
        committed_at AS until_at,
        task_ids[1] AS task_id,
        workstream_ids[1] AS workstream_id,
        seqs AS evidence_seqs,
        len(task_ids) > 1 OR len(workstream_ids) > 1 AS is_contested,
        len(task_ids) + len(workstream_ids) > 0 AS is_named
    FROM moments
),
completed AS (
    SELECT
        agent,
        stated_at,
        list_distinct(list(task_id)) AS task_ids,
        min(workstream_id) AS workstream_id,
        list(seq ORDER BY seq) AS seqs
    FROM task_reports
    WHERE status = 'completed' AND session_id IS NULL AND agent IS NOT NULL AND stated_at IS NOT NULL
    GROUP BY agent, stated_at
),
of_agents AS (
    SELECT
        'completion_time' AS rule,
        agent,
        CAST(NULL AS VARCHAR) AS session_id,
        CAST(NULL AS VARCHAR) AS top_path,
        greatest(
            stated_at - INTERVAL 1 DAY, coalesce(lag(stated_at) OVER (PARTITION BY agent ORDER BY stated_at), stated_at - INTERVAL 1 DAY)
        ) AS from_at,
        stated_at AS until_at,
        task_ids[1] AS task_id,
        CASE WHEN len(task_ids) = 1 THEN workstream_id END AS workstream_id,
        seqs AS evidence_seqs,
        len(task_ids) > 1 AS is_contested
    FROM completed
),
spans AS (
    SELECT * FROM of_sessions
    UNION ALL BY NAME
    SELECT * EXCLUDE (is_named) FROM of_checkouts WHERE is_named
    UNION ALL BY NAME
    SELECT * FROM of_agents
)
SELECT
    * REPLACE (
        CASE WHEN NOT is_contested THEN task_id END AS task_id,
        CASE WHEN NOT is_contested THEN workstream_id END AS workstream_id
    )
FROM spans
