-- high_water_marks: how far each source file has been read, and what was seen on the way.
-- grain: one file, as last committed
-- key: source_key
-- unit: offsets and sizes in bytes, lines in whole numbers
-- source: committed (the cursors of commit lines)
-- refresh: replace source_key
--
-- offset_bytes is the end of the last complete line. Counts are since the generation began. What the daemon planted itself is
-- not in here.
WITH moved AS (
    SELECT
        unnest(map_entries(cur)) AS entry,
        line,
        t AS committed_at
    FROM committed
    WHERE k = 'commit' AND cur IS NOT NULL
),
latest AS (
    SELECT
        entry.key AS source_key,
        arg_max(entry.value, line) AS cursor,
        max(committed_at) AS committed_at
    FROM moved
    WHERE entry.value.agent <> 'sentinel'
    GROUP BY ALL
)
SELECT
    source_key,
    cursor.agent AS agent,
    cursor.source_path AS source,
    cursor.name AS source_name,
    cursor.role AS source_role,
    cursor.session_id AS session_id,
    coalesce(cursor.state, 'present') AS state,
    cursor.generation AS source_generation,
    cursor.parser_version AS parser_version,
    coalesce(cursor.offset_bytes, 0) AS offset_bytes,
    coalesce(cursor.size_bytes, 0) AS size_bytes,
    coalesce(cursor.lines, 0) AS lines,
    coalesce(cursor.usage_lines, 0) AS usage_lines,
    coalesce(cursor.rejected_lines, 0) AS rejected_lines,
    coalesce(cursor.unrecognised_lines, 0) AS unrecognised_lines,
    coalesce(cursor.unmetered_turns, 0) AS unmetered_turns,
    committed_at
FROM latest
ORDER BY source_key
