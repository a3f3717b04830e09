"""Reading what can be read: by a pass of our own, or by waiting for the daemon, which holds the log."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from daemon.bootstrap import catch_up, seen_files
from daemon.lag import lag_events
from daemon.reconcile.disk import Gap, marks
from daemon.settings import Settings
from projections.read import Head, NothingPublished, Tables, TablesUnusable
from state.errors import LogLocked, TallystickError

#: A daemon sweeps every five minutes whatever it hears, and twice as late when something keeps it.
WAIT_SECONDS: Final = 660.0
#: How often a waiting caller looks, in seconds: at once often, then less.
_LOOK_SECONDS, _LOOK_SECONDS_MAX = 0.1, 5.0


class NotCaughtUp(TallystickError):
    """
    The daemon has not read what is left in time: `tallystick health` says what keeps it. Apply again, or --wait longer.
    """


def backfill(settings: Settings, gaps: Sequence[Gap], wait_seconds: float) -> None:
    """
    Bring everything into log and tables that can be read: by a pass, or, where a daemon runs, by its own.

    Args:
        settings: The home and the log.
        gaps: What was found to be missing, and may be read: it is waited for.
        wait_seconds: How long a daemon may take.

    Raises:
        NotCaughtUp: It took longer.
        TallystickError: The log cannot be written.
    """
    deadline = time.monotonic() + wait_seconds
    try:
        catch_up(settings, seen_files(settings))
        if _has_broken(settings, gaps):  # such a document is rejected only when it still is at another look
            catch_up(settings, seen_files(settings))
    except LogLocked:
        _wait(lambda: not _unread(settings, gaps), deadline, lambda: {"unread": _unread(settings, gaps)})
        published(settings, deadline)


def take_in(settings: Settings, is_taken: Callable[[], bool], deadline: float) -> None:
    """
    Bring the messages that wait into log and tables, or wait for the daemon that takes them.

    Raises:
        NotCaughtUp: It took longer.
    """
    try:
        catch_up(settings, [])
    except LogLocked:
        _wait(is_taken, deadline, lambda: {"waiting_for": "messages"})
        published(settings, deadline)


def published(settings: Settings, deadline: float) -> None:
    """Wait until the published tables hold what the log holds now; a busy daemon's log grows on."""
    due: list[int] = []

    def is_published() -> bool:
        seq, lag = _held(settings)
        due[:] = due or [seq + lag]
        return seq >= due[0]

    _wait(is_published, deadline, lambda: {"waiting_for": "tables"})


def _held(settings: Settings) -> tuple[int, int]:
    """Return up to where the tables hold the log, -1 for no event, and how many events they lack."""
    try:
        with Tables(settings.state.published) as tables:
            head = tables.head()
    except (NothingPublished, TablesUnusable):
        head = Head(None, None)
    return -1 if head.seq is None else head.seq, lag_events(head, settings)


def _has_broken(settings: Settings, gaps: Sequence[Gap]) -> bool:
    known = marks(settings)
    return any(gap.found is not None and known.is_broken(gap.found) for gap in gaps)


def _unread(settings: Settings, gaps: Sequence[Gap]) -> int:
    """Return how many of *gaps* are still there; what was written since they were found is another matter."""
    known = marks(settings)
    return sum(gap.found is not None and not known.has_reached(gap.found) for gap in gaps)


def _wait(condition: Callable[[], bool], deadline: float, facts: Callable[[], dict[str, object]]) -> None:
    pause = _LOOK_SECONDS
    while not condition():
        if time.monotonic() >= deadline:
            raise NotCaughtUp(**facts())
        time.sleep(pause)
        pause = min(2 * pause, _LOOK_SECONDS_MAX)
