-- task_rules: how tasks are named in branches: the operator's rules, or the defaults where none were ever given.
-- grain: the one set of rules that holds
-- key: branch_pattern
-- unit: -
-- source: events
-- refresh: view
--
-- The last set in the log holds for everything that was ever read. A null pattern finds nothing.
SELECT
    CASE WHEN count(*) = 0 THEN '(?:^|[/_-])([A-Z][A-Z0-9]+-[0-9]+)(?:$|[/_.-])' ELSE arg_max(body, seq) ->> '$.branch_pattern' END
        AS branch_pattern,
    arg_max(body, seq) ->> '$.workstream_branch_pattern' AS workstream_branch_pattern,
    max(seq) AS seq
FROM events
WHERE kind = 'rules'
