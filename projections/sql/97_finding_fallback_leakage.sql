-- finding_fallback_leakage: an estimate that counts, though something of the same was measured: the same tokens twice.
-- grain: one estimate
-- key: subject
-- unit: times in UTC
-- source: usage_estimated, supersessions, events, usage_measured, usage_allocated
-- refresh: part
--
-- What surely is the same counts no more (estimates). What is left here is too like to be chance: the same session under another agent's
-- name, the same source id under another provider's, a task whose tokens were measured any time before an hour after its end.
-- What an operator has decided to keep is no finding.
WITH kept AS (
    SELECT e.seq
    FROM supersessions AS s
    INNER JOIN events AS e ON s.receipt = e.receipt AND s.content_hash = e.content_hash
    WHERE s.is_withdrawn
),
guessed AS (
    SELECT
        *,
        regexp_replace(source_id, '^[^:]*:', '') AS bare_id
    FROM usage_estimated
    WHERE seq NOT IN (SELECT seq FROM kept)
),
beside AS (
    SELECT
        g.seq,
        'session' AS same,
        u.value_seq
    FROM guessed AS g
    INNER JOIN usage_measured AS u ON g.session_id = u.session_id
    WHERE u.total_tokens > 0
    UNION ALL
    SELECT
        g.seq,
        'source_id' AS same,
        u.value_seq
    FROM guessed AS g
    INNER JOIN usage_measured AS u ON g.bare_id = regexp_replace(u.source_id, '^[^:]*:', '')
    WHERE u.total_tokens > 0 AND g.source_class <> 'task_fallback'
    UNION ALL
    SELECT
        g.seq,
        'task' AS same,
        u.value_seq
    FROM guessed AS g
    INNER JOIN usage_allocated AS u ON g.task_id = u.task_id
    WHERE u.total_tokens > 0 AND coalesce(u.called_at <= g.called_at + INTERVAL 1 HOUR, true)
)
SELECT
    g.source_class || ':' || g.seq AS subject,
    any_value(g.called_at) AS since,
    any_value(g.agent) AS agent,
    CASE WHEN any_value(g.session_id) IS NULL THEN [] ELSE [any_value(g.session_id)] END AS sessions,
    list_concat(
        ['source_class:' || g.source_class, 'estimate:' || any_value(g.source_id), 'total_tokens:' || coalesce(CAST(any_value(g.total_tokens) AS VARCHAR), '-')],
        list_transform(list_sort(list(DISTINCT b.same)), lambda each: 'same:' || each),
        ['measured_event:' || min(b.value_seq)]
    ) AS evidence
FROM guessed AS g
INNER JOIN beside AS b ON g.seq = b.seq
GROUP BY g.seq, g.source_class
