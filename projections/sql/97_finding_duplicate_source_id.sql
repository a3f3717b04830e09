-- finding_duplicate_source_id: one id for two things: reports or records that cannot both be true.
-- grain: one id
-- key: subject
-- unit: times in UTC
-- source: token_reports, claims
-- refresh: part
--
-- A later revision of a report is no duplicate: sessions grow. Reports of one id disagree when one revision of it states other tokens,
-- or when they name two sessions. Records of one file disagree when one session has two that state another log or other tokens; a
-- record that points nowhere contradicts none, and a log is one however it is named.
WITH stated AS (
    SELECT
        identity,
        agent,
        session_id,
        used_at,
        receipt,
        coalesce(
            CAST(revision AS VARCHAR), 'total:' || (coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0)
            + coalesce(cache_write_tokens, 0) + coalesce(output_tokens, 0))
        ) AS state_of_it,
        concat_ws(
            '/',
            coalesce(CAST(input_tokens AS VARCHAR), '-'),
            coalesce(CAST(cache_read_tokens AS VARCHAR), '-'),
            coalesce(CAST(cache_write_tokens AS VARCHAR), '-'),
            coalesce(CAST(output_tokens AS VARCHAR), '-')
        ) AS fingerprint,
        source_id,
        provider,
        measurement
    FROM token_reports
    WHERE source_id IS NOT NULL
),
disagreeing AS (
    SELECT DISTINCT identity
    FROM stated
    GROUP BY identity, measurement, state_of_it
    HAVING count(DISTINCT fingerprint) > 1
    UNION
    SELECT identity
    FROM stated
    GROUP BY identity
    HAVING count(DISTINCT session_id) > 1
),
reported AS (
    SELECT
        'reported:' || s.identity AS subject,
        min(s.used_at) AS since,
        CASE WHEN count(DISTINCT s.agent) = 1 THEN any_value(s.agent) END AS agent,
        coalesce(list_sort(list(DISTINCT s.session_id) FILTER (WHERE s.session_id IS NOT NULL)), []) AS sessions,
        list_concat(
            ['source_id:' || any_value(s.source_id), 'reports:' || count(DISTINCT s.receipt)],
            list_transform(list_sort(list(DISTINCT s.fingerprint)) [:3], lambda each: 'tokens:' || each)
        ) AS evidence
    FROM stated AS s
    INNER JOIN disagreeing AS d ON s.identity = d.identity
    GROUP BY s.identity
),
recorded AS (
    SELECT
        'claimed:' || session_id || ':' || source AS subject,
        min(coalesce(started_at, recorded_at, ingested_at)) AS since,
        CASE WHEN count(DISTINCT agent) = 1 THEN any_value(agent) END AS agent,
        [session_id] AS sessions,
        ['records:' || source, 'claims:' || count(*)] AS evidence
    FROM claims
    GROUP BY source, session_id
    HAVING
        count(DISTINCT coalesce(trajectory_source, trajectory_path)) > 1
        OR count(DISTINCT (token_count, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)) > 1
)
SELECT * FROM reported
UNION ALL BY NAME
SELECT * FROM recorded
