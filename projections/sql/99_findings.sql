-- findings: what cannot be right in what was claimed and measured, one row for each thing to look at.
-- grain: one finding
-- key: id
-- unit: times in UTC
-- source: every finding_*, acknowledgements
-- refresh: view
--
-- id names rule, subject and sessions: a finding that grows is another one, and no old acknowledgement covers it. critical: numbers
-- are wrong, or another session's. warning: something cannot be believed or shown, and no total is wrong by it. info alarms nobody.
WITH found AS (
    SELECT
        'teletype' AS rule,
        'critical' AS severity,
        'tallystick repair plan' AS next,
        *
    FROM finding_teletype
    UNION ALL BY NAME
    SELECT
        'shared_trajectory' AS rule,
        'critical' AS severity,
        'tallystick repair plan' AS next,
        *
    FROM finding_shared_trajectory
    UNION ALL BY NAME
    SELECT
        'eval_trajectory' AS rule,
        'critical' AS severity,
        'tallystick repair plan' AS next,
        *
    FROM finding_eval_trajectory
    UNION ALL BY NAME
    SELECT
        'trajectory_missing' AS rule,
        'warning' AS severity,
        'tallystick repair plan' AS next,
        *
    FROM finding_trajectory_missing
    UNION ALL BY NAME
    SELECT
        'trajectory_outside_time' AS rule,
        'critical' AS severity,
        'tallystick repair plan' AS next,
        *
    FROM finding_trajectory_outside_time
),
named AS (
    SELECT
        left(md5(concat_ws('|', rule, subject, array_to_string(sessions, ','))), 12) AS id,
        *
    FROM found
)
SELECT
    n.id,
    n.rule,
    n.severity,
    n.since,
    n.agent,
    n.sessions,
    n.evidence,
    n.next,
    a.reason AS acknowledged_reason,
    a.ticket AS acknowledged_ticket,
    a.acknowledged_at,
    a.acknowledged_until
FROM named AS n
LEFT JOIN acknowledgements AS a ON n.id = a.finding_id
