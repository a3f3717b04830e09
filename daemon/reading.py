"""Line to evidence: what the lines of one open file come to, and how far that is."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from adapters.contract import (
    FAILED,
    Header,
    LineAdapter,
    LineRejected,
    Observation,
    TurnUnmetered,
    Unrecognised,
    UsageStated,
)
from daemon.identity import Unsteady, continuity, line_hash
from daemon.provenance import Stamp, salted_hash
from daemon.tail import BOM, LINE_BYTES_MAX, Chunk, SourceFile
from state.cursors import Cursor

#: What a line of nothing but NULs says: a hole that a crash left.
_NUL_RUN: Final = (LineRejected(code="nul_run"),)


class Reading:
    """The lines of one open file on their way to evidence; *directories* gets the working directories they name."""

    def __init__(
        self,
        adapter: LineAdapter,
        header: Header,
        source: SourceFile,
        cursor: Cursor,
        salt: str,
        directories: set[str],
    ) -> None:
        self._adapter = adapter
        self._header = header
        self._source = source
        self._salt = salt
        self._directories = directories
        self._start = cursor
        self.offset_bytes = cursor.offset_bytes
        self.lines = cursor.lines
        self._usage = cursor.usage_lines
        self.rejected = cursor.rejected_lines
        self._unrecognised = cursor.unrecognised_lines
        self._unmetered = cursor.unmetered_turns
        self._tail_hash = cursor.tail_hash

    @property
    def cursor(self) -> Cursor:
        """The place after the last chunk."""
        return msgspec.structs.replace(
            self._start,
            offset_bytes=self.offset_bytes,
            modified_ns=self._source.status.st_mtime_ns,
            changed_ns=self._source.status.st_ctime_ns,
            continuity="" if self._source.is_compressed else continuity(self._source, self.offset_bytes),
            tail_hash=self._tail_hash,
            lines=self.lines,
            usage_lines=self._usage,
            rejected_lines=self.rejected,
            unrecognised_lines=self._unrecognised,
            unmetered_turns=self._unmetered,
        )

    def proven(self, chunk: Chunk) -> Cursor:
        """
        Return the place after *chunk*, which is the last that was read.

        Raises:
            Unsteady: The file was written anew since it was opened, and may say something else by now.
        """
        cursor = self.cursor
        if self._source.is_compressed or not self._source.has_changed():
            return cursor
        start = self._start
        if start.offset_bytes and continuity(self._source, start.offset_bytes) != start.continuity:
            raise Unsteady
        content = b"".join(line + b"\n" for line in chunk.lines)
        if self._source.read_at(chunk.end_bytes - len(content), len(content)) != content:
            raise Unsteady
        return cursor

    def finished(self) -> Cursor:
        """
        The place after the last byte: only now the file's size says that nothing is left to read.

        Raises:
            Unsteady: The file is shorter by now.
        """
        return msgspec.structs.replace(self.cursor, size_bytes=self._source.status.st_size)

    def events(self, chunk: Chunk, now: datetime) -> list[bytes]:
        """Return the evidence of every complete line of *chunk*."""
        stamp = Stamp(self._adapter, self._source.path, self._start.generation, self._header, now)
        events: list[bytes] = []
        for long in chunk.long_lines:
            self.lines += 1
            self.rejected += 1
            events.append(
                stamp.line_event(LineRejected(code="too_long"), long.offset_bytes, long.length_bytes, "0" * 32)
            )
        offset = chunk.offset_bytes
        for line in chunk.lines:
            content = line if line[:1] == b"{" and line[-1:] == b"}" else cleaned(line, offset)
            if content is not None:
                self.lines += 1
                self._state(events, stamp, offset, line, self._said(content))
            offset += len(line) + 1
        self.offset_bytes = chunk.end_bytes
        if chunk.lines:
            self._tail_hash = None
        return events

    def _said(self, content: bytes) -> Iterable[Observation]:
        if not content:
            return _NUL_RUN
        try:
            return tuple(self._adapter.read_line(content, self._header))
        except Exception:  # noqa: BLE001 - an adapter of somebody else must not end the daemon; the line is told
            return FAILED

    def _state(
        self, events: list[bytes], stamp: Stamp, offset: int, line: bytes, observations: Iterable[Observation]
    ) -> None:
        """Add to *events* what a line says; what only counts is counted."""
        name: str | None = None
        for seen in observations:
            kind = type(seen)
            if kind is Unrecognised:
                self._unrecognised += 1
            elif kind is TurnUnmetered:
                self._unmetered += 1
            elif kind is LineRejected:
                self.rejected += 1
                events.append(stamp.line_event(seen, offset, len(line), salted_hash(self._salt, line)))
            else:
                self._usage += kind is UsageStated
                if cwd := getattr(seen, "cwd", None):
                    self._directories.add(cwd)
                name = name or line_hash(line)
                events.append(stamp.line_event(seen, offset, len(line), name))

    def unterminated(self, now: datetime) -> list[bytes]:
        """
        Return the evidence of a last line without a newline, if it is complete JSON; the cursor stays before it.

        A closed JSON object cannot grow into another valid one. The line is read again once its newline is there, and
        recognised as the same by its hash.
        """
        line = self._source.tail(self.offset_bytes)
        content = cleaned(line, self.offset_bytes) if len(line) <= LINE_BYTES_MAX else None
        if not content or line_hash(line) == self._tail_hash:
            return []
        observations = [seen for seen in self._said(content) if not isinstance(seen, Unrecognised | TurnUnmetered)]
        if not observations or any(isinstance(seen, LineRejected) for seen in observations):
            return []
        self._tail_hash = line_hash(line)
        stamp = Stamp(self._adapter, self._source.path, self._start.generation, self._header, now)
        return [stamp.line_event(seen, self.offset_bytes, len(line), self._tail_hash) for seen in observations]


def cleaned(line: bytes, offset: int) -> bytes | None:
    """Return what is to be decoded: without BOM, CR and NULs; ``None`` for a blank line, empty for a run of NULs."""
    if offset == 0 and line.startswith(BOM):
        line = line[len(BOM) :]
    bare = line.strip(b" \t\r")
    if not bare:
        return None
    return bare.strip(b"\0 \t\r")
