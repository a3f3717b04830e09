-- finding_teletype: the same counts of tokens in several sessions: one number, repeated, is no traffic.
-- grain: one fingerprint
-- key: subject
-- unit: times in UTC
-- source: claims, sessions
-- refresh: part
--
-- Three records or more that claim the same input, output and cache reads; or three measured sessions of one agent with the same
-- four counts; of both at least a thousand tokens beside the cache. Two do meet by chance, and so do short sessions, whose caches hold
-- the same instructions, and records of sessions in which next to nothing was said. A repaired record is none of them: what it counted was the
-- log that it no longer points at.
WITH claimed AS (
    SELECT
        'claimed' AS what,
        CAST(NULL AS VARCHAR) AS agent,
        concat_ws('/', input_tokens, output_tokens, coalesce(CAST(cache_read_tokens AS VARCHAR), '-')) AS fingerprint,
        list_sort(list(DISTINCT session_id)) AS sessions,
        min(coalesce(started_at, recorded_at, ingested_at)) AS since,
        list(DISTINCT trajectory_path) FILTER (WHERE trajectory_path IS NOT NULL) AS paths
    FROM claims
    WHERE input_tokens IS NOT NULL AND output_tokens IS NOT NULL AND input_tokens + output_tokens >= 1000 AND plan_id IS NULL
    GROUP BY ALL
    HAVING count(DISTINCT session_id) >= 3
),
measured AS (
    SELECT
        'measured' AS what,
        agent,
        concat_ws(
            '/',
            input_tokens,
            output_tokens,
            coalesce(CAST(cache_read_tokens AS VARCHAR), '-'),
            coalesce(CAST(cache_write_tokens AS VARCHAR), '-')
        ) AS fingerprint,
        list_sort(list(DISTINCT session_id)) AS sessions,
        min(first_call_at) AS since,
        CAST([] AS VARCHAR []) AS paths
    FROM sessions
    WHERE is_metered AND session_id IS NOT NULL AND input_tokens + output_tokens >= 1000
    GROUP BY ALL
    HAVING count(DISTINCT session_id) >= 3
)
SELECT
    what || ':' || coalesce(agent, '') || ':' || fingerprint AS subject,
    since,
    agent,
    sessions,
    list_concat(['tokens:' || fingerprint], list_transform(list_sort(paths), lambda path: 'path:' || path)) AS evidence
FROM (SELECT * FROM claimed UNION ALL BY NAME SELECT * FROM measured) AS met
