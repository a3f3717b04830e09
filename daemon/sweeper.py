"""
Finding what nobody told of: sweeps over all roots, and more often over directories where something happens.

The sweep is the truth, the watch a hint. So a sweep also says how good the hints are: a change that it finds long after
it happened was not heard.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from daemon.discover import Found, Place, Seen, look_below, sweep
from daemon.ingest import Ingest, Pass
from daemon.journal import Journal
from daemon.watch import Watch

#: A change that is so much older than the sweep that found it was not heard, in seconds.
MISSED_SECONDS: Final = 2.0
#: So many places that could not be read are tried again before the next sweep over all roots.
_DENIED_MAX: Final = 200
#: A file's two times are this close after a write, in seconds; a change of mode moves one of them only.
_SAME_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Walk:
    """
    A sweep over all roots, taken a slice at a time.

    ``is_exempt`` when nobody could have told of what it finds; ``is_late`` when something was not heard while it was
    under way, perhaps where it had already been.
    """

    left: Iterator[Seen]
    begun_at: float
    is_exempt: bool
    is_late: bool = False


class Sweeper:
    """
    Sweeps in slices, and judges the watch by what it finds.

    *look* takes what is found; it returns whether more of it is left to read.
    """

    def __init__(
        self,
        places: list[Place],
        zone: str,
        ingest: Ingest,
        watch: Watch,
        look: Callable[[Seen], None],
        journal: Journal,
        clock: Callable[[], datetime],
    ) -> None:
        self._places = places
        self._zone = zone
        self._ingest = ingest
        self._watch = watch
        self._look = look
        self._journal = journal
        self._clock = clock
        self._walk: _Walk | None = None
        self._hot: dict[str, float] = {}
        self._has_missed = False
        self._told: frozenset[str] = frozenset()
        #: What the last whole sweep saw; null before the first ended.
        self.last: Pass | None = None
        #: When the last whole sweep ended, in monotonic seconds.
        self.ended_at: float | None = None

    @property
    def is_walking(self) -> bool:
        """Whether a sweep over all roots is under way."""
        return self._walk is not None

    @property
    def is_blind(self) -> bool:
        """Whether changes may go unheard."""
        return bool(self._watch.blindness)

    def begin(self) -> None:
        """Begin a sweep over all roots; while one is under way, that one goes on."""
        if self._walk is None:
            self._ingest.begin_sweep()
            # What happened before the first sweep, or while nothing was heard, nobody could have told of.
            is_exempt = self.last is None or self.is_blind
            left = sweep(self._places, self._zone, self._ingest.is_settled)
            self._walk = _Walk(left, time.monotonic(), is_exempt)

    def make_up(self) -> None:
        """Sweep for what was lost; a sweep that is under way may have passed it by, so another one follows."""
        if self._walk is not None:
            self._walk.is_late = True
        self.begin()
        if self._walk is not None:
            self._walk.is_exempt = True

    def step(self, slice_seconds: float) -> bool:
        """Walk on for a slice of time, so that a changed file does not wait for the sweep; true when it ended."""
        walk = self._walk
        if walk is None:
            return False
        until = time.monotonic() + slice_seconds
        for seen in walk.left:
            self._judge(seen, is_exempt=walk.is_exempt)
            if time.monotonic() >= until:
                return False
        self._end(walk)
        return True

    def warm(self, directory: str) -> None:
        """Remember that something happens in *directory*."""
        self._hot[directory] = time.monotonic()

    def sweep_hot(self, hot_seconds: float) -> None:
        """Look at every directory in which something happened during the last *hot_seconds*."""
        now = time.monotonic()
        self._hot = {path: at for path, at in self._hot.items() if now - at < hot_seconds}
        for directory in list(self._hot):
            for seen in look_below(self._places, directory, self._zone, self._ingest.is_settled):
                if not self._ingest.is_second_name(seen):
                    self._judge(seen, is_exempt=self.is_blind)
        denied = self.last.denied[:_DENIED_MAX] if self.last is not None else []
        if any(os.access(each.path, os.R_OK) for each in denied if each.code == "permission"):
            self.make_up()  # nobody is told when a place becomes readable

    def check_watch(self) -> None:
        """Look whether changes are still heard; where not, the watch is begun anew and a sweep makes up for it."""
        is_anew = self._watch.check(has_missed=self._has_missed)
        self._has_missed = False
        if is_anew:
            self.make_up()
        self._tell()

    def _judge(self, seen: Seen, *, is_exempt: bool) -> None:
        """Look at what a sweep found, and notice when somebody should have told of it long before."""
        before_bytes = self._ingest.read_bytes
        self._look(seen)
        if is_exempt or not isinstance(seen, Found) or self._ingest.read_bytes == before_bytes:
            return
        status = seen.status
        is_write = abs(status.st_ctime - status.st_mtime) < _SAME_SECONDS and status.st_nlink == 1
        self._has_missed |= is_write and self._clock().timestamp() - status.st_ctime > MISSED_SECONDS

    def _end(self, walk: _Walk) -> None:
        self._tell()  # of what the watch was blind to before this sweep made up for it
        self._walk, self.last, self.ended_at = None, self._ingest.end_sweep(), time.monotonic()
        if walk.is_late:
            self.begin()
        else:
            self._watch.settle(len(self.last.directories))
        self._tell()
        if self.last.files_read or self.last.denied:
            self._journal.info(
                "sweep_done",
                files=self.last.files,
                files_read=self.last.files_read,
                denied=len(self.last.denied),
                seconds=round(self.ended_at - walk.begun_at, 3),
            )

    def _tell(self) -> None:
        was, now = self._told, self._watch.blindness
        self._told = now
        if now and now != was:
            self._journal.warning("watch_blind", reasons=",".join(sorted(now)))
        elif was and not now:
            self._journal.info("watch_sees")
