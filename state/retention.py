"""
Retire old evidence, when an operator asks for it: whole segments go, a tombstone stays.

By default everything is kept. The tombstone appears whole, then the segments are removed: from its first instant on it
stands for them, and what a crash has left of them is no evidence any more and goes with the next call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from state.errors import LogBroken, NotRetirable
from state.files import SEALED_MODE, as_known, publish, sync_directory
from state.head import Mark
from state.paths import StatePaths
from state.sealing import alone
from state.segment import NO_CHAIN, Batch, Damage, Seal
from state.tombstones import Tombstone, Total, sealed_tombstone, tombstones
from state.walk import Opened, Segment, header_of, segments, walk


@dataclass(frozen=True, slots=True)
class Limit:
    """
    What may be retired at most: segments closed by ``closed_before`` (aware), and before the segment of every mark.

    ``marks`` are those of all that is derived from the log: what one of them has not read yet stays.
    """

    closed_before: datetime
    marks: tuple[Mark, ...]


def boundaries(log_directory: Path, limit: Limit) -> list[int]:
    """
    List the sequence numbers that the log could begin with, in order; none when nothing may be retired.

    Raises:
        StateUnusable, LogIoError: A segment cannot be read.
    """
    reached = min((mark.segment for mark in limit.marks), default=0)
    found = []
    for following in segments(log_directory)[1:]:
        closed_at = _begun_at(following)
        if following.base > reached or closed_at is None or closed_at > limit.closed_before:
            break
        found.append(following.base)
    return found


def _begun_at(segment: Segment) -> datetime | None:
    """
    Read when *segment* was begun, and the one before it closed; None when its header is damaged.
    """
    header = header_of(segment)
    try:
        return datetime.fromisoformat(header.t) if header else None
    except ValueError:
        return None


def retire(
    paths: StatePaths,
    first_kept_seq: int,
    limit: Limit,
    totals: Sequence[Total],
    clock: Callable[[], datetime],
    kept: Sequence[str] = (),
) -> Tombstone:
    """
    Remove all segments before the one that begins with *first_kept_seq*; the writer may go on meanwhile.

    A reader of what is removed is told that a file is missing, and has to begin again; no other is disturbed.

    Args:
        paths: The state directory.
        first_kept_seq: One of the `boundaries` of *limit*.
        limit: What may be retired at most.
        totals: What the retired evidence came to, for those who ask later.
        clock: Aware time of day.
        kept: Event lines of the retired evidence that stay, in the tombstone.

    Raises:
        NotRetirable: The log cannot begin there; nothing was changed.
        LogBroken: The segments do not join, or a tombstone is damaged; nothing was changed.
        DiskFull: There is no room for the tombstone; nothing was changed.
        LogIoError: The disk did not confirm: what was retired is known only after a new start.
        StateUnusable: The log cannot be read or written.
    """
    directory = paths.log_directory
    with alone(directory):
        remove_leftovers(directory)
        if first_kept_seq not in boundaries(directory, limit):
            raise NotRetirable(first_kept_seq=first_kept_seq)
        before = tombstones(directory)
        tombstone = _tombstone(segments(directory), first_kept_seq, before[-1:], totals, clock(), kept)
        target = directory / tombstone.name
        publish(paths.temporary / target.name, target, (sealed_tombstone(tombstone),), SEALED_MODE)
        remove_leftovers(directory)
        return tombstones(directory)[-1]


def remove_leftovers(log_directory: Path) -> int:
    """
    Remove the segments that a tombstone already stands for, and say how many files that were.

    Raises:
        LogBroken: A tombstone is damaged: nobody can tell what it stands for.
        LogIoError, StateUnusable: They cannot be removed.
    """
    found = tombstones(log_directory)
    kept_seq = found[-1].last_seq + 1 if found else 0
    with as_known(log_directory):
        names = sorted(path.name for path in log_directory.glob("*.ndjson*"))
        gone = [log_directory / name for name in names if name[:20].isdecimal() and int(name[:20]) < kept_seq]
        for path in gone:
            path.unlink()
    if gone:
        sync_directory(log_directory)
    return len(gone)


def _tombstone(
    found: Sequence[Segment],
    first_kept_seq: int,
    before: Sequence[Tombstone],
    totals: Sequence[Total],
    now: datetime,
    kept: Sequence[str],
) -> Tombstone:
    """
    Say what stands for the segments before the first that is kept.
    """
    events = content_bytes = count = 0
    for part in walk(found):
        match part:
            case Damage(reason="link"):
                raise LogBroken(path=found[0].path.parent, segment=part.segment, reason="link")
            case Opened(segment=segment) if segment.base == first_kept_seq:
                header = part.header
                break
            case Opened():
                count += 1
                content_bytes += part.after.offset_bytes
            case Batch() | Seal() | Damage():
                events += part.count if isinstance(part, Batch) else 0
                content_bytes += part.end_offset_bytes - part.start_offset_bytes
    if header is None:
        raise LogBroken(path=found[0].path.parent, segment=first_kept_seq, reason="no_header")
    return Tombstone(
        log=header.log,
        first_seq=found[0].base,
        last_seq=first_kept_seq - 1,
        segments=count,
        events=events,
        content_bytes=content_bytes,
        chain=header.prev,
        prev=before[0].h if before else NO_CHAIN,
        t=f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        totals=tuple(totals),
        kept=tuple(kept),
    )
