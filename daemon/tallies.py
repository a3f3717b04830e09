"""
What was read of each agent and version of it, and how much of it was usage: a format that changes shows here first.

Tallies are evidence of the reader's own, appended about once a minute, and at once when usage stops or comes again.
They stand in memory until then: a kill loses those of the last minute, and nothing else depends on them.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from daemon.provenance import utc_text
from state.vocabulary import EVENT_VERSION

#: What was read is told so often, in seconds.
TALLY_SECONDS: Final = 60.0
#: Usage that stopped or came again is told at once, but no more often, in seconds.
TURN_SECONDS: Final = 2.0
#: So many answers or lines that could not be counted are worth being told at once.
SIGNS_MIN: Final = 2
#: A file that was written so long before it was first read is history, in seconds.
HISTORY_SECONDS: Final = 3600.0
#: At most so many files are named.
SOURCES_MAX: Final = 3

_encode = msgspec.json.Encoder().encode


class Said(NamedTuple):
    """What some bytes came to; ``bytes`` are decompressed ones."""

    bytes: int = 0
    lines: int = 0
    unrecognised_lines: int = 0
    rejected_lines: int = 0
    usage_statements: int = 0
    turns_without_usage: int = 0

    def __sub__(self, other: "Said") -> "Said":
        return Said(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))

    def __add__(self, other: tuple[object, ...]) -> "Said":
        """Return the sum, part by part."""
        return Said(*(mine + theirs for mine, theirs in zip(self, Said(*other), strict=True)))  # type: ignore[arg-type]

    @property
    def signs(self) -> int:
        """How often something could not be counted."""
        return self.unrecognised_lines + self.rejected_lines + self.turns_without_usage

    @property
    def is_silent(self) -> bool:
        """Whether something should have been counted and nothing was."""
        return self.signs > 0 and not self.usage_statements


class Key(NamedTuple):
    """Whose it is; ``is_history``: it was written long before it was read."""

    agent: str
    agent_version: str | None
    is_history: bool


@dataclass(slots=True)
class _Tally:
    since: datetime
    begun_at: float
    said: Said = field(default_factory=Said)
    sources: list[str] = field(default_factory=list)

    def add(self, said: Said, source: str) -> None:
        self.said += said
        if said.is_silent and source not in self.sources and len(self.sources) < SOURCES_MAX:
            self.sources.append(source)


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told last of a version: when, and whether it was silent."""

    at: float
    was_silent: bool


class Tallies:
    """Collects what is read, and gives it as events when they are due."""

    def __init__(self) -> None:
        self._tallies: dict[Key, _Tally] = {}
        self._told: dict[Key, _Told] = {}
        self._ready: list[bytes] = []

    def add(self, agent: str, said: Sequence[tuple[str | None, Said]], source: str, now: datetime, *, of: str) -> None:
        """
        Take what was read of one file at one look.

        Args:
            agent: Whose file it is.
            said: What the lines said, by the version that wrote them, in order.
            source: The file, as it may be stored.
            now: When it was read.
            of: `growth`, `history`, or `both` for a file that is read for the first time while it is being written:
                what its last version wrote is growth.
        """
        for place, (version, part) in enumerate(said):
            is_history = of == "history" or (of == "both" and place < len(said) - 1)
            self._add(Key(agent, version, is_history), part, source, now)

    def _add(self, key: Key, said: Said, source: str, now: datetime) -> None:
        tally = self._tallies.get(key)
        if tally is not None and self._turns(key, tally, said):
            self._tell(key, tally, now)
            tally = None
        if tally is None:
            tally = self._tallies[key] = _Tally(now, time.monotonic())
        tally.add(said, source)

    def _turns(self, key: Key, tally: _Tally, said: Said) -> bool:
        """Say whether usage stops here, or comes again: what was before is told apart, or it would hide the turn."""
        is_turn = (tally.said.usage_statements > 0 and said.is_silent) or (
            tally.said.is_silent and said.usage_statements > 0
        )
        return is_turn and self._may_tell(key)

    def _may_tell(self, key: Key) -> bool:
        told = self._told.get(key)
        return told is None or time.monotonic() - told.at >= TURN_SECONDS

    def taken(self, now: datetime, *, is_end: bool = False) -> list[bytes]:
        """Return what is to be told by now as events; everything at the end."""
        for key, tally in list(self._tallies.items()):
            if is_end or self._is_due(key, tally):
                self._tell(key, tally, now)
        ready, self._ready = self._ready, []
        return ready

    def _is_due(self, key: Key, tally: _Tally) -> bool:
        if time.monotonic() - tally.begun_at >= TALLY_SECONDS:
            return True
        if key.is_history or not self._may_tell(key):
            return False
        told = self._told.get(key)
        was_silent = told is not None and told.was_silent
        if tally.said.is_silent:
            return not was_silent and tally.said.signs >= SIGNS_MIN
        return was_silent and tally.said.usage_statements > 0

    def _tell(self, key: Key, tally: _Tally, now: datetime) -> None:
        self._ready.append(_event(key, tally, now))
        self._told[key] = _Told(time.monotonic(), tally.said.is_silent)
        del self._tallies[key]


def growth(*, is_first: bool, is_archive: bool, modified_at: float, now: datetime, begun_at: datetime | None) -> str:
    """
    Say what a look at a file reads: `growth`, `history`, or `both`.

    Args:
        is_first: The file was never read to its end before.
        is_archive: It is compressed: nobody writes to it any more.
        modified_at: When it was written to, in seconds since 1970.
        now: When it is read.
        begun_at: When this log began; what was written since is no history, however late it is read.
    """
    if is_archive:
        return "history"
    if not is_first:
        return "growth"
    is_new = begun_at is not None and modified_at >= begun_at.timestamp()
    return "both" if is_new or now.timestamp() - modified_at < HISTORY_SECONDS else "history"


def _event(key: Key, tally: _Tally, now: datetime) -> bytes:
    said = tally.said
    body = {
        "agent": key.agent,
        "agent_version": key.agent_version,
        "is_history": key.is_history,
        "since": utc_text(tally.since),
        "bytes": said.bytes,
        "lines": said.lines,
        "recognised_lines": max(said.lines - said.unrecognised_lines - said.rejected_lines, 0),
        "rejected_lines": said.rejected_lines,
        "usage_statements": said.usage_statements,
        "turns_without_usage": said.turns_without_usage,
        "sources": tally.sources,
    }
    event = {"k": "tally", "v": EVENT_VERSION, "ingested_at": utc_text(now), "body": body}
    return _encode(event)


def merged(said: Iterable[tuple[str | None, Said]]) -> list[tuple[str | None, Said]]:
    """Return what was said with one part for each version, in the order of their last."""
    parts: dict[str | None, Said] = {}
    for version, part in said:
        parts[version] = parts.pop(version, Said()) + part
    return list(parts.items())
