"""
What records said before their harness wrote something else over them or took them away, held against today's rules.

No rule finds it any more; who read it until then has read it all the same. So every earlier statement is put beside
what the records say now, on one copy of the tables, and all rules are run there once.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import duckdb

from daemon.repair.cases import RULES, read_cases
from daemon.repair.outlook import Finding, Outlook
from daemon.settings import Settings
from daemon.what_if import changed
from projections.catalog import reached_from
from projections.read import Tables

#: Every statement of a record, and from which event until which it stood there: until the record said anything else,
#: nothing any more, or was gone; null while it does. What names a session here is a repair's as well as a record's:
#: path and start.
STATED: Final = """
WITH said AS (
    SELECT
        *,
        kind || coalesce(CAST(body AS VARCHAR), '') AS what
    FROM events
    WHERE
        item_key IS NOT NULL AND kind IN ('claim', 'silent', 'rejected')
        AND source IN (SELECT DISTINCT source FROM events WHERE kind = 'claim')
),
begun AS (
    SELECT *
    FROM said
    WINDOW of_claim AS (PARTITION BY source, item_key ORDER BY seq)
    QUALIFY what IS DISTINCT FROM lag(what) OVER of_claim
),
ended AS (
    SELECT
        *,
        lead(seq) OVER (PARTITION BY source, item_key ORDER BY seq) AS corrected_seq
    FROM begun
),
stated AS (
    SELECT
        seq,
        corrected_seq,
        source,
        item_key AS claim_key,
        body ->> '$.session_id' AS session_id,
        body ->> '$.agent' AS agent,
        body ->> '$.trajectory_path' AS claimed_path,
        coalesce(
            CAST(body ->> '$.started_at' AS TIMESTAMP),
            CAST(body ->> '$.ended_at' AS TIMESTAMP) - to_seconds(CAST(body ->> '$.duration_seconds' AS BIGINT))
        ) AS started_at,
        CAST(body ->> '$.recorded_at' AS TIMESTAMP) AS recorded_at,
        concat_ws(
            '/', body ->> '$.input_tokens', body ->> '$.output_tokens', coalesce(body ->> '$.cache_read_tokens', '-')
        ) AS fingerprint
    FROM ended
    WHERE kind = 'claim'
)
"""

_EARLIER: Final = f"""
{STATED}
SELECT
    s.source || '#' || s.claim_key AS name,
    s.session_id,
    s.agent,
    [CAST(coalesce(s.started_at, s.recorded_at) AS DATE)] AS days,
    s.seq AS since_seq,
    s.corrected_seq AS until_seq,
    s.source AS claim_source,
    s.fingerprint,
    (
        SELECT min(r.seq)
        FROM repairs AS r
        WHERE
            r.claim_source = s.source AND r.claim_key = s.claim_key
            AND r.claimed_path IS NOT DISTINCT FROM s.claimed_path
            AND epoch_ms(r.started_at) IS NOT DISTINCT FROM epoch_ms(s.started_at)
    ) AS repaired_seq,
    EXISTS (
        SELECT 1 FROM stated AS o
        WHERE o.source = s.source AND o.session_id = s.session_id AND o.claim_key <> s.claim_key
    ) AS is_one_of_several
FROM stated AS s
WHERE s.corrected_seq IS NOT NULL
ORDER BY s.seq
"""  # noqa: S608 - constants

#: In a copy, where the event of a statement takes another name: its record says by now what it says.
_PUT_BACK: Final = """
UPDATE events SET item_key = 'earlier:' || seq WHERE seq IN (SELECT unnest($seqs));
"""
_STANDING: Final = """
INSERT INTO items BY NAME
SELECT source_generation, item_key, seq, line_hash, parser_version FROM events WHERE seq IN (SELECT unnest($seqs))
"""

#: Rules that say no more of a record once a repair has given it another log.
_REPAIRED: Final = frozenset({*RULES, "teletype", "constant_cache_read"})


def earlier(settings: Settings) -> Iterator[tuple[dict[str, Any], Finding]]:
    """
    Yield each statement that was written over or taken away, with each finding that it would be if it still stood.

    Until when it was bad (``until_seq``) is until its record was corrected, or a repair put it right before.

    Raises:
        NothingPublished, TablesUnusable: There are no tables to ask.
    """
    with Tables(settings.state.published) as tables:
        statements = tables.rows(_EARLIER)
    if not statements:
        return
    with changed(settings, lambda copy, _: _put_back(copy, statements)) as tables:
        # That somebody knows of a finding does not make its rows right.
        known = Outlook(tuple(each._replace(is_acknowledged=False) for each in Outlook.of(tables).findings))
        of_log = {case.key: case.findings for case in read_cases(tables, known, settings.zone).cases}
    others = [each for each in known.findings if each.rule not in RULES and f"finding_{each.rule}" in _OF_CLAIMS]
    for row in statements:
        found = of_log.get((row["claim_source"], f"earlier:{row['since_seq']}"), ())
        for finding in (*found, *(each for each in others if _is_about(each, row))):
            repaired_seq = row["repaired_seq"] if finding.rule in _REPAIRED else None
            if repaired_seq is None or repaired_seq > row["since_seq"]:
                yield row | {"until_seq": min(row["until_seq"], repaired_seq or row["until_seq"])}, finding


_OF_CLAIMS: Final = reached_from("claims")


def _put_back(copy: duckdb.DuckDBPyConnection, statements: Sequence[dict[str, Any]]) -> None:
    """Let all *statements* stand beside what their records say now."""
    seqs = {"seqs": [row["since_seq"] for row in statements]}
    copy.execute(_PUT_BACK, seqs)
    copy.execute(_STANDING, seqs)


def _is_about(finding: Finding, row: dict[str, Any]) -> bool:
    """Say whether a finding that names no log is about this statement of its session."""
    if finding.rule == "teletype":
        return row["session_id"] in finding.sessions and f"tokens:{row['fingerprint']}" in finding.evidence
    # A record and its own correction contradict each other only here, where both stand.
    is_real = finding.rule != "duplicate_source_id" or row["is_one_of_several"]
    return is_real and row["session_id"] in finding.sessions
