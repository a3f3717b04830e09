"""
The published tables as requests ask them: opened once for each published file, closed with its last reader.

Large ones are settled: what every page needs is computed once, in a thread of its own, and until that is done the ones
before answer. No request waits for it.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from daemon.interrupts import Interrupts
from projections.read import Head, NothingPublished, QuestionTooLarge, Tables, TablesUnusable
from projections.shared import SharedTables
from state.errors import TallystickError

#: So long a question may take, in seconds.
QUESTION_SECONDS_MAX: Final = 30.0
#: Tables of at least so many bytes are settled: of fewer the answer is there before that would be.
LARGE_BYTES: Final = 16 * 1024 * 1024
#: Those that were published before answer for so long, in seconds, while newer ones are settled.
LAG_SECONDS_MAX: Final = 120.0
#: Settling takes at most one part in so many of the time; after a failure it is left alone for so long, in seconds.
SETTLE_SHARE: Final = 5
_SETTLE_RETRY_SECONDS: Final = 60.0
#: So long it may take, in seconds.
_SETTLE_SECONDS_MAX: Final = 300.0
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
    """
    One published file, and how many read it.

    ``seen_at`` is when it was the one that stands there, by the monotonic clock, in seconds.
    """

    identity: Identity
    shared: SharedTables
    seen_at: float
    readers: int = 0
    is_current: bool = True

    def is_enough(self, identity: Identity) -> bool:
        """Say whether it answers, while *identity* is the file that stands there."""
        if self.identity == identity:
            return True
        is_late = time.monotonic() - self.seen_at > LAG_SECONDS_MAX
        return bool(self.shared.settled) and _is_large(identity) and not is_late


def _is_large(identity: Identity) -> bool:
    return identity[2] >= LARGE_BYTES


class Publication:
    """
    Gives tables to threads.

    What one of them asks is answered by one file as a whole, whatever is published meanwhile. Who asks next is answered
    by what stands there then; of large tables by what stood there `LAG_SECONDS_MAX` before, at worst.
    """

    def __init__(self, path: Path, is_ending: Callable[[], bool]) -> None:
        self._path = path
        self._is_ending = is_ending
        self._lock = threading.Lock()
        self._current: _Opened | None = None
        self._settling: threading.Thread | None = None
        self._settle_at = 0.0

    def prepare(self) -> None:
        """Begin to settle what stands there, before anybody asks; where that is nothing, nothing is done."""
        with self._lock, contextlib.suppress(TallystickError):
            self._settle_when_due(self._identity())

    @contextmanager
    def reading(self, interrupts: Interrupts | None = None) -> Iterator[tuple[Tables, Head]]:
        """
        Give the tables, and up to where they hold the log, for `QUESTION_SECONDS_MAX`, or while somebody waits.

        By *interrupts* whatever else the question asks is ended with them.

        Raises:
            NothingPublished, TablesUnusable: There are none, or they are damaged or of another version.
            QuestionTooLong, QuestionTooLarge: Time or memory was not enough, or the answer has too many rows.
        """
        held = Interrupts() if interrupts is None else interrupts
        opened = self._taken()
        try:
            with (
                opened.shared.tables() as tables,
                held.watching(tables.interrupt),
                self._bounded(held, QUESTION_SECONDS_MAX),
            ):
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
    def _bounded(self, held: Interrupts, seconds: float) -> Iterator[None]:
        """End what is asked when it is time, again and again; whatever error that makes, it is this one."""
        is_done, is_over = threading.Event(), threading.Event()
        deadline = time.monotonic() + seconds

        def watch() -> None:
            while not is_done.wait(_LOOK_SECONDS):
                if time.monotonic() > deadline or held.is_unwanted or self._is_ending():
                    is_over.set()
                    held.end()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except (duckdb.Error, TallystickError):
            if is_over.is_set():
                raise QuestionTooLong from None
            raise
        finally:
            is_done.set()
            watcher.join()

    def _taken(self) -> _Opened:
        with self._lock:
            try:
                identity = self._identity()
            except NothingPublished:
                self._drop()
                raise
            if self._current is None or not self._current.is_enough(identity):
                self._drop()
                self._current = self._open()
            if self._current.identity == identity:
                self._current.seen_at = time.monotonic()
            self._settle_when_due(identity)
            self._current.readers += 1
            return self._current

    def _settle_when_due(self, identity: Identity) -> None:
        """Begin to settle the file that stands there, unless that is done or under way."""
        is_settled = self._current is not None and self._current.identity == identity and self._current.shared.settled
        is_under_way = self._settling is not None and self._settling.is_alive()
        if not _is_large(identity) or is_settled or is_under_way or time.monotonic() < self._settle_at:
            return
        # No daemon thread: a process that ends while the database computes is aborted. Who ends it interrupts it.
        self._settling = threading.Thread(target=self._settle)
        self._settling.start()

    def _settle(self) -> None:
        """Settle what stands there and let it answer from now on; if that fails it answers as it is, only later."""
        begun_at = time.monotonic()
        retry_seconds = _SETTLE_RETRY_SECONDS
        try:
            opened = self._open()
            try:
                self._settle_opened(opened)
            except BaseException:
                opened.shared.close()
                raise
        except TallystickError:
            self._replace(None)  # whoever asks next is told what is wrong with it
        except duckdb.Error:
            pass
        else:
            self._replace(opened)
            retry_seconds = 0
        now = time.monotonic()
        self._settle_at = now + max(retry_seconds, (SETTLE_SHARE - 1) * (now - begun_at))

    def _settle_opened(self, opened: _Opened) -> None:
        held = Interrupts()
        with (
            opened.shared.tables() as tables,
            held.watching(tables.interrupt),
            self._bounded(held, _SETTLE_SECONDS_MAX),
        ):
            opened.shared.settle(tables)

    def _replace(self, opened: _Opened | None) -> None:
        with self._lock:
            self._drop()
            self._current = opened

    def _open(self) -> _Opened:
        for _ in range(_TRIES):
            identity = self._identity()
            shared = SharedTables(self._path)
            if self._is(identity):
                return _Opened(identity, shared, time.monotonic())
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
