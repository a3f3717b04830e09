-- rejected: lines that could not be read.
-- grain: one line, as read
-- key: seq
-- unit: offsets and lengths in bytes
-- source: events
-- refresh: view
--
-- line_hash is salted; no byte of the line is kept. A line that was read again is here again, under another generation.
SELECT
    seq,
    agent,
    source,
    source_generation,
    offset_bytes,
    length_bytes,
    item_key,
    line_hash,
    code,
    field,
    ingested_at
FROM events
WHERE kind = 'rejected'
