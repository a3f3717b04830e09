-- finding_shared_trajectory: one log that several sessions claim as their own.
-- grain: one log
-- key: subject
-- unit: times in UTC
-- source: claims
-- refresh: part
--
-- Two records of one session are no finding. A directory and the conversation in it are one log.
SELECT
    coalesce(trajectory_source, trajectory_path) AS subject,
    min(coalesce(started_at, recorded_at, ingested_at)) AS since,
    CASE WHEN count(DISTINCT agent) = 1 THEN any_value(agent) END AS agent,
    list_sort(list(DISTINCT session_id)) AS sessions,
    ['path:' || coalesce(trajectory_source, trajectory_path), 'claims:' || count(*)] AS evidence
FROM claims
WHERE trajectory_path IS NOT NULL
GROUP BY coalesce(trajectory_source, trajectory_path)
HAVING count(DISTINCT session_id) >= 2
