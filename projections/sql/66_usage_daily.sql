-- usage_daily: measured usage by day (UTC), agent and model.
-- grain: one day, agent and model
-- key: day, agent, model
-- unit: tokens, micro-dollars
-- source: costs
-- refresh: view
--
-- day is null for calls whose time cannot be trusted; they are counted, on no day. cost_usd_micros is of the
-- calls that could be priced, null where none could.
SELECT
    CAST(called_at AS DATE) AS day,
    agent,
    model,
    measurement,
    count(*) AS calls,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
    CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
    CAST(sum(total_without_cache_read_tokens) AS BIGINT) AS total_without_cache_read_tokens,
    count_if(is_incomplete) AS incomplete_calls,
    CAST(sum(cost_usd_micros) AS BIGINT) AS cost_usd_micros,
    CAST(sum(cache_savings_usd_micros) AS BIGINT) AS cache_savings_usd_micros,
    count_if(cost_usd_micros IS NULL) AS unpriced_calls
FROM costs
GROUP BY ALL
