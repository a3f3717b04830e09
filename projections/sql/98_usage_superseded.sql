-- usage_superseded: the statements of tokens that do not count, with what beat them.
-- grain: one statement
-- key: seq
-- unit: tokens
-- source: superseded, events, token_reports, estimates
-- refresh: view
--
-- For a running total the tokens are null: a total is not usage. Never add these to measured usage. Reports of other programs give way
-- to newer ones (updated) and to an agent's own log (in_log), estimates to what was measured of the same (measured_since) or to an
-- operator's decision (operator_decision). Rows of an old table are taken back (withdrawn), were never usage (not_usage, by_seq null), or
-- are fallbacks of a task that has one (one_per_task).
SELECT
    e.seq,
    s.by_seq,
    s.reason,
    e.agent,
    e.source_id,
    'superseded' AS measurement,
    e.session_id,
    e.source,
    e.offset_bytes,
    e.length_bytes,
    e.item_key,
    e.line_hash,
    e.source_created_at,
    e.model,
    e.input_tokens,
    e.cache_read_tokens,
    e.cache_write_tokens,
    e.cache_write_5m_tokens,
    e.cache_write_1h_tokens,
    e.output_tokens,
    e.reasoning_tokens,
    e.raw
FROM superseded AS s
INNER JOIN events AS e ON s.seq = e.seq
WHERE e.content_hash IS NULL
UNION ALL BY NAME
SELECT
    r.seq,
    s.by_seq,
    s.reason,
    r.agent,
    coalesce(r.provider || ':', '') || r.source_id AS source_id,
    'superseded' AS measurement,
    r.session_id,
    r.used_at AS source_created_at,
    r.model,
    r.input_tokens,
    r.cache_read_tokens,
    r.cache_write_tokens,
    r.cache_write_5m_tokens,
    r.cache_write_1h_tokens,
    r.output_tokens,
    r.reasoning_tokens,
    r.raw_usage AS raw
FROM superseded AS s
INNER JOIN token_reports AS r ON s.seq = r.seq
UNION ALL BY NAME
SELECT
    seq,
    coalesce(measured_seq, decided_seq) AS by_seq,
    CASE WHEN measured_seq IS NOT NULL THEN 'measured_since' ELSE 'operator_decision' END AS reason,
    agent,
    source_id,
    'superseded' AS measurement,
    session_id,
    called_at AS source_created_at,
    model,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    output_tokens,
    reasoning_tokens
FROM estimates
WHERE measured_seq IS NOT NULL OR decided_seq IS NOT NULL
