-- reported_calls: measured reports of other programs, and what an agent's own log says of the same.
-- grain: one report that holds
-- key: seq
-- unit: tokens, times in UTC
-- source: token_reports, calls, thread_calls
-- refresh: view
--
-- logged_seq is the event of an agent's log that states the same call, or, for a report of a whole session, one of its calls;
-- then the log counts, and the report does not. A report of a session gives way to its provider's reports of its calls too. Null: the report
-- counts. A report that is named by a session's id is of that session, whatever it says.
WITH logged AS MATERIALIZED (
    SELECT
        source_id AS call_id,
        agent,
        session_id,
        value_seq
    FROM calls
    UNION ALL
    SELECT
        if(rule = 'ledger_record', split_part(source_id, ':', -1), source_id) AS call_id,
        agent,
        session_id,
        value_seq
    FROM thread_calls
),
held AS MATERIALIZED (
    SELECT
        *,
        CASE WHEN scope = 'session' THEN coalesce(session_id, source_id) ELSE source_id END AS whole_session_id
    FROM token_reports
    WHERE rank = 1 AND measurement = 'measured' AND set_aside IS NULL
),
same_call AS (
    SELECT
        h.seq,
        min(l.value_seq) AS logged_seq
    FROM logged AS l
    INNER JOIN held AS h ON l.call_id = h.source_id
    WHERE h.scope = 'call'
    GROUP BY h.seq
),
same_session AS (
    SELECT
        h.seq,
        min(l.value_seq) AS logged_seq
    FROM logged AS l
    INNER JOIN held AS h ON l.session_id = h.whole_session_id
    WHERE coalesce(l.agent = h.agent, true)
    GROUP BY h.seq
),
finer AS (
    SELECT
        h.seq,
        min(c.seq) AS logged_seq
    FROM held AS h
    INNER JOIN held AS c ON h.whole_session_id = c.session_id AND h.provider = c.provider
    WHERE h.scope = 'session' AND c.scope = 'call' AND coalesce(h.agent = c.agent, true)
    GROUP BY h.seq
)
SELECT
    h.* EXCLUDE (whole_session_id),
    coalesce(c.logged_seq, s.logged_seq, f.logged_seq) AS logged_seq
FROM held AS h
LEFT JOIN same_call AS c ON h.seq = c.seq
LEFT JOIN same_session AS s ON h.seq = s.seq
LEFT JOIN finer AS f ON h.seq = f.seq
