-- finding_trajectory_missing: claims whose log was never there: not when the record was read, nor was it ever read by us.
-- grain: one file of records, agent, day (UTC) and what stands in the log's place
-- key: subject
-- unit: times in UTC
-- source: claims, high_water_marks
-- refresh: part
--
-- A record that points nowhere is none: null is honest. A log that was there once, or was read before it was moved or deleted, is
-- none either. One day is one finding, so that what is known of old days stays acknowledged while new ones are told.
WITH dangling AS (
    SELECT
        c.*,
        coalesce(c.trajectory_state, 'missing') AS looked_like,
        coalesce(c.started_at, c.recorded_at, c.ingested_at) AS placed_at
    FROM claims AS c
    ANTI JOIN high_water_marks AS h ON c.trajectory_path = h.source
    ANTI JOIN high_water_marks AS d ON c.trajectory_path || '/conversation.jsonl' = d.source
    WHERE c.trajectory_path IS NOT NULL AND NOT c.was_trajectory_present
)
SELECT
    concat_ws(':', looked_like, coalesce(agent, ''), CAST(placed_at AS DATE), source) AS subject,
    min(placed_at) AS since,
    agent,
    list_sort(list(DISTINCT session_id)) AS sessions,
    list_concat(
        ['state:' || looked_like, 'records:' || source],
        list_transform(list_sort(list(DISTINCT trajectory_path)) [:3], lambda path: 'path:' || path)
    ) AS evidence
FROM dangling
GROUP BY looked_like, agent, CAST(placed_at AS DATE), source
