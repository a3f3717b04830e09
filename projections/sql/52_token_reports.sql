-- token_reports: what programs reported of tokens, each report once, and its place among those of the same identity.
-- grain: one message
-- key: seq
-- unit: tokens, times in UTC
-- source: messages
-- refresh: view
--
-- A report is named by provider and source id, else by its key, else by itself. The one with rank 1 holds: the greatest revision,
-- then the greatest content hash. A report of a whole session that names none is of the one that its source id names. used_at is when the tokens were used as the producer says, else when the report was written.
WITH read_ AS (
    SELECT
        *,
        from_json(
            body,
            '{"measurement": "VARCHAR", "source_class": "VARCHAR", "scope": "VARCHAR", "provider": "VARCHAR", "source_id": "VARCHAR",
            "agent": "VARCHAR", "session_id": "VARCHAR", "parent_session_id": "VARCHAR", "model": "VARCHAR", "cwd": "VARCHAR",
            "git_branch": "VARCHAR", "git_remote": "VARCHAR", "repo": "VARCHAR", "task_id": "VARCHAR", "workstream_id": "VARCHAR",
            "at": "TIMESTAMP", "input_tokens": "BIGINT", "cache_read_tokens": "BIGINT", "cache_write_tokens": "BIGINT",
            "cache_write_5m_tokens": "BIGINT", "cache_write_1h_tokens": "BIGINT", "output_tokens": "BIGINT",
            "reasoning_tokens": "BIGINT", "provider_total_tokens": "BIGINT"}'
        ) AS said
    FROM messages
    WHERE kind = 'token_event'
),
named AS (
    SELECT
        *,
        coalesce(
            'id:' || said.source_id || ' ' || coalesce(said.provider, ''),
            'key:' || message_key,
            'one:' || receipt || content_hash
        ) AS identity
    FROM read_
)
SELECT
    seq,
    identity,
    said.measurement AS measurement,
    said.source_class AS source_class,
    said.scope AS scope,
    said.provider AS provider,
    said.source_id AS source_id,
    said.agent AS agent,
    coalesce(said.session_id, CASE WHEN said.scope = 'session' THEN said.source_id END) AS session_id,
    said.parent_session_id AS parent_session_id,
    said.model AS model,
    said.cwd AS cwd,
    said.git_branch AS git_branch,
    said.git_remote AS git_remote,
    said.repo AS repo,
    said.task_id AS task_id,
    said.workstream_id AS workstream_id,
    coalesce(said.at, created_at) AS used_at,
    said.input_tokens AS input_tokens,
    said.cache_read_tokens AS cache_read_tokens,
    said.cache_write_tokens AS cache_write_tokens,
    said.cache_write_5m_tokens AS cache_write_5m_tokens,
    said.cache_write_1h_tokens AS cache_write_1h_tokens,
    said.output_tokens AS output_tokens,
    said.reasoning_tokens AS reasoning_tokens,
    said.provider_total_tokens AS provider_total_tokens,
    body -> '$.raw_usage' AS raw_usage,
    message_key,
    revision,
    receipt,
    content_hash,
    producer,
    row_number() OVER (
        PARTITION BY identity
        ORDER BY said.measurement DESC, revision DESC NULLS LAST, content_hash DESC, seq ASC
    ) AS rank,
    first_value(seq) OVER (
        PARTITION BY identity
        ORDER BY said.measurement DESC, revision DESC NULLS LAST, content_hash DESC, seq ASC
    ) AS holding_seq
FROM named
