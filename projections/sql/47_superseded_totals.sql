-- superseded_totals: the running totals and records that add nothing, and why.
-- grain: one statement
-- key: seq
-- unit: -
-- source: thread_statements, folded by projections/counters.py
-- refresh: replace agent, thread_id
--
-- by_seq is the statement that stands in its place; null where nothing does (a total of zero, an unknown parent's).
SELECT
    agent,
    thread_id,
    seq,
    by_seq,
    reason
FROM folded_losers
ORDER BY seq
