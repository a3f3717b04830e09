-- thread_reconciliation: a file's own final total against what was counted from it.
-- grain: one generation of one file, and one kind of own total
-- key: agent, thread_id, source_generation, basis
-- unit: tokens
-- source: thread_statements, folded by projections/counters.py
-- refresh: replace agent, thread_id
SELECT
    agent,
    thread_id,
    source_generation,
    basis,
    own_total_tokens,
    baseline_tokens,
    counted_tokens,
    own_total_tokens - baseline_tokens - counted_tokens AS residual_tokens,
    reason
FROM folded_reconciliations
ORDER BY agent, thread_id, source_generation, basis
