-- hidden_calls: calls that an agent shows but for which it wrote no usage.
-- grain: one call, as the line's own id names it
-- key: agent, line_id
-- unit: times in UTC
-- source: events
-- refresh: view
--
-- Why a transcript is a lower bound even when counted right. Copies of a line in other files are one call.
SELECT
    agent,
    coalesce(line_id, line_hash) AS line_id,
    min(source_created_at) AS called_at,
    arg_min(session_id, struct_pack(at := source_created_at, session := session_id)) AS session_id,
    arg_min(git_branch, struct_pack(at := source_created_at, session := session_id)) AS git_branch,
    arg_min(agent_version, struct_pack(at := source_created_at, session := session_id)) AS agent_version
FROM events
WHERE kind = 'hidden_call'
GROUP BY ALL
