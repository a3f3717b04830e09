-- retired: measured usage whose evidence was retired, as it was believed then.
-- grain: one tombstone, agent, day (UTC) and model
-- key: first_seq, agent, day, model
-- unit: tokens, micro-dollars, times in UTC
-- source: tombstones (of the log)
-- refresh: append
--
-- Not part of any other table: usage_measured covers what still has evidence. Together they are what was measured; nothing adds
-- them up by itself. A part is null where no source stated it, the cost where no call was priced, or before costs were known; day is null for calls whose time could not be trusted.
-- first_seq and last_seq are the events that went. A call that is stated again after its evidence went is measured again.
SELECT
    log_id,
    first_seq,
    last_seq,
    retired_at,
    agent,
    day,
    model,
    'retired' AS measurement,
    calls,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    output_tokens,
    reasoning_tokens,
    total_tokens,
    total_without_cache_read_tokens,
    provider_total_tokens,
    cost_usd_micros,
    incomplete_calls
FROM tombstones
ORDER BY first_seq, agent, day, model
