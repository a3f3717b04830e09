-- inbox_rejected: messages that could not be taken; their files are kept in inbox/rejected.
-- grain: one reading of one file
-- key: seq
-- unit: lengths in bytes, times in UTC
-- source: events
-- refresh: view
--
-- No byte of the file is kept here. Where the file's name was no receipt, receipt is a salted hash of that name.
SELECT
    seq,
    receipt,
    code,
    field,
    length_bytes,
    ingested_at
FROM events
WHERE kind = 'message_rejected'
