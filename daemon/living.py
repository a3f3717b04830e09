"""Whether a daemon runs beside the published tables, as its last heartbeat and a look from outside tell."""

from dataclasses import dataclass
from typing import Any

from daemon.health.case import Case, presence_in
from daemon.health.finding import Finding, by_severity
from daemon.health.verb import judged
from daemon.settings import Settings


@dataclass(frozen=True, slots=True)
class Living:
    """
    What the last heartbeat says, and how old it is.

    ``state``: `none` (there never was a daemon, or nothing is known of it), `silent` (it should be heard and is not),
    else its own word. ``judged`` is what `tallystick health` finds.
    """

    state: str
    case: Case
    judged: list[Finding]

    @property
    def is_running(self) -> bool:
        """Whether a daemon is there and well enough to say so."""
        return self.state in ("starting", "running", "paused")

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, the worst first; no daemon is no finding to who makes single passes."""
        is_alone = self.case.looked.heard.problem == "missing"
        return [each for each in by_severity(self.judged) if not (is_alone and each.rule == "heartbeat_missing")]

    def document(self) -> dict[str, Any]:
        """Return what `status --json` shows of the daemon; null for what was never said."""
        said, age = self.case.said, self.case.age_seconds
        is_known = self.state != "none"
        return {
            "state": self.state,
            "pid": self.case.pid,
            "heartbeat_age_seconds": None if age is None else round(age),
            "uptime_seconds": said.number("uptime_seconds"),
            "blindness": list(said.words("watch", "blindness")) if is_known else None,
            "tables_failure": said.word("tables", "failure"),
            "published_age_seconds": said.number("tables", "published_age_seconds"),
            "inbox_failure": said.word("inbox", "failure"),
            "sweep_age_seconds": said.number("sweep", "age_seconds"),
        }


def living(settings: Settings) -> Living:
    """Return what is known of the daemon of a state directory."""
    case, findings = judged(settings)
    presence = presence_in(case)
    return Living(presence if presence != "there" else case.said.word("state") or "running", case, findings)
