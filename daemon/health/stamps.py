"""When what runs now and then ran last: the time of modification of an empty file each."""

import os
from typing import Final

from state.paths import StatePaths

#: What leaves a stamp: `tallystick health` asked by a timer, the daily reconcile, and `tallystick invariants`.
STAMPS: Final = ("health", "reconcile", "invariants")

#: Nobody follows a planted link, nor waits for a pipe.
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def stamped_at(paths: StatePaths, name: str) -> float | None:
    """Return when *name* ran last, in seconds since the epoch; ``None`` for never."""
    try:
        return os.lstat(paths.stamp(name)).st_mtime
    except OSError:
        return None


def stamp(paths: StatePaths, name: str) -> None:
    """
    Say that *name* runs now.

    Raises:
        OSError: It cannot be said.
    """
    descriptor = os.open(
        paths.stamp(name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
    )
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)
