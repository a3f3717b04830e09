-- folded_witnesses: which statement gives a touched call its value, which its owner, and its times.
-- grain: one call
-- key: agent, source_id
-- unit: times in UTC
-- source: witnesses
-- refresh: step
--
-- A table of its own, so that the database knows how small it is: joined as a subquery, it scans all events twice.
SELECT
    agent,
    source_id,
    arg_min(seq, value_rank) AS value_seq,
    arg_min(seq, age_rank) AS owner_seq,
    min(stated_at) FILTER (WHERE is_newest_reading) AS called_at,
    max(stated_at) FILTER (WHERE is_newest_reading) AS last_stated_at,
    count(DISTINCT source) AS source_count
FROM witnesses
GROUP BY agent, source_id
HAVING bool_or(is_newest_reading)
