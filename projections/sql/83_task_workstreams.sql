-- task_workstreams: the workstream last reported of each task.
-- grain: one task
-- key: task_id
-- unit: -
-- source: task_reports
-- refresh: view
SELECT
    task_id,
    arg_max(workstream_id, struct_pack(at := coalesce(stated_at, TIMESTAMP '1970-01-01'), content := content_hash)) AS workstream_id
FROM task_reports
WHERE workstream_id IS NOT NULL
GROUP BY task_id
