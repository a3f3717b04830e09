-- sentinels: sessions that the daemon planted itself, to see that what is written comes out here.
-- grain: one file of one day; four of them take turns
-- key: source
-- unit: times in UTC
-- source: staged
-- refresh: replace source
--
-- line_id is the planted call that was read last. They are in no other table but events.
SELECT
    source,
    max(seq) AS seq,
    arg_max(session_id, seq) AS session_id,
    arg_max(line_id, seq) AS line_id,
    arg_max(source_created_at, seq) AS planted_at,
    arg_max(ingested_at, seq) AS ingested_at
FROM staged
WHERE kind = 'sentinel'
GROUP BY source
