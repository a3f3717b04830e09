"""
The inbox in the life of the daemon: messages go into the batch of the moment, their files go once it is committed.
"""

import os
from typing import Final

from daemon.inbox import Inbox, Message, events
from daemon.inbox_directory import InboxUnsafe
from daemon.ingest import Batch
from daemon.journal import Journal
from state.errors import StateUnusable, TallystickError
from state.paths import StatePaths

#: Messages of one turn: whoever waits with a changed file does not wait for a full inbox.
TURN_MAX: Final = 200


class Intake:
    """Takes what waits in the inbox, a turn at a time."""

    def __init__(self, paths: StatePaths, inbox: Inbox, journal: Journal) -> None:
        self._prefix = os.fspath(paths.inbox) + os.sep
        self._inbox = inbox
        self._journal = journal
        self._taken: list[Message] = []
        #: Why nothing is taken from the inbox; null when nothing is wrong.
        self.failure: str | None = None
        #: Whether there may be more.
        self.is_due = True

    def is_told_by(self, path: str) -> bool:
        """Say whether a changed *path* is a message."""
        return path.startswith(self._prefix)

    def take(self, batch: Batch) -> set[str]:
        """Put what waits into *batch*, as much as one turn may hold; return the working directories it names."""
        self.is_due = False
        try:
            messages = self._inbox.take(TURN_MAX)
        except (InboxUnsafe, StateUnusable) as error:
            self._tell(error)
            return set()
        self.failure = None
        self.is_due = len(messages) == TURN_MAX
        self._taken += messages
        batch.add(events(messages))
        return {each.cwd for each in messages if each.cwd is not None}

    def done(self) -> None:
        """Remove the files of what is committed now."""
        taken, self._taken = self._taken, []
        if not taken:
            return
        rejected = sum(each.is_rejected for each in taken)
        if rejected:
            self._journal.warning("messages_rejected", count=rejected)
        try:
            self._inbox.done(taken)
        except (InboxUnsafe, StateUnusable) as error:
            self._taken = taken
            self._tell(error)

    def _tell(self, error: TallystickError) -> None:
        failure = str(error.facts.get("reason") or type(error).__name__)
        if self.failure != failure:
            self._journal.error("inbox_unusable", failure=failure)
        self.failure = failure
