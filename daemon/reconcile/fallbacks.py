"""
Fallbacks that count beside a measurement of the same session or task: an operator decides, and can take it back.

Nothing that was written is touched. A decision is a message about one content of another message.
"""

import re
import time
from datetime import datetime
from typing import Any, Final

from adapters.decode import digest
from daemon.inbox_client import Sealed, checked
from projections.read import Tables

PRODUCER: Final = "reconcile"

#: Ids of calls that a message may name.
_CALL: Final = re.compile(r"[A-Za-z0-9_.:-]{1,300}")

# As the report counts them: what was decided once, to keep it too, is not decided again.
_TO_SUPERSEDE: Final = """
SELECT receipt, content_hash, beside_source_id
FROM fallbacks
WHERE state = 'leaked' AND receipt IS NOT NULL AND coalesce(called_at >= $since, true)
ORDER BY seq
"""

# Whoever decided: a decision is taken back under its key; one without a key is superseded itself.
_DECIDED: Final = """
SELECT
    i.message_key,
    i.revision,
    i.producer,
    i.receipt AS decision_receipt,
    i.content_hash AS decision_hash,
    f.receipt,
    f.content_hash,
    i.body ->> '$.by_source_id' AS by_source_id
FROM fallbacks AS f
INNER JOIN inbox AS i
    ON
        i.kind = 'supersession'
        AND f.receipt = (i.body ->> '$.receipt')
        AND f.content_hash = (i.body ->> '$.content_hash')
WHERE
    f.state = 'operator_decision'
    AND NOT coalesce(CAST(i.body ->> '$.is_withdrawn' AS BOOLEAN), false)
    AND NOT EXISTS (
        FROM supersessions AS t
        WHERE t.receipt = i.receipt AND t.content_hash = i.content_hash AND NOT t.is_withdrawn
    )
ORDER BY i.seq
"""


def superseding(tables: Tables, since: datetime | None) -> list[Sealed]:
    """Return the decisions that no fallback counts beside a measurement, from *since* on (aware; null: of all)."""
    start = None if since is None else since.replace(tzinfo=None)
    return [_decision(row) for row in tables.rows(_TO_SUPERSEDE, {"since": start})]


def restoring(tables: Tables) -> list[Sealed]:
    """Return what takes every such decision back."""
    return [_withdrawal(row) for row in tables.rows(_DECIDED)]


def _decision(row: dict[str, Any]) -> Sealed:
    beside = row["beside_source_id"]
    return _against(row["receipt"], row["content_hash"], beside if beside and _CALL.fullmatch(beside) else None)


def _against(receipt: str, content_hash: str, by_source_id: str | None = None) -> Sealed:
    """Return the decision that a message does not count: a fallback, or a decision about one."""
    body = {"receipt": receipt, "content_hash": content_hash}
    if by_source_id is not None:
        body["by_source_id"] = by_source_id
    key = f"supersession:{digest(receipt + content_hash)}"
    return checked("supersession", body, producer=PRODUCER, key=key, revision=_now_us())


def _withdrawal(row: dict[str, Any]) -> Sealed:
    if row["message_key"] is None:
        return _against(row["decision_receipt"], row["decision_hash"])
    body: dict[str, Any] = {"receipt": row["receipt"], "content_hash": row["content_hash"], "is_withdrawn": True}
    if row["by_source_id"] is not None:
        body["by_source_id"] = row["by_source_id"]
    revision = max(_now_us(), (row["revision"] or 0) + 1)
    return checked("supersession", body, producer=row["producer"], key=row["message_key"], revision=revision)


def _now_us() -> int:
    return time.time_ns() // 1_000
