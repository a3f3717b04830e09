-- finding_residual: a file whose own total is not what was counted from it.
-- grain: one generation of one file, and one kind of own total
-- key: subject
-- unit: times in UTC
-- source: reconciliation, events
-- refresh: part
--
-- The difference was counted by nobody, or twice. reason says where it is known: clamped means that parts of a total
-- contradicted each other and were kept within their wholes.
SELECT
    concat_ws(':', r.agent, r.source_generation, r.basis) AS subject,
    min(e.ingested_at) AS since,
    r.agent,
    coalesce(list_sort(list(DISTINCT e.source_session_id) FILTER (WHERE e.source_session_id IS NOT NULL)), []) AS sessions,
    [
        'path:' || r.source,
        'residual_tokens:' || r.residual_tokens,
        'own_total_tokens:' || r.own_total_tokens,
        'counted_tokens:' || r.counted_tokens,
        'reason:' || r.reason
    ] AS evidence
FROM reconciliation AS r
LEFT JOIN events AS e ON r.source_generation = e.source_generation AND e.kind = 'session'
WHERE r.residual_tokens <> 0
GROUP BY r.agent, r.source_generation, r.basis, r.source, r.residual_tokens, r.own_total_tokens, r.counted_tokens, r.reason
