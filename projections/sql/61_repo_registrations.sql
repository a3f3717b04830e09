-- repo_registrations: what operators registered of repositories, each key's newest revision.
-- grain: one registration
-- key: seq
-- unit: -
-- source: inbox
-- refresh: view
--
-- Several registrations of one repository add up; one that was withdrawn is not here.
SELECT
    seq,
    body ->> '$.repo' AS repo,
    coalesce(CAST(body -> '$.root_commits' AS VARCHAR []), []) AS root_commits,
    coalesce(CAST(body -> '$.remotes' AS VARCHAR []), []) AS remotes,
    coalesce(CAST(body -> '$.paths' AS VARCHAR []), []) AS paths,
    coalesce(CAST(body -> '$.aliases' AS VARCHAR []), []) AS aliases,
    message_key,
    revision,
    producer,
    receipt
FROM inbox
WHERE kind = 'repo' AND NOT coalesce(CAST(body ->> '$.is_withdrawn' AS BOOLEAN), false)
