"""Where the bytes behind an event are now: files are moved, compressed and rewritten after they were read."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from daemon.identity import line_hash, real_path
from daemon.provenance import salted_hash
from daemon.tail import SourceFile
from projections.read import Tables

Outcome = Literal["same", "moved", "changed", "gone", "unreadable"]


@dataclass(frozen=True, slots=True)
class Place:
    """The byte range of one event, as it was read; offsets in decompressed bytes."""

    seq: int
    source: str
    offset_bytes: int
    length_bytes: int
    line_hash: str
    is_salted: bool = False


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

    def locate(self, places: Iterable[Place]) -> Iterator[Located]:
        """Yield the outcome for each of *places*; they are read file by file, in file order."""
        by_source: dict[str, list[Place]] = {}
        for place in places:
            by_source.setdefault(place.source, []).append(place)
        for source, wanted in by_source.items():
            yield from self._locate_in(source, sorted(wanted, key=lambda place: place.offset_bytes))

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
            ranges = ((place.offset_bytes, place.length_bytes) for place in wanted)
            for place, content in zip(wanted, file.ranges(ranges), strict=False):
                if self._hash(place, content) == place.line_hash:
                    found.add(place.seq)
        return found

    def _hash(self, place: Place, content: bytes) -> str:
        return salted_hash(self._salt, content) if place.is_salted else line_hash(content)


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
        SELECT DISTINCT was.source AS source, now_.source AS other
        FROM high_water_marks AS was
        INNER JOIN high_water_marks AS now_
            ON was.agent = now_.agent AND was.source <> now_.source
            AND (was.source_generation = now_.source_generation OR was.source_name = now_.source_name)
        WHERE now_.state = 'present' AND now_.source_name IS NOT NULL
        ORDER BY ALL
        """
    )
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["source"], []).append(row["other"])
    return names
