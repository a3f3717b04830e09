"""
Looks for a canary in everything that may have kept it: bytes, files, directories, tables.

What cannot be searched is no clean place: it raises.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import zstandard

from daemon.privacy.canary import Canary, forms_of

#: Rows of a table that are looked at together.
_ROWS: Final = 2_000

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Hit:
    """
    A canary that was found.

    ``where`` is a file or a table, ``number`` the canary's; null where it stands in another form than it was put.
    """

    where: str
    encoding: str
    number: int | None


@dataclass(slots=True)
class Looked:
    """What a search came to: how much was looked at, and what was found."""

    size_bytes: int
    hits: list[Hit]


class Search:
    """Looks for one canary in every form."""

    def __init__(self, canary: Canary) -> None:
        self._canary = canary
        self._forms = forms_of(canary)

    def content(self, content: bytes, where: str) -> Looked:
        """Look through *content*; of each encoding one find is told."""
        return Looked(len(content), list(self._found(content, where)))

    def file(self, path: Path, where: str) -> Looked:
        """Look through a file's name and its content; a compressed one's as it is and decompressed."""
        content = path.read_bytes()
        parts = [os.fsencode(where), content]
        if content.startswith(_ZSTD_MAGIC):
            # A sealed segment is many frames, and the first one alone is not the segment.
            parts.append(zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read())
        return together(self.content(part, where) for part in parts)

    def directory(self, root: Path, leaving_out: frozenset[str] = frozenset()) -> Looked:
        """Look through every file below *root* and every name, but for some entries of it; links are not followed."""
        below = ((each, str(each.relative_to(root))) for each in sorted(root.rglob("*")))
        return together(
            self.file(path, where) if path.is_file() and not path.is_symlink() else self.content(where.encode(), where)
            for path, where in below
            if where.partition(os.sep)[0] not in leaving_out
        )

    def tables(self, path: Path) -> Looked:
        """
        Look through every value of every table of a database, as text; a view has nothing that no table has.

        Raises:
            duckdb.Error: It cannot be read.
        """
        with duckdb.connect(os.fspath(path), read_only=True) as connection:
            names = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
            return together(self._table(connection, *name) for name in names)

    def _table(self, connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> Looked:
        described = connection.execute(f'DESCRIBE "{schema}"."{name}"').fetchall()
        columns = ", ".join(f'"{column}"::VARCHAR' for column, *_ in described)
        rows = connection.execute(f'SELECT concat_ws(chr(10), {columns}) FROM "{schema}"."{name}"')  # noqa: S608 - names of the catalog
        return together(self.content(part, name) for part in _batches(rows))

    def _found(self, content: bytes, where: str) -> Iterator[Hit]:
        folded = content.lower()
        for text, forms in ((folded, self._forms.folded), (content, self._forms.exact)):
            for encoding, needles in forms.items():
                place = next((place for each in needles if (place := text.find(each)) >= 0), None)
                if place is not None:
                    behind = folded[place : place + 64].decode("ascii", "replace")
                    yield Hit(where, encoding, self._canary.number(behind) if encoding == "raw" else None)


def _batches(rows: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
    while batch := rows.fetchmany(_ROWS):
        yield "\n".join(str(row[0]) for row in batch).encode("utf-8", "surrogatepass")


def together(looked: Iterable[Looked]) -> Looked:
    """Return several searches as one."""
    found = list(looked)
    return Looked(sum(each.size_bytes for each in found), [hit for each in found for hit in each.hits])
