-- estimates: tokens that somebody computed without the provider's figure, and what was measured of the same since.
-- grain: one report that holds, or one completed task
-- key: seq
-- unit: tokens, times in UTC
-- source: token_reports, task_fallbacks, task_fallbacks_doubled, reported_calls, usage_measured, usage_allocated, supersessions
-- refresh: view
--
-- measured_seq is a measured report with its source id, a measured call of that id or of the same session, or of the same task and
-- time (from the task's first report, else a day before, to an hour after): then the estimate does not count. Null: it counts. What
-- was measured has to be more than nothing; a report that names a session asks for that session alone. decided_seq is an operator's
-- decision that it does not count; null: there is none. Of a completed task there is one estimate (task_fallbacks); a row of an old
-- table that was one is of that class too, and gives way to what the task left here.
WITH reported AS (
    SELECT
        seq,
        if(legacy_class = 'task_fallback', legacy_class, source_class) AS source_class,
        agent,
        source_id AS reported_id,
        provider,
        CASE WHEN identity LIKE 'id:%' THEN coalesce(provider || ':', '') || source_id ELSE identity END AS source_id,
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
        receipt,
        content_hash
    FROM token_reports
    WHERE rank = 1 AND measurement = 'estimated' AND set_aside IS NULL AND seq NOT IN (SELECT seq FROM task_fallbacks_doubled)
),
guessed AS MATERIALIZED (
    SELECT * FROM reported
    UNION ALL BY NAME
    SELECT * FROM task_fallbacks
),
measured AS MATERIALIZED (
    SELECT
        value_seq,
        agent,
        source_id,
        session_id
    FROM usage_measured
    WHERE total_tokens > 0
),
in_session AS (
    SELECT
        g.seq,
        min(m.value_seq) AS measured_seq
    FROM guessed AS g
    INNER JOIN measured AS m ON coalesce(g.session_id, g.reported_id) = m.session_id
    WHERE coalesce(g.agent = m.agent, true)
    GROUP BY g.seq
),
in_call AS (
    SELECT
        g.seq,
        min(m.value_seq) AS measured_seq
    FROM guessed AS g
    INNER JOIN measured AS m ON g.reported_id = m.source_id
    WHERE coalesce(g.agent = m.agent, true)
    GROUP BY g.seq
),
in_source AS (
    SELECT
        g.seq,
        min(coalesce(r.logged_seq, r.seq)) AS measured_seq
    FROM guessed AS g
    INNER JOIN reported_calls AS r ON g.reported_id = r.source_id AND coalesce(g.provider = r.provider, true)
    GROUP BY g.seq
),
in_task AS (
    SELECT
        g.seq,
        min(u.value_seq) AS measured_seq
    FROM guessed AS g
    INNER JOIN usage_allocated AS u ON g.task_id = u.task_id
    WHERE
        u.total_tokens > 0
        AND (g.source_class = 'task_fallback' OR g.session_id IS NULL)
        AND (g.called_at IS NULL OR u.called_at BETWEEN g.since AND g.called_at + INTERVAL 1 HOUR)
    GROUP BY g.seq
)
SELECT
    g.* EXCLUDE (since, reported_id, provider),
    coalesce(i.measured_seq, c.measured_seq, s.measured_seq, t.measured_seq) AS measured_seq,
    d.seq AS decided_seq
FROM guessed AS g
LEFT JOIN in_source AS i ON g.seq = i.seq
LEFT JOIN in_call AS c ON g.seq = c.seq
LEFT JOIN in_session AS s ON g.seq = s.seq
LEFT JOIN in_task AS t ON g.seq = t.seq
LEFT JOIN supersessions AS d ON g.receipt = d.receipt AND g.content_hash = d.content_hash AND NOT d.is_withdrawn
