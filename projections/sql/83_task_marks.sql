-- task_marks: moments at which something names the task of a session: reports of tasks, and calls of tools.
-- grain: one moment of one session, per rule
-- key: rule, agent, session_id, marked_at
-- unit: times in UTC
-- source: task_reports, named_tasks, calls, thread_calls, token_reports
-- refresh: view
--
-- phase: end (completed, failed, cancelled, blocked) or begin (in progress, or named without a status). Several tasks at one moment are
-- none: task and workstream are null then. agent is null for sessions whose tokens were reported without an agent.
WITH sessions_ AS (
    SELECT DISTINCT
        agent,
        unnest([session_id, parent_session_id]) AS session_id
    FROM (
        SELECT agent, session_id, parent_session_id FROM calls
        UNION ALL
        SELECT agent, session_id, parent_session_id FROM thread_calls
        UNION ALL
        SELECT agent, session_id, parent_session_id FROM token_reports
    )
),
stated AS (
    SELECT 'task_report' AS rule, agent, session_id, stated_at AS marked_at, task_id, workstream_id, status, seq
    FROM task_reports
    WHERE session_id IS NOT NULL AND stated_at IS NOT NULL AND status <> 'open'
    UNION ALL
    SELECT 'tool_call' AS rule, agent, session_id, named_at AS marked_at, task_id, workstream_id, task_status AS status, seq
    FROM named_tasks
    WHERE coalesce(task_status <> 'open', true)
)
SELECT
    s.rule,
    n.agent,
    s.session_id,
    s.marked_at,
    CASE WHEN count(DISTINCT (s.task_id, s.workstream_id)) = 1 THEN any_value(s.task_id) END AS task_id,
    CASE WHEN count(DISTINCT (s.task_id, s.workstream_id)) = 1 THEN any_value(s.workstream_id) END AS workstream_id,
    CASE
        WHEN bool_or(coalesce(s.status IN ('completed', 'failed', 'cancelled', 'blocked'), false)) THEN 'end' ELSE 'begin'
    END AS phase,
    list(s.seq ORDER BY s.seq) AS seqs
FROM stated AS s
INNER JOIN sessions_ AS n ON s.session_id = n.session_id AND coalesce(s.agent = n.agent, true)
GROUP BY s.rule, n.agent, s.session_id, s.marked_at
