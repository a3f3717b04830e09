-- thread_statements: everything the touched threads' files state, in file order, and the totals of their ancestors.
-- grain: one statement
-- key: seq
-- unit: times in microseconds since 1970, UTC
-- source: touched_threads, lineage, events, items, high_water_marks
-- refresh: step
--
-- A turn that says what the one before it said is left out. Rows and items have no place that stays: they come in the order
-- of their times and keys.
WITH wanted AS (
    SELECT
        agent,
        thread_id
    FROM touched_threads
    UNION
    SELECT
        l.agent,
        l.ancestor_id
    FROM lineage AS l
    SEMI JOIN touched_threads AS t ON l.agent = t.agent AND l.thread_id = t.thread_id
    WHERE l.ancestor_id IS NOT NULL
),
placed AS (
    SELECT
        e.*,
        CASE
            WHEN e.item_key IS NULL THEN e.offset_bytes
            ELSE dense_rank() OVER (
                PARTITION BY e.source_generation ORDER BY e.source_created_at NULLS FIRST, e.item_key
            )
        END AS place
    FROM events AS e
    SEMI JOIN wanted AS w ON e.agent = w.agent AND (e.source_session_id = w.thread_id OR e.session_id = w.thread_id)
    WHERE e.kind IN ('usage', 'session', 'turn')
)
SELECT
    e.agent,
    e.source_session_id AS file_thread_id,
    e.source_generation,
    e.seq,
    e.kind,
    e.basis,
    e.place AS offset_bytes,
    epoch_us(e.source_created_at) AS time_micros,
    e.ordinal,
    e.raw,
    e.source_id,
    e.session_id,
    e.witness,
    e.model,
    e.cwd,
    e.stated_session_id,
    e.parent_session_id,
    e.forked_from_id,
    e.history_base_id,
    e.history_end_ordinal,
    e.agent_version,
    e.git_branch,
    e.git_remote,
    e.flags,
    e.line_hash,
    e.parser_version,
    CASE
        WHEN e.item_key IS NULL
            THEN coalesce(m.parser_version > e.parser_version AND e.offset_bytes < m.offset_bytes, false)
        ELSE coalesce((e.line_hash, e.parser_version) <> (i.line_hash, i.parser_version), false)
    END AS is_retired,
    e.source_class,
    e.source,
    e.model_provider,
    e.service_tier
FROM placed AS e
LEFT JOIN high_water_marks AS m ON e.source_generation = m.source_generation AND m.state <> 'moved'
LEFT JOIN items AS i ON e.source_generation = i.source_generation AND e.item_key = i.item_key
QUALIFY
    e.kind <> 'turn'
    OR (e.model, e.cwd) IS DISTINCT FROM lag((e.model, e.cwd)) OVER (
        PARTITION BY e.agent, e.source_generation, e.kind
        ORDER BY e.place, e.seq
    )
ORDER BY e.agent, e.source_session_id, e.source_generation, e.place, e.seq
