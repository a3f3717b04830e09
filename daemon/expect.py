"""
`tallystick expect`: for a harness that knows under which name its agent logs, and must not guess.

It finds the one log of exactly this name or none. There is no second best: the newest log of the day once stood in the
place of 136 sessions, none of which it was.
"""

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from adapters.decode import context_id, digest
from daemon import show
from daemon.bootstrap import roots
from daemon.discover import Found, Place, look_at, sweep
from daemon.inbox_client import submit
from daemon.message_options import seconds
from daemon.provenance import utc_text
from daemon.settings import Settings
from state.errors import TallystickError

DONE, FINDINGS = 0, 1

PRODUCER: Final = "tallystick_expect"
#: How often a waiting caller looks, in seconds.
LOOK_SECONDS: Final = 0.2
#: Copies and parts of a conversation bear its name too; these are the conversation.
_OWN_ROLES: Final = ("main", "archived", "subagent")


class NothingExpected(TallystickError):
    """
    It is not said which log is expected. Name it (or set GPTME_NAME), and an agent of `tallystick adapters list`.
    """

    exit_code = 2


def expect(settings: Settings, name: str | None, agent: str, within: str, *, as_json: bool) -> int:
    """
    Print the log of exactly this name; 1 and one line on stderr where there is none, or more than one.

    What was found is left as evidence, so that a name that misses is told by health at the first miss.

    Raises:
        NothingExpected: No name, or no such agent.
        NoTime: The time to wait is none.
    """
    wanted = name or settings.agent_environment.get("GPTME_NAME", "").strip()
    known = [place for place in roots(settings) if place.adapter.agent == agent]
    deadline = time.monotonic() + seconds(within, "--within")
    if not wanted or not known:
        raise NothingExpected(**({"agent": show.safe(agent)} if wanted else {}))
    found = _waited_for(known, wanted, settings, deadline)
    _leave(settings, agent, wanted, is_found=len(found) == 1)
    path = found[0] if len(found) == 1 else None
    if as_json:
        show.document(
            {"schema": "tallystick.expect/1", "agent": agent, "name": wanted, "path": path, "count": len(found)}
        )
    elif path is not None:
        show.out(path)
    if path is None:
        how_many = f"{len(found)} logs" if found else "no log"
        sys.stderr.write(
            f"tallystick: {how_many} of {agent} called {show.safe(wanted)} below {len(known)} roots: "
            "`tallystick adapters list` shows them\n"
        )
    return FINDINGS if path is None else DONE


def _leave(settings: Settings, agent: str, name: str, *, is_found: bool) -> None:
    """Leave what was found as evidence; the newest statement about a name holds."""
    now = datetime.now(UTC)
    body = {
        "agent": agent,
        "name": context_id(name),
        "is_found": is_found,
        "at": utc_text(now),
    }
    key = f"expectation:{digest(repr((agent, name)))}"
    submit(settings.state, "expectation", body, producer=PRODUCER, key=key, revision=time.time_ns() // 1_000, now=now)


def _waited_for(known: list[Place], wanted: str, settings: Settings, deadline: float) -> list[str]:
    while True:
        found = sorted(set(_found(known, wanted, settings)))
        left = deadline - time.monotonic()
        if found or left <= 0:
            return found
        time.sleep(min(LOOK_SECONDS, left))


def _found(known: list[Place], wanted: str, settings: Settings) -> Iterator[str]:
    if "/" in wanted or wanted.startswith("~"):
        yield from _at_path(known, Path(wanted).expanduser(), settings)
        return
    session_id = context_id(wanted)
    for seen in sweep(known, settings.zone):
        if isinstance(seen, Found) and seen.header.role in _OWN_ROLES and _is_wanted(seen, wanted, session_id):
            yield seen.path


def _is_wanted(seen: Found, wanted: str, session_id: str | None) -> bool:
    """Say whether a log is the one of this name, or of this id of a session."""
    return seen.header.name == wanted or seen.header.session_id == session_id


def _at_path(known: list[Place], path: Path, settings: Settings) -> Iterator[str]:
    """Yield the log at *path*, or the conversation that a directory of this path is."""
    whole = path.absolute()
    for each in (whole, whole / "conversation.jsonl"):
        seen = look_at(known, os.fspath(each), settings.zone)
        if isinstance(seen, Found):
            yield seen.path
