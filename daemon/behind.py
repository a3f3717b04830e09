"""
Sources of which bytes are unread: how many, and for how long their marks have not moved.

Kept for the few files that are behind, so that a heartbeat costs nothing in proportion to history.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Unread:
    """
    One source that is behind; times in monotonic seconds.

    Args:
        mark_bytes: How far it is read.
        size_bytes: How large it was when it was looked at last.
        since: When it was first seen behind with this mark.
        grown_at: When it was last seen to have grown since then; null when it has not.
        is_waiting: Whether all that is unread is the beginning of a line, or a document that is not whole: then nobody
            is late but the agent.
        is_left: Whether the agent has left it so, and nothing more is to be expected.
    """

    mark_bytes: int
    size_bytes: int
    since: float
    grown_at: float | None = None
    is_waiting: bool = False
    is_left: bool = False

    @property
    def left_bytes(self) -> int:
        """Bytes behind the mark."""
        return self.size_bytes - self.mark_bytes

    def late_seconds(self, now: float) -> float | None:
        """Return for how long complete lines may have been unread; null when none are."""
        return None if self.is_waiting else now - self.since

    def frozen_seconds(self) -> float | None:
        """Return for how long it has grown while its mark stood; null when it has not, or was left so."""
        return None if self.grown_at is None or self.is_left else self.grown_at - self.since


class Behind:
    """What is unread, by source."""

    def __init__(self) -> None:
        self._sources: dict[str, Unread] = {}

    @property
    def sources(self) -> Mapping[str, Unread]:
        """Every source that is behind; those that are not are not in here."""
        return self._sources

    def note(
        self, key: str, mark_bytes: int, size_bytes: int, now: float, *, is_waiting: bool, is_left: bool = False
    ) -> None:
        """Take in how far a source is read, and how large it is."""
        if size_bytes <= mark_bytes:
            self._sources.pop(key, None)
            return
        known = self._sources.get(key)
        if known is None or known.mark_bytes != mark_bytes or size_bytes < known.size_bytes:
            self._sources[key] = known = Unread(mark_bytes, size_bytes, now)
        if size_bytes > known.size_bytes:
            known.grown_at = now
        known.size_bytes, known.is_waiting, known.is_left = size_bytes, is_waiting, is_left

    def forget(self, key: str) -> None:
        """Take in that a source is not there any more, or has another name."""
        self._sources.pop(key, None)
