-- touched_calls: the calls about which this refresh brought a statement.
-- grain: one call, as the provider names it
-- key: agent, source_id
-- unit: -
-- source: staged (the events of this refresh), reparsed, events
-- refresh: step
--
-- A new state of a row or item also touches the calls that its older states named.
SELECT DISTINCT
    agent,
    source_id
FROM staged
WHERE kind = 'usage' AND basis = 'call' AND witness IN ('transcript', 'progress', 'message')
UNION
SELECT
    e.agent,
    e.source_id
FROM events AS e
SEMI JOIN reparsed AS r ON e.source_generation = r.source_generation
WHERE e.kind = 'usage' AND e.basis = 'call' AND e.witness IN ('transcript', 'progress', 'message')
UNION
SELECT
    e.agent,
    e.source_id
FROM events AS e
SEMI JOIN staged AS s ON e.source_generation = s.source_generation AND e.item_key = s.item_key
WHERE e.item_key IS NOT NULL AND e.kind = 'usage' AND e.basis = 'call' AND e.witness IN ('transcript', 'progress', 'message')
