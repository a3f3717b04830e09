"""What the log directory holds, from segment to segment."""

import os
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from state.files import as_known
from state.head import Mark
from state.scan import scan
from state.segment import (
    NO_CHAIN,
    Batch,
    Damage,
    Header,
    Position,
    Seal,
    Tail,
    ending,
    open_segment,
    read_header,
)

_NAME: Final = re.compile(r"(\d{20})\.ndjson")


@dataclass(frozen=True, slots=True)
class Segment:
    """
    One file of the log; ``base`` is its first sequence number.
    """

    path: Path
    base: int


@dataclass(frozen=True, slots=True)
class Opened:
    """
    A segment begins, or goes on from a mark; what follows, up to the next one, stands in it. No header: unreadable.
    """

    segment: Segment
    header: Header | None
    after: Position


Part = Opened | Batch | Seal | Damage | Tail


def segment_path(log_directory: Path, base: int) -> Path:
    """
    Name the segment that begins with sequence number *base*.
    """
    return log_directory / f"{base:020d}.ndjson"


def segments(log_directory: Path) -> list[Segment]:
    """
    List the segments in order; none when there is no log yet.
    """
    with as_known(log_directory):
        try:
            names = sorted(path.name for path in log_directory.iterdir())
        except FileNotFoundError:
            return []
    found = (_NAME.fullmatch(name) for name in names)
    return [Segment(log_directory / match[0], int(match[1])) for match in found if match]


def log_id(found: Sequence[Segment]) -> str | None:
    """
    Name the log that *found* are the segments of, as most headers do; None when no header can be read.
    """
    ends = {header.log for header in map(header_of, [*found[:1], *found[-1:]]) if header}
    if len(ends) == 1:
        return ends.pop()
    headers = [header for header in map(header_of, found) if header]
    return statistics.mode(header.log for header in headers) if headers else None


def header_of(segment: Segment) -> Header | None:
    """
    Read the header of *segment*; None when it is damaged.
    """
    with open_segment(segment.path) as file, as_known(segment.path):
        return read_header(file, segment.base)[0]


def hash_at(segment: Segment, end_offset_bytes: int | None = None) -> str | None:
    """
    Read the hash of the line that ends at the offset, or at the end of *segment*; None when no such line does.
    """
    with open_segment(segment.path) as file, as_known(segment.path):
        end = file.seek(0, os.SEEK_END)
        return ending(file, end if end_offset_bytes is None else end_offset_bytes)


def holds(log_directory: Path, mark: Mark) -> bool:
    """
    Say whether the log still has the commit of *mark*.

    Whoever kept a mark that the log does not hold has read another log, and must begin again from nothing.
    """
    marked = [segment for segment in segments(log_directory) if segment.base == mark.segment]
    return bool(marked) and hash_at(marked[0], mark.end_offset_bytes) == mark.chain


def are_joined(found: Sequence[Segment]) -> bool:
    """
    Say whether each of *found* states the hash that the one before it ends with; what is between is not read.
    """
    headers = [header_of(segment) for segment in found]
    endings = [NO_CHAIN, *(hash_at(segment) for segment in found[:-1])]
    return all(
        header and header.base == segment.base and header.prev == chain
        for segment, header, chain in zip(found, headers, endings, strict=True)
    )


def walk(found: Sequence[Segment], first: int = 0, resume: Mark | None = None) -> Iterator[Part]:
    """
    Prove the log from one of its segments to its end.

    Args:
        found: All segments.
        first: Index of the one to begin with.
        resume: Begin behind this mark, which the log holds, and which stands in that segment.

    Returns:
        In order. A `Tail` only as the last: in a segment that another one follows it is a `Damage`.

    Raises:
        LogBroken: There are more unproven bytes than a batch can have.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    at = None if first or resume else Position(0, 0, NO_CHAIN)
    tail: Tail | None = None
    for segment in found[first:]:
        if tail:
            yield Damage.between(tail.segment, tail.start, tail.end_offset_bytes, segment.base)
        if at and not _follows(segment, at, tail):
            yield Damage(segment.base, 0, 0, None, None, "link")
        tail = None
        for part in _parts(segment, resume):
            if isinstance(part, Tail):
                tail = part
                continue
            yield part
            if not isinstance(part, Damage):
                proven = part
        at, resume = proven.after, None
    if tail:
        yield tail


def _parts(segment: Segment, resume: Mark | None) -> Iterator[Part]:
    with open_segment(segment.path) as file, as_known(segment.path):
        header, after = read_header(file, segment.base)
        if resume:
            after = Position(resume.end_offset_bytes, resume.seq + 1, resume.chain)
        yield Opened(segment, header, after)
        yield from scan(file, segment.base, after)


def _follows(segment: Segment, at: Position, tail: Tail | None) -> bool:
    """
    Say whether *segment* goes on where the one before it ended: at *at*, or in the damaged *tail* behind that.
    """
    if tail:  # explains what is missing, and hides the hash that comes next
        return segment.base >= at.next_seq
    header = header_of(segment)
    is_joined = header and header.base == segment.base and header.prev == at.chain
    # A header that its first commit does not prove is damaged, and told as such by the scan.
    return segment.base == at.next_seq and (bool(is_joined) or not _is_header_proven(segment))


def _is_header_proven(segment: Segment) -> bool:
    parts = _parts(segment, None)
    next(parts)
    return isinstance(next(parts, None), Batch | Seal)
