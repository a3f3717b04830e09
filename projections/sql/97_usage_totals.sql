-- usage_totals: tokens by day (UTC), agent and class: what is believed now, and is stated once a day.
-- grain: one day, agent and class
-- key: day, agent, measurement
-- unit: calls in whole numbers, tokens
-- source: usage_parts
-- refresh: view
--
-- calls counts calls, estimates, or shares of calls. Never add classes. day is null for calls whose time cannot be trusted.
SELECT
    day,
    agent,
    measurement,
    count(*) AS calls,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(total_tokens) AS BIGINT) AS total_tokens
FROM usage_parts
GROUP BY ALL
