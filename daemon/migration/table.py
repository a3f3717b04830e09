"""
What stands in an export of a table: rows by the names of our columns, whatever the format.

Nothing is kept of a row that cannot be read but its line, a code and the column. One bad row stops no other.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeAlias

from daemon.migration.errors import NoTable
from daemon.options import BadOption

Format = Literal["csv", "json", "ndjson"]

#: Longest line and longest row of several lines that is read; a note is shorter.
LINE_BYTES_MAX: Final = 1024 * 1024
ROW_LINES_MAX: Final = 200
#: Longest JSON document that is read as one; a longer one can be written a row a line.
DOCUMENT_BYTES_MAX: Final = 256 * 1024 * 1024

_SUFFIXES: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}

#: Our columns, and how old tables spell them; where a table has several, the first that it has is read.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "event_id"),
    "tokens_in": ("tokens_in", "input_tokens"),
    "tokens_out": ("tokens_out", "output_tokens"),
    "cached_input_tokens": ("cached_input_tokens", "cache_read_tokens"),
    "reasoning_output_tokens": ("reasoning_output_tokens", "reasoning_tokens"),
    "raw_total_tokens": ("raw_total_tokens", "provider_total_tokens"),
    "raw_usage": ("raw_usage",),
    "measurement_kind": ("measurement_kind", "measurement"),
    "source_class": ("source_class",),
    "source_provider": ("source_provider", "provider"),
    "source_id": ("source_id",),
    "session_id": ("session_id",),
    "superseded_by": ("superseded_by",),
    "task_id": ("task_id",),
    "workstream_id": ("workstream_id",),
    "repo": ("repo", "repo_slug", "repo_id"),
    "agent": ("agent",),
    "model": ("model",),
    "note": ("note", "notes"),
    "source_created_at": ("source_created_at",),
    "created_at": ("created_at",),
}
#: A table without these is none of tokens.
NEEDED: Final = (("id",), ("tokens_in", "tokens_out", "raw_usage"))

_DELIMITERS: Final = ",;\t|"
_NULLS: Final = frozenset({"", "\\N", "NULL"})
_SHOWN_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_DIGITS_MAX: Final = 20
_ROWS: Final = ("rows", "items", "results", "data", "token_events")

#: Why a row cannot be read.
RowCode: TypeAlias = str

Cells: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (in a JSON document its place, from 1), and what it states under our names, null left out."""

    line: int
    cells: Cells


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read: its line, why, and the column; null where it is not one column's."""

    line: int
    code: RowCode
    field: str | None = None


