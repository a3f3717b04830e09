-- runs: what watches, and when each of it ran last.
-- grain: one watcher
-- key: watcher, name
-- unit: counts, times in UTC
-- source: events, reconciliations, hooks
-- refresh: view
--
-- watcher: daemon (it began), reconcile (name says who ran it), hook (name is the hook). outcome is what the last one came to; null where
-- it did not say. Runs of health leave a stamp and no evidence: `tallystick health --json` has them. Ages are computed when read.
SELECT
    'daemon' AS watcher,
    'daemon' AS name,
    CAST(NULL AS VARCHAR) AS agent,
    max(ingested_at) AS last_ran_at,
    count(*) AS runs,
    CAST(NULL AS VARCHAR) AS outcome
FROM events
WHERE kind = 'daemon' AND change = 'started'
HAVING count(*) > 0
UNION ALL
SELECT
    'reconcile' AS watcher,
    run_by AS name,
    CAST(NULL AS VARCHAR) AS agent,
    max(ran_at) AS last_ran_at,
    count(*) AS runs,
    CASE WHEN arg_max(is_clean, (ran_at, seq)) THEN 'clean' ELSE 'findings' END AS outcome
FROM reconciliations
GROUP BY run_by
UNION ALL
SELECT
    'hook' AS watcher,
    hook AS name,
    agent,
    last_ran_at,
    runs,
    last_effect AS outcome
FROM hooks
