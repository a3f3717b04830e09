-- finding_witnesses_disagree: complete statements of one call that say different tokens.
-- grain: one agent and session, and where the witnesses stand
-- key: subject
-- unit: times in UTC
-- source: usage_measured, superseded_calls, events, reported_calls
-- refresh: part
--
-- in_copies: copies of one thread tell what the others do not (flag conflict). in_lines: two lines with a stop reason, so that neither
-- was written before its end; a line of nothing but zeros is none, nor is another reading of the same one, nor a poorer output of
-- eight tokens or less, which is a placeholder whatever else it says. in_report: a program's report of a call, with the provider's
-- numbers, against the agent's own log. The richest or the log counts.
WITH in_copies AS (
    SELECT
        'in_copies' AS what,
        agent,
        session_id,
        source_id,
        called_at
    FROM usage_measured
    WHERE is_conflict
),
losers AS (
    SELECT
        agent,
        source_id,
        seq
    FROM superseded_calls
    WHERE reason IN ('copy', 'repeat', 'poorer')
),
in_lines AS (
    SELECT
        'in_lines' AS what,
        u.agent,
        u.session_id,
        u.source_id,
        u.called_at
    FROM losers AS l
    INNER JOIN usage_measured AS u ON l.agent = u.agent AND l.source_id = u.source_id
    INNER JOIN events AS lost ON l.seq = lost.seq
    INNER JOIN events AS won ON u.value_seq = won.seq
    WHERE
        lost.stop_reason IS NOT NULL AND won.stop_reason IS NOT NULL
        AND NOT coalesce(lost.output_tokens <= 8 AND lost.output_tokens < won.output_tokens, false)
        AND coalesce(lost.input_tokens, 0) + coalesce(lost.cache_read_tokens, 0) + coalesce(lost.cache_write_tokens, 0)
        + coalesce(lost.output_tokens, 0) > 0
        AND (lost.input_tokens, lost.cache_read_tokens, lost.cache_write_tokens, lost.output_tokens)
        IS DISTINCT FROM (won.input_tokens, won.cache_read_tokens, won.cache_write_tokens, won.output_tokens)
),
in_report AS (
    SELECT
        'in_report' AS what,
        u.agent,
        u.session_id,
        u.source_id,
        u.called_at
    FROM reported_calls AS r
    INNER JOIN usage_measured AS u ON r.logged_seq = u.value_seq
    WHERE
        r.scope = 'call' AND NOT u.is_incomplete AND u.source_id = r.source_id
        AND (
            r.output_tokens <> u.output_tokens
            OR coalesce(r.input_tokens, 0) + coalesce(r.cache_read_tokens, 0) + coalesce(r.cache_write_tokens, 0)
            <> coalesce(u.input_tokens, 0) + coalesce(u.cache_read_tokens, 0) + coalesce(u.cache_write_tokens, 0)
        )
)
SELECT
    concat_ws(':', what, coalesce(agent, ''), coalesce(session_id, '')) AS subject,
    min(called_at) AS since,
    agent,
    CASE WHEN session_id IS NULL THEN [] ELSE [session_id] END AS sessions,
    list_concat(
        ['witnesses:' || what, 'calls:' || count(DISTINCT source_id)],
        list_transform(list_sort(list(DISTINCT source_id)) [:3], lambda each: 'source_id:' || each)
    ) AS evidence
FROM (SELECT * FROM in_copies UNION ALL SELECT * FROM in_lines UNION ALL SELECT * FROM in_report) AS met
GROUP BY what, agent, session_id