@dataclass(slots=True)
class Export:
    """
    One file of rows, and how its columns are named.

    ``mapping`` gives a column of the file the name of one of ours, or an empty one: it is not read. ``ignored`` are the
    columns that nothing here knows, as far as they can be shown. Without one of each of ``needed`` it is no table.
    """

    path: Path
    format: Format
    mapping: Mapping[str, str] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    needed: Sequence[Sequence[str]] = NEEDED

    def rows(self) -> Iterator[Row | Unreadable]:
        """
        Read the file from its beginning.

        Raises:
            NoTable: It is no table of tokens.
            OSError: It cannot be read.
        """
        reader = {"csv": self._csv, "ndjson": self._ndjson, "json": self._json}[self.format]
        with self.path.open("rb") as stream:
            yield from reader(stream)

    # -- columns -------------------------------------------------------------------------------------------------

    def _named(self, names: Sequence[str]) -> dict[str, str]:
        """Return for each of our columns the name in the file; where two are meant for one, the first spelling."""
        spelt = {name.strip().lower(): name for name in reversed(names)}
        mapped = {new: old for old, new in self.mapping.items() if new and old in names}
        free = {low: name for low, name in spelt.items() if name not in self.mapping}
        found = {
            ours: next((free[each] for each in spellings if each in free), None)
            for ours, spellings in COLUMNS.items()
            if ours not in mapped
        }
        used = mapped | {ours: name for ours, name in found.items() if name is not None}
        unused = set(names) - set(used.values())
        self.ignored |= {name if _SHOWN_NAME.fullmatch(name) else "?" for name in unused}
        return used

    def _checked(self, names: Sequence[str]) -> dict[str, str]:
        if len({name.strip().lower() for name in names}) != len(names):
            raise NoTable(reason="duplicate_column")
        if unknown := [old for old in self.mapping if old not in names]:
            raise BadOption(option="--map", not_in_file=len(unknown))
        named = self._named(names)
        for any_of in self.needed:
            if not any(name in named for name in any_of):
                raise NoTable(reason="missing_column", column=any_of[0])
        return named

    # -- formats -------------------------------------------------------------------------------------------------

    def _csv(self, stream: BinaryIO) -> Iterator[Row | Unreadable]:
        lines = _Lines(stream)
        names, delimiter = _header(lines)
        named = self._checked(names)
        places = {ours: names.index(name) for ours, name in named.items()}
        while (first := lines.next()) is not None:
            if first.text is not None and not first.text.strip():
                continue
            cells = _record(lines, first, delimiter, len(names))
            if isinstance(cells, Unreadable):
                yield cells
            else:
                stated = {ours: cells[place].strip() for ours, place in places.items()}
                yield Row(first.number, {ours: text for ours, text in stated.items() if text not in _NULLS})

    def _ndjson(self, stream: BinaryIO) -> Iterator[Row | Unreadable]:
        lines = _Lines(stream)
        is_checked = False
        while (line := lines.next()) is not None:
            if line.text is not None and not line.text.strip():
                continue
            found = Unreadable(line.number, "too_long") if line.text is None else _object(line.number, line.text)
            if isinstance(found, Row) and not is_checked:
                self._checked(list(found.cells))
                is_checked = True
            yield self._from_object(found)
        if not is_checked:
            raise NoTable(reason="no_rows")

    def _json(self, stream: BinaryIO) -> Iterator[Row | Unreadable]:
        content = stream.read(DOCUMENT_BYTES_MAX + 1)
        if len(content) > DOCUMENT_BYTES_MAX:
            raise NoTable(reason="too_long", write_it_as="ndjson")
        written = _document(content)
        if isinstance(written, dict):
            written = next((written[name] for name in _ROWS if isinstance(written.get(name), list)), None)
        if not isinstance(written, list) or not written:
            raise NoTable(reason="no_rows")
        first = next((each for each in written if isinstance(each, dict)), {})
        self._checked(list(first))
        for number, each in enumerate(written, start=1):
            is_row = isinstance(each, dict)
            yield self._from_object(Row(number, each) if is_row else Unreadable(number, "invalid_json"))

    def _from_object(self, found: Row | Unreadable) -> Row | Unreadable:
        """Rows of JSON may each leave out what is null: columns are looked for in every one."""
        if isinstance(found, Unreadable):
            return found
        named = self._named(list(found.cells))
        stated = {ours: found.cells[name] for ours, name in named.items()}
        if stated.get("superseded_by") is _NOTHING:
            del stated["superseded_by"]
        return Row(found.line, {ours: value for ours, value in stated.items() if value is not None and value != ""})


@contextmanager
def _no_table(reason: str) -> Iterator[None]:
    """Say that a document is none; the text of what failed would quote it."""
    try:
        yield
    except (ValueError, RecursionError):
        raise NoTable(reason=reason) from None


def format_of(path: Path, stated: str | None) -> Format:
    """
    Return the format of a file, as stated or by its suffix.

    Raises:
        BadOption: It is neither.
    """
    known: Mapping[str, Format] = {"csv": "csv", "json": "json", "ndjson": "ndjson"}
    found = known.get(stated) if stated is not None else _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise BadOption(option="--format", can_be=",".join(known))
    return found


# -- lines ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with its number; the text is null where it is too long, and was not kept."""

    number: int
    text: str | None


