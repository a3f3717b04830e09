"""
Two hashes that say whether two sets of tables are the same.

`tables_hash` covers every stored row. `facts_hash` leaves out sequence numbers, ingest times, places on disk and the
watchers' traces: it is the same after any crash, batching or order of arrival. Row hashes are summed, not xored: xor
would cancel a row that is there twice.
"""

import hashlib
import re
from typing import Final

import duckdb

from projections.catalog import relations

#: What a log says about the world, whatever happened while it was written.
FACTS: Final[dict[str, str]] = {
    "allocations": """
        SELECT
            agent, source_id, task_id, workstream_id, rule, rule_version, confidence, input_tokens, cache_read_tokens,
            cache_write_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens
        FROM usage_allocated
    """,
    "attributions": "SELECT agent, source_id, repo, repo_rung, repo_gap FROM usage_attributed",
    "calls": """
        SELECT
            agent, source_id, source_class, rule, confidence, session_id, parent_session_id, agent_id, called_at,
            model, model_provider, service_tier, requests, agent_version, cwd, git_branch, git_remote, input_tokens,
            cache_read_tokens, cache_write_tokens,
            cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, provider_total_tokens,
            stated_cost_usd_micros, is_placeholder, is_progress_only, is_split_unknown, is_clamped,
            is_inheritance_unknown, is_identity_inferred, is_conflict
        FROM (SELECT * EXCLUDE (thread_id) FROM thread_calls UNION ALL BY NAME SELECT * FROM calls)
    """,
    "claims": "SELECT * EXCLUDE (seq, ingested_at) FROM claims",
    "estimates": """
        SELECT
            agent, source_id, source_class, session_id, model, repo, task_id, workstream_id, input_tokens,
            cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, measured_seq IS NULL,
            decided_seq IS NULL
        FROM estimates
    """,
    "hidden_calls": "SELECT agent, line_id, called_at, session_id FROM hidden_calls",
    "inbox": """
        SELECT kind, message_key, receipt, revision, content_hash, producer, CAST(body AS VARCHAR), superseded_count
        FROM inbox
        WHERE kind <> 'reconciliation'
    """,
    "inbox_rejected": """
        SELECT DISTINCT if(code = 'bad_name', NULL, receipt), code, field, length_bytes FROM inbox_rejected
    """,
    "inbox_superseded": "SELECT kind, message_key, receipt, revision, content_hash FROM inbox_superseded",
    "rejected": """
        SELECT DISTINCT
            agent, regexp_extract(source, '([^/]*?)(\\.jsonl)?(\\.zst)?$', 1) AS source_name,
            CASE WHEN item_key IS NULL THEN offset_bytes END AS offset_bytes, length_bytes, item_key, code, field
        FROM rejected
    """,
    "sessions": "SELECT agent, session_id, is_metered FROM sessions",
}

#: Every word of these questions; the tables and views among them are what they ask.
FACTS_ASK: Final = frozenset(re.findall(r"\w+", " ".join(FACTS.values())))


def tables_hash(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the hash over every stored table: its name, its number of rows and the sum of their hashes."""
    queries = {relation.name: f"SELECT * FROM {relation.name}" for relation in relations() if relation.is_table}  # noqa: S608 - names from constants
    return _digest(connection, queries)


def facts_hash(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the hash over what the log says, without how it came to be written."""
    return _digest(connection, FACTS)


def _digest(connection: duckdb.DuckDBPyConnection, queries: dict[str, str]) -> str:
    whole = hashlib.sha256()
    for name, query in sorted(queries.items()):
        count, total = connection.execute(
            f"SELECT count(*), CAST(coalesce(sum(hash(row_)), 0) AS VARCHAR) FROM ({query}) AS row_"  # noqa: S608 - constants
        ).fetchall()[0]
        whole.update(f"{name} {count} {total}\n".encode())
    return whole.hexdigest()
