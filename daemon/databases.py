"""
An SQLite database of an agent: the rows that are new or changed, read without a trace.

The agent is at work on it. So we never write, not even to the shared memory beside it (`readonly_shm`), hold no
transaction longer than one page of rows, and load nothing. A database at rest has no write-ahead log and no shared
memory; to open it as usual would create both, so it is read as the one file it is, and read again if it changed
meanwhile.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NewType, Self
from urllib.parse import quote

import msgspec

from adapters.contract import FAILED, ROW_COLUMNS, Header, LineRejected, Observation, Row, RowAdapter, Value
from daemon.bounds import at_most
from daemon.identity import line_hash
from daemon.items import ItemPlace, Statements, stored_key
from daemon.tail import SourceFile
from state.cursors import Cursor
from state.vocabulary import DenyCode

#: Longest value that is read, in bytes; a row with a longer one is told as too long.
VALUE_BYTES_MAX: Final = 8 * 1024 * 1024
#: Rows that are read in one transaction, and held in memory.
PAGE_ROWS: Final = 64
#: Rows whose places are looked up at a time.
LIST_ROWS: Final = 50_000
#: How long we wait for a writer that locks readers out, in seconds.
BUSY_SECONDS: Final = 2.0

#: The rows inserted last are asked for at each look, and their hashes kept in the cursor: they are the ones that
#: change, and an update whose time is earlier than one already read (a clock set back) would not be found otherwise.
RECENT_ROWS: Final = 64
#: At most so many hashes stand in a cursor.
_ROW_HASHES_MAX: Final = 1_000

#: How often a database that changes while it is read as one file is opened again.
_ATTEMPTS: Final = 5

_REVISION_MIN: Final = -(2**63)

#: A row's place: its revision, and the number that says when it was inserted.
Listed = tuple[int, int]

Uri = NewType("Uri", str)

#: What SQLite's primary result codes mean for us; every other one is an error of the disk.
_CODES: Final[Mapping[int, DenyCode]] = {
    sqlite3.SQLITE_ERROR: "schema_unknown",
    sqlite3.SQLITE_PERM: "permission",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_PROTOCOL: "locked",
    sqlite3.SQLITE_READONLY: "journal_unreadable",
    sqlite3.SQLITE_CANTOPEN: "journal_unreadable",
    sqlite3.SQLITE_CORRUPT: "damaged_database",
    sqlite3.SQLITE_NOTADB: "damaged_database",
    sqlite3.SQLITE_FORMAT: "damaged_database",
    sqlite3.SQLITE_SCHEMA: "schema_unknown",
    sqlite3.SQLITE_MISMATCH: "schema_unknown",
}


class DatabaseDenied(OSError):
    """A database cannot be read; ``code`` says why, and nothing else is known of it."""

    def __init__(self, code: DenyCode) -> None:
        super().__init__()
        self.code = code


class _ChangedMeanwhile(OSError):
    """A database that was at rest is at rest no more: what was read of it may be torn."""


def beside(path: str, status: os.stat_result) -> str:
    """Name the file, and the write-ahead log beside it: a change of the log is a change of the database."""
    wal = _status(path + "-wal")
    # Its time of modification: for root, SQLite sets the owner of the log at each opening, and that is a change of
    # status.
    log = f"{wal.st_size}:{wal.st_mtime_ns}" if wal is not None else ""
    return f"{_file_of(status)}{log}"


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


class Database:
    """An open database, as one adapter asks it."""

    def __init__(self, path: str, query: str) -> None:
        self._path = path
        self._query = query
        self._at_rest: object = None
        self._connection = self._open()
        try:
            self.columns = self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._uri(), uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        except sqlite3.Error as error:
            raise _denied(error) from None
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        return connection

    def _uri(self) -> Uri:
        name = f"file:{quote(os.fsencode(self._path))}?mode=ro"
        wal = _status(self._path + "-wal")
        if wal is not None and os.path.lexists(self._path + "-shm"):
            return Uri(name + "&readonly_shm=1")
        if wal is not None and wal.st_size:
            raise DatabaseDenied("journal_unreadable")
        if not self._has_wal():
            return Uri(name)  # an old-fashioned journal: readers lock, and create nothing
        self._at_rest = self._state()
        return Uri(name + "&immutable=1")

    def _has_wal(self) -> bool:
        """Say whether the database uses a write-ahead log: byte 18 of its header."""
        with open(self._path, "rb", buffering=0) as file:  # noqa: PTH123 - not yet a connection that its end would unlock
            return file.read(100)[18:19] == b"\2"

    def _state(self) -> object:
        """Return what changes with any write to a database without a write-ahead log."""
        status, wal = _status(self._path), _status(self._path + "-wal")
        return status and (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns), wal and wal.st_size

    def _check(self) -> tuple[str, ...]:
        """Return the columns of the query; raises when the database is none, or of another schema."""
        for setting in ("query_only = ON", "trusted_schema = OFF", "temp_store = MEMORY"):
            self._rows(f"PRAGMA {setting}")
        cursor = self._execute(f"SELECT * FROM ({self._query}) LIMIT 0")  # noqa: S608 - the adapter's constant
        columns = tuple(column[0] for column in cursor.description)
        if not set(ROW_COLUMNS) <= set(columns):
            raise DatabaseDenied("schema_unknown")
        return columns

    def _execute(self, sql: str, parameters: Sequence[Value | str] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _rows(self, sql: str, parameters: Sequence[Value | str] = ()) -> list[tuple[Value, ...]]:
        cursor = self._execute(sql, parameters)
        try:
            rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        self.assure()
        return rows

    def _failed(self, error: sqlite3.Error) -> Exception:
        """Return what an error of SQLite means; its text may quote content and is dropped."""
        self.assure()
        return _Refused() if _primary(error) == sqlite3.SQLITE_TOOBIG else _denied(error)

    def assure(self) -> None:
        """Raise when a database that was read as one file has changed since it was opened."""
        if self._at_rest is not None and self._at_rest != self._state():
            raise _ChangedMeanwhile

    # -- questions -----------------------------------------------------------------------------------------------

    def newest(self) -> int | None:
        """Return the greatest ``inserted`` there is; ``None`` without rows."""
        ((newest,),) = self._rows(f"SELECT max(inserted) FROM ({self._query})")  # noqa: S608 - the adapter's constant
        return newest if isinstance(newest, int) else None

    def listed(self, revision: int, inserted: int) -> Iterator[list[Listed]]:
        """Yield the places of rows at or after *revision*, or inserted after *inserted*, in the order of revisions."""
        last: Listed = (_REVISION_MIN, _REVISION_MIN)
        while True:
            rows = self._rows(
                f"SELECT ifnull(revision, 0), inserted FROM ({self._query}) "  # noqa: S608 - the adapter's constant
                "WHERE (revision >= ? OR inserted > ?) AND (ifnull(revision, 0), inserted) > (?, ?) "
                "ORDER BY ifnull(revision, 0), inserted LIMIT ?",
                (revision, inserted, *last, LIST_ROWS),
            )
            places = [(first, second) for first, second in rows if isinstance(first, int) and isinstance(second, int)]
            if len(places) < len(rows):
                raise DatabaseDenied("schema_unknown")
            if places:
                yield places
            if len(places) < LIST_ROWS:
                return  # and no second look: rows that change meanwhile move to the end, and it would never come
            last = places[-1]

    def page(self, inserted: Sequence[int]) -> list[Row | int]:
        """Return the rows at these places, in one transaction; for one that is too long to be read, its place."""
        try:
            return [*self._at(inserted)]
        except _Refused:
            return [row for each in inserted for row in self._one(each)]

    def _one(self, inserted: int) -> list[Row | int]:
        try:
            return [*self._at([inserted])]
        except _Refused:
            return [inserted]

    def _at(self, inserted: Sequence[int]) -> list[Row]:
        marks = ",".join("?" * len(inserted))
        rows = self._rows(f"SELECT * FROM ({self._query}) WHERE inserted IN ({marks})", inserted)  # noqa: S608 - the adapter's constant
        return [dict(zip(self.columns, row, strict=True)) for row in rows]

    def key_at(self, inserted: int) -> str:
        """Return the key of a row that is too long to be read."""
        rows = self._rows(f"SELECT item_key FROM ({self._query}) WHERE inserted = ?", (inserted,))  # noqa: S608 - the adapter's constant
        return key_text(rows[0][0]) if rows else ""

    def rows(self) -> Iterator[Row]:
        """Yield every row that is not too long to be read, page by page."""
        for places in self.listed(_REVISION_MIN, _REVISION_MIN):
            for first in range(0, len(places), PAGE_ROWS):
                page = self.page([place for _, place in places[first : first + PAGE_ROWS]])
                yield from (row for row in page if not isinstance(row, int))

    def with_key(self, key: str) -> Row | None:
        """Return the row that has this key as it is stored; ``None`` when there is none any more."""
        for candidate in (key, int(key)) if key.isascii() and key.isdigit() else (key,):
            for row in self._rows(f"SELECT * FROM ({self._query}) WHERE item_key = ?", (candidate,)):  # noqa: S608 - the adapter's constant
                return dict(zip(self.columns, row, strict=True))
        return None


class _Refused(OSError):
    """A value is longer than we let SQLite return."""


def _primary(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; errors of Python's own part of the module have none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _denied(error: sqlite3.Error) -> DatabaseDenied:
    return DatabaseDenied(_CODES.get(_primary(error), "io_error"))


def key_text(value: Value) -> str:
    """Return a row's key as text."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def canonical(row: Row) -> bytes:
    """
    Return the bytes of a row that its hash is made of: one line per column, in the order of their names.

    A line is the name, a letter and the value: ``n`` for null, ``i`` and ``f`` with the number as Python writes it,
    ``t`` with the length in bytes and the bytes of a text or blob. Two columns are left out: ``revision``, since a
    row that was written again is the same, and ``inserted``, since tidying a database up numbers its rows anew.
    """
    own = sorted(name for name in row if name not in ("revision", "inserted"))
    return b"\n".join(name.encode() + b"=" + _canonical(row[name]) for name in own)


