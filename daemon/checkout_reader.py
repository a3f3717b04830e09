"""
Looks at the checkouts of a running daemon in a thread of its own: the disk of a dead mount may never answer.

The loop says which directories it has read of, and gets events through its mailbox; it never waits for any of this.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from daemon.checkouts import REMEMBERED_MAX, Checkouts
from daemon.journal import Journal
from daemon.mailbox import Mailbox
from daemon.recorded import recorded
from daemon.task_rules import DEFAULTS
from daemon.workers import Worker
from state.errors import TallystickError
from state.evidence import RuleSet
from state.paths import StatePaths

#: Between two looks at one directory at least so long, in seconds.
LOOK_SECONDS: Final = 300.0
#: How often the published tables are asked while there are none to be believed, in seconds.
ASK_SECONDS: Final = 60.0
#: How often it is looked whether directories are still there, in seconds.
GONE_SECONDS: Final = 3_600.0
#: A directory of which lines were read so lately is looked at again at the start.
LATELY: Final = timedelta(days=2)
#: A look that takes longer hangs, in seconds.
HANG_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Looking:
    """How the thread is; ``since`` is when the look that is under way began, in monotonic seconds, null for none."""

    since: float | None = None
    waiting: int = 0
    failure: str | None = None


class CheckoutReader(threading.Thread):
    """
    Looks at directories when they are due, and puts what is new into the mailbox.

    ``is_believing``: whether what the published tables say of earlier looks is still what the log says.
    """

    def __init__(
        self,
        paths: StatePaths,
        mailbox: Mailbox,
        journal: Journal,
        clock: Callable[[], datetime],
        rules: RuleSet = DEFAULTS,
        *,
        look_seconds: float = LOOK_SECONDS,
        is_believing: bool = True,
    ) -> None:
        super().__init__(name="checkouts", daemon=True)
        self._paths = paths
        self._mailbox = mailbox
        self._journal = journal
        self._clock = clock
        self._checkouts = Checkouts(clock, rules)
        self._look_seconds = look_seconds
        self._changed = threading.Condition()
        self._is_stopping = False
        #: When a directory is due, and when it was last looked at; monotonic seconds.
        self._due: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._ask_at = 0.0 if is_believing else float("inf")
        self._gone_at = time.monotonic() + GONE_SECONDS
        self._present: list[str] = []
        self._since: float | None = None
        self._failure: str | None = None
        self._has_told_of_hanging = False

    # -- called by the loop ------------------------------------------------------------------------------------------

    def see(self, cwds: Iterable[str]) -> None:
        """Say that lines with these directories were read."""
        with self._changed:
            for cwd in cwds:
                if len(self._due) >= REMEMBERED_MAX:  # the tables know what never was looked at
                    self._ask_at = time.monotonic() + ASK_SECONDS
                elif cwd.startswith("/"):
                    self._due.setdefault(cwd, self._looked.get(cwd, float("-inf")) + self._look_seconds)
            self._changed.notify()

    def state(self) -> Looking:
        """Return how the thread is, and tell once of a look that hangs."""
        since = self._since
        is_hanging = since is not None and time.monotonic() - since >= HANG_SECONDS
        if is_hanging and not self._has_told_of_hanging:
            self._journal.error("checkout_hangs")
        self._has_told_of_hanging = is_hanging
        return Looking(since, len(self._due), self._failure)

    def worker(self) -> Worker:
        """
        Return how the thread is, for the heartbeat and the watchdog.

        One that hangs waits for the disk of somebody's checkout, and the next process would wait for the same one: it
        is told (`checkout_hangs`, its age), and no reason to end a daemon whose other work goes on.
        """
        since = self._since
        return Worker(self.is_alive(), time.monotonic() if since is None else since, is_excused=True)

    def stop(self) -> None:
        """End after the look that is under way; nobody waits for it."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    # -- the thread --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look until stopped; no failure ends this thread."""
        while not self._is_stopping:
            try:
                self._ask_tables()
                self._look_for_gone()
                cwd = self._next()
                if cwd is not None:
                    self._look(cwd, self._checkouts.look)
            except Exception as error:  # noqa: BLE001 - the log goes on, and the heartbeat tells of it
                self._fail(error)

    def _next(self) -> str | None:
        """Return a directory that is due, waiting for one; ``None`` when there is something else to do."""
        with self._changed:
            now = time.monotonic()
            cwd = next((cwd for cwd, at in self._due.items() if at <= now), None)
            if cwd is not None:
                del self._due[cwd]
            elif not self._is_stopping:
                self._changed.wait(max(min(*self._due.values(), self._ask_at, self._gone_at) - now, 0))
            return cwd

    def _look(self, cwd: str, how: Callable[[str], list[bytes]]) -> None:
        self._since = time.monotonic()
        events: list[bytes] = []
        try:
            events = how(cwd)
            self._failure = None
        except Exception as error:  # noqa: BLE001 - one directory must not keep the others from being looked at
            self._fail(error)
        self._since = None
        self._looked.pop(cwd, None)
        self._looked[cwd] = time.monotonic()
        while len(self._looked) > REMEMBERED_MAX:
            del self._looked[next(iter(self._looked))]
        if events:
            self._mailbox.put_events(events)

    def _ask_tables(self) -> None:
        """Learn once what was recorded before; look at what never was, and at what was worked in lately."""
        if time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + ASK_SECONDS
        found = recorded(self._paths)
        if found is None:
            return
        self._ask_at = float("inf")
        self._checkouts.believe(found)
        oldest = (self._clock() - LATELY).replace(tzinfo=None)
        lately = [cwd for cwd, at in (found.seen_at or {}).items() if at.replace(tzinfo=None) >= oldest]
        self.see(cwd for cwd in [*lately, *found.unseen] if cwd not in self._looked)
        self._gone_at = 0.0
        self._present = found.present

    def _look_for_gone(self) -> None:
        """Look whether directories that nobody works in any more are still there."""
        now = time.monotonic()
        if now < self._gone_at:
            return
        self._gone_at = now + GONE_SECONDS
        for cwd in dict.fromkeys([*self._present, *self._looked]):
            if self._is_stopping:
                return
            if cwd not in self._due:
                self._look(cwd, self._checkouts.look_whether_gone)

    def _fail(self, error: Exception) -> None:
        """Tell of a failure, the first of several in a row; by its kind, for its text quotes what it could not read."""
        if isinstance(error, OSError):
            failure = errno.errorcode.get(error.errno or 0, "unknown")
        else:
            facts = error.facts if isinstance(error, TallystickError) else {}
            failure = str(facts.get("kind") or facts.get("reason") or type(error).__name__)
        if self._failure != failure:
            self._journal.warning("checkout_failed", failure=failure)
        self._failure = failure
