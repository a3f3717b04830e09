"""
What is wrong with a daemon, as far as its heartbeat and a look from outside tell.

Pure: the same heartbeat, look and time give the same findings. What a daemon that is not heard said of its own state is
old, so only what is seen from outside is judged then.
"""

from collections.abc import Callable, Iterable
from typing import Final

from daemon.health import of_the_daemon as daemon
from daemon.health import of_the_sources as sources
from daemon.health import of_the_watchers as watchers
from daemon.health.case import Case, Presence, presence_in
from daemon.health.finding import Finding

Judgement = Callable[[Case], Iterable[Finding]]

#: What is asked by whether the daemon is heard.
_BY_PRESENCE: Final[dict[Presence, tuple[Judgement, ...]]] = {
    "none": (daemon.heartbeat_missing,),
    "stopped": (daemon.daemon_stopped, daemon.unit_inactive),
    "silent": (daemon.heartbeat_stale, daemon.unit_inactive),
    "there": (
        daemon.state_unknown,
        daemon.daemon_starting,
        daemon.worker_dead,
        daemon.disk_full,
        daemon.log_damaged,
        daemon.projection_lag,
        sources.backlog_old,
        sources.mark_frozen,
        sources.unreadable_path,
        sources.nothing_to_read,
        sources.watch_degraded,
        sources.inbox_blocked,
        sources.checkouts_failed,
        sources.plugin_failed,
        watchers.clock_set,
        watchers.health_silent,
        watchers.config_refused,
        watchers.signals,
    ),
}
_ALWAYS: Final[tuple[Judgement, ...]] = (
    daemon.disk_low,
    sources.message_rejected,
    watchers.clock_behind,
    watchers.stamp_failed,
    watchers.reconcile_silent,
    watchers.invariants_silent,
    watchers.unusable,
)


def judge(case: Case) -> list[Finding]:
    """Return everything that is wrong, each thing once."""
    found = (finding for rule in (*_BY_PRESENCE[presence_in(case)], *_ALWAYS) for finding in rule(case))
    return list({(finding.rule, finding.source): finding for finding in found}.values())
