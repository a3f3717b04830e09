"""
The tables from the log: refresh and rebuild run the same statements.

The database is private to the one writer and disposable: deleted and built again when it is damaged, of another
layout, or ahead of its log, or when evidence was retired. A refresh is one transaction and ends with the mark up to
which it read.
"""

import contextlib
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final, Self

import duckdb
import msgspec

from projections.catalog import Relation, behind, layout, relations
from projections.staging import FOLDED, RETIRED, NewLines, read_json, retired_rows
from projections.threads import Row, fold_threads
from state.errors import TallystickError
from state.head import Mark
from state.paths import StatePaths
from state.read import Slice, holds, slices
from state.tombstones import last_tombstone, tombstones
from state.vocabulary import EVENT_VERSION

#: At most so much of the log is staged in one transaction, in bytes.
STAGE_BYTES: Final = 128 * 1024 * 1024

#: Which temporary table names the keys that a refresh touched; a relation with another key names them itself.
_TOUCHED: Final[dict[tuple[str, ...], str]] = {
    ("agent", "source_id"): "touched_calls",
    ("agent", "thread_id"): "touched_threads",
}


class LogTooNew(TallystickError):
    """
    The log holds events of a newer tallystick than this one; it was not changed. Upgrade tallystick and try again.
    """

    exit_code = 3


class ProjectionUnusable(TallystickError):
    """
    The projection cannot be read or written. Run `tallystick rebuild`; the log is the truth and was not touched.
    """

    exit_code = 3


