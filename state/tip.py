"""The segment at the end of the log: the only file of the log that is written."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from state.errors import LogBroken
from state.files import SAFE_FLAGS, SEALED_MODE, as_known, known, publish, sync, sync_directory, write_all
from state.head import Mark
from state.paths import StatePaths
from state.segment import Header, Instant, Position, batch_bytes, header_bytes, numbered, seal_bytes
from state.walk import Segment, is_taken, segment_path


@dataclass(frozen=True, slots=True)
class Writer:
    """
    Who writes, and the clock that says when.
    """

    host: str
    boot: str
    clock: Callable[[], datetime]

    def instant(self) -> Instant:
        """
        Ask the clocks.
        """
        return Instant(self.clock().astimezone(UTC), time.monotonic_ns(), self.boot)


@dataclass(slots=True)
class Tip:
    """
    The last segment of a log, open for writing.

    After an exception other than `DiskFull` nobody knows where the file ends: it must not be written any more.
    """

    paths: StatePaths
    writer: Writer
    segment: Segment
    descriptor: int
    mark: Mark  #: last commit
    at: Position  #: where the next line goes: behind the last commit, or behind the seal
    opening_end_bytes: int  #: end of what the segment was born with
    is_sealed: bool = False

    @classmethod
    def begin(
        cls,
        paths: StatePaths,
        writer: Writer,
        log_id: str,
        end: Position,
        *,
        events: Sequence[bytes] = (),
        cursors: bytes = b"{}",
    ) -> "Tip":
        """
        Make the segment that follows *end*, born with one commit: *events*, and the cursors of all sources.

        It appears whole or not at all, so a crash here leaves nothing to repair. And it states all that a restart has
        to know, so no restart reads more than one segment.

        Raises:
            DiskFull: There is no room; nothing was made.
            LogIoError: The disk did not confirm.
            StateUnusable: The directory cannot be written.
            LogBroken: There already is a segment of that name.
        """
        segment = Segment(segment_path(paths.log_directory, end.next_seq), end.next_seq)
        if is_taken(segment.path):
            raise LogBroken(path=segment.path, reason="name_taken")
        now = writer.instant()
        header = Header(log=log_id, host=writer.host, base=segment.base, prev=end.chain, t=now.text)
        line, start = header_bytes(header)
        batch, after = batch_bytes(start, numbered(events, start.next_seq), cursors, now)
        publish(paths.temporary / segment.path.name, segment.path, (line, batch))
        mark = Mark(log_id, after.next_seq - 1, after.chain, segment.base, after.offset_bytes)
        return cls(paths, writer, segment, opened(segment.path), mark, after, after.offset_bytes)

    @property
    def has_events(self) -> bool:
        """A segment is named by its first event: one without goes on growing, or the next would take its name."""
        return self.at.next_seq > self.segment.base

    def is_full(self, segment_bytes_max: int) -> bool:
        """
        Say whether the next batch belongs into a new segment.
        """
        appended_bytes = self.at.offset_bytes - self.opening_end_bytes
        return self.is_sealed or (self.has_events and appended_bytes >= segment_bytes_max)

    def successor(self, cursors: bytes, events: Sequence[bytes] = ()) -> "Tip":
        """
        Close this file and return the segment that follows; see `begin`.
        """
        following = Tip.begin(self.paths, self.writer, self.mark.log_id, self.at, events=events, cursors=cursors)
        if self.is_sealed:
            # Only now: the last segment is one that can be opened for writing. A filesystem without modes has none.
            with contextlib.suppress(OSError):
                os.fchmod(self.descriptor, SEALED_MODE)
        self.close()
        return following

    def append(self, lines: Sequence[bytes], cursors: bytes) -> datetime:
        """
        Write a batch, and return when; it survives a power cut from then on.
        """
        now = self.writer.instant()
        content, after = batch_bytes(self.at, lines, cursors, now)
        self._write(content, after)
        self.mark = Mark(self.mark.log_id, after.next_seq - 1, after.chain, self.segment.base, after.offset_bytes)
        return now.at

    def seal(self) -> None:
        """
        Close the segment for good.
        """
        content, after = seal_bytes(self.at, self.segment.base, self.writer.instant())
        self._write(content, after)
        self.is_sealed = True

    def cut(self) -> None:
        """
        Cut off what stands behind the last proven line, and make sure of everything before it.

        Synced even when there is nothing to cut: what was read back after a crash may never have reached the disk, and
        must not vanish in the next one (KAFKA-10101). A sealed segment is never cut.
        """
        if not self.is_sealed:
            with as_known(self.segment.path):
                os.ftruncate(self.descriptor, self.at.offset_bytes)
        sync(self.descriptor, self.segment.path, os.fsync)
        sync_directory(self.segment.path.parent)

    def _write(self, content: bytes, after: Position) -> None:
        try:
            write_all(self.descriptor, content)
        except OSError as error:
            self.cut()
            raise known(error, self.segment.path) from None
        sync(self.descriptor, self.segment.path)
        self.at = after

    def close(self) -> None:
        """
        Close the file; there is nothing to flush.
        """
        os.close(self.descriptor)


def opened(path: Path, *, is_sealed: bool = False) -> int:
    """
    Open a segment to append to it, or only to make sure of a sealed one.
    """
    flags = os.O_RDONLY if is_sealed else os.O_RDWR | os.O_APPEND
    with as_known(path):
        return os.open(path, flags | SAFE_FLAGS)
