"""What keeps judgements from being true: clocks, watchers that nobody asks, judges that do not answer."""

from collections.abc import Iterator
from typing import Final

from daemon.health.case import Case, is_same_boot
from daemon.health.finding import Finding, read_finding

#: Two clocks may differ by so much, in seconds.
_SKEW_SECONDS: Final = 60
#: The reconcile is daily.
_RECONCILE_SECONDS: Final = 2 * 86_400
#: Whoever starts sessions asks more often; so does a daily cron.
_INVARIANTS_SECONDS: Final = 2 * 86_400
#: Twice what our health timer waits, and what systemd may add, in seconds.
_TIMER_SECONDS: Final = 660


def clock_set(case: Case) -> Iterator[Finding]:
    """Somebody set the wall clock while the daemon runs."""
    step = case.said.number("clock", "step_seconds") or 0
    if abs(step) > _SKEW_SECONDS:
        at = case.said.time("clock", "stepped_at")
        held = None if at is None else max((case.now - at).total_seconds(), 0.0)
        way = "forward" if step > 0 else "back"
        message = f"the wall clock was set {way} by {abs(step):.0f} s since the daemon began: times of events are off"
        yield case.found("clock_skew", message, case.steps.restart(case.pid), held_seconds=held)


def clock_behind(case: Case) -> Iterator[Finding]:
    """The heartbeat lies in the future, and no other clock tells how old it is."""
    at = case.said.time("at")
    if at is not None and not is_same_boot(case.looked) and (at - case.now).total_seconds() > _SKEW_SECONDS:
        ahead = (at - case.now).total_seconds()
        message = f"the heartbeat lies {ahead:.0f} s in the future: this machine's clock, or the daemon's, is wrong"
        yield case.found("clock_skew", message, "date -u", source="heartbeat", severity="unknown")


def health_silent(case: Case) -> Iterator[Finding]:
    """
    Nobody has asked for health for two windows in which the daemon was awake, or for as long as our timer takes twice.

    Where nobody ever did, that is a finding only under a service, which comes with a timer.
    """
    silence = case.said.number("last_runs", "health", "silent_seconds")
    is_expected = case.looked.stamps.get("health") is not None or case.steps.manager is not None
    bound = max(2 * case.window_seconds, _TIMER_SECONDS if case.steps.manager is not None else 0)
    if silence is not None and silence > bound and is_expected:
        message = f"nothing but people at a terminal has asked for health for {silence:.0f} s"
        yield case.found("health_silent", message, case.steps.health_timer(), held_seconds=silence)


def stamp_failed(case: Case) -> Iterator[Finding]:
    """This very run leaves no trace."""
    failure = case.looked.stamp_failure
    if failure is not None and case.looked.has_state:
        message = f"this run could not leave its stamp ({failure}): the daemon cannot tell that it is asked"
        then = case.steps.show(f"{case.steps.state_directory}/health.stamp")
        yield case.found("health_silent", message, then, source="stamp")


def reconcile_silent(case: Case) -> Iterator[Finding]:
    """The daily reconcile ran once, and does no more."""
    at = case.looked.stamps.get("reconcile")
    age = None if at is None else case.now.timestamp() - at
    if age is not None and age > _RECONCILE_SECONDS:
        message = f"the daily reconcile ran last {age / 3600:.0f} hours ago"
        yield case.found("reconcile_silent", message, case.steps.timers(), held_seconds=age)


def invariants_silent(case: Case) -> Iterator[Finding]:
    """Somebody asked for the invariants once, a harness or a cron, and does no more."""
    at = case.looked.stamps.get("invariants")
    age = None if at is None else case.now.timestamp() - at
    if age is not None and age > _INVARIANTS_SECONDS:
        message = f"nobody has asked for the invariants for {age / 3600:.0f} hours"
        yield case.found("invariants_silent", message, case.steps.ask("invariants"), held_seconds=age)


def config_refused(case: Case) -> Iterator[Finding]:
    """The configuration was changed into something that cannot be read."""
    failure = case.said.word("config", "failure")
    if failure is not None:
        message = f"the changed configuration cannot be read ({failure}): the daemon goes by the one before"
        yield case.found("judge_failed", message, case.steps.log(), source="config")


def signals(case: Case) -> Iterator[Finding]:
    """Pass on what the daemon's own judges found; that they were not asked, or cannot be understood, is a finding."""
    stated = case.said.list("signals")
    uptime = case.said.number("uptime_seconds") or 0
    if stated is None:
        if uptime > case.window_seconds and case.said.word("state") == "running":
            message = f"the tables and the host have not been judged in {uptime:.0f} s"
            yield case.found("judge_failed", message, case.steps.log(), source="signals", severity="unknown")
        return
    read = [read_finding(each) if isinstance(each, dict) else None for each in stated]
    yield from (each for each in read if each is not None)
    if None in read:
        message = f"{read.count(None)} findings of the daemon are not understood: it is of another version"
        yield case.found("judge_failed", message, case.steps.restart(case.pid), source="signals", severity="unknown")


def unusable(case: Case) -> Iterator[Finding]:
    """
    Fields that a rule asked for are not there, or are no such thing; to be asked last.
    """
    missing = sorted(case.said.unusable)
    if missing and case.looked.heard.problem is None:
        message = f"the heartbeat says nothing usable of {len(missing)} fields, {missing[0]} for one"
        then = case.steps.restart(case.pid)
        yield case.found("judge_failed", message, then, source="heartbeat", severity="unknown")