class _Lines:
    """The lines of a file, one at a time, each bounded; lines can be given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = 0
        self._back: list[_Line] = []

    def next(self) -> _Line | None:
        """Return the next line; ``None`` at the end."""
        if self._back:
            return self._back.pop()
        content = self._stream.readline(LINE_BYTES_MAX + 1)
        if not content:
            return None
        self._number += 1
        if len(content) > LINE_BYTES_MAX:
            self._skip(content)
            return _Line(self._number, None)
        return _Line(self._number, _text(content, is_first=self._number == 1))

    def give_back(self, lines: Sequence[_Line]) -> None:
        """Let *lines* be the next ones again."""
        self._back.extend(reversed(lines))

    def _skip(self, content: bytes) -> None:
        while content and not content.endswith(b"\n"):
            content = self._stream.readline(LINE_BYTES_MAX)


def _text(content: bytes, *, is_first: bool) -> str:
    """Return a line as text; a byte that is no UTF-8 becomes one that no field of ours takes."""
    return content.decode("utf-8-sig" if is_first else "utf-8", "surrogateescape")


# -- CSV -----------------------------------------------------------------------------------------------------------


def _header(lines: _Lines) -> tuple[list[str], str]:
    """
    Return the columns of a CSV file, and what stands between them: what makes most of its first line known to us.

    Raises:
        NoTable: There is no such line.
    """
    first = lines.next()
    if first is not None and first.text is not None and re.fullmatch(r"sep=.\s*", first.text):
        first = lines.next()  # a spreadsheet's own line
    if first is None or first.text is None:
        raise NoTable(reason="no_rows" if first is None else "too_long")
    if "\0" in first.text:
        raise NoTable(reason="not_utf8")
    known = {spelling for spellings in COLUMNS.values() for spelling in spellings}
    split = {each: _split(first.text, each) for each in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda each: len(known & {name.strip().lower() for name in split[each]}))
    return [name.strip() for name in split[best]], best


def _split(text: str, delimiter: str) -> list[str]:
    """Return the fields of one record; none where it has no end or is several."""
    try:
        records = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    return records[0] if len(records) == 1 else []


def _record(lines: _Lines, first: _Line, delimiter: str, columns: int) -> list[str] | Unreadable:
    """
    Return the fields of the record that *first* begins.

    Where it does not end as one should, only its first line is given up: what was read ahead may be good rows.
    """
    ahead: list[_Line] = []
    text, size = first.text, len(first.text or "")
    while text is not None and text.count('"') % 2 and len(ahead) < ROW_LINES_MAX and size <= LINE_BYTES_MAX:
        line = lines.next()
        if line is None:
            break
        ahead.append(line)
        text = None if line.text is None else text + line.text
        size += len(line.text or "")
    if first.text is None:
        return Unreadable(first.number, "too_long")
    fields = [] if text is None or text.count('"') % 2 else _split(text, delimiter)
    if len(fields) == columns:
        return fields
    lines.give_back(ahead)
    return Unreadable(first.number, "invalid_row")


# -- JSON ----------------------------------------------------------------------------------------------------------


class _Impossible:
    """Stands for a value that is no value of ours; its text goes nowhere."""


#: Of these what says nothing: zero with a point, and what is not a number.
_NOTHING: Final = _Impossible()


def _object(number: int, text: str) -> Row | Unreadable:
    try:
        found = _loads(text)
    except (ValueError, RecursionError):
        return Unreadable(number, "invalid_json")
    return Row(number, found) if isinstance(found, dict) else Unreadable(number, "invalid_json")


def _document(content: bytes) -> Any:  # noqa: ANN401 - decoded JSON
    with _no_table("not_utf8"):
        text = content.decode("utf-8-sig")
    with _no_table("invalid_json"):
        return _loads(text)


def _loads(text: str) -> Any:  # noqa: ANN401 - decoded JSON
    return json.loads(
        text,
        object_pairs_hook=_named_once,
        parse_int=_whole,
        parse_float=lambda text: _Impossible() if float(text) else _NOTHING,
        parse_constant=lambda text: _NOTHING if text == "NaN" else _Impossible(),
    )


def _whole(text: str) -> int:
    """Return a number; one with more digits than any count has is that of the greatest size, not worked out."""
    return int(text) if len(text) <= _DIGITS_MAX else int(f"{text[0] if text[0] == '-' else ''}1{'0' * _DIGITS_MAX}")


def _named_once(pairs: list[tuple[str, Any]]) -> object:
    """Return an object; one that says something twice says nothing, and no row is made of it."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Impossible()
