"""Whether a daemon runs beside the published tables, as its last heartbeat tells."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from daemon.health.heard import SCHEMA
from state.paths import StatePaths

#: A heartbeat comes every five seconds; one that is older than this is silence, in seconds.
SILENT_SECONDS: Final = 30
#: Tables that are so old while events wait for them are not kept up, in seconds.
LATE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Living:
    """
    What the last heartbeat says, and how old it is.

    ``state``: `none` (there never was a daemon), `silent` (it should be heard and is not), else its own word.
    """

    state: str
    heartbeat_age_seconds: int | None
    said: dict[str, Any]

    @property
    def is_running(self) -> bool:
        """Whether a daemon is there and well enough to say so."""
        return self.state in ("starting", "running", "paused")

    def document(self) -> dict[str, Any]:
        """Return what `status --json` shows of the daemon; null for what was never said."""
        watch, tables, inbox, sweep = (_part(self.said, name) for name in ("watch", "tables", "inbox", "sweep"))
        return {
            "state": self.state,
            "pid": self.said.get("pid"),
            "heartbeat_age_seconds": self.heartbeat_age_seconds,
            "uptime_seconds": self.said.get("uptime_seconds"),
            "blindness": watch.get("blindness"),
            "tables_failure": tables.get("failure"),
            "published_age_seconds": tables.get("published_age_seconds"),
            "inbox_failure": inbox.get("failure"),
            "sweep_age_seconds": sweep.get("age_seconds"),
        }

    def findings(self, lag_events: int) -> list[str]:
        """Return what an operator should know, each with the next step."""
        shown = self.document()
        found = []
        if self.state == "silent":
            found.append(
                f"the daemon (pid {shown['pid']}) was last heard {self.heartbeat_age_seconds} s ago: look at its log, "
                "then start it again"
            )
        if self.state == "starting":
            found.append("the first sweep is under way: what it has not reached is not counted yet")
        if self.state == "paused":
            found.append(
                "the disk is full: nothing is read until there is room; free some, the daemon goes on by itself"
            )
        if self.is_running and shown["blindness"]:
            reasons = ",".join(map(str, shown["blindness"])) if isinstance(shown["blindness"], list) else "?"
            found.append(f"changes may go unheard ({reasons}): everything is swept every 10 s instead")
        if self.is_running and shown["tables_failure"]:
            found.append(
                f"the tables cannot be brought up to the log ({shown['tables_failure']}): see the daemon's log"
            )
        if self.is_running and shown["inbox_failure"]:
            found.append(
                f"nothing is taken from the inbox ({shown['inbox_failure']}): make it a directory of this user alone"
            )
        if lag_events and not self.is_running:
            found.append(f"{lag_events} committed events are not in the tables; run `tallystick ingest`")
        elif lag_events and _number(shown["published_age_seconds"]) > LATE_SECONDS:
            found.append(f"{lag_events} committed events are not in the tables: see the daemon's log")
        return found


def _part(said: dict[str, Any], name: str) -> dict[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0


def living(paths: StatePaths) -> Living:
    """Return what is known of the daemon of a state directory."""
    said = _heard(paths)
    if said is None:
        return Living("none", None, {})
    try:
        at = datetime.fromisoformat(str(said.get("at")))
        age = max(round(time.time() - at.astimezone(UTC).timestamp()), 0)
    except (ValueError, OverflowError):
        return Living("silent", None, said)
    state = str(said.get("state"))
    is_silent = state != "stopped" and (age > SILENT_SECONDS or not _is_process(said.get("pid")))
    return Living("silent" if is_silent else state, age, said)


def _heard(paths: StatePaths) -> dict[str, Any] | None:
    """Return the last heartbeat; ``None`` when there is none that can be read."""
    try:
        said = json.loads(paths.health.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and said.get("schema") == SCHEMA else None


def _is_process(pid: object) -> bool:
    """Say whether there is a process of this number, whoever owns it; it may be another one by now."""
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
