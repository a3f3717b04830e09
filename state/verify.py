"""Is the log still what was once committed?"""

from dataclasses import dataclass
from pathlib import Path

from state.head import Mark
from state.recover import is_cut
from state.segment import Batch, Damage, Position, Tail
from state.tombstones import damaged_tombstones, is_retired
from state.walk import Opened, log_id, segments, walk


@dataclass(frozen=True, slots=True)
class Verification:
    """
    What reading every byte of the log has shown.

    ``events``, ``commits`` and ``head`` count proven ones only; ``head`` is None when there is none. A chain proves
    order, not authorship: whoever can rewrite the whole log and the remembered head can make another one.
    """

    events: int
    commits: int
    segments: int
    damaged: tuple[Damage, ...]
    head: Mark | None
    unfinished_bytes: int  #: behind the last commit: being written right now, or torn by a crash
    cut: bool  #: a commit that we remember is missing or different
    retired_events: int  #: that stand in no segment any more, but in a tombstone

    @property
    def head_hash(self) -> str | None:
        """Hash to note down elsewhere, as a proof against a rewritten log."""
        return self.head.chain if self.head else None

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged, missing or cut."""
        return not self.damaged and not self.cut


def verify(log_directory: Path, head: Mark | None) -> Verification:
    """
    Prove every byte of the log; needs no lock and changes nothing.

    Args:
        log_directory: The log.
        head: What `state.head.recall` gave before this call, so that a living daemon only moves on from it.

    Raises:
        LogBroken: There are more unproven bytes than a batch can have.
        StateUnusable, LogIoError: A segment cannot be read.
    """
    found = segments(log_directory)
    events = commits = unfinished_bytes = segment = 0
    has_remembered = False
    damaged = damaged_tombstones(log_directory)
    last: tuple[int, Batch] | None = None
    for part in walk(found):
        match part:
            case Batch():
                events, commits, last = events + part.count, commits + 1, (segment, part)
                has_remembered |= head is not None and part.chain == head.chain
            case Opened():
                segment = part.segment.base
            case Damage():
                damaged.append(part)
            case Tail():
                unfinished_bytes = part.end_offset_bytes - part.start.offset_bytes
    end = _mark(log_id(found) or "", *last) if last else None
    if found and (last is None or last[0] != segment):
        # A segment is born with a commit: one without is not unfinished.
        damaged.append(Damage.between(segment, Position(0, segment, ""), unfinished_bytes, segment))
    if not found and is_retired(log_directory):
        damaged.append(Damage(0, 0, 0, None, None, "link"))  # the last segment is never retired
    cut = False
    if head and not has_remembered:
        cut = end is None or is_cut(log_directory, head, end.place, damaged)
    retired_events = found[0].follows.next_seq if found and found[0].follows else 0
    return Verification(events, commits, len(found), tuple(damaged), end, unfinished_bytes, cut, retired_events)


def _mark(log: str, segment: int, batch: Batch) -> Mark:
    return Mark(log, batch.last_seq, batch.chain, segment, batch.end_offset_bytes)
