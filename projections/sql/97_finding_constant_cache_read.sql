-- finding_constant_cache_read: sessions that read nothing from a cache, of a model that does elsewhere.
-- grain: one agent and model, as claimed; one agent, model and day (UTC), as measured
-- key: subject
-- unit: times in UTC
-- source: claims, usage_measured
-- refresh: part
--
-- Three sessions or more, each a stated zero: null is honest. A prompt of less than 1,024 tokens is cached by nobody, and the first
-- call of a session has nothing to read: a claim of less than a minute, or with something written to a cache, is none of them; a
-- measured session has three calls or more, and no session of its agent and model reads from a cache that day. Of claims
-- any three count: whoever reads another's log does so beside others who do not. Repaired claims are none, as in teletype.
WITH counted AS (
    SELECT
        agent,
        model,
        session_id,
        CAST(called_at AS DATE) AS day,
        min(called_at) AS since,
        count(*) AS calls,
        sum(cache_read_tokens) AS cache_read_tokens,
        max(input_tokens) AS input_tokens,
        count_if(cache_read_tokens IS NULL) AS unstated
    FROM usage_measured
    WHERE model IS NOT NULL
    GROUP BY agent, model, session_id, CAST(called_at AS DATE)
),
caching AS (
    SELECT model FROM claims WHERE cache_read_tokens > 0 AND model IS NOT NULL
    UNION
    SELECT model FROM counted WHERE cache_read_tokens > 0
),
claimed AS (
    SELECT
        concat_ws(':', 'claimed', coalesce(agent, ''), model) AS subject,
        min(coalesce(started_at, recorded_at, ingested_at)) AS since,
        agent,
        model,
        list_sort(list(DISTINCT session_id)) AS sessions
    FROM claims
    WHERE
        cache_read_tokens = 0 AND input_tokens >= 1024 AND coalesce(cache_write_tokens, 0) = 0
        AND coalesce(duration_seconds, 60) >= 60 AND plan_id IS NULL
    GROUP BY agent, model
    HAVING count(DISTINCT session_id) >= 3
),
measured AS (
    SELECT
        concat_ws(':', 'measured', coalesce(agent, ''), model, day) AS subject,
        min(since) AS since,
        agent,
        model,
        list_sort(list(DISTINCT session_id)) AS sessions
    FROM counted
    WHERE unstated = 0 AND session_id IS NOT NULL
    GROUP BY agent, model, day
    HAVING sum(cache_read_tokens) = 0 AND count(DISTINCT session_id) FILTER (WHERE calls >= 3 AND input_tokens >= 1024) >= 3
)
SELECT
    f.subject,
    f.since,
    f.agent,
    f.sessions,
    ['model:' || f.model, 'cache_read_tokens:0', split_part(f.subject, ':', 1) || ':' || len(f.sessions)] AS evidence
FROM (SELECT * FROM claimed UNION ALL SELECT * FROM measured) AS f
SEMI JOIN caching AS c ON f.model = c.model
