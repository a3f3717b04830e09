"""
Old event versions to the current one, on read.

A log is never rewritten. When a shape changes, `EVENT_VERSION` goes up and one function here turns the older shape into
the next; reading applies them in order. There is one version so far, hence no function.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from state.vocabulary import EVENT_VERSION

Event = dict[str, Any]

#: From the version named to the next one.
UPCASTS: dict[int, Callable[[Event], Event]] = {}


def upcast(event: Event, upcasts: Mapping[int, Callable[[Event], Event]] = UPCASTS, to: int = EVENT_VERSION) -> Event:
    """Return *event* in version *to*; an event that is newer, or has no version, is returned as it is."""
    version = event.get("v", to)
    while version < to:
        event = upcasts[version](event) | {"v": version + 1}
        version += 1
    return event


def upcast_line(line: bytes) -> bytes:
    """Return one event line of the log in the current version; the same bytes when there is nothing to do."""
    if not UPCASTS:
        return line
    event = json.loads(line)
    current = upcast(event, UPCASTS)
    return line if current == event else json.dumps(current, separators=(",", ":")).encode() + b"\n"