def _canonical(value: Value) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, bytes):
        return b"t%d:%s" % (len(value), value)
    return (b"i" if isinstance(value, int) else b"f") + repr(value).encode()


# -- one look ------------------------------------------------------------------------------------------------------


def read_database(
    adapter: RowAdapter, header: Header, source: SourceFile, cursor: Cursor, statements: Statements
) -> Iterator[Cursor]:
    """
    Collect in *statements* what rows say that are new or changed, and yield a cursor after each page of them.

    Args:
        adapter: Query and meaning of a row.
        header: What the database's place says.
        source: The database's file.
        cursor: How far it was read before.
        statements: Takes the evidence.

    Raises:
        DatabaseDenied: It cannot be read; the code says why.
    """
    look = _Look(adapter, header, source, cursor, statements)
    for _ in range(_ATTEMPTS):
        try:
            yield from look.pages()
        except _ChangedMeanwhile:
            continue
        return
    raise DatabaseDenied("locked")


class _Look:
    """One look at a database: from the cursor to its newest row."""

    def __init__(
        self, adapter: RowAdapter, header: Header, source: SourceFile, cursor: Cursor, statements: Statements
    ) -> None:
        self._adapter = adapter
        self._header = header
        self._statements = statements
        self._path = source.path
        self._status = source.status
        if not is_same_file(cursor, source.status):
            cursor = msgspec.structs.replace(cursor, revision=None, inserted=None, rows=None)
        self._cursor = msgspec.structs.replace(cursor, beside=_file_of(source.status))
        self._rows: dict[int, tuple[int, str]] = {
            int(place): (-1, name) for place, name in (self._cursor.rows or {}).items()
        }
        self._counts_before = cursor

    def pages(self) -> Iterator[Cursor]:
        """Yield a cursor after each page of new rows, and one at the end that says that nothing is left."""
        looked_at = beside(self._path, self._status)
        with Database(self._path, self._adapter.query) as database:
            newest = database.newest() or 0
            start = self._begun(newest)
            for places in database.listed(*start):
                for first in range(0, len(places), PAGE_ROWS):
                    page = {place: revision for revision, place in places[first : first + PAGE_ROWS]}
                    self._page(database, page)
                    yield self._moved()
            database.assure()
        self._cursor = msgspec.structs.replace(self._cursor, inserted=newest)
        yield self._finished(looked_at)

    def _begun(self, newest: int) -> Listed:
        """Return from where on rows are asked for: everything at first, then what is later or was inserted lately."""
        revision, inserted = self._cursor.revision, self._cursor.inserted
        if revision is None or inserted is None:
            # Kept while the first reading lasts: a row inserted meanwhile may carry an old time.
            self._cursor = msgspec.structs.replace(self._cursor, revision=_REVISION_MIN, inserted=newest)
            return _REVISION_MIN, _REVISION_MIN
        return revision, min(inserted, newest) - RECENT_ROWS

    def _page(self, database: Database, page: Mapping[int, int]) -> None:
        """State the rows of one page; all of them are read before any is stated."""
        rows = database.page(list(page))
        for row in rows:
            if isinstance(row, int):
                self._too_long(database, row, page[row])
            else:
                self._row(row)
        known = self._cursor.revision
        self._cursor = msgspec.structs.replace(
            self._cursor, revision=max(_REVISION_MIN if known is None else known, *page.values())
        )

    def _row(self, row: Row) -> None:
        content = canonical(row)
        name, place, revision = line_hash(content), row["inserted"], row["revision"]
        if not isinstance(place, int):
            raise DatabaseDenied("schema_unknown")
        is_known = self._rows.get(place, (0, ""))[1] == name
        self._rows[place] = (revision if isinstance(revision, int) else 0, name)
        if not is_known:
            self._statements.item(
                ItemPlace(stored_key(key_text(row["item_key"])), name),
                content,
                self._said(row),
            )

    def _said(self, row: Row) -> tuple[Observation, ...]:
        try:
            return at_most(self._adapter.read_row(row, self._header))
        except MemoryError:  # no fault of what is read: rejected, it would be passed over for good
            raise
        except Exception:  # noqa: BLE001 - an adapter of somebody else must not end the daemon; the row is told
            return FAILED

    def _too_long(self, database: Database, place: int, revision: int) -> None:
        if self._rows.get(place, (0, ""))[1] != "too_long":
            key = stored_key(database.key_at(place))
            self._statements.rejected(LineRejected(code="too_long"), ItemPlace(key, ""), None)
        self._rows[place] = (revision, "too_long")

    def _moved(self) -> Cursor:
        counts, before = self._statements.counts, self._counts_before
        revision = self._cursor.revision
        # Kept: rows at the very mark, which may be joined by others of the same instant, and the newest ones.
        newest = sorted(self._rows, reverse=True)
        recent = set(newest[:RECENT_ROWS])
        kept = [place for place in newest if place in recent or self._rows[place][0] == revision][:_ROW_HASHES_MAX]
        self._rows = {place: self._rows[place] for place in kept}
        return msgspec.structs.replace(
            self._cursor,
            size_bytes=self._status.st_size,
            offset_bytes=0,
            changed_ns=0,
            rows={str(place): self._rows[place][1] for place in kept},
            lines=before.lines + counts.lines,
            usage_lines=before.usage_lines + counts.usage_lines,
            rejected_lines=before.rejected_lines + counts.rejected_lines,
            unrecognised_lines=before.unrecognised_lines + counts.unrecognised_lines,
            unmetered_turns=before.unmetered_turns + counts.unmetered_turns,
        )

    def _finished(self, looked_at: str) -> Cursor:
        return msgspec.structs.replace(
            self._moved(),
            offset_bytes=self._status.st_size,
            modified_ns=self._status.st_mtime_ns,
            changed_ns=self._status.st_ctime_ns,
            beside=looked_at,
            is_reparsed=False,
        )


def is_same_file(cursor: Cursor, status: os.stat_result) -> bool:
    """Say whether the cursor was made for this file, and not for one that stood in its place."""
    return not cursor.beside or cursor.beside.startswith(_file_of(status))


def _file_of(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:"
