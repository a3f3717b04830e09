"""
How the messages of an import reach the log: through the inbox, a bounded number at a time, daemon or not.

While a daemon (or another pass) holds the log, it takes them; else this process does, as `tallystick ingest` would.
Killed at any moment, nothing is lost: what was sent waits in the inbox, and the rest is sent by the next import.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from daemon import inbox_directory as place
from daemon.bootstrap import open_log, refresh_and_publish, utc_now
from daemon.inbox import Inbox, take_all
from daemon.inbox_client import LOOK_SECONDS, Sealed, submit_all
from daemon.lag import lag_events
from daemon.migration.errors import ImportRuns, NotTaken
from daemon.settings import Settings
from projections.read import NothingPublished, Tables
from state.cursors import Cursor
from state.errors import LogLocked
from state.lock import Lock
from state.log import Log

#: Messages that wait at once: each is a file, of a block of the disk at least.
BATCH: Final = 1_000
#: How long nothing may be taken from the inbox, and how long tables may stay behind, in seconds.
STALL_SECONDS: Final = 120.0


class Delivery:
    """The way of messages into the log, while no other import is on it."""

    def __init__(self, settings: Settings, log: Log[Cursor] | None) -> None:
        self._settings = settings
        self._log = log

    def empty_inbox(self) -> None:
        """
        Wait until what waits now is in the log: what it says of a row must be known before the row is said again.

        Raises:
            NotTaken: Nobody takes it.
        """
        inbox = self._settings.state.inbox
        names = [each.name for each in inbox.iterdir() if place.receipt_in(each.name) is not None]
        self._wait([inbox / name for name in names])

    def send(self, messages: Sequence[Sealed], progress: Callable[[int], None] = lambda _: None) -> None:
        """
        Put *messages* into the inbox and wait until they are taken; ``progress`` is told how many were.

        Raises:
            NotTaken: Nobody takes them.
            NoRoom, NotSubmitted: They could not be made durable.
        """
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            submit_all(self._settings.state, batch)
            self._wait([self._settings.state.inbox / place.file_name(each.receipt) for each in batch])
            progress(len(batch))

    def publish(self) -> bool:
        """Bring the tables up to the log, or wait for who does; false when they stay behind."""
        if self._log is not None:
            refresh_and_publish(self._settings)
            return True
        deadline = time.monotonic() + STALL_SECONDS
        while not self._is_published():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _is_published(self) -> bool:
        try:
            with Tables(self._settings.state.published) as tables:
                return lag_events(tables.head(), self._settings) == 0
        except NothingPublished:
            return False

    def _wait(self, files: Sequence[os.PathLike[str]]) -> None:
        if self._log is not None:
            take_all(Inbox(self._settings.state, self._log.log_id, utc_now), self._log)
            return
        waiting = list(files)
        deadline = time.monotonic() + STALL_SECONDS
        while left := [each for each in waiting if os.path.lexists(each)]:
            if len(left) < len(waiting):
                deadline = time.monotonic() + STALL_SECONDS
            if time.monotonic() > deadline:
                raise NotTaken(waiting=len(left))
            waiting = left
            time.sleep(LOOK_SECONDS)


@contextmanager
def delivery(settings: Settings) -> Iterator[Delivery]:
    """
    Give the way into the log: held, when nobody else holds it.

    Raises:
        ImportRuns: Another import is on it.
    """
    settings.state.create()
    with ExitStack() as held:
        try:
            lock = Lock.take(settings.state.import_lock)
        except LogLocked as locked:
            raise ImportRuns(pid=locked.facts.get("pid")) from None
        held.callback(lock.release)
        log: Log[Cursor] | None = None
        try:
            log = held.enter_context(open_log(settings))
        except LogLocked:
            log = None
        yield Delivery(settings, log)
