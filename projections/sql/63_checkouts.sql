-- checkouts: what git said of the directories of the logs, each time it was new or had changed.
-- grain: one look
-- key: seq
-- unit: times in UTC
-- source: events
-- refresh: view
--
-- remote is the one that names the repository: origin, else the only one, else null (remote_count says how many there are).
WITH read_ AS (
    SELECT
        seq,
        ingested_at AS seen_at,
        from_json(
            body,
            '{"cwd": "VARCHAR", "state": "VARCHAR", "checkout_kind": "VARCHAR", "top_path": "VARCHAR", "main_path": "VARCHAR",
            "git_path": "VARCHAR", "root_commit": "VARCHAR", "git_branch": "VARCHAR", "is_shallow": "BOOLEAN", "is_foreign": "BOOLEAN"}'
        ) AS said,
        coalesce(CAST(body -> '$.remotes' AS MAP (VARCHAR, VARCHAR)), MAP()) AS remotes
    FROM events
    WHERE kind = 'checkout'
)
SELECT
    seq,
    seen_at,
    said.cwd AS cwd,
    said.state AS state,
    said.checkout_kind AS checkout_kind,
    said.top_path AS top_path,
    said.main_path AS main_path,
    said.git_path AS git_path,
    said.root_commit AS root_commit,
    said.git_branch AS git_branch,
    said.is_shallow AS is_shallow,
    said.is_foreign AS is_foreign,
    remotes,
    len(list_distinct(map_values(remotes))) AS remote_count,
    coalesce(
        remotes['origin'],
        CASE WHEN len(list_distinct(map_values(remotes))) = 1 THEN map_values(remotes)[1] END
    ) AS remote
FROM read_
