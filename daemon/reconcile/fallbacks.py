"""
Fallbacks that count beside a measurement of the same session or task: an operator decides, and can take it back.

Nothing that was written is touched. A decision is a message about one content of another message.
"""

import re
import time
from typing import Any, Final

from adapters.decode import digest
from daemon.inbox_client import Sealed, checked
from projections.read import Tables

PRODUCER: Final = "reconcile"

#: Ids of calls that a message may name.
_CALL: Final = re.compile(r"[A-Za-z0-9_.:-]{1,300}")

# Those that an operator kept once are asked for again only by this very option: `--zero-superseded-fallbacks`.
_TO_SUPERSEDE: Final = """
SELECT receipt, content_hash, beside_source_id
FROM fallbacks
WHERE state IN ('leaked', 'kept') AND receipt IS NOT NULL
ORDER BY seq
"""

_DECIDED: Final = """
SELECT receipt, content_hash, beside_source_id
FROM fallbacks
WHERE state = 'operator_decision'
ORDER BY seq
"""


def superseding(tables: Tables) -> list[Sealed]:
    """Return the decisions that no fallback counts beside a measurement; none when that is so already."""
    return [_decision(row, is_withdrawn=False) for row in tables.rows(_TO_SUPERSEDE)]


def restoring(tables: Tables) -> list[Sealed]:
    """Return what takes every such decision back."""
    return [_decision(row, is_withdrawn=True) for row in tables.rows(_DECIDED)]


def _decision(row: dict[str, Any], *, is_withdrawn: bool) -> Sealed:
    body: dict[str, Any] = {"receipt": row["receipt"], "content_hash": row["content_hash"]}
    if row["beside_source_id"] is not None and _CALL.fullmatch(row["beside_source_id"]):
        body["by_source_id"] = row["beside_source_id"]
    if is_withdrawn:
        body["is_withdrawn"] = True
    key = f"supersession:{digest(row['receipt'] + row['content_hash'])}"
    return checked("supersession", body, producer=PRODUCER, key=key, revision=time.time_ns() // 1_000)
