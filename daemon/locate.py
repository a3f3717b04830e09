"""Where the bytes behind an event are now: files are moved, compressed and rewritten after they were read."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from adapters.contract import Adapter, DocumentAdapter, Header, LineRejected, RowAdapter
from adapters.registry import installed
from daemon.databases import Database, canonical, key_text
from daemon.documents import DOCUMENT_BYTES_MAX
from daemon.identity import line_hash, real_path
from daemon.items import stored_key
from daemon.provenance import salted_hash
from daemon.tail import SourceFile
from projections.read import Tables

Outcome = Literal["same", "moved", "changed", "gone", "unreadable"]


@dataclass(frozen=True, slots=True)
class Place:
    """
    The byte range of one event, as it was read; offsets in decompressed bytes.

    A row has only its key, and an item of a document may stand elsewhere now: both are found again by ``item_key``,
    with the adapter that ``parser`` names.
    """

    seq: int
    source: str
    offset_bytes: int | None
    length_bytes: int | None
    line_hash: str
    is_salted: bool = False
    item_key: str | None = None
    parser: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """What became of the bytes of one event; ``path`` is where they are now, null when they are nowhere."""

    place: Place
    outcome: Outcome
    path: str | None


class Locator:
    """Reopens surviving files and compares line hashes."""

    def __init__(self, tables: Tables, salt: str) -> None:
        self._salt = salt
        self._others = _names_of_the_same(tables)
        self._adapters = {adapter.parser: adapter for adapter in installed()}

    def locate(self, places: Iterable[Place]) -> Iterator[Located]:
        """Yield the outcome for each of *places*; they are read file by file, in file order."""
        by_source: dict[str, list[Place]] = {}
        for place in places:
            by_source.setdefault(place.source, []).append(place)
        for source, wanted in by_source.items():
            lines = [place for place in wanted if place.item_key is None]
            yield from self._locate_in(source, sorted(lines, key=lambda place: place.offset_bytes or 0))
            yield from self._items_in(source, [place for place in wanted if place.item_key is not None])

    def _locate_in(self, source: str, wanted: list[Place]) -> Iterator[Located]:
        here = self._matching(source, wanted)
        for place in wanted:
            if place.seq in here:
                yield Located(place, "same", source)
        missing = [place for place in wanted if place.seq not in here]
        for other in self._others.get(source, ()):
            if not missing:
                return
            there = self._matching(other, missing)
            for place in missing:
                if place.seq in there:
                    yield Located(place, "moved", other)
            missing = [place for place in missing if place.seq not in there]
        lost = _fate(real_path(source))
        for place in missing:
            yield Located(place, lost, None)

    def _matching(self, source: str, wanted: list[Place]) -> set[int]:
        """Return the events of *wanted* whose bytes still stand in *source*."""
        found: set[int] = set()
        with suppress(OSError), SourceFile(real_path(source)) as file:
            ranges = ((place.offset_bytes or 0, place.length_bytes or 0) for place in wanted)
            for place, content in zip(wanted, file.ranges(ranges), strict=False):
                if self._hash(place, content) == place.line_hash:
                    found.add(place.seq)
        return found

    def _items_in(self, source: str, wanted: list[Place]) -> Iterator[Located]:
        """Yield what became of rows and items: the same, changed, or no more in a source that can be read."""
        if not wanted:
            return
        path, adapter = real_path(source), self._adapters.get(wanted[0].parser)
        try:
            now = _present(adapter, path, wanted)
        except OSError:
            lost = _fate(path)
            yield from (Located(place, "unreadable" if lost == "changed" else lost, None) for place in wanted)
            return
        for place in wanted:
            content = now.get(place.item_key or "")
            if content is None:
                yield Located(place, "gone", None)
            else:
                is_same = self._hash(place, content) == place.line_hash
                yield Located(place, "same" if is_same else "changed", source if is_same else None)

    def _hash(self, place: Place, content: bytes) -> str:
        return salted_hash(self._salt, content) if place.is_salted else line_hash(content)


def _present(adapter: Adapter | None, path: str, wanted: Iterable[Place]) -> dict[str, bytes]:
    """Return the bytes of the wanted rows or items as they are now, by key; raises OSError when nothing can be read."""
    if adapter is not None and adapter.kind == "document":
        return _items_of(adapter, path)
    if adapter is not None and adapter.kind == "rows":
        return _rows_of(adapter, path, wanted)
    raise OSError  # the adapter that read them is not installed any more


def _items_of(adapter: DocumentAdapter, path: str) -> dict[str, bytes]:
    with SourceFile(path) as file:
        content = file.read_at(0, DOCUMENT_BYTES_MAX + 1)
    read = adapter.read_document(content, Header(PurePath(path).stem, "main"))
    return {} if isinstance(read, LineRejected) else {stored_key(item.key): item.content for item in read}


def _rows_of(adapter: RowAdapter, path: str, wanted: Iterable[Place]) -> dict[str, bytes]:
    keys = {place.item_key or "" for place in wanted}
    with Database(path, adapter.query) as database:
        if any(key.startswith("hash:") for key in keys):  # the keys themselves may not be stored: look at all
            rows = ((stored_key(key_text(row["item_key"])), row) for row in database.rows())
        else:
            rows = ((key, row) for key in keys if (row := database.with_key(key)) is not None)
        return {key: canonical(row) for key, row in rows if key in keys}


def _fate(path: str) -> Outcome:
    """Return what is to be said of lines that are nowhere: a file that cannot be opened says nothing about them."""
    try:
        with SourceFile(path):
            return "changed"
    except FileNotFoundError:
        return "gone"
    except OSError:
        return "unreadable" if os.path.lexists(path) else "gone"


def _names_of_the_same(tables: Tables) -> dict[str, list[str]]:
    """Return, for each source, the present files that have its content or its logical name."""
    rows = tables.rows(
        """
        WITH present AS (
            SELECT agent, source, source_generation, source_name
            FROM high_water_marks
            WHERE state = 'present' AND source_name IS NOT NULL
        )
        -- Two joins, not one by either: that would hold each file against every other.
        SELECT was.source AS source, p.source AS other
        FROM high_water_marks AS was
        INNER JOIN present AS p ON was.agent = p.agent AND was.source_generation = p.source_generation
        WHERE was.source <> p.source
        UNION
        SELECT was.source AS source, p.source AS other
        FROM high_water_marks AS was
        INNER JOIN present AS p ON was.agent = p.agent AND was.source_name = p.source_name
        WHERE was.source <> p.source
        ORDER BY ALL
        """
    )
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["source"], []).append(row["other"])
    return names
