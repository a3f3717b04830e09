"""
`tallystick resolve`: which session began between two times; for a harness, instead of `ls -dt | head -1`.

It is asked the moment a session ends, when nothing of it may have been read. So runs that are called by type and time
are looked up on disk, now. Of other agents only a log itself says when it began: there the published tables answer,
and while a log that may be meant is not in them, nobody does.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from adapters.registry import installed
from daemon import show
from daemon.identity import stored_path
from daemon.message_options import seconds
from daemon.repair.matching import NAMES_RUN_TYPE, Session, loop_of, matched, window
from daemon.repair.runs import Log, logs_on_disk, read_logs, runs_on_disk
from daemon.settings import Settings
from projections.read import Tables
from state.errors import TallystickError

DONE, FINDINGS = 0, 1

#: How often a waiting caller looks, in seconds.
_LOOK_SECONDS: Final = 0.2

_SAID: Final = {
    "nothing_in_time": "none began there",
    "ambiguous": "several began there, and none is preferred",
    "repeated_hour": "its name is a local time that stands for two instants",
    "not_read_yet": "a log of that time is not read yet; ask again with --wait SECONDS, or run `tallystick ingest`",
}


class NoInstant(TallystickError):
    """
    --start and --end are instants, in this order. Write @1776567283 (`date +@%s`), or ISO 8601 with its zone.
    """

    exit_code = 2


class UnknownAgent(TallystickError):
    """
    No adapter reads session logs of this agent. The facts name those whose logs are read.
    """

    exit_code = 2


class RunTypeNeeded(TallystickError):
    """
    Runs of this agent are looked up by type and time. Say --run-type, the word in the names of its runs.
    """

    exit_code = 2


class Question(NamedTuple):
    """The options of `resolve`, as words; null where nothing was said: no run type, an end that is now."""

    agent: str
    run_type: str | None
    start: str
    end: str | None

    def asked(self) -> tuple[Session, timedelta]:
        """
        Return the session that is asked about, and how long after its start its log may have begun.

        It has no end: how long a log went on is not asked.

        Raises:
            NoInstant, UnknownAgent, RunTypeNeeded: There is none.
        """
        start = instant("--start", self.start)
        end = datetime.now(UTC).replace(tzinfo=None) if self.end is None else instant("--end", self.end)
        if end < start:
            raise NoInstant(option="--end")
        loop = loop_of(self.agent, self.run_type)
        if loop is None or self.agent not in _agents():
            raise UnknownAgent(agent=show.safe(self.agent), can_be=",".join(_agents()))
        if loop.run_type is None and self.agent == NAMES_RUN_TYPE:
            raise RunTypeNeeded(agent=self.agent)
        return Session("asked", loop, start, None), end - start


def instant(option: str, text: str) -> datetime:
    """
    Return an instant as naive UTC; a time without a zone is none, as the wrong zone would miss in silence.

    Raises:
        NoInstant: It is none.
    """
    try:
        if text.startswith("@"):
            return datetime.fromtimestamp(float(text[1:]), UTC).replace(tzinfo=None)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        pass
    raise NoInstant(option=option)


def resolve(settings: Settings, question: Question, wait: str, *, is_path: bool, as_json: bool) -> int:
    """
    Print the one session that began between two times; nothing, and 1, where there is none or more than one.

    Raises:
        NoInstant, UnknownAgent, RunTypeNeeded, NoTime: The question is none.
    """
    session, within = question.asked()
    found, problem = _waited_for(lambda: _looked_up(settings, session, within), seconds(wait))
    if as_json:
        answer = {"session_id": found.session_id, "path": found.path} if found else {"session_id": None, "path": None}
        asked = {"agent": question.agent, "run_type": question.run_type}
        show.document({"schema": "tallystick.resolve/1", **asked, **answer, "problem": problem})
    elif found is not None:
        show.out(found.path if is_path else found.session_id)
    if problem is not None:
        sys.stderr.write(f"tallystick: no session is certain: {_SAID[problem]}\n")
    return FINDINGS if found is None else DONE


Answer = tuple[Log | None, str | None]


def _waited_for(look: Callable[[], Answer], wait_seconds: float) -> Answer:
    deadline = time.monotonic() + wait_seconds
    while True:
        found, problem = look()
        left = deadline - time.monotonic()
        if found is not None or problem == "ambiguous" or left <= 0:
            return found, problem
        time.sleep(min(_LOOK_SECONDS, left))


def _looked_up(settings: Settings, session: Session, within: timedelta) -> Answer:
    # A harness knows when its session ended, and needs no other bound.
    is_named = session.loop.run_type is not None
    logs = _named(settings, session) if is_named else _read(settings, session, window(session, within)[0])
    if logs is None:
        return None, "not_read_yet"
    match = matched([session], [log.run for log in logs], within)[session.key]
    if match.run is None:
        return None, match.why
    return next(log for log in logs if log.run.key == match.run), None


def _named(settings: Settings, session: Session) -> list[Log]:
    """Return the runs on disk; their names say when they began."""
    return list(runs_on_disk(settings, session.loop.agent))


def _read(settings: Settings, session: Session, earliest: datetime) -> list[Log] | None:
    """Return the logs of the published tables; null while one written to since *earliest* is not in them."""
    since = earliest.replace(tzinfo=UTC).timestamp()
    new = {
        stored_path(seen.path) for seen in logs_on_disk(settings, session.loop.agent) if seen.status.st_mtime >= since
    }
    with Tables(settings.state.published) as tables:
        known = {row["source"] for row in tables.rows(_READ)}
        return None if new - known else list(read_logs(tables, settings.zone))


#: Logs that were read: those that say when they began, and those that say nothing of it to their end.
_READ: Final = """
SELECT source FROM trajectories WHERE first_at IS NOT NULL
UNION ALL
SELECT source FROM high_water_marks WHERE lines > 0 AND offset_bytes >= size_bytes
"""


def _agents() -> list[str]:
    """Return the agents that have session logs: records of harnesses are nobody's."""
    return sorted({adapter.agent for adapter in installed() if adapter.source_class != "session_record"})
