-- allocated_calls: whose tokens the calls are, by the strongest rule that says anything of a call.
-- grain: one call, task and workstream
-- key: value_seq, task_id, workstream_id
-- unit: weight and whole in parts of the call
-- source: usage_measured, declared_allocations, token_reports, task_spans, task_rules, checkout_periods
-- refresh: view
--
-- weight / whole is the share; of one call the weights add up to the whole at most. A declaration of the call beats one of its session, and
-- that one of the session that started it; what names a task of a session itself, by whatever rule, keeps its starter's tasks away.
-- What is declared to belong to no task, and what several tasks claim, has a row with neither: no weaker rule is asked.
WITH used AS MATERIALIZED (
    SELECT
        value_seq,
        agent,
        source_id,
        CASE WHEN rule = 'report' THEN source_id[strpos(source_id, ':') + 1 :] END AS reported_id,
        session_id,
        parent_session_id,
        called_at,
        cwd,
        git_branch
    FROM usage_measured
),
targets AS (
    SELECT value_seq, agent, called_at, session_id, source_id AS name, 'call' AS target, 0 AS level FROM used
    UNION ALL
    SELECT value_seq, agent, called_at, session_id, reported_id AS name, 'call' AS target, 0 AS level FROM used WHERE reported_id IS NOT NULL
    UNION ALL
    SELECT value_seq, agent, called_at, session_id, session_id AS name, 'session' AS target, 1 AS level FROM used
    UNION ALL
    SELECT value_seq, agent, called_at, session_id, parent_session_id AS name, 'session' AS target, 2 AS level FROM used
),
declarations AS (
    SELECT
        *,
        coalesce(source_id, session_id) AS name,
        CASE WHEN source_id IS NULL THEN 'session' ELSE 'call' END AS target
    FROM declared_allocations
),
declared_each AS (
    SELECT
        t.value_seq,
        d.task_id,
        d.workstream_id,
        d.permille,
        d.seq
    FROM targets AS t
    INNER JOIN declarations AS d ON t.name = d.name AND t.target = d.target
    WHERE
        coalesce(t.agent = d.agent, d.agent IS NULL)
        AND (t.target = 'session' OR d.session_id IS NULL OR coalesce(t.session_id = d.session_id, false))
        AND (d.since IS NULL OR coalesce(t.called_at >= d.since, false))
        AND (d.until IS NULL OR coalesce(t.called_at < d.until, false))
    QUALIFY t.level = min(t.level) OVER (PARTITION BY t.value_seq)
),
declared_parts AS (
    SELECT
        *,
        coalesce(sum(permille) OVER (PARTITION BY value_seq), 0) AS stated_permille,
        count(*) FILTER (WHERE permille IS NULL) OVER (PARTITION BY value_seq) AS sharers
    FROM declared_each
),
declared AS (
    SELECT
        value_seq,
        0 AS rank,
        'declared' AS rule,
        'high' AS confidence,
        task_id,
        max(workstream_id) AS workstream_id,
        CAST(sum(coalesce(permille * greatest(sharers, 1), greatest(1000 - stated_permille, 0))) AS BIGINT) AS weight,
        CAST(any_value(greatest(1000, stated_permille) * greatest(sharers, 1)) AS BIGINT) AS whole,
        list(seq ORDER BY seq) AS evidence_seqs
    FROM declared_parts
    GROUP BY value_seq, task_id, CASE WHEN task_id IS NULL THEN workstream_id END
),
stated AS (
    SELECT
        u.value_seq,
        1 AS rank,
        'stated' AS rule,
        'high' AS confidence,
        t.task_id,
        t.workstream_id,
        [t.seq] AS evidence_seqs
    FROM token_reports AS t
    INNER JOIN used AS u ON t.seq = u.value_seq
    WHERE coalesce(t.task_id, t.workstream_id) IS NOT NULL
),
spans AS MATERIALIZED (
    SELECT *
    FROM task_spans
),
marked AS (
    SELECT DISTINCT
        agent,
        session_id
    FROM spans
    WHERE session_id IS NOT NULL
),
scoped AS (
    SELECT value_seq, agent, called_at, session_id AS scope_id, session_id FROM used WHERE called_at IS NOT NULL
    UNION ALL
    SELECT value_seq, agent, called_at, parent_session_id AS scope_id, session_id FROM used
    WHERE called_at IS NOT NULL AND parent_session_id IS NOT NULL AND parent_session_id IS DISTINCT FROM session_id
),
marked_calls AS (
    SELECT
        u.value_seq,
        CASE s.rule WHEN 'task_report' THEN 2 ELSE 3 END AS rank,
        s.rule,
        CASE s.rule WHEN 'task_report' THEN 'high' ELSE 'medium' END AS confidence,
        s.task_id,
        s.workstream_id,
        s.evidence_seqs
    FROM scoped AS u
    INNER JOIN spans AS s ON u.scope_id = s.session_id AND u.agent IS NOT DISTINCT FROM s.agent
    LEFT JOIN marked AS own ON u.agent IS NOT DISTINCT FROM own.agent AND u.session_id = own.session_id
    WHERE
        (s.from_at IS NULL OR u.called_at > s.from_at)
        AND (s.until_at IS NULL OR u.called_at <= s.until_at)
        AND (u.scope_id IS NOT DISTINCT FROM u.session_id OR own.session_id IS NULL)
        AND (s.is_contested OR coalesce(s.task_id, s.workstream_id) IS NOT NULL)
),
committed_calls AS (
    SELECT
        u.value_seq,
        4 AS rank,
        s.rule,
        'medium' AS confidence,
        s.task_id,
        s.workstream_id,
        s.evidence_seqs
    FROM spans AS s
    INNER JOIN checkout_periods AS p ON s.top_path = p.top_path
    INNER JOIN used AS u ON p.cwd = u.cwd
    WHERE
        u.called_at > s.from_at
        AND u.called_at <= s.until_at
        AND (p.from_at IS NULL OR u.called_at >= p.from_at)
        AND (p.until_at IS NULL OR u.called_at < p.until_at)
),
branches AS (
    SELECT
        b.git_branch,
        nullif(regexp_extract(b.git_branch, r.branch_pattern, 1), '') AS task_id,
        nullif(regexp_extract(b.git_branch, r.workstream_branch_pattern, 1), '') AS workstream_id,
        r.seq
    FROM (SELECT DISTINCT git_branch FROM used WHERE git_branch IS NOT NULL AND NOT starts_with(git_branch, 'hash:')) AS b
    CROSS JOIN task_rules AS r
    WHERE
        coalesce(regexp_full_match(regexp_extract(b.git_branch, r.branch_pattern, 1), '[A-Za-z0-9_.:-]{0,128}'), true)
        AND coalesce(regexp_full_match(regexp_extract(b.git_branch, r.workstream_branch_pattern, 1), '[A-Za-z0-9_.:-]{0,128}'), true)
),
branch_calls AS (
    SELECT
        u.value_seq,
        5 AS rank,
        'branch' AS rule,
        'medium' AS confidence,
        b.task_id,
        b.workstream_id,
        list_filter([u.value_seq, b.seq], lambda x: x IS NOT NULL) AS evidence_seqs
    FROM used AS u
    INNER JOIN branches AS b ON u.git_branch = b.git_branch
    WHERE coalesce(b.task_id, b.workstream_id) IS NOT NULL
),
completed_calls AS (
    SELECT
        u.value_seq,
        6 AS rank,
        s.rule,
        'low' AS confidence,
        s.task_id,
        s.workstream_id,
        s.evidence_seqs
    FROM spans AS s
    INNER JOIN used AS u ON s.agent = u.agent
    WHERE s.rule = 'completion_time' AND u.called_at > s.from_at AND u.called_at <= s.until_at
    QUALIFY count(DISTINCT coalesce(u.parent_session_id, u.session_id, '')) OVER (PARTITION BY s.agent, s.until_at) = 1
),
candidates AS MATERIALIZED (
    SELECT * FROM declared
    UNION ALL BY NAME
    SELECT * FROM stated
    UNION ALL BY NAME
    SELECT * FROM marked_calls
    UNION ALL BY NAME
    SELECT * FROM committed_calls
    UNION ALL BY NAME
    SELECT * FROM branch_calls
    UNION ALL BY NAME
    SELECT * FROM completed_calls
),
strongest AS (
    SELECT
        value_seq,
        min(rank) AS rank
    FROM candidates
    GROUP BY value_seq
)
SELECT
    c.value_seq,
    c.rule,
    CAST(1 AS BIGINT) AS rule_version,
    c.confidence,
    c.task_id,
    c.workstream_id,
    coalesce(c.weight, 1) AS weight,
    coalesce(c.whole, 1) AS whole,
    c.evidence_seqs
FROM candidates AS c
INNER JOIN strongest AS s ON c.value_seq = s.value_seq AND c.rank = s.rank
