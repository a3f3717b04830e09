"""
The tables of a running daemon: brought up to the log in a thread of their own, and published.

The log never waits for the tables. A large step (a first start, a rebuild) is made by a child process with more memory,
so that the daemon stays small. Whatever goes wrong with the database, it is thrown away and made anew from the log.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import duckdb

from daemon.beliefs import Believer
from daemon.health.finding import Finding
from daemon.health.judging import Judging
from daemon.journal import Journal
from daemon.mailbox import Mailbox
from daemon.prices import Pricer
from daemon.publish import publish
from projections.build import Projection, ProjectionUnusable
from state.errors import TallystickError
from state.head import Mark
from state.paths import StatePaths
from state.tombstones import Tombstone
from state.walk import segments

#: What the daemon's own database may use.
MEMORY_MIB: Final = 192
#: A step of more than so much of the log is made by a child process, in bytes.
CHILD_BYTES: Final = 16 * 1024 * 1024
#: Between two refreshes at least so long, in seconds, and so many times what the last one took: many small steps cost
#: more than one, and over a long history a step costs more. Waiting for the disk counts: the log waits for it, too.
REFRESH_SECONDS: Final = 0.2
REFRESH_SHARE: Final = 4
#: A thread that waits says so often, in seconds, that it is alive.
BEAT_SECONDS: Final = 5.0
#: The tables are asked so often, in seconds, what is wrong: silence is no event that could bring it up.
JUDGE_SECONDS: Final = 10.0
#: The tables are asked so often, in seconds, for models without rates; after a failure so often.
PRICE_SECONDS: Final = (10.0, 600.0)
#: Between two publications at least so long, in seconds, and at most one part in so many of the time.
PUBLISH_SECONDS: Final = 1.0
PUBLISH_SHARE: Final = 20
#: After a failure the next attempt waits so long, in seconds, doubled each time up to the second figure.
RETRY_SECONDS: Final = (1.0, 60.0)


@dataclass(frozen=True, slots=True)
class Projected:
    """
    How far the tables are; replaced whole, so that any thread may read it.

    ``seq`` is null before the tables were opened; ``failure`` names what went wrong last, null when nothing is wrong.
    ``signals`` is what the tables say is wrong; null before they were asked.
    Times are of the monotonic clock, in seconds.
    """

    seq: int | None = None
    published_seq: int | None = None
    published_at: float | None = None
    beat_at: float = 0.0
    failure: str | None = None
    signals: tuple[Finding, ...] | None = None


#: Given the tables, retires what is old enough; null when nothing may go.
Retention = Callable[[Projection], Tombstone | None]


class Projector(threading.Thread):
    """Refreshes when it is poked, publishes what changed; ended by `stop`."""

    def __init__(
        self,
        paths: StatePaths,
        journal: Journal,
        *,
        anew: bool = False,
        retention: Retention | None = None,
        judging: Judging[duckdb.DuckDBPyConnection] | None = None,
        judge_seconds: float = JUDGE_SECONDS,
        mailbox: Mailbox | None = None,
        believer: Believer | None = None,
        pricer: Pricer | None = None,
    ) -> None:
        super().__init__(name="projector", daemon=True)
        self._judging = judging
        self._judge_seconds = judge_seconds
        self._judge_at = 0.0
        self._mailbox = mailbox
        self._believer = believer
        self._pricer = pricer
        self._price_at = 0.0
        self._is_believing = False
        self._retention = retention
        self._is_retiring = False
        self._is_last_step_wanted = True
        self._paths = paths
        self._journal = journal
        self._poked = threading.Event()
        self._stopping = threading.Event()
        self._is_wanted_anew = anew
        self._publish_at = 0.0
        self._published: tuple[int, int, int] | None = None
        self._retry_seconds = RETRY_SECONDS[0]
        self._published = _identity(self._paths.published)
        self.state = Projected(beat_at=time.monotonic())

    def obey(self, judging: Judging[duckdb.DuckDBPyConnection], retention: Retention | None) -> None:
        """Judge and retire like this from now on: the configuration has changed."""
        self._judging, self._retention = judging, retention

    def poke(self) -> None:
        """Say that the log has grown, or that it is time to try again."""
        self._poked.set()

    def believe(self) -> None:
        """Say that everything was read: from now on it is stated once a day what is believed."""
        self._is_believing = True
        self._poked.set()

    def retire(self) -> None:
        """Say that it is time to look for old evidence; without a retention nothing is ever old."""
        if self._retention is not None:
            self._is_retiring = True
            self._poked.set()

    def stop(self, *, is_last_step_wanted: bool = True) -> None:
        """End, after one more refresh and publication if that is wanted."""
        self._is_last_step_wanted = is_last_step_wanted
        self._stopping.set()
        self._poked.set()

    def run(self) -> None:
        """Work until stopped; no failure ends this thread."""
        while True:
            try:
                with self._opened() as projection:
                    self._follow(projection)
                    return
            except Exception as error:  # noqa: BLE001 - the log goes on, and the heartbeat tells of it
                self._fail(error)
            if self._stopping.wait(self._retry_seconds):
                return
            self._retry_seconds = min(self._retry_seconds * 2, RETRY_SECONDS[1])

    def _fail(self, error: Exception) -> None:
        """Tell of a failure, the first of several in a row; after the second the tables are not believed any more."""
        facts = error.facts if isinstance(error, TallystickError) else {}
        failure = str(facts.get("kind") or facts.get("reason") or type(error).__name__)
        if self.state.failure is None:
            self._journal.error("projection_failed", failure=failure)
        elif isinstance(error, duckdb.Error | ProjectionUnusable):
            self._is_wanted_anew = True
        self.state = replace(self.state, failure=failure, beat_at=time.monotonic())

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Projection]:
        if self._is_wanted_anew:
            with contextlib.suppress(OSError):
                Projection.discard(self._paths)
        if self._unread_bytes() > CHILD_BYTES:
            self._catch_up_in_a_child()
        with Projection.open(self._paths, memory_mib=MEMORY_MIB, threads=1) as projection:
            if self._is_wanted_anew:
                self._journal.warning("projection_rebuilt")
            self._is_wanted_anew = False
            yield projection

    def _follow(self, projection: Projection) -> None:
        """Refresh at each poke, publish when due; returns when stopped."""
        is_new = True
        while True:
            is_last = self._stopping.is_set()  # asked before the log is read: what was committed until then is in it
            if is_last and not self._is_last_step_wanted:
                return
            self._poked.clear()
            begun_at = time.monotonic()
            before = projection.mark()
            projection.refresh(self._paths.log_directory)
            if self._is_retiring and self._retention is not None:
                self._is_retiring = False
                is_new = self._retire(self._retention, projection) or is_new
            pause_seconds = max(REFRESH_SECONDS, REFRESH_SHARE * (time.monotonic() - begun_at))
            mark = projection.mark()
            self._state_rates(projection, mark)
            self._state_belief(projection, mark)
            is_new = is_new or mark != before or self._is_published_gone()
            self.state = replace(self.state, seq=_seq(mark), beat_at=time.monotonic())
            if is_new and (is_last or time.monotonic() >= self._publish_at):
                self._publish(projection, mark)
                is_new = False
            self.state = replace(self.state, failure=None)
            if is_last:
                return
            self._judge_when_due(projection)
            self._wait(projection, pause_seconds, is_new=is_new)

    def _wait(self, projection: Projection, pause_seconds: float, *, is_new: bool) -> None:
        """Pause, then wait for a poke, or until what is new may be published; silence is judged meanwhile."""
        self._stopping.wait(pause_seconds)
        while not (self._poked.is_set() or self._stopping.is_set()):
            left = self._publish_at - time.monotonic() if is_new else BEAT_SECONDS
            if left <= 0:
                return
            self._poked.wait(min(left, BEAT_SECONDS, self._judge_seconds))
            if self._is_published_gone():
                return
            self._judge_when_due(projection)
            self.state = replace(self.state, beat_at=time.monotonic())

    def _judge_when_due(self, projection: Projection) -> None:
        if self._judging is not None and time.monotonic() >= self._judge_at:
            signals = self._judging.ask(projection.connection)
            self._judge_at = time.monotonic() + self._judge_seconds
            self.state = replace(self.state, signals=signals)

    def _state_rates(self, projection: Projection, mark: Mark | None) -> None:
        """Hand the loop the rates of models that have none; a book that cannot be asked leaves its calls unpriced."""
        if self._pricer is None or self._mailbox is None or not self._is_believing:
            return
        now = time.monotonic()
        if now < self._price_at and not self._pricer.is_waiting:
            return
        try:
            events = self._pricer.events(projection.connection, _seq(mark))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            self._journal.error("pricing_failed", failure=type(error).__name__)
            self._price_at = now + PRICE_SECONDS[1]
            return
        self._price_at = now + PRICE_SECONDS[0]
        if events:
            self._mailbox.put_events(events)

    def _state_belief(self, projection: Projection, mark: Mark | None) -> None:
        """
        Hand the loop what is believed when a day has begun.

        What the last sweep has not read could only be wrong, and so could costs while rates are on their way.
        """
        if self._pricer is not None and self._pricer.is_waiting:
            return
        if self._is_believing and self._believer is not None and self._mailbox is not None:
            events = self._believer.events(projection.connection, _seq(mark))
            if events:
                self._mailbox.put_events(events)

    def _is_published_gone(self) -> bool:
        """Say whether somebody removed what was published, or wrote over it: readers have nothing else."""
        return self._published is not None and _identity(self._paths.published) != self._published

    def _retire(self, retention: Retention, projection: Projection) -> bool:
        tombstone = retention(projection)
        if tombstone is None:
            return False
        self._journal.info("evidence_retired", first_seq=tombstone.first_seq, last_seq=tombstone.last_seq)
        return True

    def _publish(self, projection: Projection, mark: Mark | None) -> None:
        begun_at = time.monotonic()
        publish(projection, self._paths)
        now = time.monotonic()
        # The first one has next to nothing to copy and is slow, as the first sweep is under way beside it.
        is_first = self.state.published_at is None
        self._publish_at = now + max(PUBLISH_SECONDS, 0 if is_first else PUBLISH_SHARE * (now - begun_at))
        if self.state.published_at is None:
            self._journal.info("published", seq=_seq(mark))
        self._retry_seconds = RETRY_SECONDS[0]
        self._published = _identity(self._paths.published)
        self.state = replace(self.state, published_seq=_seq(mark), published_at=now, beat_at=now)

    # -- large steps ---------------------------------------------------------------------------------------------

    def _unread_bytes(self) -> int:
        """Return about how much of the log the tables do not hold."""
        with Projection.open(self._paths, memory_mib=MEMORY_MIB, threads=1) as projection:
            mark = projection.mark()
        unread = 0
        for segment in segments(self._paths.log_directory):
            if mark is None or segment.base >= mark.segment:
                unread += segment.path.stat().st_size
        return unread - (mark.end_offset_bytes if mark is not None else 0)

    def _catch_up_in_a_child(self) -> None:
        """Let another process bring the tables up to the log; it holds no lock and writes nothing else."""
        command = [sys.executable, "-m", "daemon.catch_up_child", str(self._paths.root), str(os.getpid())]
        # A group of its own: Ctrl-C in a terminal is for the daemon, which ends it.
        with subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0
        ) as child:
            while True:
                try:
                    code = child.wait(0.2)
                    break
                except subprocess.TimeoutExpired:
                    self.state = replace(self.state, beat_at=time.monotonic())
                    if self._stopping.is_set():
                        child.terminate()
        if code and not self._stopping.is_set():
            raise ProjectionUnusable(kind="child", exit_code=code)


def _identity(path: Path) -> tuple[int, int, int]:
    """Return which file bears a name and when it was written to; zeros when none does."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _seq(mark: Mark | None) -> int:
    return mark.seq if mark is not None else -1
