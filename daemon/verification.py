"""Is the log what was committed, are the tables what the log says, and are the sources what was read?"""

from dataclasses import asdict
from typing import Any, Final, get_args

from daemon.locate import Locator, Outcome, Place
from daemon.settings import Settings
from projections.hashes import facts_hash, tables_hash
from projections.read import NothingPublished, Tables, TablesUnusable
from state.errors import LogCut
from state.head import recall
from state.verify import verify
from state.vocabulary import SENTINEL

#: At most so many changed files are named; the count is of all.
CHANGED_SHOWN_MAX: Final = 100


def verification(settings: Settings, *, with_sources: bool) -> tuple[dict[str, Any], bool]:
    """
    Return the document of `verify --json`, and whether the log is sound.

    The hashes are of the published tables; tables that cannot be read keep nobody from checking the log.
    """
    paths = settings.state
    remembered = recall(paths.head)
    if not paths.log_directory.is_dir():
        if remembered is None and not paths.published.exists():
            raise NothingPublished(path=paths.log_directory)
        raise LogCut(path=paths.log_directory, reason="missing")
    checked = verify(paths.log_directory, remembered)
    document: dict[str, Any] = {
        "schema": "tallystick.verify/1",
        "ok": checked.ok,
        "events": checked.events,
        "commits": checked.commits,
        "segments": checked.segments,
        "head_seq": checked.head.seq if checked.head else None,
        "head_hash": checked.head.chain if checked.head else None,
        "damaged": [asdict(each) for each in checked.damaged],
        "cut": checked.cut,
        "unfinished_bytes": checked.unfinished_bytes,
        "tables": "none",
    }
    if paths.published.exists():
        try:
            document |= _tables(settings, with_sources=with_sources)
        except TablesUnusable:
            document["tables"] = "unusable"
    return document, checked.ok


def _tables(settings: Settings, *, with_sources: bool) -> dict[str, Any]:
    with Tables(settings.state.published) as tables:
        mark = tables.head().mark
        shown: dict[str, Any] = {
            "tables": "published",
            "tables_seq": mark.seq if mark else None,
            "tables_hash": tables_hash(tables.connection),
            "facts_hash": facts_hash(tables.connection),
        }
        return shown | ({"sources": _sources(tables)} if with_sources else {})


def _sources(tables: Tables) -> dict[str, Any]:
    """Reopen every source and compare line hashes; what became of each line is counted, changed files are named."""
    rows = tables.rows(
        """
        SELECT
            e.seq, e.source, e.offset_bytes, e.length_bytes, e.line_hash, e.kind = 'rejected' AS is_salted, e.item_key,
            e.parser
        FROM events AS e
        LEFT JOIN items AS i ON e.source_generation = i.source_generation AND e.item_key = i.item_key
        WHERE e.line_hash IS NOT NULL AND coalesce(e.code, '') <> 'too_long' AND e.agent <> ?
            AND (e.item_key IS NULL OR e.line_hash = i.line_hash)
        """,
        [SENTINEL],
    )
    places = [Place(**row) for row in rows]
    mark = tables.head().mark
    counts = dict.fromkeys(get_args(Outcome), 0)
    changed: set[str] = set()
    for each in Locator(tables, mark.log_id if mark else "").locate(places):
        counts[each.outcome] += 1
        if each.outcome == "changed":
            changed.add(each.place.source)
    return {"lines": len(places), **counts, "changed_sources": sorted(changed)[:CHANGED_SHOWN_MAX]}
