"""`tallystick run`: puts the parts of the daemon together, and takes them apart when it is asked to end."""

import contextlib
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version
from types import FrameType

from daemon.beliefs import Believer
from daemon.bootstrap import open_log, roots, utc_now
from daemon.health import sentinel
from daemon.health.judges import host_judges, table_judges
from daemon.health.limits import Limits
from daemon.health.limits import limits as limits_of
from daemon.health.surroundings import Surroundings
from daemon.journal import open_journal
from daemon.loop import Loop, Pace
from daemon.mailbox import Mailbox
from daemon.memory import leave_no_core
from daemon.notify import Notify
from daemon.prices import Pricer, look_up_apart, own_prices
from daemon.projector import Projector, Retention
from daemon.provenance import DaemonChanged, daemon_event
from daemon.recollect import recollect
from daemon.settings import Settings
from daemon.task_rules import record
from daemon.watchdog import RECOVERY_SECONDS
from projections.retention import retire_old
from state.errors import DiskFull

#: How long the tables may take to catch up when the daemon ends, in seconds.
_LAST_REFRESH_SECONDS = 10.0


def run(settings: Settings, clock: Callable[[], datetime] = utc_now, pace: Pace | None = None) -> int:
    """Watch and read until SIGTERM or SIGINT; then commit what was read, publish it, and return 0."""
    leave_no_core()
    journal = open_journal()
    notify = Notify(os.environ)
    notify.extend(RECOVERY_SECONDS)
    notify.tell_status("recovering the log")
    mailbox = Mailbox()
    pace = pace or Pace()
    limits = limits_of(settings)

    def stop(_: int, __: FrameType | None) -> None:
        mailbox.wish("stop")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if notify.is_heard:  # where nobody manages us, a closed terminal ends us as it ends others
        signal.signal(signal.SIGHUP, lambda _, __: mailbox.wish("reload"))
    with open_log(settings, clock) as log:
        program = version("tallystick")
        journal.info("daemon_started", version=program, head_seq=log.head.seq)
        for damage in log.recovery.damaged if log.recovery is not None else ():
            journal.error("log_damaged", segment=damage.segment, offset_bytes=damage.start_offset_bytes)
        rules = record(log, settings, clock)
        planter = sentinel.Planter(settings.state, clock) if limits.has_sentinel else None
        pricer = Pricer(clock, own_prices(settings), look_up_apart)
        projector = Projector(
            settings.state,
            journal,
            anew=log.recovery is not None and bool(log.recovery.read_again),
            retention=_retention(settings, clock),
            judging=table_judges(settings, limits, clock, journal),
            judge_seconds=pace.judge,
            mailbox=mailbox,
            believer=Believer(clock),
            pricer=pricer,
        )
        surroundings = Surroundings(host_judges(limits, clock, journal), settings)

        def reload() -> Limits:
            """Let what the configuration says now hold; tasks' rules and roots wait for the next start."""
            new, retention = limits_of(settings), _retention(settings, clock)
            pricer.obey(own_prices(settings))
            projector.obey(table_judges(settings, new, clock, journal), retention)
            surroundings.obey(host_judges(new, clock, journal))
            return new

        loop = Loop(
            settings.state,
            log,
            [*roots(settings), *([sentinel.place(settings.state)] if planter is not None else [])],
            settings.zone,
            mailbox,
            projector,
            journal,
            clock,
            pace,
            rules,
            surroundings,
            limits,
            notify,
            reload,
            planter,
            settings.home,
            recollect(settings.state, log),
        )
        log.append([daemon_event(DaemonChanged(change="started", program_version=program), clock())], {})
        projector.start()
        try:
            loop.run()
        except BaseException:
            projector.stop(is_last_step_wanted=False)  # of a log that cannot be written, or that is not ours any more
            projector.join(_LAST_REFRESH_SECONDS)
            raise
        with contextlib.suppress(DiskFull):
            log.append([daemon_event(DaemonChanged(change="stopped", program_version=program), clock())], {})
        projector.stop()
        projector.join(_LAST_REFRESH_SECONDS)
        loop.finish()
        journal.info("daemon_stopped", head_seq=log.head.seq)
    if projector.is_alive():  # within the database, which would abort the interpreter's own end: all else is done
        os._exit(0)
    return 0


def _retention(settings: Settings, clock: Callable[[], datetime]) -> Retention | None:
    """Return what retires evidence that is older than the configuration says; ``None`` where it says nothing."""
    from daemon.config import read_config  # brings pydantic, which a daemon without a configuration never needs

    days = read_config(settings.config_file).log.retention_days if settings.config_file.exists() else None
    if days is None:
        return None
    return lambda projection: retire_old(projection, settings.state, clock() - timedelta(days=days), clock)
