-- finding_no_provenance: tokens that count, by reports that do not say where they come from.
-- grain: one producer, class of source, agent and day (UTC)
-- key: subject
-- unit: times in UTC
-- source: token_reports, estimates
-- refresh: part
--
-- No provider, no source id or none of the provider's numbers: such a report is an estimate and in no measured total. What a
-- measurement has taken the place of is none.
SELECT
    concat_ws(':', t.producer, t.source_class, coalesce(t.agent, ''), coalesce(CAST(CAST(t.used_at AS DATE) AS VARCHAR), '')) AS subject,
    min(t.used_at) AS since,
    t.agent,
    coalesce(list_sort(list(DISTINCT t.session_id) FILTER (WHERE t.session_id IS NOT NULL)), []) AS sessions,
    [
        'producer:' || t.producer,
        'source_class:' || t.source_class,
        'reports:' || count(*),
        'total_tokens:' || CAST(sum(
            coalesce(t.input_tokens, 0) + coalesce(t.cache_read_tokens, 0) + coalesce(t.cache_write_tokens, 0) + coalesce(t.output_tokens, 0)
        ) AS BIGINT)
    ] AS evidence
FROM token_reports AS t
LEFT JOIN estimates AS e ON t.seq = e.seq
WHERE
    t.rank = 1 AND e.measured_seq IS NULL
    AND (t.provider IS NULL OR t.source_id IS NULL OR t.raw_usage IS NULL)
GROUP BY t.producer, t.source_class, t.agent, CAST(t.used_at AS DATE)
