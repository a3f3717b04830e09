-- findings: what cannot be right in what was claimed and measured, one row for each thing to look at.
-- grain: one finding
-- key: id
-- unit: times in UTC
-- source: every finding_*, acknowledgements
-- refresh: view
--
-- id names rule, subject and sessions: a finding that grows is another one, and no old acknowledgement covers it. critical: totals are
-- wrong or not whole, or somebody was given another session's. warning: something cannot be believed or shown, and no measured total
-- is wrong by it. info: null is honest, and alarms nobody. next is the cheapest command that tells more or mends it.
WITH found AS (
    SELECT
        'teletype' AS rule,
        'critical' AS severity,
        CASE
            WHEN starts_with(subject, 'measured:') THEN 'tallystick explain ' || sessions[1]
            WHEN len(list_filter(evidence, lambda each: starts_with(each, 'path:'))) > 0 THEN 'tallystick repair plan'
            ELSE 'tallystick findings acknowledge {id} --reason known_defect'
        END AS next,
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
    UNION ALL BY NAME
    SELECT
        'placeholder_time' AS rule,
        'warning' AS severity,
        'tallystick findings acknowledge {id} --reason known_defect' AS next,
        *
    FROM finding_placeholder_time
    UNION ALL BY NAME
    SELECT
        'constant_cache_read' AS rule,
        'warning' AS severity,
        if(starts_with(subject, 'claimed:'), 'tallystick findings acknowledge {id} --reason known_defect', 'tallystick explain ' || sessions[1]) AS next,
        *
    FROM finding_constant_cache_read
    UNION ALL BY NAME
    SELECT
        'model_sentinel' AS rule,
        'warning' AS severity,
        'tallystick findings acknowledge {id} --reason known_defect' AS next,
        *
    FROM finding_model_sentinel
    UNION ALL BY NAME
    SELECT
        'duplicate_source_id' AS rule,
        'warning' AS severity,
        if(starts_with(subject, 'claimed:'), 'tallystick findings acknowledge {id} --reason known_defect', 'tallystick explain ' || evidence[1][11:]) AS next,
        *
    FROM finding_duplicate_source_id
    UNION ALL BY NAME
    SELECT
        'fallback_leakage' AS rule,
        'warning' AS severity,
        'tallystick reconcile' AS next,
        *
    FROM finding_fallback_leakage
    UNION ALL BY NAME
    SELECT
        'superseded_counted' AS rule,
        'critical' AS severity,
        'tallystick rebuild' AS next,
        *
    FROM finding_superseded_counted
    UNION ALL BY NAME
    SELECT
        'unattributed_session' AS rule,
        'info' AS severity,
        'tallystick repo list' AS next,
        *
    FROM finding_unattributed_session
    UNION ALL BY NAME
    SELECT
        'no_provenance' AS rule,
        'warning' AS severity,
        'tallystick findings acknowledge {id} --reason known_defect' AS next,
        *
    FROM finding_no_provenance
    UNION ALL BY NAME
    SELECT
        'residual' AS rule,
        'critical' AS severity,
        coalesce('tallystick explain ' || sessions[1], 'tallystick verify --sources') AS next,
        *
    FROM finding_residual
    UNION ALL BY NAME
    SELECT
        'witnesses_disagree' AS rule,
        'warning' AS severity,
        'tallystick explain ' || evidence[3][11:] AS next,
        *
    FROM finding_witnesses_disagree
    UNION ALL BY NAME
    SELECT
        'missed_session' AS rule,
        if(starts_with(subject, 'before:'), 'info', 'critical') AS severity,
        if(starts_with(subject, 'before:'), 'tallystick findings acknowledge {id} --reason expected', 'tallystick reconcile') AS next,
        *
    FROM finding_missed_session
    UNION ALL BY NAME
    SELECT
        'counter_fell' AS rule,
        'warning' AS severity,
        coalesce('tallystick explain ' || sessions[1], 'tallystick verify --sources') AS next,
        *
    FROM finding_counter_fell
    UNION ALL BY NAME
    SELECT
        'time_out_of_range' AS rule,
        'warning' AS severity,
        if(starts_with(subject, 'claimed:'), 'tallystick findings acknowledge {id} --reason known_defect', coalesce('tallystick explain ' || sessions[1], 'tallystick status')) AS next,
        *
    FROM finding_time_out_of_range
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
    replace(n.next, '{id}', n.id) AS next,
    a.reason AS acknowledged_reason,
    a.ticket AS acknowledged_ticket,
    a.acknowledged_at,
    a.acknowledged_until
FROM named AS n
LEFT JOIN acknowledgements AS a ON n.id = a.finding_id
