"""A copy as CSV and JSON text, piece by piece, and as a Parquet file."""

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb

from daemon.exports.copies import SCHEMA, Copy
from projections.read import Tables, TablesUnusable

#: A spreadsheet runs a cell that begins so. The apostrophe itself is marked too, so that one taken off is always ours.
_ACTS: Final = re.compile(r"[=+\-@\t\r\n']")
_QUOTED: Final = re.compile(r'[",\r\n]')


def csv(copy: Copy) -> Iterator[bytes]:
    """
    Yield the lines of a CSV file: UTF-8, one header, rows ended by a newline.

    Null is an empty cell, an empty text a quoted one. A text that a spreadsheet would run, or that begins with an
    apostrophe, has an apostrophe in front. What is no number or text stands as JSON.
    """
    rows = copy.rows()
    yield _line(copy.columns)
    for row in rows:
        yield _line(row)


def _line(cells: Any) -> bytes:  # noqa: ANN401 - whatever a row holds
    # A lone surrogate is no text of a file; nothing that is stored has one, and none may end an export half way.
    return (",".join(map(_cell, cells)) + "\n").encode("utf-8", "replace")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if _ACTS.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if not text or _QUOTED.search(text) else text


def as_json(copy: Copy) -> Iterator[bytes]:
    """Yield one JSON document, a row on each line; numbers, null and times are those of `usage --json` and `sql`."""
    rows = copy.rows()
    columns = [{"name": name, "type": type_} for name, type_ in copy.columns.items()]
    head = json.dumps({"schema": SCHEMA, **copy.about, "columns": columns}, default=str)
    yield f'{head[:-1]}, "rows": ['.encode()
    lead = "\n"
    for row in rows:
        yield (lead + json.dumps(dict(zip(copy.columns, row, strict=True)), default=str)).encode()
        lead = ",\n"
    yield b"\n]}\n"


def parquet(tables: Tables, copy: Copy, target: Path) -> None:
    """
    Write a Parquet file; what the copy is of stands in its metadata under `tallystick`.

    Args:
        tables: Opened so that they may write *target* and nothing else.
        copy: What to write.
        target: The file; it need not exist.
    """
    about = {"schema": SCHEMA, **copy.about}
    with tables.connection.cursor() as own:
        try:
            own.execute(f"COPY ({_source(own, copy)}) TO '{_quoted(str(target))}' ({_OPTIONS.format(_said(about))})")
        except duckdb.Error as error:
            if isinstance(error, duckdb.IOException):
                raise OSError(errno.EIO, "the database could not write it") from None
            raise TablesUnusable(table=copy.about["table"]) from None


def _source(own: duckdb.DuckDBPyConnection, copy: Copy) -> str:
    """Return the query that gives the rows; what is in no table is put into one that goes with the connection."""
    if copy.query is not None:
        return copy.query
    own.execute(f"CREATE TEMP TABLE copied ({', '.join(f'{name} {type_}' for name, type_ in copy.columns.items())})")
    if rows := list(copy.rows()):
        own.executemany(f"INSERT INTO copied VALUES ({', '.join('?' for _ in copy.columns)})", rows)  # noqa: S608
    return "SELECT * FROM copied"


_OPTIONS: Final = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false, KV_METADATA {{tallystick: '{}'}}"


def _said(about: Any) -> str:  # noqa: ANN401 - a JSON document
    return _quoted(json.dumps(about, default=str))


def _quoted(text: str) -> str:
    return text.replace("'", "''")
