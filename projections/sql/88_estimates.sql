-- estimates: tokens that somebody computed without the provider's figure, and what was measured of the same since.
-- grain: one report that holds, or one completed task
-- key: seq
-- unit: tokens, times in UTC
-- source: token_reports, task_reports, reported_calls, usage_measured, usage_allocated
-- refresh: view
--
-- A completed task leaves an estimate (task_fallback) only if its report says that an operator, a hook or an agent made it; tokens are
-- null where the report guessed none. measured_seq is a measured report with its source id, a measured call of the same session, or of the same task and time (from the
-- task's first report, else a day before, to an hour after): then the estimate does not count. Null: it counts.
WITH reported AS (
    SELECT
        seq,
        source_class,
        agent,
        source_id AS reported_id,
        CASE WHEN source_id IS NOT NULL THEN coalesce(provider || ':', '') || source_id ELSE identity END AS source_id,
        session_id,
        model,
        repo,
        cwd,
        git_branch,
        git_remote,
        task_id,
        workstream_id,
        used_at AS called_at,
        used_at - INTERVAL 1 DAY AS since,
        input_tokens,
        cache_read_tokens,
        cache_write_tokens,
        output_tokens,
        reasoning_tokens,
        content_hash
    FROM token_reports
    WHERE rank = 1 AND measurement = 'estimated'
),
begun AS (
    SELECT
        task_id,
        min(stated_at) AS first_at
    FROM task_reports
    WHERE stated_at IS NOT NULL
    GROUP BY task_id
),
fallbacks AS (
    SELECT
        t.seq,
        'task_fallback' AS source_class,
        t.agent,
        'task:' || t.task_id AS source_id,
        t.session_id,
        t.repo,
        t.task_id,
        t.workstream_id,
        t.stated_at AS called_at,
        least(b.first_at, t.stated_at - INTERVAL 1 DAY) AS since,
        t.estimated_input_tokens AS input_tokens,
        t.estimated_output_tokens AS output_tokens,
        t.content_hash
    FROM task_reports AS t
    LEFT JOIN begun AS b ON t.task_id = b.task_id
    WHERE t.status = 'completed' AND t.origin IN ('operator', 'hook', 'agent')
    QUALIFY row_number() OVER (
        PARTITION BY t.task_id
        ORDER BY coalesce(t.estimated_input_tokens, t.estimated_output_tokens) IS NOT NULL DESC, t.stated_at DESC NULLS LAST, t.content_hash DESC, t.seq ASC
    ) = 1
),
guessed AS MATERIALIZED (
    SELECT * FROM reported
    UNION ALL BY NAME
    SELECT * FROM fallbacks
),
in_session AS (
    SELECT
        g.seq,
        min(u.value_seq) AS measured_seq
    FROM guessed AS g
    INNER JOIN usage_measured AS u ON coalesce(g.session_id, g.reported_id) = u.session_id
    WHERE coalesce(g.agent = u.agent, true) AND (g.source_class <> 'task_fallback' OR g.called_at IS NULL OR u.called_at BETWEEN g.since AND g.called_at + INTERVAL 1 HOUR)
    GROUP BY g.seq
),
in_source AS (
    SELECT
        g.seq,
        min(coalesce(r.logged_seq, r.seq)) AS measured_seq
    FROM guessed AS g
    INNER JOIN reported_calls AS r ON g.reported_id = r.source_id
    GROUP BY g.seq
),
in_task AS (
    SELECT
        g.seq,
        min(u.value_seq) AS measured_seq
    FROM guessed AS g
    INNER JOIN usage_allocated AS u ON g.task_id = u.task_id
    WHERE g.called_at IS NULL OR u.called_at BETWEEN g.since AND g.called_at + INTERVAL 1 HOUR
    GROUP BY g.seq
)
SELECT
    g.* EXCLUDE (since, reported_id),
    coalesce(i.measured_seq, s.measured_seq, t.measured_seq) AS measured_seq
FROM guessed AS g
LEFT JOIN in_source AS i ON g.seq = i.seq
LEFT JOIN in_session AS s ON g.seq = s.seq
LEFT JOIN in_task AS t ON g.seq = t.seq
