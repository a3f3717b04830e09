-- tallies: what was read of each agent and version, about once a minute.
-- grain: one agent, version, and whether it was history, from one tally to the next
-- key: log_id, seq
-- unit: bytes, lines and answers in whole numbers, times in UTC
-- source: staged
-- refresh: append
--
-- signs counts what should have been counted as usage and could not: answers without usage, lines that were rejected or of
-- an unknown type. is_history: the file was written long before it was read.
SELECT
    log_id,
    seq,
    body ->> '$.agent' AS agent,
    body ->> '$.agent_version' AS agent_version,
    CAST(body ->> '$.is_history' AS BOOLEAN) AS is_history,
    CAST(body ->> '$.since' AS TIMESTAMP) AS since,
    ingested_at AS told_at,
    CAST(body ->> '$.bytes' AS BIGINT) AS bytes,
    CAST(body ->> '$.lines' AS BIGINT) AS lines,
    CAST(body ->> '$.recognised_lines' AS BIGINT) AS recognised_lines,
    CAST(body ->> '$.rejected_lines' AS BIGINT) AS rejected_lines,
    CAST(body ->> '$.usage_statements' AS BIGINT) AS usage_statements,
    CAST(body ->> '$.turns_without_usage' AS BIGINT) AS turns_without_usage,
    lines - recognised_lines + turns_without_usage AS signs,
    CAST(body -> '$.sources' AS VARCHAR []) AS sources
FROM staged
WHERE kind = 'tally'
