"""
The loop of the daemon: wakes, sweeps, reading and committing, in one thread and on monotonic time.

Whatever wakes it is a hint. What has to happen (a sweep, a heartbeat, another try at a full disk) happens by this
loop's own clock, whether anybody asked or not.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from adapters.registry import problems
from daemon import heartbeat
from daemon.ages import Lag, Silence, Since, WallClock
from daemon.checkout_reader import CheckoutReader
from daemon.discover import Found, Place, Seen, look_at, look_below
from daemon.documents import Remembered
from daemon.guard import failures
from daemon.health.heard import is_word
from daemon.health.limits import Limits
from daemon.health.sentinel import Planter
from daemon.health.stamps import stamped_at
from daemon.health.surroundings import Surroundings
from daemon.inbox import Inbox
from daemon.ingest import Ingest
from daemon.intake import Intake
from daemon.journal import Journal
from daemon.mailbox import Mail, Mailbox
from daemon.notify import Notify
from daemon.projector import Projector
from daemon.schedule import Schedule
from daemon.service.standing import Standing
from daemon.sweeper import Sweeper
from daemon.task_rules import DEFAULTS
from daemon.upkeep import compressing, seal_when_old
from daemon.watch import Watch
from daemon.watchdog import Watchdog
from daemon.workers import Worker
from state.cursors import Cursor
from state.errors import DiskFull, StateUnusable, TallystickError
from state.evidence import RuleSet
from state.log import Log
from state.paths import StatePaths
from state.vocabulary import SENTINEL

_NEVER: Final = float("inf")
#: Nesting of a new directory that is looked at at once; the sweep goes deeper.
_NEW_DEPTH_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How often things are done, in seconds.

    ``sweep_all`` while changes are heard, ``sweep_blind`` while they may go unheard; ``sweep_hot`` looks only where
    something changed during the last ``hot_for``. ``batch`` is how long a batch may grow while more is being read.
    A segment that was begun ``seal`` ago is closed; ``upkeep`` is how often that is looked at, and what is closed is
    compressed. ``retire`` is how often old evidence is looked for, if an operator wants it retired at all.
    A checkout in which somebody works is looked at every ``checkout``. The tables are asked every ``judge`` what is
    wrong, and the host around the daemon is looked at every ``surroundings``.
    """

    sweep_all: float = 300.0
    sweep_blind: float = 10.0
    sweep_hot: float = 10.0
    hot_for: float = 900.0
    heartbeat: float = 5.0
    shrunk: float = 1.0
    in_place: float = 60.0
    seal: float = 86_400.0
    upkeep: float = 3_600.0
    retire: float = 86_400.0
    checkout: float = 300.0
    judge: float = 10.0
    surroundings: float = 60.0
    slice: float = 0.05
    batch: float = 0.25
    retry_first: float = 1.0
    retry_max: float = 30.0


State = Literal["starting", "running", "paused", "stopping", "stopped"]


class StateReplaced(StateUnusable):
    """
    The state directory was deleted or replaced while the daemon wrote into it. Look who did it; then start again.
    """


class _AskedToStop(Exception):
    """In the middle of a look at gigabytes: what was read of them by now is in the batch, with its mark."""


