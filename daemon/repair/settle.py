"""Sees messages into the log and the tables: waits for the daemon, or makes the pass itself where none runs."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from daemon.bootstrap import open_log, refresh_and_publish, utc_now
from daemon.inbox import Inbox, take_all
from daemon.inbox_client import Sealed, is_waiting, outcome, submit_all
from daemon.settings import Settings
from projections.read import NothingPublished, Tables, TablesUnusable
from state.errors import LogLocked, TallystickError

#: How often a waiting caller looks, in seconds.
_LOOK_SECONDS: Final = 0.1


class NotTakenYet(TallystickError):
    """
    The messages wait in the inbox. Ask `tallystick health`, then run the command again: nothing is done twice.
    """

    exit_code = 3


def settled(
    settings: Settings, letters: Sequence[Sealed], wait_seconds: float, clock: Callable[[], datetime] = utc_now
) -> None:
    """
    Send *letters* and return when the published tables have them.

    Raises:
        NotTakenYet: Somebody else holds the log and has not taken them in time.
        NotSubmitted, InboxUnsafe, StateUnusable: They could not be sent.
    """
    submit_all(settings.state, letters)
    deadline = time.monotonic() + wait_seconds
    while True:
        with suppress(LogLocked):
            _pass(settings, clock)
            return
        if _is_published(settings, [each.receipt for each in letters]):
            return
        if time.monotonic() >= deadline:
            raise NotTakenYet(messages=len(letters))
        time.sleep(_LOOK_SECONDS)


def _pass(settings: Settings, clock: Callable[[], datetime]) -> None:
    """Take the inbox into the log, and the log into the tables; no agent's file is read."""
    with open_log(settings, clock) as log:
        take_all(Inbox(settings.state, log.log_id, clock), log)
        refresh_and_publish(settings, anew=log.recovery is not None and bool(log.recovery.read_again))


def _is_published(settings: Settings, receipts: Sequence[str]) -> bool:
    if any(is_waiting(settings.state, each) for each in receipts):
        return False
    last = max(outcome(settings.state, each).seq or 0 for each in receipts)
    with suppress(NothingPublished, TablesUnusable), Tables(settings.state.published) as tables:
        return (tables.head().seq or 0) >= last
    return False
