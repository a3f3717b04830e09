-- finding_placeholder_time: times that stand for others: noon, one second of many, the time of the import.
-- grain: one second of claims, sessions or old reports; of claims that begin when they were recorded, one day
-- key: subject
-- unit: times in UTC
-- source: doubtful_times, sessions, token_reports, events
-- refresh: part
--
-- Of claims as doubtful_times says, but for a noon that something else tells too. Measured sessions of one agent begin in one
-- microsecond only where somebody wrote the times: five of them, as there. Old callers' reports (legacy_post) at noon that were not read
-- within ten minutes of it, or five in one second; other programs make many calls in one.
WITH claimed AS (
    SELECT
        CASE
            WHEN list_contains(list(reason), 'import') AND NOT list_contains(list(reason), 'shared') AND NOT list_contains(list(reason), 'noon')
                THEN 'import:' || CAST(CAST(any_value(stated_at) AS DATE) AS VARCHAR)
            ELSE 'second:' || strftime(date_trunc('second', any_value(stated_at)), '%Y-%m-%dT%H:%M:%SZ')
        END AS subject,
        min(stated_at) AS since,
        agent,
        session_id,
        field,
        list(DISTINCT reason) AS reasons
    FROM doubtful_times
    WHERE NOT is_told_elsewhere
    GROUP BY source, claim_key, session_id, agent, field
),
claims_by_time AS (
    SELECT
        'claimed:' || subject AS subject,
        min(since) AS since,
        CASE WHEN count(DISTINCT agent) = 1 THEN any_value(agent) END AS agent,
        list_sort(list(DISTINCT session_id)) AS sessions,
        list_concat(
            ['time:' || subject],
            list_transform(list_sort(list_distinct(flatten(list(reasons)))), lambda each: 'reason:' || each),
            list_transform(list_sort(list(DISTINCT field)), lambda each: 'field:' || each)
        ) AS evidence
    FROM claimed
    GROUP BY subject
),
measured AS (
    SELECT
        'measured:' || agent || ':' || strftime(first_call_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS subject,
        first_call_at AS since,
        agent,
        list_sort(list(DISTINCT session_id)) AS sessions,
        [
            'time:' || strftime(first_call_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
            'reason:shared',
            'field:first_call_at'
        ] AS evidence
    FROM sessions
    WHERE first_call_at IS NOT NULL AND session_id IS NOT NULL
    GROUP BY agent, first_call_at
    HAVING count(DISTINCT session_id) >= 5
),
reported AS (
    SELECT
        'reported:' || strftime(date_trunc('second', r.used_at), '%Y-%m-%dT%H:%M:%SZ') AS subject,
        min(r.used_at) AS since,
        CASE WHEN count(DISTINCT r.agent) = 1 THEN any_value(r.agent) END AS agent,
        coalesce(list_sort(list(DISTINCT r.session_id) FILTER (WHERE r.session_id IS NOT NULL)), []) AS sessions,
        [
            'time:' || strftime(date_trunc('second', min(r.used_at)), '%Y-%m-%dT%H:%M:%SZ'),
            'reason:' || CASE WHEN count(*) >= 5 THEN 'shared' ELSE 'noon' END,
            'reports:' || count(*)
        ] AS evidence
    FROM token_reports AS r
    INNER JOIN events AS e ON r.seq = e.seq
    WHERE r.rank = 1 AND r.source_class = 'legacy_post' AND r.used_at IS NOT NULL
    GROUP BY date_trunc('second', r.used_at)
    HAVING
        count(*) >= 5
        OR (
            CAST(date_trunc('second', any_value(r.used_at)) AS TIME) = TIME '12:00:00'
            AND bool_or(abs(epoch(e.ingested_at) - epoch(r.used_at)) > 600)
        )
)
SELECT * FROM claims_by_time
UNION ALL BY NAME
SELECT * FROM measured
UNION ALL BY NAME
SELECT * FROM reported
