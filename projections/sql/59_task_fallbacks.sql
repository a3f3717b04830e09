-- task_fallbacks: what completed tasks leave where nothing may have been measured of them, one for each task.
-- grain: one completed task
-- key: task_id
-- unit: tokens, times in UTC
-- source: task_reports, ranked_messages, inbox
-- refresh: view
--
-- Only a report of the completion that an operator, a hook or an agent made leaves one; a later report of its key by anybody else takes
-- nothing away while it says completed too. Tokens are null where the report guessed none. since is the task's first report, else a
-- day before. Whether it counts says estimates.
WITH begun AS (
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
)
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
