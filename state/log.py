"""Append and recover: the only commit in the system."""

import contextlib
import socket
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from state.boot import boot_id
from state.errors import DiskFull, EventRefused, LogBroken, LogCut, LogIoError
from state.files import sync_directory
from state.head import Mark, Memory, recall
from state.lock import Lock
from state.paths import StatePaths
from state.recover import Recovery, Survey, quarantine, recovery_event, survey
from state.segment import NO_CHAIN, Position, Seal, ascii_json, numbered
from state.tip import Tip, Writer, opened
from state.tombstones import is_retired
from state.walk import header_of, segments

#: A segment is closed once this much was appended to it, in bytes.
SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Commit:
    """
    A batch that survives a power cut from now on.

    ``first_seq`` is the number of its first event, or of the next one when ``count`` is 0; ``at`` is aware UTC.
    """

    first_seq: int
    count: int
    head_hash: str
    at: datetime


def utc_now() -> datetime:
    """
    Ask the clock.
    """
    return datetime.now(UTC)


class Log(Generic[C]):
    """
    The one writer of a log, until it is closed; used by one thread. Made by `Log.open`.

    A crash loses the batch whose `append` had not returned, events and cursors together, and nothing else.
    """

    def __init__(
        self, lock: Lock, memory: Memory, start: "_Start[C]", segment_bytes_max: int, begun_at: datetime | None
    ) -> None:
        self._lock = lock
        self._memory = memory
        self._tip = start.tip
        self._cursors = start.cursors
        self._segment_bytes_max = segment_bytes_max
        self._is_sound = True
        self._is_closed = False
        #: What opening has found and done; None when there was nothing.
        self.recovery = start.recovery
        #: When its oldest segment was begun, UTC; None when that cannot be read.
        self.begun_at = begun_at

    @classmethod
    def open(
        cls,
        paths: StatePaths,
        cursor_type: type[C],
        *,
        host: str | None = None,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        clock: Callable[[], datetime] = utc_now,
        full: bool = False,
    ) -> "Log[C]":
        """
        Take the lock, repair what a crash has left, and load the cursors.

        Args:
            paths: The state directory; made when it is missing.
            cursor_type: What msgspec decodes a cursor to.
            host: Written into new segments; the machine's name when None.
            segment_bytes_max: Size at which a segment is closed.
            clock: Aware time of day.
            full: Prove every segment, not only the last, and read again what older ones have lost.

        Raises:
            LogLocked: Another process holds the lock.
            LogCut: The log lacks a commit that we remember; nothing was changed.
            LogBroken: A segment or a tombstone is missing, foreign or wholly unreadable; nothing was changed.
            StateUnusable: The directory cannot be written.
            DiskFull: There is no room for the repair.
            LogIoError: The disk did not confirm the repair.
        """
        paths.create()
        writer = Writer(socket.gethostname() if host is None else host, boot_id(), clock)
        with contextlib.ExitStack() as held:
            lock = Lock.take(paths.lock)
            held.callback(lock.release)
            memory = Memory(paths.head)
            held.callback(memory.close)
            start = _started(paths, writer, cursor_type, full=full)
            memory.remember(start.tip.mark)
            begun_at = _begun_at(paths)
            held.pop_all()
        return cls(lock, memory, start, segment_bytes_max, begun_at)

    @property
    def log_id(self) -> str:
        """Tells this log from those of other hosts and other times."""
        return self._tip.mark.log_id

    @property
    def head(self) -> Mark:
        """The last commit."""
        return self._tip.mark

    @property
    def cursors(self) -> Mapping[str, C]:
        """How far each source was read, by key, as of the last commit."""
        return types.MappingProxyType(self._cursors)

    def is_in_place(self) -> bool:
        """
        Say whether the state directory is still the one we opened; if not, nobody reads what we write: end the process.
        """
        return self._lock.is_in_place()

    def append(self, events: Sequence[bytes], cursors: Mapping[str, C]) -> Commit:
        """
        Commit events and the cursors that say how far their sources were read; on return both survive a power cut.

        Args:
            events: JSON objects in ASCII, on one line, without "q": the log gives the sequence numbers.
            cursors: Those that moved, by key.

        Raises:
            EventRefused: An event cannot be stored; nothing was written.
            DiskFull: There is no room; nothing was written, and the same call may be tried again.
            LogIoError: The disk did not confirm, now or earlier: end the process.
            StateUnusable: The log can no longer be written: end the process.
        """
        self._refuse_if_unsound()
        first_seq = self._tip.at.next_seq
        lines = numbered(events, first_seq)
        moved = ascii_json(dict(cursors))
        with self._sound_or_stopped():
            self._roll_when_full()
            at = self._tip.append(lines, moved)
            self._cursors.update(cursors)
            self._memory.remember(self._tip.mark)
        return Commit(first_seq, len(lines), self._tip.mark.chain, at)

    def roll(self) -> bool:
        """
        Seal the current segment and go on in a new one; say whether there was anything to seal.

        A segment without events goes on. To be called daily: what is sealed can be compressed, and one day retired.

        Raises:
            DiskFull: There is no room; the next `roll` or `append` goes on with it.
            LogIoError: The disk did not confirm, now or earlier: end the process.
            StateUnusable: The log can no longer be written: end the process.
        """
        self._refuse_if_unsound()
        if not self._tip.has_events:
            return False
        with self._sound_or_stopped():
            self._go_on_in_a_new_segment()
            self._memory.remember(self._tip.mark)
        return True

    def close(self) -> None:
        """
        Leave the log to others; there is nothing to flush, and closing twice does nothing.
        """
        if self._is_closed:
            return
        self._is_closed, self._is_sound = True, False
        self._tip.close()
        self._memory.close()
        self._lock.release()

    def __enter__(self) -> "Log[C]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _sound_or_stopped(self) -> Iterator[None]:
        """
        Refuse all further appends, unless the block succeeds or leaves everything as it was.

        After any other exception, and after an interrupt, only a new start finds out where the file ends.
        """
        self._is_sound = False
        try:
            yield
        except (DiskFull, EventRefused):
            self._is_sound = True
            raise
        self._is_sound = True

    def _roll_when_full(self) -> None:
        """
        Go on in a new segment when this one is full; when the disk is full in between, the next call tries again.
        """
        if self._tip.is_full(self._segment_bytes_max):
            self._go_on_in_a_new_segment()

    def _go_on_in_a_new_segment(self) -> None:
        if not self._tip.is_sealed:
            self._tip.seal()
        self._tip = self._tip.successor(ascii_json(self._cursors))

    def _refuse_if_unsound(self) -> None:
        if not self._is_sound:
            raise LogIoError(path=self._tip.segment.path, reason="failed_before")


