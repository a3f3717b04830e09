"""
A place for tables that answer one question and are then removed: beside the state, where there is room for them.

Its owner holds a lock on it. What a killed process left is not locked any more, and goes with the next question, or
with the next start of whoever writes the log. A place that was just made is not locked yet: so making one and sweeping
exclude each other, by a lock on the directory that holds them all.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from state.paths import StatePaths

_PREFIX: Final = "scratch-"


@contextmanager
def scratch(state: StatePaths) -> Iterator[StatePaths]:
    """
    Give a place of one's own in the state directory, gone when the block ends.

    Raises:
        OSError: It cannot be made, for want of room for example.
    """
    state.temporary.mkdir(parents=True, exist_ok=True)
    sweep_scratch(state.temporary)
    place, descriptor = _made(state.temporary)
    try:
        own = StatePaths(place)
        own.temporary.mkdir()
        yield own
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(descriptor)


def sweep_scratch(temporary: Path) -> None:
    """Remove what nobody holds any more."""
    with _alone_in(temporary):
        for place in filter(is_scratch, temporary.iterdir()):
            with suppress(OSError):  # its owner has removed it, or holds it
                descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(place)
                finally:
                    os.close(descriptor)


def is_scratch(place: Path) -> bool:
    """Say whether it is such a place, by its name."""
    return place.name.startswith(_PREFIX)


def _made(temporary: Path) -> tuple[Path, int]:
    """Make a place; return it with the open directory whose lock says that it is in use."""
    with _alone_in(temporary):
        place = Path(mkdtemp(prefix=_PREFIX, dir=temporary))
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return place, descriptor


@contextmanager
def _alone_in(temporary: Path) -> Iterator[None]:
    """Hold off everybody else who would make a place or sweep."""
    descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