class Loop:
    """Everything between a changed file and a committed batch; `run` returns when it was asked to stop."""

    def __init__(
        self,
        paths: StatePaths,
        log: Log[Cursor],
        places: list[Place],
        zone: str,
        mailbox: Mailbox,
        projector: Projector,
        journal: Journal,
        clock: Callable[[], datetime],
        pace: Pace | None = None,
        rules: RuleSet = DEFAULTS,
        surroundings: Surroundings | None = None,
        limits: Limits | None = None,
        notify: Notify | None = None,
        reload: Callable[[], Limits] | None = None,
        planter: Planter | None = None,
        home: Path = Path("/nonexistent"),
        remembered: Remembered | None = None,
    ) -> None:
        self._paths = paths
        self._log = log
        self._places = places
        self._zone = zone
        self._mailbox = mailbox
        self._projector = projector
        self._journal = journal
        self._clock = clock
        self._surroundings = surroundings
        self._limits = limits or Limits()
        self._notify = notify or Notify({})
        self._reload = reload
        self._config_failure: str | None = None
        self._pace = pace = pace or Pace()
        self._watchdog = Watchdog(self._notify, self._workers, journal)
        self._watch = Watch(
            mailbox,
            [place.path for place in places],
            flat=[place.path for place in places if place.root.is_flat],
            beside=[str(paths.inbox)],
        )
        self._schedule = Schedule(
            {
                "sweep_all": (pace.sweep_all, lambda: mailbox.wish("sweep_all")),
                "sweep_hot": (pace.sweep_hot, lambda: mailbox.wish("sweep_hot")),
                "seal": (pace.upkeep, lambda: mailbox.wish("seal")),
                "compress": (pace.upkeep, compressing(paths, journal)),
                "retire": (pace.retire, projector.retire),
                "publish": (pace.in_place, projector.poke),
                **({"surroundings": (pace.surroundings, surroundings.look)} if surroundings is not None else {}),
                **({"plant": (self._limits.plant_seconds, planter.plant)} if planter is not None else {}),
            },
            lambda job, failure: journal.error("upkeep_failed", job=job, failure=failure),
            at_once=("surroundings", "plant"),
        )
        self._lag, self._blind, self._silence = Lag(), Since(), Silence()
        self._is_silent = False
        self._wall_clock = WallClock(clock)
        self._damages = 0 if log.recovery is None else len(log.recovery.damaged)
        self.ingest = Ingest(log, clock, self._go_on, is_live=True, remembered=remembered, home=home)
        self._intake = Intake(paths, Inbox(paths, log.log_id, clock), journal)
        is_believing = log.recovery is None or not log.recovery.read_again
        self._checkouts = CheckoutReader(
            paths, mailbox, journal, clock, rules, look_seconds=pace.checkout, is_believing=is_believing
        )
        self.sweeper = Sweeper(places, zone, self.ingest, self._watch, self._look, journal, clock)
        self.state: State = "starting"
        self._started_at = now = time.monotonic()
        self._unfinished: dict[str, Found] = {}
        self._failures: set[tuple[str, str]] = set()
        self._batch_since: float | None = None
        self._retry_seconds = pace.retry_first
        #: When something has to happen, in monotonic seconds.
        self._due: dict[str, float] = {
            "sweep_all": _NEVER,
            "sweep_hot": _NEVER,
            "heartbeat": now,
            "shrunk": _NEVER,
            "in_place": now + pace.in_place,
            "retry": _NEVER,
            "watchdog": self._watchdog.due_at,
        }

    # -- the life of the loop ------------------------------------------------------------------------------------

    def run(self) -> None:
        """
        Watch, read and commit until asked to stop; what was read is then committed.

        Raises:
            LogIoError, StateUnusable: The log cannot be written any more: end the process.
            StateReplaced: Nobody would read what we write.
        """
        self._watch.start()
        self._checkouts.start()
        self.sweeper.begin()
        try:
            while self.state != "stopping":
                self._turn(self._mailbox.take(self._idle_seconds()))
        except _AskedToStop:
            self.state = "stopping"
        finally:
            self._schedule.stop()
            self._watch.stop()
            self._checkouts.stop()
        self._notify.tell("STOPPING=1", "STATUS=stopping")
        self._journal.info("daemon_stopping", head_seq=self._log.head.seq)
        self._take_in(self._mailbox.take(0))
        with contextlib.suppress(DiskFull):  # the sources keep what is not committed
            self._commit(is_end=True)

    def finish(self) -> None:
        """Leave a last heartbeat, which says that the silence after it is meant."""
        self.state = "stopped"
        self._beat()

    def _idle_seconds(self) -> float:
        """Return how long nothing has to be done if nobody asks."""
        now = time.monotonic()
        if self.state == "paused":  # sweeps wait: what is due of them is no reason to wake
            return max(min(self._due[name] for name in ("retry", "heartbeat", "in_place", "watchdog")) - now, 0)
        if self.sweeper.is_walking or self._unfinished or self._intake.is_due:
            return 0
        return max(min(self._due.values()) - now, 0)

    def _turn(self, mail: Mail) -> None:
        """Take in what came, do what is due, commit what was read."""
        now = time.monotonic()
        self._take_in(mail)
        if "stop" in mail.wishes:
            self.state = "stopping"
            return
        if "reload" in mail.wishes:
            self._read_config()
        try:
            if self.state == "paused":
                self._try_again(now)
            else:
                self._read(mail)
                self._look_for_more(mail, now)
                self._commit_when_due()
        except DiskFull:
            self._pause()
        self._check_place(now)
        if now >= self._due["heartbeat"]:
            self._beat()
        self._watchdog.tick()
        self._due["watchdog"] = self._watchdog.due_at

    def _take_in(self, mail: Mail) -> None:
        """Take the evidence that other threads have found; unlike a hint, nobody finds it a second time."""
        if mail.events:
            self.ingest.batch.add(mail.events)
            self._batch_since = self._batch_since or time.monotonic()

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, mail: Mail) -> None:
        """Read what was told of, a little more of what is large, and a slice of the sweep."""
        if self._intake.is_due or any(self._intake.is_told_by(path) for path in mail.paths):
            self._checkouts.see(self._intake.take(self.ingest.batch))
            self._commit()
        for path in mail.paths:
            seen = look_at(self._places, path, self._zone)
            if seen is not None and not self.ingest.is_second_name(seen):
                self._look(seen)
        for directory in mail.directories:
            self.sweeper.warm(directory)
            below = look_below(self._places, directory, self._zone, self.ingest.is_settled, depth_max=_NEW_DEPTH_MAX)
            for each in below:
                if not self.ingest.is_second_name(each):
                    self._look(each)
        unfinished, self._unfinished = self._unfinished, {}
        for found in unfinished.values():
            self._look(found)
        if self.sweeper.step(self._pace.slice):
            self._end_sweep()

    def _look(self, seen: Seen) -> None:
        """Look at one place; what is left of a large file has its turn after the others."""
        before_bytes = self.ingest.read_bytes
        if self.ingest.look(seen) and isinstance(seen, Found):
            self._unfinished[seen.path] = seen
        if self.ingest.read_bytes > before_bytes and self.state != "starting":
            self.sweeper.warm(seen.path.rpartition("/")[0])
        if self.ingest.batch.is_empty:
            return
        now = time.monotonic()
        self._batch_since = self._batch_since or now
        if now - self._batch_since >= self._pace.batch:
            self._commit()

    def _commit_when_due(self) -> None:
        """Commit at the end of a turn; while there is more to read at once, the batch may grow a little."""
        has_more = self.sweeper.is_walking or self._unfinished
        if not has_more or (self._batch_since or _NEVER) + self._pace.batch <= time.monotonic():
            self._commit()

    def _commit(self, *, is_end: bool = False) -> None:
        self.ingest.tally(is_end=is_end)
        is_new = not self.ingest.batch.is_empty
        self.ingest.commit()
        self._checkouts.see(self.ingest.taken_directories())
        self._intake.done()
        self._batch_since = None
        # During the first sweep the tables wait: one large step costs less than a thousand small ones.
        if is_new and self.state != "starting":
            self._projector.poke()

    # -- what nobody told of -------------------------------------------------------------------------------------

    def _look_for_more(self, mail: Mail, now: float) -> None:
        """Sweep when asked, or unasked when it is overdue; look again at files that suddenly were shorter."""
        asked_for = ("sweep_hot",) if self.sweeper.is_blind else ("sweep_all", "sweep_hot")
        if {name for name in asked_for if now >= self._due[name]} - mail.wishes:
            self._journal.warning("schedule_overdue")
            self._schedule.start()
        if "sweep_hot" in mail.wishes or now >= self._due["sweep_hot"]:
            self._due["sweep_hot"] = now + 2 * self._pace.sweep_hot
            self._intake.is_due = True
            self.sweeper.sweep_hot(self._pace.hot_for)
            self.sweeper.check_watch()
        if "make_up" in mail.wishes:
            self.sweeper.make_up()
        if "sweep_all" in mail.wishes or now >= self._due["sweep_all"]:
            self._due["sweep_all"] = now + 2 * self._pace.sweep_all
            self.sweeper.begin()
        if "seal" in mail.wishes:
            seal_when_old(self._paths, self._log, self._clock(), self._pace.seal, self._journal)
        if now >= self._due["shrunk"]:
            self.ingest.poll_shrunk()
            self._due["shrunk"] = _NEVER
        if self.ingest.has_shrunk and self._due["shrunk"] is _NEVER:
            self._due["shrunk"] = now + self._pace.shrunk

    def _end_sweep(self) -> None:
        now = time.monotonic()
        self._due["sweep_all"] = now + (self._pace.sweep_blind if self.sweeper.is_blind else 2 * self._pace.sweep_all)
        for parser, name in sorted({*failures()} - self._failures):
            self._journal.error("plugin_failed", adapter=parser, method=name)
        self._failures = {*failures()}
        if self.state == "starting":
            self.state = "running"
            self._due["sweep_hot"] = now + 2 * self._pace.sweep_hot
            self._schedule.start()
            self._commit(is_end=True)
            self._projector.believe()
            self._journal.info("daemon_ready", head_seq=self._log.head.seq)
            self._beat()
            self._watchdog.ready()

    # -- a full disk, a lost directory, another configuration, a sign of life ------------------------------------

    def _pause(self) -> None:
        """Read nothing more until there is room: the sources keep what is unread."""
        if self.state != "paused":
            self._journal.error("disk_full", path=str(self._paths.root))
        self.state = "paused"
        self._due["retry"] = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(self._retry_seconds * 2, self._pace.retry_max)

    def _try_again(self, now: float) -> None:
        """Commit what is waiting; what was told of meanwhile is found by a sweep."""
        if now < self._due["retry"]:
            return
        self._commit()
        self._journal.info("disk_has_room")
        self.state = "starting" if self.sweeper.last is None else "running"
        self._due["retry"], self._retry_seconds = _NEVER, self._pace.retry_first
        if self.state == "running":  # what came due meanwhile is done now, and no sign of a schedule that stood still
            self._due["sweep_hot"] = time.monotonic() + 2 * self._pace.sweep_hot
            self._due["sweep_all"] = time.monotonic() + 2 * self._pace.sweep_all
        self._projector.poke()
        self.sweeper.make_up()

    def _check_place(self, now: float) -> None:
        if now >= self._due["in_place"]:
            self._due["in_place"] = now + self._pace.in_place
            if not self._log.is_in_place():
                raise StateReplaced(path=self._paths.root)

    def _read_config(self) -> None:
        """Read the configuration again; one that cannot be read changes nothing, and is told."""
        if self._reload is None:
            return
        if self._watchdog.is_ready:
            self._notify.reloading()
        try:
            self._limits = self._reload()
            self._config_failure = None
            if self.state != "starting":
                self._schedule.start()  # what is looked at now and then is looked at now
            self._journal.info("config_reloaded")
        except TallystickError as error:
            failure = str(error.facts.get("rule") or error.facts.get("reason"))
            self._config_failure = _with_entry(failure, error.facts.get("entry"))
            self._journal.error("config_refused", failure=failure, entry=error.facts.get("entry"))
        self._beat()
        if self._watchdog.is_ready:
            self._watchdog.ready()

    def _workers(self) -> dict[str, Worker]:
        """Return how every thread is; this one is asking."""
        return {
            "loop": Worker(is_alive=True, beat_at=time.monotonic()),
            "projector": Worker(self._projector.is_alive(), self._projector.state.beat_at),
            "checkouts": self._checkouts.worker(),
            "watch": self._watch.worker(),
            "scheduler": self._schedule.worker(),
        }

    def _held(self) -> heartbeat.Held:
        """Return for how long things have been so."""
        stamped = stamped_at(self._paths, "health")
        unasked = self._silence.seconds(stamped)
        was_silent, self._is_silent = self._is_silent, unasked > 2 * self._limits.reporting_window_seconds
        if stamped is not None and self._is_silent and not was_silent:
            self._journal.warning("health_silent", seconds=round(unasked))
        return heartbeat.Held(
            lag=self._lag.seconds(self._log.head.seq, self._projector.state.published_seq),
            blind=self._blind.seconds(is_so=bool(self._watch.blindness)),
            unasked=unasked,
        )

    def _go_on(self, _: int) -> None:
        """Say in the middle of a large file, which takes longer than a turn should, that it goes on, or end there."""
        if self._mailbox.is_wished("stop"):
            raise _AskedToStop
        self._watchdog.tick()
        if self.state in ("running", "starting") and time.monotonic() >= self._due["heartbeat"]:
            self._beat()

    def _beat(self) -> None:
        self._due["heartbeat"] = time.monotonic() + self._pace.heartbeat
        signs = heartbeat.Signs(
            state=self.state,
            started_at=self._started_at,
            head=self._log.head,
            tables=self._projector.state,
            is_projector_alive=self._projector.is_alive(),
            blindness=self._watch.blindness,
            last_sweep=self.sweeper.last,
            swept_at=self.sweeper.ended_at,
            behind=self.ingest.behind.sources,
            agents={
                place.adapter.parser: place.adapter.agent for place in self._places if place.adapter.agent != SENTINEL
            },
            inbox_failure=self._intake.failure,
            checkouts=self._checkouts.state(),
            limits=self._limits,
            surroundings=() if self._surroundings is None else self._surroundings.findings,
            workers=self._workers(),
            config_failure=self._config_failure,
            service=Standing() if self._surroundings is None else self._surroundings.service,
            held=self._held(),
            clock=heartbeat.Clock(self._wall_clock.step_seconds(), self._wall_clock.stepped_at),
            beat_seconds=self._pace.heartbeat,
            damages=self._damages,
            plugin_failures=[
                *(f"{parser}.{name}" for parser, name in failures()),
                *(each.name if is_word(each.name) else "?" for each in problems()),
            ],
        )
        with contextlib.suppress(DiskFull):  # the one before stays, and its age tells
            heartbeat.write(self._paths, heartbeat.document(signs, self._clock()))
        self._notify.tell_status(_status(signs))


def _with_entry(failure: str, entry: object) -> str:
    """Return which entry is refused beside why; an unknown one has a name of the operator's, which may be no word."""
    both = f"{failure}:{entry}"
    return both if entry and is_word(both) else failure


def _status(signs: heartbeat.Signs) -> str:
    """Return what `systemctl status` shows: words and numbers, no path."""
    files = "" if signs.last_sweep is None else f"; {signs.last_sweep.files} log files"
    return f"{signs.state}: log at event {signs.head.seq}{files}"
