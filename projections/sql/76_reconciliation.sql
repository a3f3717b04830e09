-- reconciliation: per file, what was counted from it against the file's own total.
-- grain: one generation of one file, and one kind of own total
-- key: agent, source_generation, basis
-- unit: tokens
-- source: thread_reconciliation, high_water_marks
-- refresh: view
--
-- A residual other than zero is a finding. A file that states no total of its own has none: its residual is null.
SELECT
    r.agent,
    coalesce(h.source, r.source_generation) AS source,
    r.source_generation,
    r.basis,
    r.own_total_tokens,
    r.baseline_tokens,
    r.counted_tokens,
    r.residual_tokens,
    CASE WHEN r.residual_tokens = 0 THEN 'exact' ELSE coalesce(r.reason, 'unexplained') END AS reason
FROM thread_reconciliation AS r
LEFT JOIN high_water_marks AS h ON r.source_generation = h.source_generation AND h.state <> 'moved'
UNION ALL
SELECT
    h.agent,
    h.source,
    h.source_generation,
    'none' AS basis,
    CAST(NULL AS BIGINT) AS own_total_tokens,
    CAST(NULL AS BIGINT) AS baseline_tokens,
    CAST(NULL AS BIGINT) AS counted_tokens,
    CAST(NULL AS BIGINT) AS residual_tokens,
    CASE WHEN h.usage_lines = 0 THEN 'unmetered' ELSE 'no_own_total' END AS reason
FROM high_water_marks AS h
ANTI JOIN thread_reconciliation AS r ON h.source_generation = r.source_generation
WHERE h.source_name IS NOT NULL AND h.state <> 'moved' AND h.lines > 0 AND h.source_role IS DISTINCT FROM 'record'
