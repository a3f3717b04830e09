-- fallbacks: estimates that completed tasks, old callers or an old table left, and whether something was measured beside each.
-- grain: one report that holds, or one completed task
-- key: seq
-- unit: tokens, times in UTC
-- source: estimates, supersessions, usage_measured, usage_allocated
-- refresh: view
--
-- state: measured_since (superseded by rule), operator_decision (superseded by a decision), leaked (it counts, and calls of its
-- session or of its task were measured too), kept (the same, and an operator has decided that it counts), counted (nothing was
-- measured beside it). beside_source_id is null where it was more than one call. Leaked is no proof of tokens that count twice: a task may
-- have been worked on twice, and only once in a log. A row of an old table that names its source is held against its session alone.
WITH guessed AS MATERIALIZED (
    SELECT
        e.*,
        s.seq AS decision_seq
    FROM estimates AS e
    LEFT JOIN supersessions AS s ON e.receipt = s.receipt AND e.content_hash = s.content_hash
    WHERE e.source_class IN ('task_fallback', 'legacy_post', 'legacy_import')
),
beside AS (
    SELECT
        g.seq,
        u.value_seq,
        u.source_id
    FROM guessed AS g
    INNER JOIN usage_measured AS u ON g.session_id = u.session_id
    WHERE u.total_tokens > 0
    UNION
    SELECT
        g.seq,
        u.value_seq,
        u.source_id
    FROM guessed AS g
    INNER JOIN usage_allocated AS u ON g.task_id = u.task_id
    WHERE u.total_tokens > 0 AND g.source_class <> 'legacy_import'
),
met AS (
    SELECT
        seq,
        min(value_seq) AS beside_seq,
        CASE WHEN count(DISTINCT source_id) = 1 THEN min(source_id) END AS beside_source_id
    FROM beside
    GROUP BY seq
)
SELECT
    g.seq,
    g.receipt,
    g.content_hash,
    g.source_class,
    g.agent,
    g.session_id,
    g.task_id,
    g.called_at,
    g.input_tokens,
    g.output_tokens,
    CASE
        WHEN g.measured_seq IS NOT NULL THEN 'measured_since'
        WHEN g.decided_seq IS NOT NULL THEN 'operator_decision'
        WHEN m.seq IS NULL THEN 'counted'
        WHEN g.decision_seq IS NOT NULL THEN 'kept'
        ELSE 'leaked'
    END AS state,
    coalesce(g.measured_seq, m.beside_seq) AS beside_seq,
    m.beside_source_id
FROM guessed AS g
LEFT JOIN met AS m ON g.seq = m.seq
