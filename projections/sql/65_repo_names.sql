-- repo_names: every name under which a repository was registered, and the name it goes by.
-- grain: one name
-- key: name
-- unit: -
-- source: repo_registrations
-- refresh: view
--
-- repo is null where the name is an alias of several repositories (repos): then it stands for none.
WITH RECURSIVE leads AS (
    SELECT DISTINCT
        unnest(aliases) AS name,
        repo
    FROM repo_registrations
),
reached AS (
    SELECT
        repo AS name,
        repo AS target
    FROM repo_registrations
    UNION
    SELECT
        name,
        name AS target
    FROM leads
    UNION
    SELECT
        r.name,
        l.repo AS target
    FROM reached AS r
    INNER JOIN leads AS l ON r.target = l.name
),
ends AS (
    SELECT
        r.name,
        list(DISTINCT r.target) FILTER (WHERE r.target NOT IN (SELECT name FROM leads)) AS last_names,
        min(r.target) AS least_name
    FROM reached AS r
    GROUP BY r.name
)
SELECT
    name,
    coalesce(last_names, [least_name]) AS repos,
    CASE coalesce(len(last_names), 0)
        WHEN 1 THEN last_names[1]
        WHEN 0 THEN least_name
    END AS repo
FROM ends
