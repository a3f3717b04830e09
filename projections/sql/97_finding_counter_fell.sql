-- finding_counter_fell: a running total that is smaller than it was, in the same file or the same row.
-- grain: one generation of one file
-- key: subject
-- unit: times in UTC
-- source: events, superseded_totals, lineage
-- refresh: part
--
-- A new segment was begun there, and what lies between is counted by nobody. An old figure written late (stale_total), copied history
-- and a total of zeros, which a rollback writes, are no falls. Of a row or item the tokens were once stated and later less.
WITH totals AS (
    SELECT
        e.agent,
        e.source,
        e.source_generation,
        e.source_session_id AS session_id,
        e.seq,
        e.source_created_at AS seen_at,
        coalesce(
            CAST(e.raw ->> '$."total.total_tokens"' AS BIGINT),
            CAST(e.raw ->> '$."total.input_tokens"' AS BIGINT) + CAST(e.raw ->> '$."total.output_tokens"' AS BIGINT)
        ) AS total_tokens,
        e.offset_bytes AS place
    FROM events AS e
    ANTI JOIN superseded_totals AS s ON e.seq = s.seq AND s.reason IN ('stale_total', 'inherited', 'reparsed', 'same_line')
    WHERE e.basis = 'counter' AND e.kind = 'usage'
),
states AS (
    SELECT
        agent,
        source,
        source_generation,
        session_id,
        seq,
        source_created_at AS seen_at,
        coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) + coalesce(output_tokens, 0) AS total_tokens,
        seq AS place,
        item_key,
        parser_version
    FROM events
    WHERE kind = 'usage' AND item_key IS NOT NULL AND basis = 'call'
),
steps AS (
    SELECT
        agent,
        source,
        source_generation,
        session_id,
        seen_at,
        total_tokens,
        lag(total_tokens) OVER (PARTITION BY source_generation ORDER BY place, seq) AS previous_tokens
    FROM totals
    WHERE total_tokens > 0
    UNION ALL
    SELECT
        agent,
        source,
        source_generation,
        session_id,
        seen_at,
        total_tokens,
        lag(total_tokens) OVER (PARTITION BY source_generation, item_key, parser_version ORDER BY seq) AS previous_tokens
    FROM states
)
SELECT
    agent || ':' || source_generation AS subject,
    min(seen_at) AS since,
    agent,
    coalesce(list_sort(list(DISTINCT session_id) FILTER (WHERE session_id IS NOT NULL)), []) AS sessions,
    [
        'path:' || min(source),
        'falls:' || count(*),
        'from_tokens:' || arg_max(previous_tokens, previous_tokens - total_tokens),
        'to_tokens:' || arg_max(total_tokens, previous_tokens - total_tokens)
    ] AS evidence
FROM steps
WHERE total_tokens < previous_tokens
GROUP BY agent, source_generation
