-- finding_time_out_of_range: times at the epoch or in the future.
-- grain: one agent and session, and which way its times are wrong
-- key: subject
-- unit: times in UTC
-- source: usage_measured, events, token_reports, claims
-- refresh: part
--
-- Before 2015 there was no such agent. Ten minutes after the line was read are the future, whatever clocks differ by. Such calls
-- count on no day. A time that is missing is null, which is honest and no finding.
WITH counted AS (
    SELECT
        'measured' AS what,
        u.agent,
        u.session_id,
        coalesce(t.used_at, e.source_created_at) AS seen_at,
        e.ingested_at
    FROM usage_measured AS u
    INNER JOIN events AS e ON u.value_seq = e.seq
    LEFT JOIN token_reports AS t ON u.value_seq = t.seq
    WHERE u.is_time_quality
),
claimed AS (
    SELECT
        'claimed' AS what,
        agent,
        session_id,
        unnest([recorded_at, stated_start_at, stated_end_at]) AS seen_at,
        ingested_at
    FROM claims
),
wrong AS (
    SELECT
        *,
        CASE
            WHEN seen_at < TIMESTAMP '2015-01-01' THEN 'before_2015'
            WHEN seen_at > ingested_at + INTERVAL 10 MINUTE THEN 'future'
        END AS which
    FROM (SELECT * FROM counted UNION ALL SELECT * FROM claimed) AS stated
)
SELECT
    concat_ws(':', what, which, coalesce(agent, ''), coalesce(session_id, '')) AS subject,
    min(seen_at) AS since,
    agent,
    CASE WHEN session_id IS NULL THEN [] ELSE [session_id] END AS sessions,
    [
        'which:' || which,
        what || ':' || count(*),
        'first_at:' || strftime(min(seen_at), '%Y-%m-%dT%H:%M:%SZ'),
        'last_at:' || strftime(max(seen_at), '%Y-%m-%dT%H:%M:%SZ')
    ] AS evidence
FROM wrong
WHERE which IS NOT NULL
GROUP BY what, which, agent, session_id
