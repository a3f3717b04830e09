"""How long ago disk, log and tables were held against each other, as the tables say."""

from datetime import datetime
from typing import Any, Final

from projections.read import Tables, plain

_LAST: Final = "SELECT ran_at, is_clean FROM reconciliations ORDER BY ran_at DESC, seq DESC LIMIT 1"


def last_run(tables: Tables, now: datetime) -> dict[str, Any] | None:
    """Return when that was last, its age in seconds at *now*, and whether nothing of it alarmed; null for never."""
    rows = tables.rows(_LAST)
    if not rows:
        return None
    age = (now.replace(tzinfo=None) - rows[0]["ran_at"]).total_seconds()
    return {"at": plain(rows[0]["ran_at"]), "age_seconds": max(round(age), 0), "is_clean": rows[0]["is_clean"]}


def shown(last: dict[str, Any] | None) -> str:
    """Return the same in words."""
    if last is None:
        return "never reconciled; `tallystick reconcile` says whether disk, log and tables agree"
    return f"reconciled {last['age_seconds'] // 60} min ago, {'clean' if last['is_clean'] else 'with findings'}"
