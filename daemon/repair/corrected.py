"""
What records said before their harness wrote something else over them, held against the rules of today.

Where a harness has corrected its own record, no rule finds it any more; who read it until then has read it all the
same. So each earlier statement is put back, on a copy of the tables, and all rules are run there.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from daemon.inbox_client import checked
from daemon.message import check
from daemon.repair.cases import read_cases
from daemon.repair.outlook import Finding, Outlook
from daemon.settings import Settings
from daemon.what_if import tried
from projections.read import Tables, plain

#: Every path that a record stated of a session, and from which event until which it stood there; null while it does. A
#: session is told by its start as well: names of sessions come again.
STATED: Final = """
WITH statements AS (
    SELECT
        seq,
        source,
        item_key AS claim_key,
        body ->> '$.session_id' AS session_id,
        body ->> '$.agent' AS agent,
        body ->> '$.trajectory_path' AS claimed_path,
        coalesce(
            CAST(body ->> '$.started_at' AS TIMESTAMP),
            CAST(body ->> '$.ended_at' AS TIMESTAMP) - to_seconds(CAST(body ->> '$.duration_seconds' AS BIGINT))
        ) AS started_at,
        CAST(body ->> '$.recorded_at' AS TIMESTAMP) AS recorded_at
    FROM events
    WHERE kind = 'claim'
),
begun AS (
    SELECT *
    FROM statements
    WINDOW of_claim AS (PARTITION BY source, claim_key ORDER BY seq)
    QUALIFY
        row_number() OVER of_claim = 1
        OR claimed_path IS DISTINCT FROM lag(claimed_path) OVER of_claim
        OR started_at IS DISTINCT FROM lag(started_at) OVER of_claim
),
stated AS (
    SELECT
        *,
        lead(seq) OVER (PARTITION BY source, claim_key ORDER BY seq) AS corrected_seq
    FROM begun
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
    s.claim_key,
    s.claimed_path AS stated_path,
    c.claimed_path,
    c.started_at,
    row_number() OVER (PARTITION BY s.source, s.claim_key ORDER BY s.seq) AS nth
FROM stated AS s
INNER JOIN claims AS c ON s.source = c.source AND s.claim_key = c.claim_key
WHERE s.corrected_seq IS NOT NULL AND s.claimed_path IS NOT NULL AND s.claimed_path IS DISTINCT FROM c.claimed_path
ORDER BY nth, s.seq
"""  # noqa: S608 - constants

#: A revision behind all others, for a trial.
_LAST: Final = 1 << 40


def earlier(settings: Settings) -> Iterator[tuple[dict[str, Any], Finding]]:
    """
    Yield each statement that was written over, with each finding that it would be if it still stood.

    Raises:
        NothingPublished, TablesUnusable: There are no tables to ask.
    """
    with Tables(settings.state.published) as tables:
        statements = tables.rows(_EARLIER)
    for _, those in groupby(statements, lambda row: row["nth"]):
        yield from _found(settings, list(those))


def _found(settings: Settings, statements: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Finding]]:
    with tried(settings, [_put_back(number, row) for number, row in enumerate(statements, 1)]) as tables:
        # That somebody knows of a finding does not make its rows right.
        known = Outlook(tuple(each._replace(is_acknowledged=False) for each in Outlook.of(tables).findings))
        findings = {case.key: case.findings for case in read_cases(tables, known, settings.zone).cases}
    for row in statements:
        for finding in findings[row["claim_source"], row["claim_key"]]:
            yield row, finding


def _put_back(number: int, row: dict[str, Any]) -> bytes:
    """Return the message, as the log would hold it, that lets a claim point where it once did."""
    body = {
        "plan_id": "trial",
        "step": number,
        "claim_source": row["claim_source"],
        "claim_key": row["claim_key"],
        "claimed_path": row["claimed_path"],
        "started_at": plain(row["started_at"]),
        "action": "attach",
        "trajectory_path": row["stated_path"],
    }
    known = {name: value for name, value in body.items() if value is not None}
    letter = checked("repair", known, producer="tallystick_repair", key=f"repair:trial:{number}", revision=_LAST)
    return check(letter.content).event("0" * 32, datetime.now(UTC))
