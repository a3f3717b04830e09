-- touched_threads: the threads to be folded again: those with new statements, and those that may carry their history.
-- grain: one thread
-- key: agent, thread_id
-- unit: -
-- source: staged, lineage, reparsed, events
-- refresh: step
WITH touching AS (
    SELECT
        agent,
        kind,
        basis,
        witness,
        source_session_id,
        session_id
    FROM staged
    UNION ALL
    SELECT
        e.agent,
        e.kind,
        e.basis,
        e.witness,
        e.source_session_id,
        e.session_id
    FROM events AS e
    SEMI JOIN reparsed AS r ON e.source_generation = r.source_generation
),
stated AS (
    SELECT DISTINCT
        agent,
        unnest([source_session_id, session_id]) AS thread_id
    FROM touching
    WHERE
        kind IN ('session', 'turn')
        OR (kind = 'usage' AND (basis = 'counter' OR witness IN ('ledger', 'ledger_copy')))
)
SELECT
    agent,
    thread_id
FROM stated
WHERE thread_id IS NOT NULL
UNION
SELECT
    l.agent,
    l.thread_id
FROM lineage AS l
SEMI JOIN stated AS s ON l.agent = s.agent AND l.ancestor_id = s.thread_id
