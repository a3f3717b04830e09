-- freshness: per agent, how new the newest evidence is and how much is still unread.
-- grain: one agent
-- key: agent
-- unit: bytes, times in UTC; ages are computed when read
-- source: high_water_marks, events, commits
-- refresh: view
--
-- state: unknown (no file was ever seen), unreadable (some place is denied), backlog (bytes behind the mark), current.
WITH files AS (
    SELECT
        agent,
        count(*) FILTER (WHERE source_name IS NOT NULL AND state = 'present') AS files,
        count(*) FILTER (WHERE state = 'unreadable') AS unreadable_paths,
        count(*) FILTER (WHERE state = 'gone' AND source_name IS NOT NULL) AS gone_files,
        count(*) FILTER (
            WHERE lines > 0 AND usage_lines = 0 AND source_name IS NOT NULL AND state <> 'moved' AND source_role IS DISTINCT FROM 'record'
        ) AS unmetered_files,
        CAST(sum(greatest(size_bytes - offset_bytes, 0)) FILTER (
            WHERE state = 'present' AND source NOT LIKE '%.zst'
        ) AS BIGINT) AS backlog_bytes
    FROM high_water_marks
    GROUP BY agent
),
newest AS (
    SELECT
        agent,
        max(source_created_at) FILTER (
            WHERE source_created_at <= (SELECT max(committed_at) + INTERVAL 10 MINUTE FROM commits)
        ) AS newest_source_event_at,
        max(ingested_at) AS newest_ingest_at,
        max(seq) AS newest_seq
    FROM events
    WHERE kind = 'usage'
    GROUP BY agent
)
SELECT
    f.agent,
    CASE
        WHEN f.unreadable_paths > 0 THEN 'unreadable'
        WHEN f.files = 0 THEN 'unknown'
        WHEN f.backlog_bytes > 0 THEN 'backlog'
        ELSE 'current'
    END AS state,
    n.newest_source_event_at,
    n.newest_ingest_at,
    n.newest_seq,
    coalesce(f.backlog_bytes, 0) AS backlog_bytes,
    f.files,
    f.gone_files,
    f.unreadable_paths,
    f.unmetered_files
FROM files AS f
LEFT JOIN newest AS n ON f.agent = n.agent
