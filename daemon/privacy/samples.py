"""
Lines to plant canaries in: a bounded sample of what lies on this host, and of the demo's logs where nothing does.

A sample is read into memory and written nowhere as it stands: only its planted copies go into the scratch directory.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

from adapters.contract import Adapter, Root, Value
from daemon.bootstrap import roots
from daemon.discover import Found, Place, sweep
from daemon.settings import Settings
from daemon.tail import SourceFile

#: Of each adapter so many files are looked at, the newest ones, and of each so many lines of its head and of its end.
FILES_MAX: Final = 4
LINES_MAX: Final = 20
#: A longer line is no sample; of a file so much of its head and of its end is looked at.
LINE_BYTES_MAX: Final = 16 * 1024
_END_BYTES: Final = 256 * 1024
#: Rows of each table of a database.
ROWS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a database: how it is made, and some of its rows."""

    name: str
    made_by: str
    rows: Sequence[Mapping[str, Value | str]]


@dataclass(frozen=True, slots=True)
class Sample:
    """
    Some of one source: ``lines`` of a file, or ``tables`` of a database.

    ``relative`` is its place below a root of its adapter; empty where the operator named the file itself.
    """

    adapter: Adapter
    relative: PurePosixPath
    lines: Sequence[bytes] = ()
    tables: Sequence[Table] = ()
    is_demo: bool = field(default=False)


def samples(settings: Settings) -> list[Sample]:
    """Return samples of every adapter: of the home that is read, and of the demo where it has nothing."""
    own = list(_of(roots(settings), settings.zone, is_demo=False))
    known = {each.adapter.parser for each in own}
    return [*own, *(each for each in demo_samples(settings) if each.adapter.parser not in known)]


def demo_samples(settings: Settings) -> list[Sample]:
    """Return samples of the logs that the package brings."""
    with as_file(files("daemon.demo_logs") / "home") as home:
        of_demo = settings._replace(home=home, agent_environment={}, config_file=Path("/nonexistent"), claims=())
        return list(_of(roots(of_demo), settings.zone, is_demo=True))


def _of(known: Sequence[Place], zone: str, *, is_demo: bool) -> Iterator[Sample]:
    found: dict[str, list[Found]] = defaultdict(list)
    for seen in sweep(known, zone):
        if isinstance(seen, Found):
            found[seen.adapter.parser].append(seen)
    for each in found.values():
        for one in sorted(each, key=lambda seen: seen.status.st_mtime, reverse=True)[:FILES_MAX]:
            sample = _sample(one, known, is_demo=is_demo)
            if sample is not None:
                yield sample


def _sample(found: Found, known: Iterable[Place], *, is_demo: bool) -> Sample | None:
    """Return some of one source; ``None`` when it cannot be read: that is told by the daemon, and no sample."""
    relative = next((place for each in known if (place := _below(each, found)) is not None), None)
    if relative is None:
        return None
    try:
        if found.adapter.kind == "rows":
            return Sample(found.adapter, relative, tables=list(_tables(found.path)), is_demo=is_demo)
        return Sample(found.adapter, relative, lines=_lines(found), is_demo=is_demo)
    except (OSError, sqlite3.Error):
        return None


def _below(place: Place, found: Found) -> PurePosixPath | None:
    if place.adapter is not found.adapter:
        return None
    if os.path.realpath(place.path) == found.path:
        return PurePosixPath()
    return PurePosixPath(found.path[len(place.path) + 1 :]) if found.path.startswith(place.path + os.sep) else None


def _lines(found: Found) -> list[bytes]:
    """Return lines of the head and of the end of a file; of a document all of it, when it is short."""
    with SourceFile(found.path) as file:
        head = file.read_at(0, _END_BYTES)
        if found.adapter.kind == "document" and b"\n" not in head.strip():
            return [head] if len(head) <= LINE_BYTES_MAX else []
        # Of a compressed file only the head: its end is as far away as all that stands before it.
        size_bytes = 0 if found.path.endswith(".zst") else file.status.st_size
        end = file.read_at(max(size_bytes - _END_BYTES, len(head)), _END_BYTES) if size_bytes else b""
    first, last = head.split(b"\n")[:-1], end.split(b"\n")[1:]
    return [line for line in (*first[:LINES_MAX], *last[-LINES_MAX:]) if line.strip() and len(line) <= LINE_BYTES_MAX]


def _tables(path: str) -> Iterator[Table]:
    """Read without a trace, and so without what stands only in the write-ahead log: it is a sample."""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)) as connection:
        connection.text_factory = bytes
        connection.row_factory = sqlite3.Row
        made = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql IS NOT NULL"
        ).fetchall()
        for name, sql in made:
            rows = connection.execute(f"SELECT * FROM {quoted(name.decode())} LIMIT {ROWS_MAX}").fetchall()  # noqa: S608 - a name of its own catalog
            yield Table(name.decode(), sql.decode(), [dict(row) for row in rows if _is_short(row)])


def quoted(name: str) -> str:
    """Return the name of a table or column as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _is_short(row: Sequence[object]) -> bool:
    return sum(len(value) for value in row if isinstance(value, bytes)) <= LINE_BYTES_MAX


def place_for(adapter: Adapter, relative: PurePosixPath, home: Path) -> Path | None:
    """Return where *home* has a source of this name; ``None`` when none of the adapter's roots claims it."""
    roots_there: Iterable[Root] = adapter.roots(home, {})
    return next((Path(root.path) / relative for root in roots_there if adapter.claim(root, relative)), None)
