-- hook_runs: every run of a hook that was reported.
-- grain: one run
-- key: seq
-- unit: durations in milliseconds, times in UTC
-- source: inbox
-- refresh: view
--
-- ran_at is when the run ended as the hook says, else when its report was written.
SELECT
    seq,
    body ->> '$.hook' AS hook,
    body ->> '$.outcome' AS outcome,
    body ->> '$.agent' AS agent,
    body ->> '$.session_id' AS session_id,
    body ->> '$.event' AS event,
    body ->> '$.source_id' AS source_id,
    body ->> '$.effect' AS effect,
    body ->> '$.skip' AS skip,
    CAST(body ->> '$.duration_ms' AS BIGINT) AS duration_ms,
    coalesce(CAST(body ->> '$.at' AS TIMESTAMP), created_at) AS ran_at,
    producer,
    receipt
FROM inbox
WHERE kind = 'hook_run'
