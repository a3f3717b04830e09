-- rates: what price books said of models, each time it was looked up.
-- grain: one rates event
-- key: log_id, seq
-- unit: micro-dollars per million tokens, seconds of the day, times in UTC
-- source: staged
-- refresh: append
--
-- The newest of a provider and model holds (prices); the others are what was believed before. matched_model is null where the book
-- knows no such model. windows exclude each other; there are none where the book prices more than tokens.
SELECT
    log_id,
    seq,
    ingested_at AS stated_at,
    said.* EXCLUDE (windows),
    coalesce(said.windows, []) AS windows
FROM (
    SELECT
        log_id,
        seq,
        ingested_at,
        from_json(
            body,
            '{"book": "VARCHAR", "book_version": "VARCHAR", "model_provider": "VARCHAR", "model": "VARCHAR", "matched_provider": "VARCHAR",
            "matched_model": "VARCHAR", "windows": [{"since": "DATE", "until": "DATE", "daily_from_seconds": "BIGINT",
            "daily_until_seconds": "BIGINT", "above_input_tokens": "BIGINT", "up_to_input_tokens": "BIGINT", "input": "BIGINT",
            "cache_read": "BIGINT", "cache_write": "BIGINT", "cache_write_5m": "BIGINT", "cache_write_1h": "BIGINT",
            "output": "BIGINT"}]}'
        ) AS said
    FROM staged
    WHERE kind = 'rates'
)
ORDER BY seq
