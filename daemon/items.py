"""
What a row or an item of a document says, on its way to evidence: what both kinds of source share.

An item has one state, the last one read: the tables retire what it stated before (`projections/sql/13_items.sql`). So
an item that a newer parser reads and that states nothing any more must say so: its older reading would count for
ever. So must a record that was deleted from its file: nobody claims it any more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from adapters.contract import (
    ClaimStated,
    Counted,
    LineRejected,
    Observation,
    Observed,
    TurnUnmetered,
    Unrecognised,
    UsageStated,
)
from adapters.decode import identity
from daemon.bounds import at_most
from daemon.identity import line_hash
from daemon.provenance import Stamp, salted_hash
from daemon.tallies import Said
from daemon.trajectories import Trajectories


class ItemSilent(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="silent"):
    """An item that states nothing any more, by a newer parser or since it was deleted: its older reading is retired."""


@dataclass(frozen=True, slots=True)
class ItemPlace:
    """Where an item stands; offset and length are null for a row, which has no place in its file."""

    key: str
    line_hash: str
    offset_bytes: int | None = None
    length_bytes: int | None = None


@dataclass(slots=True)
class Counts:
    """What items said; an item that says nothing at all is not counted."""

    lines: int = 0
    usage_lines: int = 0
    rejected_lines: int = 0
    unrecognised_lines: int = 0
    unmetered_turns: int = 0


@dataclass(slots=True)
class Statements:
    """The evidence of items, as it is collected; ``directories`` gets the working directories they name."""

    stamp: Stamp
    salt: str
    directories: set[str] = field(default_factory=set)
    trajectories: Trajectories = field(default_factory=Trajectories)
    is_reparsed: bool = False
    counts: Counts = field(default_factory=Counts)
    events: list[bytes] = field(default_factory=list)
    #: What each item came to, by the version of the agent that it names.
    said: list[tuple[str | None, Said]] = field(default_factory=list)

    def item(self, place: ItemPlace, content: bytes, observations: Iterable[Observation]) -> None:
        """Take what one item says."""
        said = at_most(observations)
        self.counts.lines += bool(said)
        self.said.append(_tallied(len(content), said))
        before = len(self.events)
        for seen in said:
            self._observation(place, content, seen)
        if self.is_reparsed and len(self.events) == before:
            self.events.append(self.stamp.item_event(ItemSilent(), place))

    def unchanged(self, observations: Iterable[Observation]) -> None:
        """Count what an item says that was stated before, as if it were again: counts are of the whole source."""
        kinds = [each.__struct_config__.tag for each in observations]
        self.counts.lines += bool(kinds)
        self.counts.usage_lines += kinds.count("usage")
        self.counts.rejected_lines += kinds.count("rejected")
        self.counts.unrecognised_lines += kinds.count("unrecognised")
        self.counts.unmetered_turns += kinds.count("unmetered")
        for seen in observations:
            if isinstance(seen, ClaimStated):
                self.events.extend(self.trajectories.look_again(seen, self.stamp.read_at))

    def gone(self, key: str, line_hash: str) -> None:
        """Take that an item was deleted, whose content had that hash."""
        self.events.append(self.stamp.item_event(ItemSilent(), ItemPlace(key, line_hash)))

    def _observation(self, place: ItemPlace, content: bytes, seen: Observation) -> None:
        if isinstance(seen, Unrecognised):
            self.counts.unrecognised_lines += 1
        elif isinstance(seen, TurnUnmetered):
            self.counts.unmetered_turns += 1
        elif isinstance(seen, Counted):
            pass  # in an item the usage of an answer stands beside it
        elif isinstance(seen, LineRejected):
            self.rejected(seen, place, content)
        elif isinstance(seen, ClaimStated):
            self.events.append(self.stamp.item_event(self.trajectories.absolute(seen), place))
            self.events.extend(self.trajectories.look(seen, self.stamp.read_at))
        else:
            self.counts.usage_lines += isinstance(seen, UsageStated)
            if cwd := getattr(seen, "cwd", None):
                self.directories.add(cwd)
            self.events.append(self.stamp.item_event(seen, place))

    def rejected(self, seen: LineRejected, place: ItemPlace, content: bytes | None) -> None:
        """Take an item that could not be read; ``content`` is null where it was too long to be held."""
        self.counts.rejected_lines += 1
        name = salted_hash(self.salt, content) if content is not None else "0" * 32
        self.events.append(
            self.stamp.item_event(seen, ItemPlace(place.key, name, place.offset_bytes, place.length_bytes))
        )

    def taken(self) -> list[bytes]:
        """Return the evidence collected since the last call."""
        events, self.events = self.events, []
        return events


def _tallied(length_bytes: int, said: tuple[Observation, ...]) -> tuple[str | None, Said]:
    """Return what an item came to; an answer that is still being written may yet state its usage."""
    versions = (getattr(each, "agent_version", None) for each in said)
    return next((name for name in versions if name is not None), None), Said(
        bytes=length_bytes,
        lines=1,
        unrecognised_lines=any(isinstance(each, Unrecognised) for each in said),
        rejected_lines=any(isinstance(each, LineRejected) for each in said),
        usage_statements=sum(isinstance(each, UsageStated) for each in said),
        turns_without_usage=sum(isinstance(each, TurnUnmetered) and not each.is_open for each in said),
    )


def stored_key(key: str) -> str:
    """Return an item's key as it may be stored: itself when it looks like an id, else its hash."""
    return identity(key) or "hash:" + line_hash(b"")
