"""Reading the log without its lock: committed and proven bytes, nothing else."""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from state.errors import LogBroken
from state.files import as_known
from state.head import Mark
from state.recover import survey
from state.segment import Batch, Damage, open_segment
from state.walk import Opened, Segment, holds, log_id, segments, walk

__all__ = [
    "Batch",
    "Mark",
    "Point",
    "Slice",
    "commits",
    "commits_at",
    "cursors",
    "event_lines",
    "holds",
    "last_commit",
    "slices",
]

#: Begins each event line, and no line that closes something.
_EVENT: Final = b'{"q":'

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Slice:
    """
    Neighbouring batches of one segment: event lines, and a commit line after each batch, be it without events.

    ``last_seq`` is one less than ``first_seq`` when there is no event at all.
    """

    path: Path
    start_offset_bytes: int
    end_offset_bytes: int
    first_seq: int
    last_seq: int
    chain: str
    log_id: str
    segment: int

    @property
    def mark(self) -> Mark:
        """From where to read on, once this was read."""
        return Mark(self.log_id, self.last_seq, self.chain, self.segment, self.end_offset_bytes)


@dataclass(frozen=True, slots=True)
class Point:
    """
    A commit of the log, and whether it is the last one.

    ``is_clock_set_back``: an earlier commit bears a time later than the one that was asked for.
    """

    mark: Mark
    is_head: bool
    is_clock_set_back: bool = False


def last_commit(log_directory: Path, up_to: int | datetime) -> Point | None:
    """
    Find the last commit of which no event is behind a sequence number, or the last that bears no later time.

    A batch is there whole or not at all. Where the wall clock was set back, commits of a later time can stand before
    the one that is found.

    Args:
        log_directory: The log.
        up_to: Sequence number, or aware time of day.

    Returns:
        None when no commit is that old.

    Raises:
        LogBroken: A segment is missing, doubled or foreign.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    found = segments(log_directory)
    log = log_id(found) or ""
    point: Point | None = None
    is_later = False
    for segment, batch in _batches(log_directory, found, -1, None):
        is_in = batch.last_seq <= up_to if isinstance(up_to, int) else datetime.fromisoformat(batch.commit.t) <= up_to
        if is_in:
            mark = Mark(log, batch.last_seq, batch.chain, segment.base, batch.end_offset_bytes)
            point = Point(mark, is_head=True, is_clock_set_back=is_later)
            continue
        is_later = True
        point = point and replace(point, is_head=False)
        if isinstance(up_to, int):
            break
    return point


def commits_at(log_directory: Path, seqs: Iterable[int]) -> dict[int, Mark]:
    """
    Find for each sequence number the last commit of which no event is behind it, in one reading of the log.

    A number is missing when no commit is that old.

    Raises:
        LogBroken: A segment is missing, doubled or foreign.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    found = segments(log_directory)
    log = log_id(found) or ""
    marks: dict[int, Mark] = {}
    wanted = sorted(seqs)
    mark: Mark | None = None
    for segment, batch in _batches(log_directory, found, -1, None):
        while wanted and batch.last_seq > wanted[0]:
            seq = wanted.pop(0)
            if mark is not None:
                marks[seq] = mark
        if not wanted:
            return marks
        mark = Mark(log, batch.last_seq, batch.chain, segment.base, batch.end_offset_bytes)
    return marks | (dict.fromkeys(wanted, mark) if mark is not None else {})


def slices(
    log_directory: Path, after_seq: int = -1, hint: Mark | None = None, until: Mark | None = None
) -> list[Slice]:
    """
    List the bytes that hold the batches after *after_seq*.

    Args:
        log_directory: The log, or where it will be.
        after_seq: Last sequence number that is known; -1 for none.
        hint: Mark that *after_seq* came from: when the log holds it, exactly what is behind it is listed, and nothing
            before it is read. Without it, commits without events right behind *after_seq* are listed again.
        until: Last commit that is listed; null for the log's last.

    Returns:
        In order. Damaged bytes are between slices; a batch that is being written is behind the last.

    Raises:
        LogBroken: A segment is missing, doubled or foreign.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    found = segments(log_directory)
    log = log_id(found)
    runs: list[tuple[Segment, Batch, Batch]] = []  # first and last of neighbours
    for segment, batch in _batches(log_directory, found, after_seq, hint):
        if until is not None and (segment.base, batch.end_offset_bytes) > until.place:
            break
        if runs and runs[-1][0] is segment and runs[-1][2].end_offset_bytes == batch.start_offset_bytes:
            runs[-1] = (segment, runs[-1][1], batch)
        else:
            runs.append((segment, batch, batch))
    return [
        Slice(
            segment.path,
            leading.start_offset_bytes,
            trailing.end_offset_bytes,
            leading.first_seq,
            trailing.last_seq,
            trailing.chain,
            log or "",
            segment.base,
        )
        for segment, leading, trailing in runs
    ]


def event_lines(part: Slice) -> Iterator[bytes]:
    """
    Yield the event lines of a slice without their newlines, however its segment is stored.

    Raises:
        StateUnusable, LogIoError: The segment cannot be read.
    """
    with open_segment(part.path) as file, as_known(part.path):
        file.seek(part.start_offset_bytes)
        left = part.end_offset_bytes - part.start_offset_bytes
        while left > 0 and (line := file.readline()):
            left -= len(line)
            if line.startswith(_EVENT):
                yield line[:-1]


def commits(log_directory: Path, after_seq: int = -1) -> Iterator[Batch]:
    """
    Yield the batches after *after_seq* in order; those without events directly behind it are among them.

    Raises:
        LogBroken: A segment is missing, doubled or foreign.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    return (batch for _, batch in _batches(log_directory, segments(log_directory), after_seq, None))


def cursors(log_directory: Path, cursor_type: type[C]) -> dict[str, C]:
    """
    Return how far each source is read, by key, as committed by now; none where there is no log yet.

    Args:
        log_directory: The log, or where it will be.
        cursor_type: What msgspec decodes a cursor to.

    Raises:
        LogBroken: A segment is missing, doubled or foreign, or nothing of the last one is proven.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    found = segments(log_directory)
    return survey(log_directory, cursor_type, found, None, full=False).cursors if found else {}


def _batches(
    log_directory: Path, found: Sequence[Segment], after_seq: int, hint: Mark | None
) -> Iterator[tuple[Segment, Batch]]:
    """
    Yield each batch that ends behind *after_seq*, or has no event and stands right behind it, with its segment.
    """
    resume = hint if hint and holds(log_directory, hint) else None
    begin = resume.segment if resume else after_seq + 1
    first = max(bisect.bisect_right(found, begin, key=lambda segment: segment.base) - 1, 0)
    segment: Segment | None = None
    for part in walk(found, first, resume):
        if isinstance(part, Opened):
            segment = part.segment
        elif isinstance(part, Damage) and part.reason == "link":
            raise LogBroken(path=log_directory, segment=part.segment, reason="link")
        elif segment and isinstance(part, Batch) and part.first_seq + max(part.count, 1) > after_seq + 1:
            yield segment, part
