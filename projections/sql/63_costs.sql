-- costs: measured usage with what each call cost, by the rates that hold, or why that is not known.
-- grain: one row of usage_measured
-- key: agent, source_id
-- unit: tokens, micro-dollars, times in UTC
-- source: usage_measured, prices
-- refresh: view
--
-- The very rows of usage_measured. A call is priced by itself, at its own time and length of context: tokens of each class by their rate,
-- added up without rounding and then rounded to whole micro-dollars, half up. So sums are sums of rows. cost_usd_micros is null, never zero,
-- where unpriced says why. cache_savings_usd_micros is what reads from the cache would have cost as plain input, less what they cost;
-- rounded the same way. rates_seq is the event that states the rates, window_number the one of its windows.
WITH known AS (
    SELECT DISTINCT
        rates_seq,
        model_provider,
        model,
        matched_model IS NOT NULL AS is_known
    FROM prices
),
windows AS (
    SELECT *
    FROM prices
    WHERE window_number IS NOT NULL
),
classed AS (
    SELECT
        *,
        coalesce(input_tokens, 0) AS plain,
        coalesce(cache_read_tokens, 0) AS read_,
        CASE
            WHEN cache_write_5m_tokens IS NULL AND cache_write_1h_tokens IS NULL THEN coalesce(cache_write_tokens, 0)
            ELSE 0
        END AS written,
        coalesce(cache_write_5m_tokens, 0) AS short,
        coalesce(cache_write_1h_tokens, 0) AS long,
        coalesce(output_tokens, 0) AS answered,
        epoch_us(called_at) // 1000000 % 86400 AS day_seconds
    FROM usage_measured
),
rated AS (
    SELECT
        c.* EXCLUDE (plain, read_, written, short, long, answered, day_seconds),
        k.rates_seq,
        w.window_number,
        CASE
            WHEN c.model IS NULL THEN 'no_model'
            WHEN c.service_tier NOT IN ('standard', 'default') THEN 'service_tier'
            WHEN c.input_tokens IS NULL OR c.output_tokens IS NULL THEN 'tokens_unknown'
            WHEN c.total_tokens > 9000000000 THEN 'out_of_range'
            WHEN k.rates_seq IS NULL THEN 'no_rates'
            WHEN NOT k.is_known THEN 'unknown_model'
            WHEN w.rates_seq IS NULL AND c.called_at IS NULL THEN 'time_unknown'
            WHEN
                w.rates_seq IS NULL
                OR (w.input_rate IS NULL AND c.plain > 0)
                OR (w.cache_read_rate IS NULL AND c.read_ > 0)
                OR (w.cache_write_rate IS NULL AND c.written > 0)
                OR (w.cache_write_5m_rate IS NULL AND c.short > 0)
                OR (w.cache_write_1h_rate IS NULL AND c.long > 0)
                OR (w.output_rate IS NULL AND c.answered > 0)
                THEN 'rate_missing'
            WHEN c.requests IS NULL AND w.above_input_tokens IS NOT NULL THEN 'context_tier'
        END AS unpriced,
        CASE
            WHEN c.total_tokens <= 9000000000
                THEN
                    c.plain * coalesce(w.input_rate, 0)
                    + c.read_ * coalesce(w.cache_read_rate, 0)
                    + c.written * coalesce(w.cache_write_rate, 0)
                    + c.short * coalesce(w.cache_write_5m_rate, 0)
                    + c.long * coalesce(w.cache_write_1h_rate, 0)
                    + c.answered * coalesce(w.output_rate, 0)
        END AS spent,
        CASE WHEN c.total_tokens <= 9000000000 THEN c.read_ * (coalesce(w.input_rate, 0) - coalesce(w.cache_read_rate, 0)) END AS saved
    FROM classed AS c
    LEFT JOIN known AS k ON c.model = k.model AND c.model_provider IS NOT DISTINCT FROM k.model_provider
    LEFT JOIN windows AS w
        ON
            k.rates_seq = w.rates_seq
            AND (w.since IS NULL OR c.called_at >= w.since)
            AND (w.until IS NULL OR c.called_at < w.until)
            AND (w.daily_from_seconds IS NULL OR c.day_seconds >= w.daily_from_seconds)
            AND (w.daily_until_seconds IS NULL OR c.day_seconds < w.daily_until_seconds)
            AND (w.above_input_tokens IS NULL OR c.plain + c.read_ + coalesce(c.cache_write_tokens, 0) > w.above_input_tokens)
            AND (w.up_to_input_tokens IS NULL OR c.plain + c.read_ + coalesce(c.cache_write_tokens, 0) <= w.up_to_input_tokens)
)
SELECT
    * EXCLUDE (spent, saved, unpriced),
    CASE WHEN unpriced IS NULL THEN (spent + 500000) // 1000000 END AS cost_usd_micros,
    CASE WHEN unpriced IS NULL THEN (saved + if(saved < 0, -500000, 500000)) // 1000000 END AS cache_savings_usd_micros,
    unpriced
FROM rated
