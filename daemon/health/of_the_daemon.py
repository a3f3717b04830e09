"""What is wrong with the daemon itself: whether it is heard, its threads, its disk, its log, its tables."""

from collections.abc import Iterator
from typing import Final

from daemon.health.case import Case
from daemon.health.finding import Finding, Severity

#: A thread that has not been heard for so long hangs, in seconds: the first figure whatever the window, for a step of
#: the tables may take so long; the second at most.
_WORKER_SECONDS: Final = (30, 300)
#: A look at a checkout may hang with somebody's disk; that is told by itself, and no restart mends it.
_EXCUSED: Final = "checkouts"


def heartbeat_missing(case: Case) -> Iterator[Finding]:
    """There is no heartbeat, or none that can be used."""
    problem = case.looked.heard.problem
    if problem == "missing":
        message = "no daemon has ever run over this state directory, or what it left was deleted"
        then = case.steps.ask("service", "install") if case.looked.has_unit else case.steps.ask("run")
    else:
        message = f"the heartbeat cannot be used ({problem or 'no_time'}): nothing is known of the daemon"
        then = case.steps.show(f"{case.steps.state_directory}/health.json")
    yield case.found("heartbeat_missing", message, then)


def heartbeat_stale(case: Case) -> Iterator[Finding]:
    """The daemon should be heard and is not."""
    age, pid = case.age_seconds or 0, case.pid
    how, then = "is gone", case.steps.start()
    if pid is not None and case.looked.process == "stopped":
        how, then = "is stopped by a signal", case.steps.go_on(pid)
    elif pid is not None and case.looked.process == "blocked":
        how, then = "waits for a disk that does not answer", case.steps.disk()
    elif pid is not None and case.looked.process == "there":
        how, then = "is there and says nothing: it hangs", case.steps.restart(pid, is_hung=True)
    message = f"the daemon (process {pid or '?'}) was last heard {age:.0f} s ago and {how}"
    yield case.found("heartbeat_stale", message, then, held_seconds=age)


def daemon_stopped(case: Case) -> Iterator[Finding]:
    """The daemon said that it ends."""
    age = case.age_seconds or 0
    message = f"the daemon was stopped {age:.0f} s ago and not started again"
    yield case.found("daemon_stopped", message, case.steps.start(), held_seconds=age)


def unit_inactive(case: Case) -> Iterator[Finding]:
    """The service is enabled, and its process is not there."""
    if case.said.has("service") and case.said.flag("service", "is_enabled") and case.looked.process in ("gone", None):
        unit = case.said.word("service", "unit") or "the service"
        message = f"{unit} is enabled and not active, as far as the daemon's last words tell"
        yield case.found("unit_inactive", message, case.steps.start(), held_seconds=case.age_seconds)


def daemon_starting(case: Case) -> Iterator[Finding]:
    """The first sweep is under way; for longer than a window that is no excuse."""
    if case.said.word("state") == "starting":
        uptime = case.said.number("uptime_seconds") or 0
        message = f"the first sweep is under way for {uptime:.0f} s: what it has not reached is not counted yet"
        severity: Severity | None = "critical" if uptime > case.window_seconds else None
        then = case.steps.ask("status")
        yield case.found("daemon_starting", message, then, held_seconds=uptime, severity=severity)


def state_unknown(case: Case) -> Iterator[Finding]:
    """The daemon is in a state that this program does not know."""
    if case.said.word("state") not in ("starting", "running", "paused", "stopping"):
        message = "the daemon says it is in a state that this program does not know: they are of different versions"
        yield case.found("judge_failed", message, case.steps.restart(case.pid), source="state", severity="unknown")


def worker_dead(case: Case) -> Iterator[Finding]:
    """A thread of the daemon ended, or hangs."""
    said, restart = case.said, case.steps.restart(case.pid)
    least, most = _WORKER_SECONDS
    bound = max(least, min(most, case.window_seconds))
    for name in said.names("workers"):
        age = said.number("workers", name, "age_seconds")
        if said.flag("workers", name, "is_alive") is False:
            yield case.found("worker_dead", f"the thread {name} has ended", restart, source=name)
        elif age is not None and age > bound and name != _EXCUSED:
            message = f"the thread {name} was last heard {age:.0f} s ago"
            yield case.found("worker_dead", message, restart, source=name, held_seconds=age)


def disk_full(case: Case) -> Iterator[Finding]:
    """The daemon waits for room."""
    if case.said.word("state") == "paused":
        message = "the disk of the state directory is full: nothing is read until there is room"
        yield case.found("disk_full", message, case.steps.disk())


def disk_low(case: Case) -> Iterator[Finding]:
    """There is little room, or nobody can say how much."""
    free = case.looked.disk_free_bytes
    if free is None and case.looked.has_state:
        message = "how full the disk of the state directory is cannot be seen"
        yield case.found("disk_low", message, case.steps.disk(), severity="unknown")
    elif free is not None and free < case.disk_free_bytes:
        limit = round(case.disk_free_bytes) >> 20
        message = f"{free >> 20} MiB are free on the disk of the state directory, less than {limit}"
        yield case.found("disk_low", message, case.steps.disk())


def log_damaged(case: Case) -> Iterator[Finding]:
    """Opening the log found bytes that are not what was committed."""
    places = case.said.number("log", "damages") or 0
    if places:
        message = f"the log is damaged in {places:.0f} places; what stood there was read from its sources again"
        yield case.found("log_damaged", message, case.steps.ask("verify"))


def projection_lag(case: Case) -> Iterator[Finding]:
    """The tables cannot be kept up, or are not; the daemon tries again by itself, and makes them anew."""
    failure, lag = case.said.word("tables", "failure"), case.said.number("tables", "lag_age_seconds")
    restart = case.steps.restart(case.pid)
    if failure is not None:
        message = f"the tables cannot be brought up to the log ({failure})"
        yield case.found("projection_lag", message, case.steps.list_state(), held_seconds=lag)
    elif (
        lag is not None and lag > max(case.window_seconds, _WORKER_SECONDS[0]) and case.said.word("state") == "running"
    ):
        message = f"the published tables have lacked events of the log for {lag:.0f} s"
        yield case.found("projection_lag", message, restart, held_seconds=lag)
