-- usage_parts: what a day's totals are added up from, class by class: calls, estimates, and shares of tasks.
-- grain: one call, one estimate, or one share of a call
-- key: measurement, agent, part
-- unit: tokens, micro-dollars
-- source: costs, usage_estimated, usage_allocated
-- refresh: view
--
-- Never add classes: allocated is another slicing of measured. part is the call's id, an estimate's event, or a call's id with task and
-- workstream. An estimate has no cost. seq is the event that gives the tokens, rule by what they are somebody's.
SELECT
    CAST(called_at AS DATE) AS day,
    agent,
    measurement,
    source_id AS part,
    source_id,
    value_seq AS seq,
    rule,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    output_tokens,
    total_tokens,
    cost_usd_micros
FROM costs
UNION ALL
SELECT
    CAST(called_at AS DATE) AS day,
    agent,
    measurement,
    CAST(seq AS VARCHAR) AS part,
    source_id,
    seq,
    CAST(NULL AS VARCHAR) AS rule,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    output_tokens,
    total_tokens,
    CAST(NULL AS BIGINT) AS cost_usd_micros
FROM usage_estimated
UNION ALL
SELECT
    CAST(called_at AS DATE) AS day,
    agent,
    measurement,
    concat_ws('|', source_id, coalesce(task_id, ''), coalesce(workstream_id, '')) AS part,
    source_id,
    value_seq AS seq,
    rule,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    output_tokens,
    total_tokens,
    cost_usd_micros
FROM usage_allocated
