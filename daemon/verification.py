"""Is the log what was committed, are the tables what the log says, and are the sources what was read?"""

from typing import Any

from daemon.locate import Locator, Place
from daemon.settings import Settings
from projections.hashes import facts_hash, tables_hash
from projections.read import NothingPublished, Tables
from state.head import recall
from state.verify import verify


def verification(settings: Settings, *, with_sources: bool) -> tuple[dict[str, Any], bool]:
    """Return the document of `verify --json`, and whether the log is sound."""
    paths = settings.state
    if not paths.log_directory.is_dir():
        raise NothingPublished(path=paths.log_directory)
    remembered = recall(paths.head)
    checked = verify(paths.log_directory, remembered)
    document: dict[str, Any] = {
        "schema": "tallystick.verify/1",
        "ok": checked.ok,
        "events": checked.events,
        "commits": checked.commits,
        "segments": checked.segments,
        "head_seq": checked.head.seq if checked.head else None,
        "head_hash": checked.head.chain if checked.head else None,
        "damaged": [str(each) for each in checked.damaged],
        "cut": checked.cut,
        "unfinished_bytes": checked.unfinished_bytes,
    }
    if paths.published.exists():
        with Tables(paths.published) as tables:
            document["tables_hash"] = tables_hash(tables.connection)
            document["facts_hash"] = facts_hash(tables.connection)
            if with_sources:
                document["sources"] = _sources(tables)
    return document, checked.ok


def _sources(tables: Tables) -> dict[str, int]:
    """Reopen every source and compare line hashes; changed, moved and gone are counted apart."""
    rows = tables.rows(
        """
        SELECT seq, source, offset_bytes, length_bytes, line_hash, kind = 'rejected' AS is_salted
        FROM events
        WHERE line_hash IS NOT NULL AND coalesce(code, '') <> 'too_long'
        """
    )
    places = [Place(**row) for row in rows]
    counts = {"lines": len(places), "same": 0, "moved": 0, "changed": 0, "gone": 0}
    mark = tables.head().mark
    for each in Locator(tables, mark.log_id if mark else "").locate(places):
        counts[each.outcome] += 1
    return counts
