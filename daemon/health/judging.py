"""Asking every judge, so that one that fails is told and keeps none of the others from being heard."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from daemon.health.finding import Finding
from daemon.journal import Journal

T = TypeVar("T")

#: Given what it looks at and the time, returns what is wrong. It is asked often: no work proportional to history.
Judge = Callable[[T, datetime], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Judging(Generic[T]):
    """Judges by name, who all look at the same."""

    judges: Mapping[str, Judge[T]]
    clock: Callable[[], datetime]
    journal: Journal

    def ask(self, subject: T) -> tuple[Finding, ...]:
        """Return what all of them find; a judge that fails is a finding itself."""
        now = self.clock()
        return tuple(finding for name in self.judges for finding in self._heard(name, subject, now))

    def _heard(self, name: str, subject: T, now: datetime) -> list[Finding]:
        try:
            return list(self.judges[name](subject, now))
        except Exception as error:  # noqa: BLE001 - it is a finding; its text may quote what it could not read
            self.journal.error("judge_failed", judge=name, failure=type(error).__name__)
            message = f"judging {name} failed ({type(error).__name__}): nothing is known of it"
            return [Finding("judge_failed", name, None, message, "tallystick doctor")]
