-- finding_model_sentinel: sessions whose model is a word that stands for none: `<synthetic>`, `unknown`.
-- grain: one file of records or agent, and one day (UTC)
-- key: subject
-- unit: times in UTC
-- source: claims, usage_measured, usage_estimated
-- refresh: part
--
-- In claims the word is no model any more (model_state). Counted rows keep the name that their source states. A model that is
-- missing is honest, and none of these.
WITH met AS (
    SELECT
        'claimed' AS what,
        source,
        agent,
        session_id,
        coalesce(started_at, recorded_at, ingested_at) AS seen_at
    FROM claims
    WHERE model_state = 'sentinel'
    UNION ALL
    SELECT
        measurement AS what,
        CAST(NULL AS VARCHAR) AS source,
        agent,
        session_id,
        called_at AS seen_at
    FROM usage_measured
    WHERE lower(model) IN ('unknown', 'none', 'null', 'n/a', 'na', 'synthetic', 'default', 'auto')
    UNION ALL
    SELECT
        measurement AS what,
        CAST(NULL AS VARCHAR) AS source,
        agent,
        session_id,
        called_at AS seen_at
    FROM usage_estimated
    WHERE lower(model) IN ('unknown', 'none', 'null', 'n/a', 'na', 'synthetic', 'default', 'auto')
)
SELECT
    concat_ws(':', what, coalesce(agent, ''), coalesce(CAST(CAST(seen_at AS DATE) AS VARCHAR), ''), coalesce(source, '')) AS subject,
    min(seen_at) AS since,
    agent,
    coalesce(list_sort(list(DISTINCT session_id) FILTER (WHERE session_id IS NOT NULL)), []) AS sessions,
    list_concat([what || ':' || count(*)], CASE WHEN source IS NULL THEN [] ELSE ['records:' || source] END) AS evidence
FROM met
GROUP BY what, agent, CAST(seen_at AS DATE), source
