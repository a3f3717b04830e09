"""
What is to be done now and then, asked for by APScheduler and done by the loop.

A job asks the loop, or does what nobody waits for. APScheduler runs on the wall clock: put back by an hour, it asks for
nothing for an hour; a job that hangs is passed over for ever. So nothing that must happen depends on it: the loop knows
by its own monotonic clock when a sweep is overdue, does it unasked, and begins the schedule anew.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from daemon.workers import Worker

#: Of a run that was missed, one is made up, however late; and no job overlaps itself.
_DEFAULTS: Final = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}

Job = Callable[[], None]


class Schedule:
    """
    Does each of *jobs*, by name, every so many seconds.

    Those of *at_once* are also done when the schedule begins.

    *failed* is told the name of a job and the kind of its failure: the scheduler itself would tell the text.
    """

    def __init__(
        self,
        jobs: Mapping[str, tuple[float, Job]],
        failed: Callable[[str, str], None],
        at_once: Collection[str] = (),
    ) -> None:
        self._jobs = jobs
        self._at_once = at_once
        self._failed = failed
        self._scheduler: Any = None
        self._asked_at = time.monotonic()
        # It logs exceptions with their text; ours are told by whoever runs the job.
        logging.getLogger("apscheduler").addHandler(logging.NullHandler())
        logging.getLogger("apscheduler").propagate = False

    def start(self) -> None:
        """Begin to ask, or begin anew."""
        from apscheduler.schedulers.background import BackgroundScheduler  # a fifth of a second, after the first sweep

        self.stop()
        self._scheduler = BackgroundScheduler(job_defaults=_DEFAULTS, timezone="UTC")
        for name, (seconds, job) in self._jobs.items():
            first = {"next_run_time": datetime.now(UTC)} if name in self._at_once else {}
            self._scheduler.add_job(self._safe(name, job), "interval", seconds=seconds, id=name, **first)
        self._scheduler.start()
        self._asked_at = time.monotonic()

    def _safe(self, name: str, job: Job) -> Job:
        def run() -> None:
            self._asked_at = time.monotonic()
            try:
                job()
            except Exception as error:  # noqa: BLE001 - told by its kind, and tried again at the next interval
                self._failed(name, type(error).__name__)

        return run

    def worker(self) -> Worker:
        """Return how the scheduler is: each job that it begins shows that it goes on."""
        if self._scheduler is None:
            return Worker(None)
        thread = getattr(self._scheduler, "_thread", None)  # it has no other sign of life; gone after a shutdown
        return Worker(thread is not None and thread.is_alive(), self._asked_at)

    def stop(self) -> None:
        """Ask for nothing more."""
        if self._scheduler is not None and self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._scheduler = None
