-- superseded_calls: the statements about a call that do not count, and what beat each.
-- grain: one statement
-- key: seq
-- unit: -
-- source: witnesses
-- refresh: replace agent, source_id
--
-- by_seq is the first later event that beat it, or the winner at its arrival; null where a newer parser no longer sees a
-- call at all.
WITH arrivals AS (
    SELECT
        *,
        min(value_rank) OVER (
            PARTITION BY agent, source_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS best_rank
    FROM witnesses
),
leaders AS (
    SELECT
        *,
        lead(seq) OVER (PARTITION BY agent, source_id ORDER BY seq) AS next_leader_seq
    FROM arrivals
    WHERE value_rank = best_rank
),
winners AS (
    SELECT *
    FROM witnesses
    WHERE value_rank = 1
)
SELECT
    a.agent,
    a.source_id,
    a.seq,
    CASE WHEN a.value_rank = a.best_rank THEN l.next_leader_seq ELSE l.seq END AS by_seq,
    CASE
        WHEN NOT a.is_newest_reading AND a.item_key IS NOT NULL THEN 'updated'
        WHEN NOT a.is_newest_reading THEN 'reparsed'
        WHEN
            a.line_hash = w.line_hash AND a.source = w.source
            AND (a.offset_bytes = w.offset_bytes OR a.item_key = w.item_key)
            THEN 'same_line'
        WHEN a.is_own_line <> w.is_own_line THEN 'weaker_witness'
        WHEN a.is_side_question THEN 'side_question'
        WHEN a.output_rank < w.output_rank THEN 'poorer'
        WHEN a.source <> w.source OR a.item_key <> w.item_key THEN 'copy'
        ELSE 'repeat'
    END AS reason
FROM arrivals AS a
INNER JOIN winners AS w ON a.agent = w.agent AND a.source_id = w.source_id
INNER JOIN leaders AS l ON a.agent = l.agent AND a.source_id = l.source_id AND a.best_rank = l.value_rank
WHERE a.value_rank > 1 OR NOT a.is_newest_reading
ORDER BY a.seq
