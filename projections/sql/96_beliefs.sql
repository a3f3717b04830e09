-- beliefs: the totals of each day, agent and class of tokens, each time they were stated as believed.
-- grain: one statement of a published event
-- key: seq, day, agent, measurement
-- unit: calls in whole numbers, tokens, micro-dollars, times in UTC
-- source: staged
-- refresh: append
--
-- A total holds until it is stated again; one that was never stated, of a day that had ended, was nothing. calls is zero where a day has
-- none any more; a class of tokens is null where nothing stated it. day is null for calls whose time cannot be trusted.
SELECT
    log_id,
    seq,
    ingested_at AS believed_at,
    CAST(body ->> '$.up_to_seq' AS BIGINT) AS up_to_seq,
    body ->> '$.rules' AS rules,
    unnest(
        from_json(
            body -> '$.totals',
            '[{"day": "DATE", "agent": "VARCHAR", "measurement": "VARCHAR", "calls": "BIGINT", "input_tokens": "BIGINT",
            "cache_read_tokens": "BIGINT", "cache_write_tokens": "BIGINT", "output_tokens": "BIGINT", "total_tokens": "BIGINT",
            "cost_usd_micros": "BIGINT"}]'
        ),
        recursive := true
    )
FROM staged
WHERE kind = 'published'
