"""
Published tables that many ask at once, and that the daemon replaces meanwhile.

The database knows an open file by its name alone: whoever opens `published.duckdb` again while somebody else in the
same process still reads it is given the old one, whatever stands there by now. Attached to a database of its own, the
file that stands there is opened, and is kept until the last one who reads it is done.
"""

import threading
from pathlib import Path
from typing import Final, Self

import duckdb

from projections.catalog import layout
from projections.read import Head, NothingPublished, Tables, TablesUnusable
from projections.settled import settle
from projections.usage import rows_with_every_dimension

_NAME: Final = "published"

#: So much is spent on answers, whoever asks. What does not fit is refused, not put on the disk.
_BOUNDS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": "2",
    "memory_limit": "2GB",
    "temp_directory": "",
    "late_materialization_max_rows": "1001",  # a page is found by its key, and only its rows are read whole
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
#: Of one query; a person asks for no more at once, and a program for page after page.
_ROWS_MAX: Final = 50_000
#: Said once the file is attached: from then on no other one is read, and nothing of this is changed.
_CLOSING: Final = ("SET enable_external_access = false", "SET lock_configuration = true")


class SharedTables:
    """
    One published file, opened for reading by several threads.

    ``head`` is up to where it holds the log, ``settled`` what of it was computed already.

    Raises:
        NothingPublished: There is no such file.
        TablesUnusable: It is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.settled: frozenset[str] = frozenset()
        self._connection = duckdb.connect(":memory:", config=_BOUNDS)
        try:
            self._open(path)
            self.head: Head = Tables.over(self._connection).head()
        except duckdb.Error:
            self.close()
            raise (TablesUnusable if path.exists() else NothingPublished)(path=path) from None
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> None:
        name = str(path).replace("'", "''")
        self._connection.execute(f"ATTACH '{name}' AS {_NAME} (READ_ONLY)")
        for statement in (*_CLOSING, f"USE {_NAME}"):
            self._connection.execute(statement)
        if self._connection.execute("SELECT layout FROM projection").fetchone() != (layout(),):
            raise TablesUnusable(path=path)

    def tables(self) -> Tables:
        """Return tables for one who asks; they are closed by them. Nothing is asked of what all of them share."""
        with self._lock:
            own = self._connection.cursor()
        own.execute(f"USE {_NAME}")
        return Tables.over(own, _ROWS_MAX, self.settled)

    def settle(self, tables: Tables) -> None:
        """
        Compute what every page needs, by *tables* of these; whoever asks later is answered from that.

        Raises:
            duckdb.Error: There was no room for it, or it was interrupted; then it is as it was.
        """
        self.settled = settle(tables.connection, rows_with_every_dimension().items())

    def close(self) -> None:
        """Close the file; everybody is done with it."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
