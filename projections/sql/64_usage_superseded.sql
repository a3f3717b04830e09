-- usage_superseded: the statements of tokens that do not count, with what beat them.
-- grain: one statement
-- key: seq
-- unit: tokens
-- source: superseded, events
-- refresh: view
--
-- For a running total the tokens are null: a total is not usage. Never add these to measured usage.
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
