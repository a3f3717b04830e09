-- finding_superseded_counted: a statement that was superseded and is counted all the same.
-- grain: one statement
-- key: subject
-- unit: times in UTC
-- source: superseded, estimates, usage_measured, usage_estimated
-- refresh: part
--
-- Empty by construction, and looked for every time: a row here says that the tables contradict themselves.
SELECT
    'measured:' || s.seq AS subject,
    min(u.called_at) AS since,
    any_value(u.agent) AS agent,
    coalesce(list_sort(list(DISTINCT u.session_id) FILTER (WHERE u.session_id IS NOT NULL)), []) AS sessions,
    ['event:' || s.seq, 'reason:' || min(s.reason), 'source_id:' || min(u.source_id)] AS evidence
FROM superseded AS s
INNER JOIN usage_measured AS u ON s.seq = u.value_seq
GROUP BY s.seq
UNION ALL BY NAME
SELECT
    'estimated:' || e.seq AS subject,
    min(u.called_at) AS since,
    any_value(u.agent) AS agent,
    coalesce(list_sort(list(DISTINCT u.session_id) FILTER (WHERE u.session_id IS NOT NULL)), []) AS sessions,
    ['event:' || e.seq, 'reason:measured_since', 'source_id:' || min(u.source_id)] AS evidence
FROM estimates AS e
INNER JOIN usage_estimated AS u ON e.seq = u.seq
WHERE e.measured_seq IS NOT NULL
GROUP BY e.seq
