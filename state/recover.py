"""What the log says after a crash or damage, and whether it may be written again."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from state.archive import is_compressed
from state.errors import LogBroken, LogCut
from state.files import as_known, publish
from state.head import Mark
from state.paths import StatePaths
from state.segment import Batch, Damage, Position, Seal, Tail, open_segment
from state.walk import Opened, Part, Segment, are_joined, holds, log_id, walk

C = TypeVar("C")

_COPY_BYTES: Final = 1024 * 1024


class RecoveryEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="recovery"):
    """
    First event of a segment that was begun because of damage: what was lost there is read again from its sources.

    ``segment`` and the offsets name the bytes that nobody reads any more. The missing sequence numbers stay missing.
    """

    segment: int
    start_offset_bytes: int
    end_offset_bytes: int
    first_missing_seq: int | None
    last_missing_seq: int | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    What opening the log has found and done.

    ``damaged`` are bad bytes with proven ones behind them; they stay where they are. ``read_again`` are those of them
    whose sources are read again from now on. ``quarantined`` is the copy of a torn end that was cut off.
    """

    damaged: tuple[Damage, ...]
    read_again: tuple[Damage, ...]
    quarantined: Path | None


class Survey(Generic[C]):
    """
    What a walk to the end of the log has shown, as its writer needs it.
    """

    def __init__(self, parts: Iterator[Part], log: str, cursor_type: type[C], remembered: Mark | None) -> None:
        self.log_id = log
        self.remembered = remembered
        self.has_remembered = False  #: the remembered commit is one of the proven ones
        self.segment: Segment  #: the last one
        self.end: Opened | Batch | Seal  #: what is proven last in the last segment; its header says nothing yet
        self.opening_end_bytes = 0  #: end of the last segment's first commit; 0 when that is not proven
        self.tail: Tail | None = None
        self.damages: list[Damage] = []
        self.cursors: dict[str, C] = {}
        self._recovered: set[tuple[int, int]] = set()
        self._is_beginning = False  # nothing was seen yet of the segment
        self._decoder = msgspec.json.Decoder(dict[str, cursor_type])  # type: ignore[valid-type] # given at run time
        for part in parts:
            self._take(part)

    @property
    def at(self) -> Position:
        """End of what is proven."""
        return self.end.after

    @property
    def place(self) -> tuple[int, int]:
        """Segment and offset of the end of what is proven."""
        return self.segment.base, self.at.offset_bytes

    @property
    def lost(self) -> tuple[Damage, ...]:
        """Damage with missing events that no recovery event tells of: what was there has to be read again."""
        return tuple(damage for damage in self.damages if self._is_lost(damage))

    def _is_lost(self, damage: Damage) -> bool:
        is_told = (damage.segment, damage.start_offset_bytes) in self._recovered
        return damage.first_missing_seq is not None and not is_told

    def _take(self, part: Part) -> None:
        match part:
            case Batch():
                self._take_cursors(part)
                self.end = part
                if self.remembered and part.chain == self.remembered.chain:
                    self.has_remembered = True
                    self.log_id = self.remembered.log_id  # a header may be damaged
            case Opened():
                self.segment, self.end, self.opening_end_bytes = part.segment, part, 0
                self._is_beginning = True
            case Seal():
                self.end = part
            case Damage():
                self.damages.append(part)
                self._is_beginning = False
            case Tail():
                self.tail = part

    def _take_cursors(self, batch: Batch) -> None:
        """
        Add the cursors that moved, or begin anew: the opening commit of a segment states them all.
        """
        try:
            cursors = self._decoder.decode(batch.commit.cur)
        except msgspec.MsgspecError:
            raise LogBroken(seq=batch.first_seq, reason="cursors") from None
        if not self._is_beginning:
            self.cursors.update(cursors)
            return
        self._is_beginning = False
        self.cursors, self.opening_end_bytes = cursors, batch.end_offset_bytes
        self._recovered |= _told(self.segment, batch)


