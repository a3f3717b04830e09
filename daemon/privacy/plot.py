"""
A home full of planted canaries: every sample once more, in the place where its agent would keep it.

Beside the sources lie files and folders that are nobody's log, and sources that cannot be read, all with canaries in
their names: they too must leave nothing behind.
"""

import os
import random
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

import zstandard

from adapters.contract import Adapter, Value
from daemon.privacy.planting import Planter, distinct
from daemon.privacy.samples import Sample, Table, place_for, quoted
from daemon.privacy.stored import listed

#: At most so many planted lines, documents or rows of one source; the same ones on every run over the same sample.
PLANTED_MAX: Final = 5_000

#: A column that a database's query names; whatever it may become is in the adapter's list by another name.
_NAME: Final = re.compile(r"\w+")


@dataclass(slots=True)
class Plot:
    """
    What was planted: ``lines`` by adapter, and the files of records that `--claims` has to name.

    ``skipped`` are adapters of which there is a sample and no place in a new home.
    """

    lines: dict[str, int] = field(default_factory=dict)
    claims: list[Path] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)

    def count(self, adapter: Adapter, lines: int) -> None:
        """Count what was planted of one source."""
        self.lines[adapter.parser] = self.lines.get(adapter.parser, 0) + lines


def plant(found: Iterable[Sample], home: Path, planter: Planter, planted_max: int = PLANTED_MAX) -> Plot:
    """Write a planted copy of each sample below *home*."""
    plot = Plot()
    for sample in found:
        path = _place(sample, home, plot)
        if path is None:
            plot.skipped.add(sample.adapter.parser)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        plot.count(sample.adapter, _write(sample, path, planter, planted_max))
        _litter(path, planter)
        _break(path, planter)
    return plot


def _place(sample: Sample, home: Path, plot: Plot) -> Path | None:
    if sample.relative != PurePosixPath():
        return place_for(sample.adapter, sample.relative, home)
    named = next((Path(root.path) for root in sample.adapter.roots(home, {}) if root.is_file), None)
    if named is None:
        plot.claims.append(home / f"records-{len(plot.claims)}.jsonl")
    return named or plot.claims[-1]


def _write(sample: Sample, path: Path, planter: Planter, planted_max: int) -> int:
    if sample.tables:
        return _database(sample, path, planter, planted_max)
    known, name = listed(sample.adapter), sample.adapter.parser
    lines = distinct(sample.lines)
    planted = _some((copy for line in lines for copy in planter.lines(name, line, known)), planted_max)
    if sample.adapter.kind == "document" and sample.relative != PurePosixPath():
        _documents(sample, path, planted)
        return len(planted)
    long = planter.too_long(name, lines[0] if lines else b"{}")
    # The first line stays: some formats say there whose file it is. The last one has no end.
    _put(path, b"\n".join([*sample.lines[:1], *planted, long, *planted[-1:]]))
    return len(planted) + 1


def _documents(sample: Sample, path: Path, planted: Iterable[bytes]) -> None:
    """Write each planted document as a file of its own, under a name that its adapter claims."""
    path.write_bytes(sample.lines[0] if sample.lines else b"{}")
    for number, document in enumerate(planted):
        path.with_name(f"{path.stem}{number}{path.suffix}").write_bytes(document)


def _some(planted: Iterator[bytes], planted_max: int) -> list[bytes]:
    """Return at most *planted_max*, of all parts of what there is."""
    every = list(islice(planted, 40 * planted_max))
    return every if len(every) <= planted_max else random.Random(len(every)).sample(every, planted_max)  # noqa: S311 - which lines, no secret


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(zstandard.ZstdCompressor().compress(content) if path.suffix == ".zst" else content)


def _litter(path: Path, planter: Planter) -> None:
    """Lay files and folders beside *path* that are nobody's log, and a source that ends in its middle."""
    text = planter.text("a name that is nobody's log")
    folder = path.parent / text / f"correct horse {text}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{text}.txt").write_text(text)
    (path.parent / f"{text}.md").write_text(f"correct horse, {text}")
    (path.parent / f"{text}.jsonl.tmp").symlink_to(f"/nowhere/{text}")


def _break(path: Path, planter: Planter) -> None:
    """Lay sources beside *path* that cannot be read: damaged inside, no file at all."""
    text = planter.text("a source that cannot be read").encode()
    path.with_name(f"{path.stem}-damaged.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd" + text)
    path.with_name(f"{path.stem}-damaged.db").write_bytes(b"SQLite format 3\0" + text * 64)
    path.with_name(f"{path.stem}-folder.jsonl").mkdir(exist_ok=True)


# -- databases -------------------------------------------------------------------------------------------------------


def _database(sample: Sample, path: Path, planter: Planter, planted_max: int) -> int:
    """Write a database of the same tables, with planted copies of their rows."""
    path.unlink(missing_ok=True)
    count = 0
    with closing(sqlite3.connect(os.fspath(path), isolation_level=None)) as connection:
        for table in sample.tables:
            connection.execute(table.made_by)
            rows = [row for each in table.rows for row in _rows(sample, table, each, planter)]
            # The first row stays as it is, so that others that name it are found.
            for row in [*table.rows[:1], *rows[:planted_max]]:
                count += _insert(connection, table, row)
    return count


def _rows(
    sample: Sample, table: Table, row: Mapping[str, Value | str], planter: Planter
) -> Iterator[Mapping[str, Value | str]]:
    """Yield copies of a row, each with a canary in one column, or in the JSON of one, and a key of its own."""
    known = listed(sample.adapter)
    asked = set(_NAME.findall(getattr(sample.adapter, "query", "")))
    for column, value in row.items():
        if not isinstance(value, bytes):
            continue
        text = value.decode("utf-8", "replace")
        inner = {each for each in known if each.startswith(f"{column}.")}
        # Under which name the query gives a plain column to its adapter is not known here: words it may not store.
        names = frozenset({column, *inner}) if column in asked else frozenset(inner)
        for planted in planter.values(f"{sample.adapter.parser} {table.name}", {column: text}, names):
            new: Any = planted.get(column)
            if isinstance(new, str):
                yield {**row, column: new}


def _insert(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value | str]) -> int:
    """Insert a row; one whose key is taken gets another, one that the tables refuse is left out."""
    number = connection.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]  # noqa: S608 - a name of its own catalog
    marks = ", ".join("?" for _ in row)
    for values in (_text(row), _text(row, f"x{number}")):
        try:
            connection.execute(f"INSERT INTO {quoted(table.name)} VALUES ({marks})", list(values.values()))  # noqa: S608 - the same
        except sqlite3.Error:
            continue
        return 1
    return 0


def _text(row: Mapping[str, Value | str], behind: str = "") -> Mapping[str, Value | str]:
    """Return a row with text as text; *behind* makes its first column another one."""
    plain = {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for name, value in row.items()
    }
    first = next(iter(plain))
    return {**plain, first: f"{plain[first]}{behind}"} if behind else plain
