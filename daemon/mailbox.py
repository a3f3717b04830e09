"""
What other threads want of the loop: paths to look at, evidence to commit, and things to do.

Wishes are sets, not queues: a file that changed a thousand times is looked at once. When there are too many paths they
are dropped and a sweep is asked to make up for them, so that a storm of changes costs no memory.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

#: More paths than these are no hint any more.
PATHS_MAX: Final = 20_000

Wish = Literal["sweep_all", "sweep_hot", "make_up", "seal", "reload", "stop"]


@dataclass(slots=True)
class Mail:
    """
    What was wished since the last look into the box; ``directories`` are new, and wanted with all below them.

    ``events`` are for the log, and never dropped.
    """

    paths: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    wishes: set[Wish] = field(default_factory=set)


class Mailbox:
    """Filled by any thread, emptied by the loop."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paths: dict[str, None] = {}
        self._directories: dict[str, None] = {}
        self._events: list[bytes] = []
        self._wishes: set[Wish] = set()

    def put_path(self, path: str) -> None:
        """Say that a file may have changed."""
        self._put(self._paths, path)

    def put_directory(self, path: str) -> None:
        """Say that a directory is new."""
        self._put(self._directories, path)

    def put_events(self, events: Sequence[bytes]) -> None:
        """Hand over evidence that another thread has found."""
        with self._changed:
            self._events.extend(events)
            self._changed.notify()

    def wish(self, wish: Wish) -> None:
        """Say that something is to be done."""
        with self._changed:
            self._wishes.add(wish)
            self._changed.notify()

    def is_wished(self, wish: Wish) -> bool:
        """Say whether something is to be done, and leave it in the box."""
        return wish in self._wishes

    def _put(self, among: dict[str, None], path: str) -> None:
        with self._changed:
            if len(among) < PATHS_MAX:
                among[path] = None
            else:
                self._wishes.add("make_up")
            self._changed.notify()

    def take(self, timeout_seconds: float) -> Mail:
        """Return all there is, waiting for the first at most *timeout_seconds*."""
        with self._changed:
            if not (self._paths or self._directories or self._events or self._wishes) and timeout_seconds > 0:
                self._changed.wait(timeout_seconds)
            mail = Mail(list(self._paths), list(self._directories), self._events, self._wishes)
            self._paths, self._directories, self._events, self._wishes = {}, {}, [], set()
        return mail
