-- items: the last reading of every row of a database and every item of a document.
-- grain: one row or item of one source
-- key: source_generation, item_key
-- unit: -
-- source: staged (the events of this refresh)
-- refresh: replace source_generation, item_key
--
-- An item has one state at a time, so what was read of it last is what it says. Its sequence number is the order in which
-- one source was read, and so the order of its states; it decides nothing between two sources.
SELECT
    source_generation,
    item_key,
    max(seq) AS seq,
    arg_max(line_hash, seq) AS line_hash,
    arg_max(parser_version, seq) AS parser_version
FROM staged
WHERE item_key IS NOT NULL
GROUP BY source_generation, item_key
