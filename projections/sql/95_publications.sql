-- publications: when totals were stated as they were believed: once a day, in one event or several.
-- grain: one event
-- key: seq
-- unit: times in UTC
-- source: staged
-- refresh: append
--
-- What was believed is complete: the totals of all days that had ended by ended_before. A publication states only those that are new
-- or other than before (beliefs); the rest is as it was stated last. rules names the rules of the tables by which was counted.
SELECT
    log_id,
    seq,
    ingested_at AS believed_at,
    CAST(body ->> '$.ended_before' AS DATE) AS ended_before,
    CAST(body ->> '$.up_to_seq' AS BIGINT) AS up_to_seq,
    body ->> '$.rules' AS rules,
    json_array_length(body, '$.totals') AS totals
FROM staged
WHERE kind = 'published'
