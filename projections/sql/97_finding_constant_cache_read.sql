-- finding_constant_cache_read: sessions that read nothing from a cache, of a model that does elsewhere.
-- grain: one agent and family of models, as claimed; one agent, family and day (UTC), as measured
-- key: subject
-- unit: times in UTC
-- source: claims, usage_measured
-- refresh: part
--
-- Three sessions or more, each a stated zero: null is honest. A prompt of less than 1,024 tokens is cached by nobody, and the first
-- call of a session has nothing to read: a claim of less than a minute, or with something written to a cache, is none of them; a
-- measured session has three calls or more, and no session of its agent and model reads from a cache that day. Of claims
-- any three count: whoever reads another's log does so beside others who do not. Repaired claims are none, as in teletype. A family is
-- a model by whatever provider and of whatever date: both stand in some names of it and not in others.
WITH counted AS (
    SELECT
        agent,
        regexp_replace(
            replace(lower(regexp_extract(model, '[^/]*$')), '.', '-'), '[-@:](latest|20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2})$', ''
        ) AS model_family,
        session_id,
        CAST(called_at AS DATE) AS day,
        min(called_at) AS since,
        count(*) AS calls,
        sum(cache_read_tokens) AS cache_read_tokens,
        max(input_tokens) AS input_tokens,
        count_if(cache_read_tokens IS NULL) AS unstated
    FROM usage_measured
    WHERE model IS NOT NULL
    GROUP BY ALL
),
stated AS (
    SELECT
        *,
        regexp_replace(
            replace(lower(regexp_extract(model, '[^/]*$')), '.', '-'), '[-@:](latest|20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2})$', ''
        ) AS model_family
    FROM claims
    WHERE model IS NOT NULL
),
caching AS (
    SELECT model_family FROM stated WHERE cache_read_tokens > 0
    UNION
    SELECT model_family FROM counted WHERE cache_read_tokens > 0
),
claimed AS (
    SELECT
        concat_ws(':', 'claimed', coalesce(agent, ''), model_family) AS subject,
        min(coalesce(started_at, recorded_at, ingested_at)) AS since,
        agent,
        model_family,
        list_sort(list(DISTINCT session_id)) AS sessions
    FROM stated
    WHERE
        cache_read_tokens = 0 AND input_tokens >= 1024 AND coalesce(cache_write_tokens, 0) = 0
        AND coalesce(duration_seconds, 60) >= 60 AND plan_id IS NULL
    GROUP BY agent, model_family
    HAVING count(DISTINCT session_id) >= 3
),
measured AS (
    SELECT
        concat_ws(':', 'measured', coalesce(agent, ''), model_family, day) AS subject,
        min(since) AS since,
        agent,
        model_family,
        list_sort(list(DISTINCT session_id)) AS sessions
    FROM counted
    WHERE unstated = 0 AND session_id IS NOT NULL
    GROUP BY agent, model_family, day
    HAVING sum(cache_read_tokens) = 0 AND count(DISTINCT session_id) FILTER (WHERE calls >= 3 AND input_tokens >= 1024) >= 3
)
SELECT
    f.subject,
    f.since,
    f.agent,
    f.sessions,
    ['model:' || f.model_family, 'cache_read_tokens:0', split_part(f.subject, ':', 1) || ':' || len(f.sessions)] AS evidence
FROM (SELECT * FROM claimed UNION ALL SELECT * FROM measured) AS f
SEMI JOIN caching AS c ON f.model_family = c.model_family
