"""For how long something has been so, by the clock that nobody can set; asked at every heartbeat."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

#: The wall clock may be set by so much, in seconds, before anybody is told.
SKEW_SECONDS: Final = 60


class Since:
    """For how long something has been so without a break; *clock* gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def seconds(self, *, is_so: bool) -> float | None:
        """Take in whether it is so now; return for how long, null when it is not."""
        if not is_so:
            self._since = None
            return None
        if self._since is None:
            self._since = self._clock()
        return self._clock() - self._since


class Lag:
    """For how long readers of the tables have lacked something that is in the log."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wanted: tuple[int, float] | None = None

    def seconds(self, head_seq: int, tables_seq: int | None) -> float | None:
        """
        Take in how far both are; return the age of the oldest event that is known to be lacking, null for none.

        While the log grows there is always something lacking: what was lacking at the last look and has come since is
        no lag.
        """
        has_seq = -1 if tables_seq is None else tables_seq
        if self._wanted is not None and has_seq >= self._wanted[0]:
            self._wanted = None
        if self._wanted is None and has_seq < head_seq:
            self._wanted = head_seq, self._clock()
        return None if self._wanted is None else self._clock() - self._wanted[1]


class Silence:
    """For how long a stamp has not been touched while this process was there and awake."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stamped_at: float | None = None
        self._since = clock()

    def seconds(self, stamped_at: float | None) -> float:
        """Take in when the stamp was touched last, null for never; return for how long nobody did it."""
        if stamped_at != self._stamped_at:
            self._stamped_at, self._since = stamped_at, self._clock()
        return self._clock() - self._since


class WallClock:
    """
    How far the wall clock was set since the daemon began.

    It is held against the clock that also counts while the machine sleeps: waking up is no jump, and neither is the
    slow correction of both by a time server.
    """

    def __init__(self, wall: Callable[[], datetime], steady: Callable[[], float] | None = None) -> None:
        self._wall = wall
        self._steady = steady or boottime_seconds
        self._offset = self._offset_now()
        #: When somebody was first seen to have set it, UTC; null while it is as it was.
        self.stepped_at: datetime | None = None

    def step_seconds(self) -> int:
        """Return by how much it was set, forward or back (negative); 0 for what nobody needs to be told."""
        step = round(self._offset_now() - self._offset)
        if abs(step) <= SKEW_SECONDS:
            self.stepped_at = None
            return 0
        self.stepped_at = self.stepped_at or self._wall()
        return step

    def _offset_now(self) -> float:
        return self._wall().astimezone(UTC).timestamp() - self._steady()


def boottime_seconds() -> float:
    """Return seconds since the machine was started, sleep included where the system counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
