-- reconciliations: every time that disk, log and tables were held against each other, and what it came to.
-- grain: one run
-- key: seq
-- unit: whole numbers, times in UTC
-- source: inbox
-- refresh: view
--
-- Numbers that only tables can tell are null where there were none. Ages are computed when read.
SELECT
    seq,
    CAST(body ->> '$.at' AS TIMESTAMP) AS ran_at,
    body ->> '$.run_by' AS run_by,
    CAST(body ->> '$.is_applied' AS BOOLEAN) AS is_applied,
    CAST(body ->> '$.since' AS TIMESTAMP) AS since,
    CAST(body ->> '$.is_clean' AS BOOLEAN) AS is_clean,
    CAST(body ->> '$.sessions_on_disk' AS BIGINT) AS sessions_on_disk,
    CAST(body ->> '$.sessions_ingested' AS BIGINT) AS sessions_ingested,
    CAST(body ->> '$.sessions_stale' AS BIGINT) AS sessions_stale,
    CAST(body ->> '$.duplicate_source_ids' AS BIGINT) AS duplicate_source_ids,
    CAST(body ->> '$.fallback_events' AS BIGINT) AS fallback_events,
    CAST(body ->> '$.leaked_fallbacks' AS BIGINT) AS leaked_fallbacks,
    CAST(body ->> '$.superseded_rows' AS BIGINT) AS superseded_rows,
    CAST(body ->> '$.unattributed_sessions' AS BIGINT) AS unattributed_sessions,
    CAST(body ->> '$.rows_without_provenance' AS BIGINT) AS rows_without_provenance,
    CAST(body ->> '$.flatline_days' AS BIGINT) AS flatline_days,
    CAST(body ->> '$.recoverable_gaps' AS BIGINT) AS recoverable_gaps,
    CAST(body ->> '$.lost_gaps' AS BIGINT) AS lost_gaps,
    CAST(body ->> '$.unreadable' AS BIGINT) AS unreadable,
    CAST(body ->> '$.recovered' AS BIGINT) AS recovered,
    CAST(body ->> '$.findings' AS BIGINT) AS findings,
    producer,
    receipt
FROM inbox
WHERE kind = 'reconciliation'
