"""The operator's questions to the published tables, and typed answers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Self

import duckdb

from projections.catalog import layout
from projections.settled import put_at_hand
from state.errors import TallystickError
from state.head import Mark


class NothingPublished(TallystickError):
    """
    There are no tables yet. Run `tallystick ingest` once, or check --state-dir; a daemon makes them by itself.
    """

    exit_code = 3


class TablesUnusable(TallystickError):
    """
    The published tables are damaged or of another version. Run `tallystick rebuild`; a daemon does it by itself.
    """

    exit_code = 3


class QuestionTooLarge(TallystickError):
    """
    The answer is larger than what is given at once. Ask about less: fewer days, one session, fewer dimensions.
    """

    exit_code = 2


#: A question reads our tables and nothing else: no other file, no network, no extension.
_CLOSED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}


@dataclass(frozen=True, slots=True)
class Window:
    """Which calls are asked about; times are naive UTC, null for no bound; ``timezone`` decides what a day is."""

    since: datetime | None = None
    until: datetime | None = None
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Head:
    """Up to where the tables hold the log; null before the first commit."""

    mark: Mark | None
    committed_at: datetime | None

    @property
    def seq(self) -> int | None:
        """Sequence number of the last event; null before the first."""
        return self.mark.seq if self.mark is not None and self.mark.seq >= 0 else None


class Tables:
    """
    The published tables, opened for reading; a writer never waits for this and never makes it wait.

    ``settled`` are those that were computed before anybody asked, and stored (`projections/settled.py`).
    They may write the one file *writes*, a copy; nobody's question is asked of tables that are opened so.
    """

    def __init__(self, path: Path, writes: Path | None = None) -> None:
        if not path.exists():
            raise NothingPublished(path=path)
        try:
            self.connection = _connected(path, writes)
            stored = self.connection.execute("SELECT layout FROM projection").fetchone()
        except duckdb.Error:
            raise TablesUnusable(path=path) from None
        if stored != (layout(),):
            self.connection.close()
            raise TablesUnusable(path=path)
        self._begin(None, frozenset())

    @classmethod
    def over(
        cls,
        connection: duckdb.DuckDBPyConnection,
        rows_max: int | None = None,
        settled: frozenset[str] = frozenset(),
    ) -> Self:
        """
        Return tables over a connection to them that is open already, and closed with them.

        A question whose answer has more than *rows_max* rows is refused. Where *settled* names some, they are at hand.
        """
        tables = cls.__new__(cls)
        tables.connection = connection
        put_at_hand(connection, settled)
        tables._begin(rows_max, settled)  # noqa: SLF001 - its own
        return tables

    def _begin(self, rows_max: int | None, settled: frozenset[str]) -> None:
        self._rows_max = rows_max
        self.settled = settled
        self._further: list[duckdb.DuckDBPyConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @contextmanager
    def own(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a further connection to the same tables; what is made in it on the way goes with it."""
        with beside(self.connection) as own:
            put_at_hand(own, self.settled)
            self._further.append(own)
            try:
                yield own
            finally:
                self._further.remove(own)

    def interrupt(self) -> None:
        """End the question that is being answered, from another thread; between two questions it ends nothing."""
        for connection in (self.connection, *self._further):
            connection.interrupt()

    def rows(self, query: str, parameters: Any = ()) -> list[dict[str, Any]]:  # noqa: ANN401 - by place or by name
        """Return the rows of *query* as dictionaries, column by column."""
        return self.fetched(self.connection.execute(query, parameters))

    def fetched(self, asked: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        """
        Return the rows of what was asked as dictionaries.

        Raises:
            QuestionTooLarge: There are more than these tables give.
        """
        names = [column[0] for column in asked.description or ()]
        rows = asked.fetchall() if self._rows_max is None else asked.fetchmany(self._rows_max + 1)
        if self._rows_max is not None and len(rows) > self._rows_max:
            raise QuestionTooLarge
        return [dict(zip(names, row, strict=True)) for row in rows]

    def head(self) -> Head:
        """Return up to where the tables hold the log."""
        row = self.rows("SELECT *, (SELECT max(committed_at) FROM commits) AS committed_at FROM projection")[0]
        fields = [row[name] for name in ("log_id", "seq", "chain", "segment", "end_offset_bytes")]
        return Head(None if row["log_id"] is None else Mark(*fields), row["committed_at"])

    def sources(self) -> dict[str, int]:
        """Return how many source files there are, how many state no usage, and how many lines could not be read."""
        return self.rows(_SOURCES)[0]

    def retired(self, window: Window) -> dict[str, int]:
        """
        Return calls and tokens that were measured once and whose evidence was retired, of the days in *window*.

        A day (UTC) that a bound cuts counts whole; calls on no day count only where there is no bound.
        """
        return self.rows(
            """
            SELECT
                CAST(coalesce(sum(calls), 0) AS BIGINT) AS retired_calls,
                CAST(coalesce(sum(total_tokens), 0) AS BIGINT) AS retired_tokens
            FROM retired
            WHERE
                coalesce(day >= CAST($since AS DATE), $since IS NULL)
                AND coalesce(day <= CAST($until AS DATE), $until IS NULL)
            """,
            {"since": window.since, "until": window.until},
        )[0]

    def losses(self) -> list[dict[str, Any]]:
        """Return the ranges of events that the log lost to damage and that nothing has brought back."""
        return self.rows(
            """
            SELECT r.first_missing_seq, r.last_missing_seq
            FROM events AS r
            WHERE
                r.kind = 'recovery'
                AND r.first_missing_seq NOT IN (SELECT seq FROM events)
            ORDER BY r.seq
            """
        )

    def freshness(self) -> list[dict[str, Any]]:
        """Return per agent how new its evidence is."""
        return self.rows("SELECT * FROM freshness ORDER BY agent")


def beside(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a further connection to the tables of *connection*; a bare one knows only how the first one was opened."""
    name = connection.execute("SELECT current_database()").fetchall()[0][0]
    own = connection.cursor()
    own.execute(f'USE "{name}"')
    return own


def _connected(path: Path, writes: Path | None) -> duckdb.DuckDBPyConnection:
    if writes is None:
        return duckdb.connect(str(path), read_only=True, config=_CLOSED)
    # What may be written can be said only before everything else is closed, and everything is before it is locked.
    connection = duckdb.connect(str(path), read_only=True)
    name = str(writes).replace("'", "''")
    connection.execute(f"SET allowed_paths = ['{name}']")
    for setting in sorted(_CLOSED, key=lambda each: each == "lock_configuration"):
        connection.execute(f"SET {setting} = {_CLOSED[setting]}")
    return connection


_SOURCES: Final = """
    WITH files AS (
        SELECT agent, source_name, session_id, sum(lines) AS lines, sum(usage_lines) AS usage_lines
        FROM high_water_marks
        WHERE source_name IS NOT NULL AND state <> 'moved' AND source_role IS DISTINCT FROM 'record'
        GROUP BY ALL
    )
    SELECT
        count(*) AS sources,
        count_if(lines > 0 AND usage_lines = 0) AS unmetered_sources,
        (SELECT count(*) FROM (
            SELECT DISTINCT
                source, CASE WHEN item_key IS NULL THEN offset_bytes END AS offset_bytes, length_bytes, item_key, code
            FROM rejected
        )) AS rejected_lines,
        (SELECT count(*) FROM high_water_marks WHERE state = 'unreadable') AS unreadable_paths,
        (SELECT CAST(coalesce(sum(backlog_bytes), 0) AS BIGINT) FROM freshness) AS unread_bytes
    FROM files
"""


def plain(value: object) -> object:
    """Return a value of the database as JSON has it; times in UTC with their zone."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return value
