"""What is judged: what the daemon said last, what was seen from outside, and when that was."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from daemon.health.finding import Finding, Severity
from daemon.health.heard import Said
from daemon.health.limits import Limits
from daemon.health.look import Looked
from daemon.health.rules import Rule
from daemon.health.steps import Steps, steps

#: So many beats in a row are never missed by a daemon that is well.
_MISSED_BEATS: Final = 3
#: Silence for so long is told, in seconds, or sooner where the reporting window is shorter.
SILENT_SECONDS: Final = 30
_DEFAULTS: Final = Limits()

#: Whether the daemon is heard: `none` where there is no heartbeat that can be used.
Presence = Literal["there", "stopped", "silent", "none"]


class Case(NamedTuple):
    """
    What is judged.

    Args:
        looked: What was seen from outside, the last heartbeat with it.
        now: When.
        steps: The commands that can be named.
        age_seconds: Of the heartbeat; null where there is none, or it does not say when it was written.
        window_seconds: Within so long every silence is told.
        disk_free_bytes: Less room than this is told.
    """

    looked: Looked
    now: datetime
    steps: Steps
    age_seconds: float | None
    window_seconds: float
    disk_free_bytes: float

    @property
    def said(self) -> Said:
        """The last heartbeat."""
        return self.looked.heard.said

    @property
    def pid(self) -> int | None:
        """The daemon's process; null when it is not named."""
        number = self.said.number("pid")
        return int(number) if number is not None and number > 0 else None

    def found(
        self,
        rule: Rule,
        message: str,
        then: str,
        *,
        source: str | None = None,
        held_seconds: float | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """Return a finding that has held for so long; null where that is not known."""
        since = None if held_seconds is None else self.now - timedelta(seconds=held_seconds)
        shown = None if since is None else since.isoformat(timespec="seconds")
        return Finding(rule, source, shown, message, then, severity)


def case_of(looked: Looked, now: datetime, state_directory: str, options: Sequence[str] = ()) -> Case:
    """Put together what is judged; *options* are those with which a command means the same state directory."""
    said = looked.heard.said
    if looked.heard.problem is not None:
        window, room = _DEFAULTS.reporting_window_seconds, _DEFAULTS.disk_free_mib
        return Case(looked, now, Steps(state_directory, options), None, window, room * 1024 * 1024)
    return Case(
        looked=looked,
        now=now,
        steps=steps(said, state_directory, options),
        age_seconds=_age_seconds(looked, now),
        window_seconds=said.number("window_seconds") or _DEFAULTS.reporting_window_seconds,
        disk_free_bytes=(said.number("disk_free_mib") or _DEFAULTS.disk_free_mib) * 1024 * 1024,
    )


def _age_seconds(looked: Looked, now: datetime) -> float | None:
    """
    Return how old the heartbeat is.

    In the same boot by the clock that nobody can set; else by the wall clock, and then never below zero.
    """
    said = looked.heard.said
    at, beat_at = said.time("at"), said.number("clock", "monotonic_seconds")
    if at is None:
        return None
    if is_same_boot(looked) and beat_at is not None and beat_at <= looked.monotonic_seconds:
        return looked.monotonic_seconds - beat_at
    return max((now - at).total_seconds(), 0.0)


def is_same_boot(looked: Looked) -> bool:
    """Say whether the machine has not been started anew since the heartbeat was written."""
    boot_id = looked.heard.said.word("clock", "boot_id")
    return bool(boot_id) and boot_id == looked.boot_id


def presence_in(case: Case) -> Presence:
    """Say whether the daemon is heard."""
    if case.looked.heard.problem is not None or case.age_seconds is None:
        return "none"
    if case.said.word("state") == "stopped":
        return "stopped"
    beat = case.said.number("beat_seconds") or 0
    # A process of another container is not seen from here: one that was heard just now is there all the same.
    is_gone = case.looked.process in ("gone", "stopped") and case.age_seconds > 2 * beat + 1
    bound = max(_MISSED_BEATS * beat, min(SILENT_SECONDS, case.window_seconds))
    return "silent" if is_gone or case.age_seconds > bound else "there"
