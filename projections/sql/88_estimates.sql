-- estimates: tokens that somebody computed without the provider's figure, and what was measured of the same since.
-- grain: one report that holds, or one completed task
-- key: seq
-- unit: tokens, times in UTC
-- source: token_reports, task_reports, ranked_messages, inbox, reported_calls, usage_measured, usage_allocated, supersessions
-- refresh: view
--
-- A completed task leaves an estimate (task_fallback) only if a report of the completion says that an operator, a hook or an agent made
-- it; a later report of its key by anybody else takes nothing away while it says completed too. Tokens are null where the report
-- guessed none. measured_seq is a measured report with its source id, a measured call of the same session, or of the same task and
-- time (from the task's first report, else a day before, to an hour after): then the estimate does not count. Null: it counts. What
-- was measured has to be more than nothing; a report that names a session asks for that session alone. decided_seq is an operator's decision
-- that it does not count; null: there is none.
WITH reported AS (
    SELECT
        seq,
        source_class,
        agent,
        source_id AS reported_id,
        provider,
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
        receipt,
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
completions AS (
    SELECT
        m.seq,
        m.receipt,
        m.content_hash,
        h.body ->> '$.status' AS holding_status,
        coalesce(CAST(m.body ->> '$.at' AS TIMESTAMP), m.created_at) AS stated_at,
        from_json(
            m.body,
            '{"task_id": "VARCHAR", "status": "VARCHAR", "origin": "VARCHAR", "agent": "VARCHAR", "session_id": "VARCHAR", "repo": "VARCHAR",
            "workstream_id": "VARCHAR", "estimated_input_tokens": "BIGINT", "estimated_output_tokens": "BIGINT"}'
        ) AS said
    FROM ranked_messages AS m
    INNER JOIN inbox AS h ON m.holding_seq = h.seq
    WHERE m.kind = 'task'
),
fallbacks AS (
    SELECT
        c.seq,
        'task_fallback' AS source_class,
        c.said.agent AS agent,
        'task:' || c.said.task_id AS source_id,
        c.said.session_id AS session_id,
        c.said.repo AS repo,
        c.said.task_id AS task_id,
        c.said.workstream_id AS workstream_id,
        c.stated_at AS called_at,
        least(b.first_at, c.stated_at - INTERVAL 1 DAY) AS since,
        c.said.estimated_input_tokens AS input_tokens,
        c.said.estimated_output_tokens AS output_tokens,
        c.receipt,
        c.content_hash
    FROM completions AS c
    LEFT JOIN begun AS b ON c.said.task_id = b.task_id
    WHERE c.said.status = 'completed' AND c.holding_status = 'completed' AND c.said.origin IN ('operator', 'hook', 'agent')
    QUALIFY row_number() OVER (
        PARTITION BY c.said.task_id
        ORDER BY
            coalesce(c.said.estimated_input_tokens, c.said.estimated_output_tokens) IS NOT NULL DESC,
            c.stated_at DESC NULLS LAST,
            c.content_hash DESC,
            c.seq ASC
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
    WHERE coalesce(g.agent = u.agent, true) AND u.total_tokens > 0
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
    coalesce(i.measured_seq, s.measured_seq, t.measured_seq) AS measured_seq,
    d.seq AS decided_seq
FROM guessed AS g
LEFT JOIN in_source AS i ON g.seq = i.seq
LEFT JOIN in_session AS s ON g.seq = s.seq
LEFT JOIN in_task AS t ON g.seq = t.seq
LEFT JOIN supersessions AS d ON g.receipt = d.receipt AND g.content_hash = d.content_hash AND NOT d.is_withdrawn
