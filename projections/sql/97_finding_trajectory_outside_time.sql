-- finding_trajectory_outside_time: a log that was written at another time than the session that claims it.
-- grain: one log
-- key: subject
-- unit: times in UTC
-- source: claims, trajectories, trajectory_looks, doubtful_times
-- refresh: part
--
-- Ten minutes lie between the session and the log, by what the log itself states; of a log that states no time, or was not read,
-- between its last change and the session's beginning. Ten minutes are what clocks may differ by, here as for future times.
-- A log that goes on before or after the session is none: sessions are resumed. Times that stand for others prove nothing.
-- A record without an end has a day: no session of a harness takes longer to begin its log.
WITH timed AS (
    SELECT
        c.session_id,
        c.agent,
        coalesce(c.trajectory_source, c.trajectory_path) AS log_path,
        c.started_at,
        coalesce(c.ended_at, c.started_at + INTERVAL 1 DAY) AS ended_at,
        t.first_at,
        t.last_at,
        CASE WHEN t.first_at IS NULL THEN l.modified_at END AS modified_at
    FROM claims AS c
    LEFT JOIN trajectories AS t ON c.trajectory_source = t.source AND t.first_at >= TIMESTAMP '2015-01-01'
    LEFT JOIN trajectory_looks AS l ON c.trajectory_path = l.path
    ANTI JOIN doubtful_times AS d ON c.source = d.source AND c.claim_key = d.claim_key AND d.field <> 'recorded_at'
    WHERE c.trajectory_path IS NOT NULL
)
SELECT
    log_path AS subject,
    min(started_at) AS since,
    CASE WHEN count(DISTINCT agent) = 1 THEN any_value(agent) END AS agent,
    list_sort(list(DISTINCT session_id)) AS sessions,
    [x for x in [
        'path:' || log_path,
        'log_first_at:' || strftime(min(first_at), '%Y-%m-%dT%H:%M:%SZ'),
        'log_last_at:' || strftime(max(coalesce(last_at, modified_at)), '%Y-%m-%dT%H:%M:%SZ'),
        'session_started_at:' || strftime(min(started_at), '%Y-%m-%dT%H:%M:%SZ'),
        'session_ended_at:' || strftime(max(ended_at), '%Y-%m-%dT%H:%M:%SZ')
    ] if x IS NOT NULL] AS evidence
FROM timed
WHERE
    coalesce(last_at, modified_at) < started_at - INTERVAL 10 MINUTE
    OR first_at > ended_at + INTERVAL 10 MINUTE
GROUP BY log_path
