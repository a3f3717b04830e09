"""The published tables as requests ask them: opened once for each published file, closed with its last reader."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from projections.read import Head, NothingPublished, QuestionTooLarge, Tables, TablesUnusable
from projections.shared import SharedTables
from state.errors import TallystickError

#: So long a question may take, in seconds.
QUESTION_SECONDS_MAX: Final = 30.0
#: How often it is looked whether it is time, in seconds.
_LOOK_SECONDS: Final = 0.05
#: The daemon may publish while we open: so often we look again.
_TRIES: Final = 5

Identity = tuple[int, int, int, int]


class QuestionTooLong(TallystickError):
    """
    The answer took too long, and was given up. Ask about fewer days or with fewer dimensions; the command waits.
    """


@dataclass
class _Opened:
    """One published file, and how many read it."""

    identity: Identity
    shared: SharedTables
    readers: int = 0
    is_current: bool = True


class Publication:
    """
    Gives tables to threads.

    What one of them asks is answered by one file as a whole, whatever is published meanwhile; who asks next is answered
    by what stands there then.
    """

    def __init__(self, path: Path, is_ending: Callable[[], bool]) -> None:
        self._path = path
        self._is_ending = is_ending
        self._lock = threading.Lock()
        self._current: _Opened | None = None

    @contextmanager
    def reading(self) -> Iterator[tuple[Tables, Head]]:
        """
        Give the tables, and up to where they hold the log, for `QUESTION_SECONDS_MAX`.

        Raises:
            NothingPublished, TablesUnusable: There are none, or they are damaged or of another version.
            QuestionTooLong, QuestionTooLarge: Time or memory was not enough, or the answer has too many rows.
        """
        opened = self._taken()
        try:
            with opened.shared.tables() as tables, self._bounded(tables):
                yield tables, opened.shared.head
        except duckdb.InterruptException:
            raise QuestionTooLong from None
        except duckdb.OutOfMemoryException:
            raise QuestionTooLarge from None
        except duckdb.Error:
            self._forget(opened)
            raise TablesUnusable(path=self._path) from None
        finally:
            self._left(opened)

    @contextmanager
    def _bounded(self, tables: Tables) -> Iterator[None]:
        is_done = threading.Event()
        deadline = time.monotonic() + QUESTION_SECONDS_MAX

        def watch() -> None:
            while not is_done.wait(_LOOK_SECONDS):
                if time.monotonic() > deadline or self._is_ending():
                    tables.interrupt()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            is_done.set()
            watcher.join()

    def _taken(self) -> _Opened:
        with self._lock:
            identity = self._identity()
            if self._current is None or self._current.identity != identity:
                self._drop()
                self._current = self._open()
            self._current.readers += 1
            return self._current

    def _open(self) -> _Opened:
        for _ in range(_TRIES):
            identity = self._identity()
            shared = SharedTables(self._path)
            if self._is(identity):
                return _Opened(identity, shared)
            shared.close()
        raise TablesUnusable(path=self._path)

    def _is(self, identity: Identity) -> bool:
        try:
            return self._identity() == identity
        except NothingPublished:
            return False

    def _identity(self) -> Identity:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - once per request
        except FileNotFoundError:
            self._drop()
            raise NothingPublished(path=self._path) from None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _drop(self) -> None:
        """Let nobody else take the current one; its last reader closes it."""
        opened, self._current = self._current, None
        if opened is not None:
            opened.is_current = False
            self._close(opened)

    def _forget(self, opened: _Opened) -> None:
        with self._lock:
            if self._current is opened:
                self._drop()

    def _left(self, opened: _Opened) -> None:
        with self._lock:
            opened.readers -= 1
            self._close(opened)

    def _close(self, opened: _Opened) -> None:
        if not opened.readers and not opened.is_current:
            opened.shared.close()
