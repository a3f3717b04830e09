"""
What files of records said last, as the tables and the end of the log know it.

A record that has not changed is not stated again, and one that was deleted is told: both need to know what stood there
before, also by a process that has just begun.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from daemon.documents import Remembered
from projections.read import NothingPublished, Tables, TablesUnusable
from state.cursors import Cursor
from state.head import Mark
from state.log import Log
from state.paths import StatePaths
from state.read import event_lines, slices

#: Kinds of events that say something of a record; other lines of the log are not decoded.
_KINDS: Final = (b'"k":"claim"', b'"k":"silent"', b'"k":"trajectory"')


class _Look(msgspec.Struct):
    path: str | None = None
    state: str | None = None


class _Event(msgspec.Struct):
    k: str
    source_generation: str | None = None
    item_key: str | None = None
    line_hash: str | None = None
    body: _Look | None = None


_decode = msgspec.json.Decoder(_Event).decode


def recollect(state: StatePaths, log: Log[Cursor]) -> Remembered:
    """
    Return what is known of every file of records that was read before; nothing is opened where there is none.

    Costs a question to the tables and what the log has grown by since; where there are no tables, all of the log.
    """
    remembered = Remembered()
    known = {
        cursor.generation: (key, cursor.content_hash)
        for key, cursor in log.cursors.items()
        if cursor.role == "record" and cursor.content_hash
    }
    if not known:
        return remembered
    items: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for event in _events(state, log):
        _take(event, items, remembered.missing_paths)
    for generation, (key, content_hash) in known.items():
        remembered.keep(key, content_hash, items[generation])
    return remembered


def _events(state: StatePaths, log: Log[Cursor]) -> Iterator[_Event]:
    """Yield what is known, oldest first: by the tables as one event for each record and path, then by the log."""
    mark = None
    try:
        with Tables(state.published) as tables:
            head = tables.head().mark
            if head is not None and head.log_id == log.log_id and head.seq <= log.head.seq:
                mark = head
                yield from _published(tables)
    except (NothingPublished, TablesUnusable):
        pass  # they are made anew from the log, and so is this
    yield from _logged(state, mark)


def _published(tables: Tables) -> Iterable[_Event]:
    for row in tables.rows(
        """
        SELECT i.source_generation, i.item_key, i.line_hash
        FROM items AS i
        INNER JOIN events AS e ON i.seq = e.seq
        WHERE e.kind = 'claim'
        """
    ):
        yield _Event("claim", **row)
    for row in tables.rows("SELECT path, state FROM trajectory_looks WHERE state = 'missing'"):
        yield _Event("trajectory", body=_Look(**row))


def _logged(state: StatePaths, mark: Mark | None) -> Iterable[_Event]:
    after = mark.seq if mark is not None else -1
    for part in slices(state.log_directory, after, mark):
        for line in event_lines(part):
            if any(kind in line for kind in _KINDS):
                yield _decode(line)


def _take(event: _Event, items: defaultdict[str, dict[str, str]], missing: set[str]) -> None:
    if event.k == "trajectory":
        if event.body is not None and event.body.path is not None:
            (missing.add if event.body.state == "missing" else missing.discard)(event.body.path)
    elif event.source_generation is not None and event.item_key is not None:
        if event.k == "claim":
            items[event.source_generation][event.item_key] = event.line_hash or ""
        elif event.k == "silent":
            items[event.source_generation].pop(event.item_key, None)
