"""What the log directory holds, from segment to segment."""

import os
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from state.archive import SUFFIX, compressed_path
from state.files import as_known
from state.head import Mark
from state.scan import scan
from state.segment import (
    Batch,
    Damage,
    Header,
    Position,
    Seal,
    Tail,
    ending,
    is_indexed,
    open_segment,
    read_header,
)
from state.tombstones import begin

_NAME: Final = re.compile(rf"(\d{{20}})\.ndjson(?:{re.escape(SUFFIX)})?")


@dataclass(frozen=True, slots=True)
class Segment:
    """
    One file of the log; ``base`` is its first sequence number.

    ``follows`` is what the first segment has to follow; None for all others, which follow one another.
    """

    path: Path
    base: int
    follows: Position | None = None


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


def is_taken(path: Path) -> bool:
    """
    Say whether a segment of this name exists, in either form.
    """
    return path.exists() or compressed_path(path).exists()


def segments(log_directory: Path) -> list[Segment]:
    """
    List the segments in order; none when there is no log yet.

    Where both forms of a segment are there, a crash left the plain one: the other was compared with it before it got
    its name. A segment that a tombstone stands for is no evidence any more, even if a crash left it.
    """
    names = _names(log_directory)
    follows = begin(log_directory, names)
    # A compressed name is its plain name with something behind it, so it comes later and wins.
    paths = {int(match[1]): log_directory / match[0] for match in map(_NAME.fullmatch, names) if match}
    left = [Segment(path, base) for base, path in paths.items() if base >= follows.next_seq]
    return [replace(segment, follows=follows) for segment in left[:1]] + left[1:]


def _names(log_directory: Path) -> list[str]:
    """
    List all files in order, as they were at one moment: a listing may miss a file that is just getting another name.
    """
    names, before = _listed(log_directory), None
    while names != before:
        names, before = _listed(log_directory), names
    return names


def _listed(log_directory: Path) -> list[str]:
    with as_known(log_directory):
        try:
            return sorted(path.name for path in log_directory.iterdir())
        except FileNotFoundError:
            return []


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
    follows = found[0].follows
    if follows is None or follows.next_seq != found[0].base:
        return False
    headers = [header_of(segment) for segment in found]
    endings = [follows.chain, *(hash_at(segment) for segment in found[:-1])]
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
    at = None if first or resume or not found else found[0].follows
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
        part: Part = Opened(segment, header, after)
        yield part
        for part in scan(file, segment.base, after):
            after = after if isinstance(part, Damage | Tail) else part.after
            yield part
        if is_indexed(file):
            return
        yield Damage(segment.base, 0, 0, None, None, "index")
        if not isinstance(part, Seal | Tail):  # nobody knows how much is missing: it ends as if it was torn
            yield Tail(segment.base, after, after.offset_bytes)


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
