"""What one question has begun in databases, so that another thread can end it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupts:
    """Connections that one question asks, one within another, and whether anybody still waits for the answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[Callable[[], None]] = []
        self._is_unwanted = threading.Event()

    @property
    def is_unwanted(self) -> bool:
        """Whether nobody waits any more."""
        return self._is_unwanted.is_set()

    def leave(self) -> None:
        """Say that nobody waits any more; whoever bounds the question ends it."""
        self._is_unwanted.set()

    @contextmanager
    def watching(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Let `end` call *interrupt* until the block ends, which has to be before its connection is closed."""
        with self._lock:
            self._held.append(interrupt)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(interrupt)

    def end(self) -> None:
        """End what is asked at this moment; what is asked next goes on, so whoever means the question says it again."""
        with self._lock:
            for interrupt in self._held:
                interrupt()
