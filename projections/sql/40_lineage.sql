-- lineage: which thread may carry whose history.
-- grain: one thread and one possible ancestor
-- key: agent, thread_id, ancestor_id
-- unit: -
-- source: staged (the events of this refresh)
-- refresh: replace agent, thread_id, ancestor_id
--
-- Append in all but name: the same pair may be stated again.
SELECT DISTINCT
    agent,
    source_session_id AS thread_id,
    unnest([parent_session_id, forked_from_id, history_base_id, stated_session_id]) AS ancestor_id
FROM staged
WHERE kind = 'session' AND source_session_id IS NOT NULL
