"""Evidence as it is appended: what `tallystick tail` shows."""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from daemon import show
from daemon.identity import real_path
from daemon.settings import Settings
from projections.read import NothingPublished
from state.head import Mark, recall
from state.read import event_lines, slices

#: How often the log's head is looked at, in seconds.
LOOK_SECONDS: Final = 0.1
_EVENT: Final = b'{"q":'


def follow(settings: Settings, *, last: int, is_following: bool) -> Iterator[bytes]:
    """
    Yield the last events of the log as they stand in it, then each new one once it is committed.

    Args:
        settings: Whose log.
        last: How many to begin with.
        is_following: Whether to wait for more; the iterator then never ends.

    Raises:
        NothingPublished: There is no log yet.
        LogBroken: The log cannot be read on.
    """
    paths = settings.state
    if not paths.log_directory.is_dir():
        raise NothingPublished(path=paths.log_directory)
    head = recall(paths.head)
    after = max((head.seq if head else -1) - last, -1)
    mark: Mark | None = None
    while True:
        for each in slices(paths.log_directory, mark.seq if mark else after, mark):
            yield from (line for line in event_lines(each) if mark is not None or _seq(line) > after)
            mark = each.mark
        if not is_following:
            return
        seen = recall(paths.head)
        while seen is not None and mark is not None and seen.place <= mark.place:
            time.sleep(LOOK_SECONDS)
            seen = recall(paths.head)
        if seen is None or mark is None:
            time.sleep(LOOK_SECONDS)


def _seq(line: bytes) -> int:
    return int(line[len(_EVENT) : line.index(b",")])


_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_TOKENS: Final = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


def sentence(line: bytes) -> str:
    """Return one event as a line for a person: number, time, agent, kind, what it says, and where it stands."""
    event = _decode(line)
    at = str(event.get("ingested_at", "-"))[:19]
    parts = [f"#{event['q']}", at, str(event.get("agent", "-")), str(event["k"])]
    parts += [str(event[name]) for name in ("change", "code", "model", "session_id") if event.get(name) is not None]
    stated = {name.removesuffix("_tokens"): event[name] for name in _TOKENS if event.get(name) is not None}
    raw = event.get("raw")
    shown = stated or (raw if isinstance(raw, dict) else {})
    parts += [f"{name}={value}" for name, value in shown.items()]
    place = event.get("source_path") or event.get("source_uri")
    if place:
        offset = event.get("offset_bytes")
        parts.append(real_path(str(place)) + (f" @{offset}" if offset is not None else ""))
    return show.safe("  ".join(parts))


def tail(settings: Settings, *, last: int, is_following: bool, as_json: bool) -> int:
    """Print evidence as it is appended until interrupted; with *as_json* the events as they stand in the log."""
    try:
        for line in follow(settings, last=last, is_following=is_following):
            show.out(line.decode("ascii") if as_json else sentence(line))
            show.flush()
    except KeyboardInterrupt:
        return 0
    return 0