@dataclass(frozen=True, slots=True)
class _Start(Generic[C]):
    """
    What a log begins its life in this process with.
    """

    tip: Tip
    cursors: dict[str, C]
    recovery: Recovery | None = None


def _begun_at(paths: StatePaths) -> datetime | None:
    """
    Return when the oldest segment was begun; None when its header is damaged.
    """
    header = header_of(segments(paths.log_directory)[0])
    try:
        return None if header is None else datetime.fromisoformat(header.t).astimezone(UTC)
    except ValueError:
        return None


def _started(paths: StatePaths, writer: Writer, cursor_type: type[C], *, full: bool) -> _Start[C]:
    """
    Find the end of the log and repair it; make a new log where there is none, and none is remembered.
    """
    remembered = recall(paths.head)
    found = segments(paths.log_directory)
    if not found and remembered:
        raise LogCut(path=paths.log_directory, remembered_seq=remembered.seq)
    if not found and is_retired(paths.log_directory):
        raise LogBroken(path=paths.log_directory, reason="nothing_behind_tombstone")
    if not found:
        sync_directory(paths.root)
        return _Start(Tip.begin(paths, writer, str(uuid.uuid4()), Position(0, 0, NO_CHAIN)), {})
    return _repaired(paths, writer, survey(paths.log_directory, cursor_type, found, remembered, full=full))


def _repaired(paths: StatePaths, writer: Writer, shown: Survey[C]) -> _Start[C]:
    """
    Make the log ready to be written; killed anywhere in here, the next start finds the same left to do, or less.
    """
    copy = quarantine(paths, shown.segment, shown.tail, writer.clock()) if shown.tail else None
    mark = Mark(shown.log_id, shown.at.next_seq - 1, shown.at.chain, *shown.place)
    is_sealed = isinstance(shown.end, Seal) and not shown.tail
    descriptor = opened(shown.segment.path, is_sealed=is_sealed)
    tip = Tip(paths, writer, shown.segment, descriptor, mark, shown.at, shown.opening_end_bytes, is_sealed)
    try:
        tip.cut()
        if shown.lost:
            tip = _after_loss(tip, shown)
        elif isinstance(shown.end, Seal):
            tip = tip.successor(ascii_json(shown.cursors))
    except BaseException:
        tip.close()
        raise
    has_news = copy or shown.damages
    recovery = Recovery(tuple(shown.damages), shown.lost, copy) if has_news else None
    return _Start(tip, shown.cursors, recovery)


def _after_loss(tip: Tip, shown: Survey[C]) -> Tip:
    """
    Leave the damaged bytes alone and go on in a new segment, with the cursors of before the damage.
    """
    events = [recovery_event(damage) for damage in shown.lost]
    if tip.at.next_seq == tip.segment.base:
        # The loss is in an older segment, and this one has no event yet: the next would take its name.
        tip.append(numbered(events, tip.at.next_seq), b"{}")
    return tip.successor(ascii_json(shown.cursors), events)
