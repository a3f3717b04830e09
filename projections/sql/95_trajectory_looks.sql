-- trajectory_looks: what stood where claims point, as it was seen last.
-- grain: one path
-- key: path
-- unit: bytes, times in UTC
-- source: events
-- refresh: view
--
-- Looked at when a claim was read: logs are deleted later and their claims stay. was_present says that a file was ever seen,
-- real_path where links led; null where there were none.
SELECT
    body ->> '$.path' AS path,
    arg_max(body ->> '$.real_path', seq) AS real_path,
    arg_max(body ->> '$.state', seq) AS state,
    bool_or((body ->> '$.state') = 'present') AS was_present,
    arg_max(CAST(body ->> '$.size_bytes' AS BIGINT), seq) AS size_bytes,
    arg_max(CAST(body ->> '$.modified_at' AS TIMESTAMP), seq) AS modified_at,
    min(ingested_at) AS first_looked_at,
    max(ingested_at) AS last_looked_at
FROM events
WHERE kind = 'trajectory'
GROUP BY ALL
