"""Line to evidence: what the lines of one open file come to, and how far that is."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, get_args

import msgspec

from adapters.contract import (
    FAILED,
    AnswerSeen,
    Counted,
    Header,
    LineAdapter,
    LineRejected,
    Observation,
    SessionNamed,
    TurnEnded,
    TurnStated,
    TurnUnmetered,
    UsageStated,
)
from daemon.bounds import at_most
from daemon.identity import Unsteady, continuity, line_hash
from daemon.provenance import Stamp, salted_hash
from daemon.tail import BOM, LINE_BYTES_MAX, Chunk, SourceFile
from daemon.tallies import Said
from state.cursors import Cursor

#: So many pieces of an answer without a statement of usage are an answer without usage; real ones have ten at most.
_PIECES_MAX: Final = 20

_COUNTED: Final = frozenset(get_args(Counted))

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
        self._version = cursor.agent_version
        self._pieces = cursor.answer_pieces
        self._is_metered = cursor.is_turn_metered
        self._missed = 0
        self._named: set[str] = set()
        self._spoiled = 0
        self._tallied = self._counts()
        #: What was read, in order, by the version of the agent in force; null while the file has not told it.
        self.said: list[tuple[str | None, Said]] = []

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
            agent_version=self._version,
            answer_pieces=self._pieces,
            is_turn_metered=self._is_metered,
        )

    def _counts(self) -> Said:
        return Said(
            bytes=self.offset_bytes,
            lines=self.lines,
            unrecognised_lines=self._unrecognised,
            rejected_lines=self.rejected,
            usage_statements=self._usage - self._spoiled,
            turns_without_usage=self._unmetered + self._missed,
        )

    def tally(self) -> None:
        """Add what was read since the last call to `said`, under the version that is in force by now."""
        counts = self._counts()
        if counts != self._tallied:
            self.said.append((self._version, counts - self._tallied))
        self._tallied = counts

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
                self._state(events, stamp, offset, line, self._said(content))
                self.lines += 1
            offset += len(line) + 1
        self.offset_bytes = chunk.end_bytes
        if chunk.lines:
            self._tail_hash = None
        return events

    def _said(self, content: bytes) -> Iterable[Observation]:
        if not content:
            return _NUL_RUN
        try:
            return at_most(self._adapter.read_line(content, self._header))
        except MemoryError:  # no fault of what is read: rejected, it would be passed over for good
            raise
        except Exception:  # noqa: BLE001 - an adapter of somebody else must not end the daemon; the line is told
            return FAILED

    def _state(
        self, events: list[bytes], stamp: Stamp, offset: int, line: bytes, observations: Iterable[Observation]
    ) -> None:
        """Add to *events* what a line says; what only counts is counted."""
        name: str | None = None
        usage_before, unmetered_before = self._usage, self._unmetered
        for seen in observations:
            kind = type(seen)
            version = getattr(seen, "agent_version", None)
            if version is not None and version != self._version:
                self._enter(version, offset)
            if kind in _COUNTED:
                self._count(seen)
            elif isinstance(seen, SessionNamed) and self._is_named(seen):
                pass  # once in a look is enough: a session has many prompts
            elif kind is LineRejected:
                self.rejected += 1
                events.append(stamp.line_event(seen, offset, len(line), salted_hash(self._salt, line)))
            else:
                self._note(seen)
                name = name or line_hash(line)
                events.append(stamp.line_event(seen, offset, len(line), name))
        if self._unmetered != unmetered_before:
            self._spoiled += self._usage - usage_before

    def _is_named(self, seen: SessionNamed) -> bool:
        """Say whether a session was named before in this look."""
        is_named = seen.session_id in self._named
        self._named.add(seen.session_id)
        return is_named

    def _note(self, seen: Observation) -> None:
        """Take in what becomes an event: a statement of usage, a new turn, a directory."""
        if isinstance(seen, UsageStated):
            self._usage += 1
            self._pieces, self._is_metered = 0, True
        elif isinstance(seen, TurnStated):
            self._end_turn()
        if cwd := getattr(seen, "cwd", None):
            self._directories.add(cwd)

    def _count(self, seen: Observation) -> None:
        """Take in what is only counted."""
        if isinstance(seen, AnswerSeen):
            self._answer()
        elif isinstance(seen, TurnEnded):
            self._end_turn()
        elif isinstance(seen, TurnUnmetered):
            self._unmetered += 1
        else:
            self._unrecognised += 1

    def _enter(self, version: str, offset_bytes: int) -> None:
        """Take in that another version of the agent writes from this line on; what was before the first is its own."""
        if self._version is not None:
            self.offset_bytes = offset_bytes
            self.tally()
        self._version = version

    def _answer(self) -> None:
        """Take in a piece of an answer; when they pile up without any usage, an answer went without."""
        self._pieces += 1
        if self._pieces >= _PIECES_MAX:
            self._is_metered = False
            self._end_turn()

    def _end_turn(self) -> None:
        """Take in that no usage will come any more; a last message may stand behind the usage of its turn."""
        self._missed += self._pieces > 0 and not self._is_metered
        self._pieces, self._is_metered = 0, False

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
        observations = [seen for seen in self._said(content) if not isinstance(seen, Counted)]
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
