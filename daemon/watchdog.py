"""Tells the service manager that the daemon works, as long as all of it does."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from daemon.journal import Journal
from daemon.notify import Notify
from daemon.workers import Worker

#: Between two signs of life where the manager names no period, in seconds.
_TICK_SECONDS: Final = 20.0
#: Until the first sweep has ended each sign of life asks for so much more time, in seconds: one look may take long.
_STEP_SECONDS: Final = 180.0
#: How much time the recovery of the log may take, in seconds; asked for once, as nothing ticks meanwhile.
RECOVERY_SECONDS: Final = 600.0


class Watchdog:
    """
    Ticks about three times in a period of the manager's, from the loop, on monotonic time.

    While a worker is dead or hangs nothing is said, so that the manager ends this process and starts another one.
    """

    def __init__(self, notify: Notify, workers: Callable[[], Mapping[str, Worker]], journal: Journal) -> None:
        self._notify = notify
        self._workers = workers
        self._journal = journal
        self._tick_seconds = (notify.watchdog_seconds or 3 * _TICK_SECONDS) / 3
        self._stalled: tuple[str, ...] = ()
        #: Whether the first sweep is done.
        self.is_ready = False
        #: When the next sign of life is due, in monotonic seconds; never where nobody listens.
        self.due_at = time.monotonic() if notify.is_heard else float("inf")

    def tick(self) -> None:
        """Give a sign of life if it is time, and if everybody works."""
        now = time.monotonic()
        if now < self.due_at:
            return
        self.due_at = now + self._tick_seconds
        stalled = tuple(name for name, worker in self._workers().items() if not worker.is_well(now))
        if stalled and stalled != self._stalled:
            self._journal.error("worker_stalled", workers=",".join(stalled))
        self._stalled = stalled
        if not stalled:
            self._notify.tell("WATCHDOG=1")
            if not self.is_ready:
                self._notify.extend(_STEP_SECONDS)

    def ready(self) -> None:
        """Say that the log is recovered and the first sweep is done; or that the configuration was read again."""
        self.is_ready = True
        self._notify.tell("READY=1")
