"""
`tallystick statusline`: one line for the foot of Claude Code: what the agent says of its session, and how we are.

It is asked at every message, so it reads what the agent hands over, the daemon's heartbeat and the totals that it left
beside the tables, and imports nothing that it does not need. Figures are the agent's own, as stated; but for the tokens
that were measured, which are ours.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from daemon import show
from daemon.health.finding import by_severity, worst
from daemon.health.verb import judged
from daemon.session_totals import session_total
from daemon.settings import Settings, load

DONE: Final = 0

#: More than an agent hands over.
INPUT_BYTES_MAX: Final = 1024 * 1024
_NAME_MAX: Final = 40
_WINDOWS: Final = (("five_hour", "5h"), ("seven_day", "7d"))


def main(home: str | None, state_directory: str | None) -> int:
    """Answer without the parser of the other verbs; whatever fails, an agent gets a line that says so."""
    try:
        return statusline(load(home, state_directory, zone="UTC"))
    except Exception as error:  # noqa: BLE001 - the foot of somebody's screen is no place for a traceback
        show.out(f"tallystick: the line failed ({type(error).__name__})")
        return DONE


def statusline(settings: Settings) -> int:
    """Print the line."""
    handed = _handed()
    said = [*_stated(handed), *_measured(settings, handed), _watched(settings)]
    show.out(show.safe(" · ".join(said)))
    return DONE


def _handed() -> Mapping[str, Any]:
    """Return what the agent hands over on stdin; nothing where that is no JSON object, or somebody types."""
    if sys.stdin is None or os.isatty(0):
        return {}
    try:
        read = json.loads(sys.stdin.buffer.read(INPUT_BYTES_MAX))
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _stated(handed: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the agent states of its session; what it does not state is left out, never a zero."""
    name = _in(handed, "model", "display_name")
    if isinstance(name, str) and name:
        yield name[:_NAME_MAX]
    cost = _number(handed, "cost", "total_cost_usd")
    if cost is not None:
        yield f"${cost:.2f} by its own count"
    context = _number(handed, "context_window", "used_percentage")
    if context is not None:
        yield f"context {context:.0f}%"
    for window, short in _WINDOWS:
        used = _number(handed, "rate_limits", window, "used_percentage")
        if used is not None:
            yield f"{short} {used:.0f}%{_until(_number(handed, 'rate_limits', window, 'resets_at'))}"


def _until(resets_at: float | None) -> str:
    """Return when a window ends, in the zone of who looks; empty where that is no time."""
    if resets_at is None:
        return ""
    try:
        return f" until {datetime.fromtimestamp(resets_at).astimezone():%a %H:%M}"
    except (ValueError, OverflowError, OSError):
        return ""


def _measured(settings: Settings, handed: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was measured of the session that is named; a call that is incomplete makes it a lower bound."""
    session = _in(handed, "session_id")
    if not isinstance(session, str):
        return
    total = session_total(settings.state, session)
    if total is None:
        yield "measured: unknown"
    else:
        yield f"measured {'>=' if total.incomplete_calls else ''}{total.total_tokens:,} tokens"


def _watched(settings: Settings) -> str:
    """Say how we are, as `health` does, with the worst that is wrong."""
    _, findings = judged(settings)
    state = worst(findings)
    if not findings:
        return f"tallystick {state}"
    first = by_severity(findings)[0]
    about = f" ({first.source})" if first.source else ""
    return f"tallystick {state.upper()}: {first.rule}{about}"


def _number(handed: Mapping[str, Any], *names: str) -> float | None:
    found = _in(handed, *names)
    return None if isinstance(found, bool) or not isinstance(found, int | float) else found


def _in(handed: Any, *names: str) -> object:  # noqa: ANN401 - what somebody else's JSON holds
    for name in names:
        handed = handed.get(name) if isinstance(handed, dict) else None
    return handed
