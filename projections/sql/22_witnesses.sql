-- witnesses: every statement about a touched call, ranked; the best has rank 1.
-- grain: one statement of one call
-- key: seq
-- unit: tokens
-- source: touched_calls, events, items, high_water_marks
-- refresh: step
--
-- Value, time and owner of a call are folded separately. Owner: the earliest copy, a main transcript before a
-- subagent's file. Value: the whole line with the highest output; never a maximum per field, since a line that fell
-- back to another model in mid-stream has other cache figures too; a line of zeros never. A side question replays its
-- parent's id under a request of its own: the main line wins. No order here depends on the order of reading. A row or item
-- has one state, the last one read; of two copies with one time the one with the lesser key is the older: keys rise. Where
-- an item stood when it was read is no order: what stands before it may have changed since.
WITH statements AS (
    SELECT
        e.seq,
        e.agent,
        e.source_id,
        e.source,
        CASE WHEN e.item_key IS NULL THEN e.offset_bytes END AS offset_bytes,
        e.line_hash,
        e.parser_version,
        e.item_key,
        CASE
            WHEN e.item_key IS NULL
                THEN coalesce(m.parser_version > e.parser_version AND e.offset_bytes < m.offset_bytes, false)
            ELSE coalesce((e.line_hash, e.parser_version) <> (i.line_hash, i.parser_version), false)
        END AS is_retired,
        e.session_id,
        e.source_role IN ('main', 'archived') AS is_main,
        CASE WHEN e.source_created_at >= TIMESTAMP '2015-01-01' THEN e.source_created_at END AS stated_at,
        e.witness <> 'progress' AS is_own_line,
        coalesce(e.is_sidechain, false) AS is_side,
        e.request_id,
        coalesce(e.output_tokens, -1) AS output_rank,
        coalesce(e.input_tokens, 0) + coalesce(e.cache_read_tokens, 0) + coalesce(e.cache_write_tokens, 0)
        + coalesce(e.output_tokens, 0) > 0 AS is_nonzero
    FROM events AS e
    SEMI JOIN touched_calls AS t ON e.agent = t.agent AND e.source_id = t.source_id
    LEFT JOIN high_water_marks AS m ON e.source_generation = m.source_generation AND m.state <> 'moved'
    LEFT JOIN items AS i ON e.source_generation = i.source_generation AND e.item_key = i.item_key
    WHERE e.kind = 'usage' AND e.basis = 'call'
),
readings AS (
    SELECT
        *,
        NOT is_retired
        AND parser_version = max(parser_version) OVER (PARTITION BY agent, source_id, line_hash) AS is_newest_reading
    FROM statements
),
with_context AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY agent, source_id
            ORDER BY is_newest_reading DESC, stated_at ASC NULLS LAST, is_main DESC, item_key ASC NULLS LAST, session_id ASC NULLS LAST, source ASC, offset_bytes ASC NULLS LAST, seq ASC
        ) AS age_rank
    FROM readings
),
per_call AS (
    SELECT
        agent,
        source_id,
        list(DISTINCT request_id) FILTER (WHERE NOT is_side AND request_id IS NOT NULL) AS main_requests,
        arg_min(source, age_rank) AS owner_source
    FROM with_context
    GROUP BY agent, source_id
),
compared AS (
    SELECT
        w.*,
        w.source = p.owner_source AS is_owners,
        w.is_side AND w.request_id IS NOT NULL
        AND coalesce(NOT list_contains(p.main_requests, w.request_id), false) AS is_side_question
    FROM with_context AS w
    INNER JOIN per_call AS p ON w.agent = p.agent AND w.source_id = p.source_id
)
SELECT
    w.seq,
    w.agent,
    w.source_id,
    w.source,
    w.offset_bytes,
    w.item_key,
    w.line_hash,
    w.stated_at,
    w.is_own_line,
    w.is_newest_reading,
    w.is_side_question,
    w.output_rank,
    w.age_rank,
    row_number() OVER (
        PARTITION BY w.agent, w.source_id
        ORDER BY
            w.is_newest_reading DESC,
            w.is_own_line DESC,
            w.is_side_question ASC,
            w.is_nonzero DESC,
            w.output_rank DESC,
            w.is_owners DESC,
            w.source ASC,
            w.offset_bytes DESC NULLS LAST,
            w.item_key ASC NULLS LAST,
            w.line_hash ASC,
            w.seq ASC
    ) AS value_rank
FROM compared AS w
