-- named_tasks: tool calls that name a task, each once, however often its line was copied or read.
-- grain: one call of a tool
-- key: seq
-- unit: times in UTC
-- source: events, high_water_marks
-- refresh: view
--
-- A copy of the line in another session's file is the same call of the tool: the earliest copy counts.
SELECT
    arg_min(e.seq, struct_pack(at := e.source_created_at, session := e.session_id, seq := e.seq)) AS seq,
    e.agent,
    arg_min(e.session_id, struct_pack(at := e.source_created_at, session := e.session_id, seq := e.seq)) AS session_id,
    min(e.source_created_at) AS named_at,
    arg_min(e.tool_name, struct_pack(at := e.source_created_at, session := e.session_id, seq := e.seq)) AS tool_name,
    e.task_id,
    e.workstream_id,
    e.task_status
FROM events AS e
LEFT JOIN high_water_marks AS m ON e.source_generation = m.source_generation AND m.state <> 'moved'
WHERE
    e.kind = 'task_named'
    AND e.session_id IS NOT NULL
    AND e.source_created_at IS NOT NULL
    AND NOT coalesce(m.parser_version > e.parser_version AND e.offset_bytes < m.offset_bytes, false)
GROUP BY e.agent, coalesce(e.tool_call_id, e.line_hash), e.task_id, e.workstream_id, e.task_status
