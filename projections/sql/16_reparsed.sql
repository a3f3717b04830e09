-- reparsed: files that a newer parser is reading again in this refresh.
-- grain: one generation of one file
-- key: source_generation
-- unit: -
-- source: committed (the cursors of commit lines)
-- refresh: step
--
-- What an older parser read before the new mark is retired: a line that no longer counts must not count for ever.
WITH moved AS (
    SELECT unnest(map_entries(cur)) AS entry
    FROM committed
    WHERE k = 'commit' AND cur IS NOT NULL
)
SELECT DISTINCT entry.value.generation AS source_generation
FROM moved
WHERE entry.value.is_reparsed
