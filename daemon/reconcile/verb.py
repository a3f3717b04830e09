"""
`tallystick reconcile`: looks, says what is missing and what it would do; with `--apply` it does what is safe, once.

Safe is what loses nothing and can be done twice: reading what is unread. That a fallback does not count any more is an
operator's decision, asked for by an option of its own, and taken back by another.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon import show
from daemon.findings import alarming, found
from daemon.health.limits import Limits, limits
from daemon.health.stamps import stamp
from daemon.inbox_client import Sealed, is_waiting, submit_all
from daemon.lag import lag_events
from daemon.living import living
from daemon.reconcile.backfill import NotCaughtUp, backfill, take_in
from daemon.reconcile.counted import Counted, count
from daemon.reconcile.disk import Disk, Gap, look
from daemon.reconcile.fallbacks import restoring, superseding
from daemon.reconcile.report import Report, keep
from daemon.reconcile.tell import tell
from daemon.settings import Settings
from projections.read import NothingPublished, Tables, plain
from state.errors import TallystickError
from state.files import as_known
from state.vocabulary import RunBy
from state.walk import segments

DONE, FINDINGS = 0, 1


class TwoDecisions(TallystickError):
    """
    --zero-superseded-fallbacks and --restore-fallbacks ask for opposites. Give one of them.
    """

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The options.

    Args:
        since: Only what happened from then on, aware; null for everything.
        is_applied: Whether to write.
        is_superseding: Whether fallbacks beside a measurement shall not count any more.
        is_restoring: Whether all of those shall count again.
        is_scheduled: Whether a timer runs it, as its unit says: that it does no more is then a finding of health.
        wait_seconds: How long a daemon may take to read what is left.
    """

    since: datetime | None
    is_applied: bool
    is_superseding: bool
    is_restoring: bool
    is_scheduled: bool
    wait_seconds: float


def reconcile(settings: Settings, asked: Asked, *, as_json: bool) -> int:
    """
    Hold disk, log and tables against each other; 0 when nothing of it alarms, 1 else.

    Raises:
        TwoDecisions: Two options contradict.
        NotCaughtUp: A daemon did not read in time what was to be applied; the report says so, and is kept.
        TallystickError: Log, tables or state directory cannot be used.
    """
    if asked.is_superseding and asked.is_restoring:
        raise TwoDecisions
    bounds = limits(settings)
    before = _look(settings, asked, bounds)
    decisions, late = _apply(settings, asked, before) if asked.is_applied else (_decisions(settings, asked), None)
    after = _look(settings, asked, bounds) if asked.is_applied else before
    report = _report(
        settings, asked, bounds, after, _recovered(before, after), len(decisions), is_late=late is not None
    )
    receipt = keep(settings.state, report)
    if asked.is_scheduled:
        with as_known(settings.state.stamp("reconcile")):
            stamp(settings.state, "reconcile")
    if late is not None:
        raise late
    if asked.is_applied:
        _take_in(settings, [receipt], asked.wait_seconds)
    if as_json:
        show.document(report.document())
    else:
        tell(report)
    return FINDINGS if report.alarms else DONE


def _apply(settings: Settings, asked: Asked, before: Disk) -> tuple[list[Sealed], NotCaughtUp | None]:
    """Read what is left and decide what was asked for; returns the decisions sent, and what was not done in time."""
    decisions: list[Sealed] = []
    try:
        if before.recoverable or before.failed:
            backfill(settings, before.recoverable, asked.wait_seconds)
        decisions = _decisions(settings, asked)
        if decisions:
            _decide(settings, asked, decisions)
    except NotCaughtUp as error:
        return decisions, error
    return decisions, None


def _look(settings: Settings, asked: Asked, bounds: Limits) -> Disk:
    """Look at the disk; what a daemon that is well may still be reading is no gap."""
    is_read = living(settings).is_running and not asked.is_applied
    settled = datetime.now(UTC) - timedelta(seconds=bounds.reporting_window_seconds) if is_read else None
    return look(settings, asked.since, settled)


def _recovered(before: Disk, after: Disk) -> list[Gap]:
    left = {(gap.agent, gap.source) for gap in after.gaps}
    return [gap for gap in (*before.recoverable, *before.failed) if (gap.agent, gap.source) not in left]


def _decisions(settings: Settings, asked: Asked) -> list[Sealed]:
    """Return what is to be decided of fallbacks, as asked for; nothing unasked."""
    if not (asked.is_superseding or asked.is_restoring):
        return []
    with Tables(settings.state.published) as tables:
        return superseding(tables, asked.since) if asked.is_superseding else restoring(tables)


def _decide(settings: Settings, asked: Asked, decisions: list[Sealed]) -> None:
    submit_all(settings.state, decisions)
    _take_in(settings, [each.receipt for each in decisions], asked.wait_seconds)


def _take_in(settings: Settings, receipts: list[str], wait_seconds: float) -> None:
    def is_taken() -> bool:
        return not any(is_waiting(settings.state, each) for each in receipts)

    take_in(settings, is_taken, time.monotonic() + wait_seconds)


def _report(
    settings: Settings,
    asked: Asked,
    bounds: Limits,
    disk: Disk,
    recovered: list[Gap],
    proposed: int,
    *,
    is_late: bool,
) -> Report:
    now = datetime.now(UTC)
    counted, as_of, findings = _asked_tables(settings, asked, bounds, now)
    run_by: RunBy = "timer" if asked.is_scheduled else "operator"
    return Report(
        now, run_by, asked.since, asked.is_applied, disk, recovered, counted, as_of, findings, proposed, is_late
    )


def _asked_tables(
    settings: Settings, asked: Asked, bounds: Limits, now: datetime
) -> tuple[Counted | None, tuple[int | None, str | None], list[dict[str, Any]]]:
    """
    Ask the tables.

    Raises:
        NothingPublished: There is a log, and there are no tables of it: no number of theirs is zero.
    """
    try:
        tables = Tables(settings.state.published)
    except NothingPublished:
        if segments(settings.state.log_directory):
            raise
        return None, (None, None), []
    with tables:
        head = tables.head()
        lag = lag_events(head, settings)
        if lag:
            show.warn(f"{lag} committed events are not in these tables yet: what they say is not in the report")
        as_of = (head.seq, None if head.committed_at is None else str(plain(head.committed_at)))
        findings = alarming(found(tables, now))
        return count(tables, asked.since, bounds.canary_events), as_of, findings
