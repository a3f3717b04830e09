-- doubtful_times: times of claims that stand for others: noon, one second of many, the time of the record for that of the session.
-- grain: one time of one claim, and one reason to doubt it
-- key: source, claim_key, field, reason
-- unit: times in UTC
-- source: claims, trajectories
-- refresh: view
--
-- noon: T12:00:00 to the second, in UTC, in the zone that was assumed or in its own (a quarter of an hour in UTC): what a program
-- writes that knows the day alone. A real time is there once in 86,400, and of a cron at noon every day. is_told_elsewhere: something says, within ten minutes, that it was so: the
-- log that the record points at, the time at which the record was made (when that is no noon), or that we read the record just
-- then. Such a noon is no finding; that a log belongs to a record is not concluded from it either. shared: five sessions or more in one second; a batch starts two or three at once, and no
-- machine that writes session records starts five. import: a session of a minute or more that begins when its record was written.
WITH zones AS (
    SELECT name
    FROM pg_timezone_names()
),
zoned AS (
    SELECT
        c.*,
        z.name AS known_zone,
        t.first_at AS log_first_at,
        t.last_at AS log_last_at
    FROM claims AS c
    LEFT JOIN zones AS z ON c.assumed_zone = z.name
    LEFT JOIN trajectories AS t ON c.trajectory_source = t.source
),
stated AS (
    SELECT
        source,
        claim_key,
        session_id,
        agent,
        duration_seconds,
        recorded_at,
        noon_times,
        known_zone,
        unnest([
            {'field': 'recorded_at', 'stated_at': recorded_at, 'told_at': ingested_at, 'recorded_says': NULL},
            {
                'field': 'started_at', 'stated_at': stated_start_at, 'told_at': log_first_at,
                'recorded_says': recorded_at - to_seconds(duration_seconds)
            },
            {'field': 'ended_at', 'stated_at': stated_end_at, 'told_at': log_last_at, 'recorded_says': recorded_at}
        ], recursive := true)
    FROM zoned
),
counted AS (
    SELECT
        *,
        count(DISTINCT session_id) OVER (PARTITION BY field, date_trunc('second', stated_at)) AS sessions_in_second,
        CAST(stated_at AS TIME) = TIME '12:00:00'
        OR (list_contains(noon_times, field) AND epoch(stated_at) % 900 = 0)
        OR coalesce(CAST(timezone(known_zone, timezone('UTC', stated_at)) AS TIME) = TIME '12:00:00', false) AS reads_noon
    FROM stated
    WHERE stated_at IS NOT NULL
),
met AS (
    SELECT
        *,
        coalesce(bool_or(reads_noon) FILTER (WHERE field = 'recorded_at') OVER (PARTITION BY source, claim_key), true) AS is_recorded_at_noon
    FROM counted
),
doubted AS (
    SELECT
        *,
        unnest([
            CASE WHEN reads_noon THEN 'noon' END,
            CASE WHEN sessions_in_second >= 5 THEN 'shared' END,
            CASE
                WHEN
                    field = 'started_at' AND duration_seconds >= 60
                    AND date_trunc('second', stated_at) = date_trunc('second', recorded_at)
                    THEN 'import'
            END
        ]) AS reason
    FROM met
)
SELECT
    source,
    claim_key,
    field,
    reason,
    session_id,
    agent,
    stated_at,
    reason = 'noon' AND (
        coalesce(abs(epoch(stated_at) - epoch(told_at)) <= 600, false)
        OR coalesce(NOT is_recorded_at_noon AND abs(epoch(stated_at) - epoch(recorded_says)) <= 600, false)
    ) AS is_told_elsewhere
FROM doubted
WHERE reason IS NOT NULL
