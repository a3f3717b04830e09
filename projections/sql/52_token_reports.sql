-- token_reports: what programs reported of tokens, each report once, and its place among those of the same identity.
-- grain: one message
-- key: seq
-- unit: tokens, times in UTC
-- source: messages
-- refresh: view
--
-- A report is named by provider and source id, else by its key, else by itself. The one with rank 1 holds: the greatest revision,
-- then the greatest content hash. A report of a whole session that names none is of the one that its source id names. used_at is when the tokens were used as the producer says, else when the report was written.
-- A row of an old table (legacy_class) is its key: of what was said under it the greatest revision holds. With what names the same
-- source its total decides, and of the fallbacks of one task the latest holds; its used_at is its own time or null, never that of
-- the import. set_aside says why what holds counts nowhere: the row was taken back (withdrawn), or nobody used its tokens or another row
-- has them (not_usage).
WITH read_ AS (
    SELECT
        *,
        from_json(
            body,
            '{"measurement": "VARCHAR", "source_class": "VARCHAR", "scope": "VARCHAR", "provider": "VARCHAR", "source_id": "VARCHAR",
            "agent": "VARCHAR", "session_id": "VARCHAR", "parent_session_id": "VARCHAR", "model": "VARCHAR", "service_tier": "VARCHAR", "cwd": "VARCHAR",
            "git_branch": "VARCHAR", "git_remote": "VARCHAR", "repo": "VARCHAR", "task_id": "VARCHAR", "workstream_id": "VARCHAR",
            "at": "TIMESTAMP", "input_tokens": "BIGINT", "cache_read_tokens": "BIGINT", "cache_write_tokens": "BIGINT",
            "cache_write_5m_tokens": "BIGINT", "cache_write_1h_tokens": "BIGINT", "output_tokens": "BIGINT",
            "reasoning_tokens": "BIGINT", "provider_total_tokens": "BIGINT", "legacy_class": "VARCHAR", "is_withdrawn": "BOOLEAN"}'
        ) AS said
    FROM messages
    WHERE kind = 'token_event'
),
stated AS (
    SELECT
        *,
        CASE
            WHEN said.legacy_class IS NULL THEN revision
            WHEN said.legacy_class = 'task_fallback' THEN epoch_us(said.at)
            ELSE
                coalesce(said.input_tokens, 0) + coalesce(said.cache_read_tokens, 0) + coalesce(said.cache_write_tokens, 0)
                + coalesce(said.output_tokens, 0)
        END AS place,
        CASE
            WHEN said.legacy_class IS NULL THEN seq
            ELSE first_value(seq) OVER said_of_row
        END AS row_seq,
        CASE
            WHEN said.legacy_class IS NULL THEN NULL
            WHEN first_value(coalesce(said.is_withdrawn, false)) OVER said_of_row THEN 'withdrawn'
            WHEN said.legacy_class IN ('bulk_side_effect', 'allocated_share', 'superseded') THEN 'not_usage'
        END AS set_aside
    FROM read_
    WINDOW
        said_of_row AS (
            PARTITION BY CASE WHEN said.legacy_class IS NULL THEN NULL ELSE coalesce(message_key, receipt) END
            ORDER BY revision DESC NULLS LAST, content_hash DESC, seq ASC
        )
),
named AS (
    SELECT
        *,
        coalesce(
            CASE WHEN row_seq <> seq OR set_aside IS NOT NULL THEN 'row:' || row_seq || ' ' || seq END,
            CASE WHEN said.legacy_class = 'task_fallback' THEN 'task:' || said.task_id END,
            'id:' || said.source_id || ' ' || coalesce(said.provider, ''),
            'key:' || message_key,
            'one:' || receipt || content_hash
        ) AS identity
    FROM stated
),
ranked AS (
    SELECT
        *,
        row_number() OVER same_identity AS place_in_identity,
        first_value(seq) OVER same_identity AS first_seq
    FROM named
    WINDOW
        same_identity AS (
            PARTITION BY identity
            ORDER BY said.measurement DESC, place DESC NULLS LAST, content_hash DESC, seq ASC
        )
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
    said.service_tier AS service_tier,
    said.cwd AS cwd,
    said.git_branch AS git_branch,
    said.git_remote AS git_remote,
    said.repo AS repo,
    said.task_id AS task_id,
    said.workstream_id AS workstream_id,
    coalesce(said.at, CASE WHEN said.legacy_class IS NULL THEN created_at END) AS used_at,
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
    said.legacy_class AS legacy_class,
    set_aside,
    if(row_seq <> seq, place_in_identity + 1, place_in_identity) AS rank,
    if(row_seq <> seq, row_seq, first_seq) AS holding_seq
FROM ranked