def _told(segment: Segment, opening: Batch) -> set[tuple[int, int]]:
    """
    Read which damage the events of an opening batch tell of: segment and offset of each.
    """
    with open_segment(segment.path) as file, as_known(segment.path):
        file.seek(opening.start_offset_bytes)
        events = [msgspec.json.decode(file.readline(), type=RecoveryEvent) for _ in range(opening.count)]
    return {(event.segment, event.start_offset_bytes) for event in events}


def recovery_event(damage: Damage) -> bytes:
    """
    Tell of *damage* in the log.
    """
    event = RecoveryEvent(
        segment=damage.segment,
        start_offset_bytes=damage.start_offset_bytes,
        end_offset_bytes=damage.end_offset_bytes,
        first_missing_seq=damage.first_missing_seq,
        last_missing_seq=damage.last_missing_seq,
    )
    return msgspec.json.encode(event)


def survey(
    log_directory: Path, cursor_type: type[C], found: Sequence[Segment], remembered: Mark | None, *, full: bool
) -> Survey[C]:
    """
    Prove the last segment, or all of them when *full*, or when the last one does not say enough.

    Returns:
        With the cursors from which sources are to be read: those before the first loss, if there is one.

    Raises:
        LogCut: The log lacks the remembered commit.
        LogBroken: A segment is missing, doubled or foreign, or nothing in the last one is proven. That one is not
            torn, since segments are born whole; it must not be cut down to nothing. Or the last one is compressed and
            does not end with its seal: what came behind it is missing too.
    """
    log = log_id(found)
    if log is None:
        raise LogBroken(path=log_directory, reason="no_header")
    first = 0 if full or not are_joined(found) else len(found) - 1
    shown = Survey(walk(found, first), log, cursor_type, remembered)
    if first and not shown.opening_end_bytes:
        first = 0
        shown = Survey(walk(found), log, cursor_type, remembered)
    for damage in shown.damages:
        if damage.reason == "link":
            raise LogBroken(path=log_directory, segment=damage.segment, reason="link")
    if isinstance(shown.end, Opened):
        raise LogBroken(path=found[-1].path, reason="nothing_proven")
    if is_compressed(found[-1].path) and (shown.tail or not isinstance(shown.end, Seal)):
        raise LogBroken(path=found[-1].path, reason="end_is_compressed")
    if remembered and not shown.has_remembered and is_cut(log_directory, remembered, shown.place, shown.damages):
        raise LogCut(path=log_directory, seq=shown.at.next_seq - 1, remembered_seq=remembered.seq)
    if shown.lost:
        before_loss = itertools.takewhile(lambda part: part != shown.lost[0], walk(found, first))
        shown.cursors = Survey(before_loss, log, cursor_type, remembered).cursors
    return shown


def is_cut(log_directory: Path, remembered: Mark, end: tuple[int, int], damages: Sequence[Damage]) -> bool:
    """
    Say whether the log lacks a commit that we remember and that the walk did not meet.

    Args:
        log_directory: The log.
        remembered: Mark of that commit.
        end: Segment and offset of the end of what is proven.
        damages: Where the commit may have been: then it is damaged, not cut.
    """
    is_damaged = any(
        damage.segment == remembered.segment
        and damage.start_offset_bytes < remembered.end_offset_bytes <= damage.end_offset_bytes
        for damage in damages
    )
    return remembered.place > end or not (is_damaged or holds(log_directory, remembered))


def quarantine(paths: StatePaths, segment: Segment, tail: Tail, now: datetime) -> Path:
    """
    Copy a torn end of *segment* to where it is kept for the curious; two crashes in a row may leave two copies.
    """
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    name = f"{segment.path.name}.{tail.start.offset_bytes}.{stamp}"
    publish(paths.temporary / name, paths.quarantine / name, _pieces(segment, tail))
    return paths.quarantine / name


def _pieces(segment: Segment, tail: Tail) -> Iterator[bytes]:
    with open_segment(segment.path) as file:
        file.seek(tail.start.offset_bytes)
        while piece := file.read(_COPY_BYTES):
            yield piece
