-- doubtful_times: times of claims that stand for others: noon, one second of many, the time of the record for that of the session.
-- grain: one time of one claim, and one reason to doubt it
-- key: source, claim_key, field, reason
-- unit: times in UTC
-- source: claims
-- refresh: view
--
-- noon: T12:00:00 to the second, in UTC, in the zone that was assumed or in its own: what a program writes that knows the day alone. A real
-- time is there once in 86,400. shared: five sessions or more in one second; a batch starts two or three at once, and no
-- machine that writes session records starts five. import: a session of a minute or more that begins when its record was written.
WITH zones AS (
    SELECT name
    FROM pg_timezone_names()
),
zoned AS (
    SELECT
        c.*,
        z.name AS known_zone
    FROM claims AS c
    LEFT JOIN zones AS z ON c.assumed_zone = z.name
),
stated AS (
    SELECT
        source,
        claim_key,
        session_id,
        agent,
        duration_seconds,
        recorded_at,
        is_noon,
        known_zone,
        unnest([
            {'field': 'recorded_at', 'stated_at': recorded_at},
            {'field': 'started_at', 'stated_at': stated_start_at},
            {'field': 'ended_at', 'stated_at': stated_end_at}
        ], recursive := true)
    FROM zoned
),
counted AS (
    SELECT
        *,
        count(DISTINCT session_id) OVER (PARTITION BY field, date_trunc('second', stated_at)) AS sessions_in_second
    FROM stated
    WHERE stated_at IS NOT NULL
),
doubted AS (
    SELECT
        *,
        unnest([
            CASE
                WHEN
                    CAST(stated_at AS TIME) = TIME '12:00:00'
                    OR (is_noon AND epoch(stated_at) % 900 = 0)
                    OR CAST(timezone(known_zone, timezone('UTC', stated_at)) AS TIME) = TIME '12:00:00'
                    THEN 'noon'
            END,
            CASE WHEN sessions_in_second >= 5 THEN 'shared' END,
            CASE
                WHEN
                    field = 'started_at' AND duration_seconds >= 60
                    AND date_trunc('second', stated_at) = date_trunc('second', recorded_at)
                    THEN 'import'
            END
        ]) AS reason
    FROM counted
)
SELECT
    source,
    claim_key,
    field,
    reason,
    session_id,
    agent,
    stated_at
FROM doubted
WHERE reason IS NOT NULL