class Projection:
    """The writer's own database."""

    def __init__(self, path: Path, temporary: Path, *, memory_mib: int = 1024, threads: int = 2) -> None:
        self._temporary = temporary
        self.connection = duckdb.connect(
            str(path),
            config={
                "threads": threads,
                "memory_limit": f"{memory_mib}MiB",
                "temp_directory": str(temporary / "duckdb"),
                # A checkpoint after every large step writes the same blocks again; publishing makes one anyway.
                "checkpoint_threshold": "1GB",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )

    @classmethod
    def open(cls, paths: StatePaths, *, memory_mib: int = 1024, threads: int = 2) -> "Projection":
        """Open the projection, made anew when it is missing, damaged, of another layout or of another log."""
        with contextlib.suppress(duckdb.Error):
            projection = cls(paths.projection, paths.temporary, memory_mib=memory_mib, threads=threads)
            if projection._fits(paths.log_directory):
                return projection
            projection.close()
        cls.discard(paths)
        projection = cls(paths.projection, paths.temporary, memory_mib=memory_mib, threads=threads)
        try:
            projection._create(paths.log_directory)
        except BaseException:
            projection.close()
            raise
        return projection

    @classmethod
    def scratch(cls, paths: StatePaths, log_directory: Path, views: Iterable[str]) -> "Projection":
        """
        Make empty tables in a place of their own, for a part of the log that is kept elsewhere.

        Of the views only *views* and what is behind them: to bind the others takes longer than to fill the tables.
        """
        projection = cls(paths.projection, paths.temporary)
        try:
            projection._create(log_directory, behind(*views))
        except BaseException:
            projection.close()
            raise
        return projection

    @staticmethod
    def discard(paths: StatePaths) -> None:
        """Delete the database: it is made anew from the log."""
        for path in (paths.projection, paths.projection.with_name(paths.projection.name + ".wal")):
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database file."""
        self.connection.close()

    # -- layout --------------------------------------------------------------------------------------------------

    def _fits(self, log_directory: Path) -> bool:
        tables = {name for (name,) in self.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if "projection" not in tables:
            return False
        (stored,) = self._one("SELECT layout FROM projection")
        mark = self.mark()
        return stored == layout() and (mark is None or holds(log_directory, mark))

    def _create(self, log_directory: Path, views: Container[str] | None = None) -> None:
        """
        Make every table anew, from the very statements that will fill it: empty, but for what was retired.

        *views* are those that are made, null for all. One that is there already stays: it says the same of the new
        tables, and to bind all views takes longer than everything else here.

        Raises:
            LogBroken: What was retired is not known any more, as a tombstone is damaged.
        """
        retired = tombstones(log_directory)
        kept = [line for each in retired for line in each.kept]
        with self._transaction(), NewLines(self._temporary, (), kept) as lines:
            self._drop()
            there = self._views()
            self.connection.execute(
                "CREATE TABLE projection (layout VARCHAR, tombstone VARCHAR, log_id VARCHAR, seq BIGINT, "
                "chain VARCHAR, segment BIGINT, end_offset_bytes BIGINT)"
            )
            newest = retired[-1].h if retired else None
            self.connection.execute("INSERT INTO projection (layout, tombstone) VALUES (?, ?)", [layout(), newest])
            self._stage_lines(lines, retired[-1].log if retired else "")
            self._hand_over("tombstones", RETIRED, retired_rows(retired))
            for relation in relations():
                is_left_out = relation.refresh == "view" and views is not None and relation.name not in views
                if relation.refresh == "part" or is_left_out or relation.name in there:
                    continue
                kind = {"view": "VIEW", "step": "TEMP TABLE"}.get(relation.refresh, "TABLE")
                self.connection.execute(f"CREATE {kind} {relation.name} AS {relation.definition}")
                if relation.name == "events":
                    self._stage_events(-1)
                elif relation.name == "thread_statements":
                    self._fold_threads()
            self._drop_steps()

    def _drop(self) -> None:
        """Remove every table; there is none in a new database."""
        for relation in reversed(relations()):
            if relation.is_table:
                self.connection.execute(f"DROP TABLE IF EXISTS {relation.name}")
        self.connection.execute("DROP TABLE IF EXISTS projection")

    def _views(self) -> frozenset[str]:
        """Return the views that are there; of another layout there is none, as such a database is never opened."""
        found = self.connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal AND NOT temporary")
        return frozenset(name for (name,) in found.fetchall())

    def mark(self) -> Mark | None:
        """Return the place in the log up to which the tables hold everything; ``None`` when they are empty."""
        log_id, *rest = self._one("SELECT log_id, seq, chain, segment, end_offset_bytes FROM projection")
        return None if log_id is None else Mark(log_id, *rest)

    # -- refresh -------------------------------------------------------------------------------------------------

    def refresh(self, log_directory: Path, until: Mark | None = None) -> int:
        """
        Bring the tables up to the log's head, or to a commit, and return the number of events that were added.

        Tables that hold what was retired since are made anew first: then that number is of all events.

        Raises:
            LogTooNew: An event has a newer version than this code knows.
            LogBroken: A tombstone is damaged, so what was retired is not known any more.
            ProjectionUnusable: The database failed; nothing of this refresh is in it.
        """
        newest = last_tombstone(log_directory)
        added = 0
        try:
            if self._one("SELECT tombstone FROM projection") != (newest.h if newest else None,):
                self._create(log_directory)
            mark = self.mark()
            for group in _groups(slices(log_directory, mark.seq if mark else -1, mark, until)):
                added += self._refresh(group)
        except duckdb.Error as error:
            raise ProjectionUnusable(kind=type(error).__name__) from None
        return added

    def _refresh(self, group: Sequence[Slice]) -> int:
        with self._transaction(), NewLines(self._temporary, group) as lines:
            self._stage_lines(lines, group[0].log_id)
            empty: set[str] = set()
            self._hand_over("tombstones", RETIRED, ())  # a new one makes the tables anew: there is none to add
            for relation in relations():
                if _TOUCHED.get(relation.replace_key, relation.driver) in empty:
                    empty.add(relation.name)
                    continue
                self._run(relation)
                if relation.name in _TOUCHED.values() and self._is_empty(relation):
                    empty.add(relation.name)
                elif relation.name == "events":
                    self._stage_events(group[0].first_seq - 1)
                elif relation.name == "thread_statements":
                    self._fold_threads()
            (added,) = self._one("SELECT count(*) FROM staged")
            self.connection.execute(
                "UPDATE projection SET log_id = ?, seq = ?, chain = ?, segment = ?, end_offset_bytes = ?",
                list(astuple(group[-1].mark)),
            )
            self._drop_steps()
        return int(added)

    def _stage_lines(self, lines: NewLines, log_id: str) -> None:
        """Make new lines readable as they stand in the log: `arrived` (events) and `committed` (headers, commits)."""
        self.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW arrived AS SELECT '{log_id}' AS log_id, * FROM {lines.events}"  # noqa: S608 - the log's own id and path
        )
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE committed AS "  # noqa: S608 - the log's own id and path
            f"SELECT '{log_id}' AS log_id, row_number() OVER () AS line, * FROM {lines.commits}"
        )

    def _stage_events(self, after_seq: int) -> None:
        """Name the events of this refresh `staged`: they were read once, straight into `events`."""
        self.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW staged AS SELECT * FROM events WHERE seq > {after_seq}"  # noqa: S608 - a number
        )
        (newest,) = self._one("SELECT max(event_version) FROM staged")
        if newest is not None and newest > EVENT_VERSION:
            raise LogTooNew(event_version=newest, known_version=EVENT_VERSION)

    def _run(self, relation: Relation) -> None:
        if relation.refresh == "step":
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {relation.name} AS {relation.sql}")
        elif relation.refresh == "append":
            self.connection.execute(f"INSERT INTO {relation.name} BY NAME {relation.sql}")
        elif relation.refresh == "replace":
            self._replace(relation)

    def _is_empty(self, relation: Relation) -> bool:
        """Say whether no key was touched: what is folded by it has nothing to do in this refresh."""
        return not self.connection.execute(f"SELECT 1 FROM {relation.name} LIMIT 1").fetchall()  # noqa: S608 - a name of ours

    def _replace(self, relation: Relation) -> None:
        """Delete the rows of every touched key, then insert what they come to now."""
        touched, fresh = _TOUCHED.get(relation.replace_key), relation.sql
        if touched is None:
            touched, fresh = "replacement", "FROM replacement"
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE replacement AS {relation.sql}")
        on = " AND ".join(f"old.{name} IS NOT DISTINCT FROM touched.{name}" for name in relation.replace_key)
        self.connection.execute(f"DELETE FROM {relation.name} AS old USING {touched} AS touched WHERE {on}")  # noqa: S608 - names from constants
        self.connection.execute(f"INSERT INTO {relation.name} BY NAME {fresh}")

    def _fold_threads(self) -> None:
        """Fold the touched threads in Python, and hand the rows back as the tables `folded_...`."""
        touched = self.connection.execute("SELECT agent, thread_id FROM touched_threads").fetchall()
        rows = map(Row._make, self.connection.execute("SELECT * FROM thread_statements").fetchall())
        folded = fold_threads(rows, touched)
        for (name, columns), part in zip(FOLDED.items(), folded.tables, strict=True):
            self._hand_over(name, columns, part)

    def _hand_over(self, name: str, columns: dict[str, str], rows: Iterable[dict[str, Any]]) -> None:
        """Make rows of ours a temporary table."""
        path = self._temporary / f"{name}-{os.getpid()}.ndjson"
        path.write_bytes(msgspec.json.Encoder().encode_lines(rows))
        try:
            self.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM {read_json(path, columns)}"  # noqa: S608 - names from constants
            )
        finally:
            path.unlink(missing_ok=True)

    def _drop_steps(self) -> None:
        for name in ("arrived", "staged"):
            self.connection.execute(f"DROP VIEW IF EXISTS temp.main.{name}")
        steps = [relation.name for relation in relations() if relation.refresh == "step"]
        for name in (*steps, *FOLDED, "committed", "replacement", "tombstones"):
            self.connection.execute(f"DROP TABLE IF EXISTS temp.main.{name}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def _one(self, query: str) -> Any:  # noqa: ANN401 - a row of the database
        row = self.connection.execute(query).fetchone()
        assert row is not None  # noqa: S101 - an aggregate or a one-row table
        return row


def _groups(unread: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Yield slices in groups of at most `STAGE_BYTES`, at least one each."""
    group: list[Slice] = []
    size = 0
    for each in unread:
        length = each.end_offset_bytes - each.start_offset_bytes
        if group and size + length > STAGE_BYTES:
            yield group
            group, size = [], 0
        group.append(each)
        size += length
    if group:
        yield group
