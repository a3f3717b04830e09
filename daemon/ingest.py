"""
Line to evidence to log: one catch-up pass over everything a sweep finds.

Nothing is remembered here between passes: where reading goes on stands in the cursors, which the log commits together
with the events. A kill at any instant neither loses nor doubles.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from adapters.contract import Adapter, Header, LineRejected, Observation, TurnUnmetered, Unrecognised, UsageStated
from daemon.discover import Denied, Found, RootSeen, Seen, deny_code
from daemon.identity import continuity, epoch_of, generation, line_hash, real_path, stored_name, stored_path
from daemon.provenance import SourceChanged, Stamp, salted_hash
from daemon.tail import BOM, LINE_BYTES_MAX, Chunk, DamagedArchive, NotRegular, SourceFile
from state.cursors import Cursor
from state.log import Log
from state.vocabulary import SourceChange

#: A batch is committed when it holds this many events or bytes, whichever comes first.
BATCH_EVENTS: Final = 1_000
BATCH_BYTES: Final = 256 * 1024

#: What a line of nothing but NULs says: a hole that a crash left.
_NUL_RUN: Final = (LineRejected(code="nul_run"),)

Clock = Callable[[], datetime]


@dataclass(slots=True)
class Pass:
    """What one pass saw and did; sizes in bytes."""

    files: int = 0
    files_read: int = 0
    bytes_read: int = 0
    events: int = 0
    rejected: int = 0
    denied: list[Denied] = field(default_factory=list)
    roots_seen: list[str] = field(default_factory=list)
    roots_missing: list[str] = field(default_factory=list)


class Batch:
    """Events and cursors that become durable together."""

    def __init__(self, log: Log[Cursor]) -> None:
        self._log = log
        self._events: list[bytes] = []
        self._cursors: dict[str, Cursor] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return len(self._events) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES or len(self._cursors) >= BATCH_EVENTS

    def cursor(self, key: str) -> Cursor | None:
        """Return how far a source is read, this batch included."""
        return self._cursors.get(key) or self._log.cursors.get(key)

    def add(self, events: Sequence[bytes]) -> None:
        """Take events; they are evidence once their batch is committed."""
        self._events.extend(events)
        self._bytes += sum(map(len, events))

    def move(self, key: str, cursor: Cursor) -> None:
        """Take the place up to which a source is read when this batch is committed."""
        self._cursors[key] = cursor

    def commit(self) -> int:
        """Make everything durable; returns the number of events."""
        if not self._events and not self._cursors:
            return 0
        count = 0
        for first in range(0, len(self._events), BATCH_EVENTS) or (0,):
            events = self._events[first : first + BATCH_EVENTS]
            is_last = first + BATCH_EVENTS >= len(self._events)
            count += self._log.append(events, self._cursors if is_last else {}).count
        self._events, self._cursors, self._bytes = [], {}, 0
        return count


def key_of(adapter: Adapter, path: str) -> str:
    """Name a source among the cursors."""
    return f"{adapter.agent}:{stored_path(path)}"


class Ingest:
    """One pass: every file of a sweep, read from its cursor on."""

    def __init__(self, log: Log[Cursor], clock: Clock, progress: Callable[[int], None] = lambda _: None) -> None:
        self._log = log
        self._clock = clock
        self._progress = progress
        self._batch = Batch(log)
        self._pass = Pass()
        self._seen: set[str] = set()
        self._by_inode: dict[str, list[str]] = {}
        for key, cursor in log.cursors.items():
            self._by_inode.setdefault(cursor.generation.rpartition(":")[0], []).append(key)

    def run(self, seen: Iterable[Seen]) -> Pass:
        """Read everything in *seen*; commits as it goes, and once more at the end."""
        sweep = list(seen)
        self._seen = {key_of(each.adapter, each.path) for each in sweep}
        for each in sweep:
            match each:
                case Found():
                    self._pass.files += 1
                    self._read(each)
                case Denied():
                    self._deny(each)
                case RootSeen():
                    self._root(each)
        self._note_vanished({each.adapter.agent: each.adapter for each in sweep})
        self._commit()
        return self._pass

    def _commit(self) -> None:
        self._pass.events += self._batch.commit()

    # -- one file ------------------------------------------------------------------------------------------------

    def _read(self, found: Found) -> None:
        key = key_of(found.adapter, found.path)
        known = self._batch.cursor(key)
        if known is not None and _is_unchanged(known, found) and os.access(found.path, os.R_OK):
            self._progress(found.status.st_size)
            return
        try:
            with SourceFile(found.path) as source:
                self._read_open(key, known, found, source)
        except DamagedArchive:
            self._deny(Denied(found.path, found.adapter, "damaged_archive"))
        except NotRegular:
            self._deny(Denied(found.path, found.adapter, "not_regular"))
        except OSError as error:
            self._deny(Denied(found.path, found.adapter, deny_code(error)))

    def _read_open(self, key: str, known: Cursor | None, found: Found, source: SourceFile) -> None:
        header = _completed(found, source)
        if header is None:
            return  # not one line yet, and the adapter needs the first to know the session
        start = self._place(key, known, found, source)
        cursor = msgspec.structs.replace(
            start,
            session_id=header.session_id,
            name=stored_name(header.name),
            role=header.role,
            state="present",
            size_bytes=0,
            is_reparsed=start.is_reparsed and not start.size_bytes,
        )
        reading = _Reading(found.adapter, header, source, cursor, self._log.log_id)
        before = cursor.offset_bytes
        for chunk in source.chunks(cursor.offset_bytes):
            self._batch.add(reading.events(chunk, self._clock()))
            if self._batch.is_full:
                self._batch.move(key, reading.cursor)
                self._commit()
            self._progress(chunk.end_bytes - chunk.offset_bytes)
        self._batch.add(reading.unterminated(self._clock()))
        self._batch.move(key, reading.finished())
        if self._batch.is_full:
            self._commit()
        self._pass.files_read += 1
        self._pass.bytes_read += reading.offset_bytes - before
        self._pass.rejected += reading.rejected - cursor.rejected_lines

    def _place(self, key: str, known: Cursor | None, found: Found, source: SourceFile) -> Cursor:
        """Return the cursor from which to go on, and state what happened to the file since."""
        if known is None or not known.generation:
            return self._open_new(key, found, source)
        if known.parser_version != found.adapter.parser_version:
            again = self._begin_again(known, found, "reparsed", known.generation)
            return msgspec.structs.replace(again, is_reparsed=True)
        change = _what_changed(known, source)
        if change is None:
            if known.state != "present":
                self._state(found, known.generation, SourceChanged(change="readable"))
            return known
        return self._begin_again(known, found, change, self._next_generation(source, epoch_of(known.generation)))

    def _begin_again(self, known: Cursor, found: Found, change: SourceChange, name: str) -> Cursor:
        self._state(found, name, SourceChanged(change=change, size_bytes=found.status.st_size))
        return _fresh(found, name, known.source_path)

    def _open_new(self, key: str, found: Found, source: SourceFile) -> Cursor:
        moved = self._moved_from(key, found, source)
        if moved is None:
            name = self._next_generation(source, -1)
            self._state(found, name, SourceChanged(change="opened", size_bytes=found.status.st_size))
            return _fresh(found, name, stored_path(found.path))
        old_key, old = moved
        self._batch.move(old_key, msgspec.structs.replace(old, state="moved"))
        self._state(found, old.generation, SourceChanged(change="moved", previous_path=old.source_path))
        return msgspec.structs.replace(old, source_path=stored_path(found.path), state="present")

    def _moved_from(self, key: str, found: Found, source: SourceFile) -> tuple[str, Cursor] | None:
        """Return the cursor of the same file under its former name, when its content is still the one we read."""
        for old_key in self._by_inode.get(f"{source.status.st_dev}:{source.status.st_ino}", ()):
            old = self._batch.cursor(old_key)
            if old_key in self._seen or old_key == key or old is None or old.name != stored_name(found.header.name):
                continue
            is_same = old.agent == found.adapter.agent and old.state in ("present", "gone")
            if is_same and old.parser_version == found.adapter.parser_version and _what_changed(old, source) is None:
                return old_key, old
        return None

    def _next_generation(self, source: SourceFile, epoch: int) -> str:
        """Name new content; an inode given to another file never brings back an old name."""
        inode = f"{source.status.st_dev}:{source.status.st_ino}"
        others = [self._batch.cursor(each) for each in self._by_inode.get(inode, ())]
        used = [epoch_of(each.generation) for each in others if each is not None and each.generation]
        return generation(source.status, max([epoch, *used]) + 1)

    def _state(self, found: Found, name: str, change: SourceChanged) -> None:
        self._batch.add([Stamp(found.adapter, found.path, name, found.header, self._clock()).event(change)])

    # -- what cannot be read -------------------------------------------------------------------------------------

    def _deny(self, denied: Denied) -> None:
        self._pass.denied.append(denied)
        key = key_of(denied.adapter, denied.path)
        self._seen.add(key)
        known = self._batch.cursor(key)
        if known is not None and known.state == "unreadable":
            return
        self._note(
            denied.adapter, denied.path, known, SourceChanged(change="unreadable", code=denied.code), "unreadable"
        )

    def _root(self, root: RootSeen) -> None:
        (self._pass.roots_seen if root.exists else self._pass.roots_missing).append(root.path)
        known = self._batch.cursor(key_of(root.adapter, root.path))
        if not root.exists and (known is None or known.state != "missing"):
            self._note(root.adapter, root.path, known, SourceChanged(change="missing", code="missing"), "missing")
        elif root.exists and known is not None and known.state != "present":
            self._note(root.adapter, root.path, known, SourceChanged(change="readable"), "present")

    def _note(self, adapter: Adapter, path: str, known: Cursor | None, change: SourceChanged, state: str) -> None:
        """State what happened to a place, once: its cursor remembers."""
        self._batch.add([Stamp(adapter, path, known.generation if known else "", None, self._clock()).event(change)])
        cursor = known or Cursor(adapter.agent, stored_path(path), "", adapter.parser_version)
        self._batch.move(key_of(adapter, path), msgspec.structs.replace(cursor, state=state))

    def _note_vanished(self, adapters: dict[str, Adapter]) -> None:
        """State which known files are gone, and which denied places are not denied any more. History stays."""
        for key in sorted(self._log.cursors.keys() - self._seen):
            cursor = self._batch.cursor(key)
            if cursor is None or cursor.agent not in adapters or cursor.state not in ("present", "unreadable"):
                continue
            path = real_path(cursor.source_path)
            change = self._vanished(path, cursor)
            if change is not None:
                self._note(adapters[cursor.agent], path, cursor, SourceChanged(change=change), "gone")

    def _vanished(self, path: str, cursor: Cursor) -> SourceChange | None:
        """Return what became of a place the sweep did not see; ``None`` while that cannot be told."""
        if not any(path.startswith(root + os.sep) for root in self._pass.roots_seen):
            return None  # of another home, or below a root that is not there: an unmounted disk deletes nothing
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        except OSError:
            return None
        is_denied_place = cursor.state == "unreadable" and not cursor.generation
        return "readable" if is_denied_place else None


class _Reading:
    """The lines of one open file on their way to evidence."""

    def __init__(self, adapter: Adapter, header: Header, source: SourceFile, cursor: Cursor, salt: str) -> None:
        self._adapter = adapter
        self._header = header
        self._source = source
        self._salt = salt
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

    def finished(self) -> Cursor:
        """The place after the last byte: only now the file's size says that nothing is left to read."""
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
            content = line if line[:1] == b"{" and line[-1:] == b"}" else _cleaned(line, offset)
            if content is not None:
                self.lines += 1
                self._state(events, stamp, offset, line, self._said(content))
            offset += len(line) + 1
        self.offset_bytes = chunk.end_bytes
        if chunk.lines:
            self._tail_hash = None
        return events

    def _said(self, content: bytes) -> Iterable[Observation]:
        return self._adapter.read_line(content, self._header) if content else _NUL_RUN

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
                name = name or line_hash(line)
                events.append(stamp.line_event(seen, offset, len(line), name))

    def unterminated(self, now: datetime) -> list[bytes]:
        """
        Return the evidence of a last line without a newline, if it is complete JSON; the cursor stays before it.

        A closed JSON object cannot grow into another valid one. The line is read again once its newline is there, and
        recognised as the same by its hash.
        """
        line = self._source.tail(self.offset_bytes)
        content = _cleaned(line, self.offset_bytes) if len(line) <= LINE_BYTES_MAX else None
        if not content or line_hash(line) == self._tail_hash:
            return []
        observations = [
            seen
            for seen in self._adapter.read_line(content, self._header)
            if not isinstance(seen, Unrecognised | TurnUnmetered)
        ]
        if not observations or any(isinstance(seen, LineRejected) for seen in observations):
            return []
        self._tail_hash = line_hash(line)
        stamp = Stamp(self._adapter, self._source.path, self._start.generation, self._header, now)
        return [stamp.line_event(seen, self.offset_bytes, len(line), self._tail_hash) for seen in observations]


def _cleaned(line: bytes, offset: int) -> bytes | None:
    """Return what is to be decoded: without BOM, CR and NULs; ``None`` for a blank line, empty for a run of NULs."""
    if offset == 0 and line.startswith(BOM):
        line = line[len(BOM) :]
    bare = line.strip(b" \t\r")
    if not bare:
        return None
    return bare.strip(b"\0 \t\r")


def _is_unchanged(known: Cursor, found: Found) -> bool:
    status = found.status
    return (
        known.state == "present"
        and known.size_bytes == status.st_size
        and known.changed_ns == status.st_ctime_ns  # unlike the time of modification, no program can set it back
        and known.parser_version == found.adapter.parser_version
        and known.generation.startswith(f"{status.st_dev}:{status.st_ino}:")
    )


def _what_changed(known: Cursor, source: SourceFile) -> SourceChange | None:
    """Return what happened to the content before the cursor; ``None`` when it still stands."""
    if not known.generation.startswith(f"{source.status.st_dev}:{source.status.st_ino}:"):
        return "replaced"
    if source.is_compressed:
        return None if known.modified_ns == source.status.st_mtime_ns else "replaced"
    if source.status.st_size < known.offset_bytes:
        return "truncated"
    return None if continuity(source, known.offset_bytes) == known.continuity else "replaced"


def _fresh(found: Found, name: str, path: str) -> Cursor:
    return Cursor(found.adapter.agent, path, name, found.adapter.parser_version)


def _completed(found: Found, source: SourceFile) -> Header | None:
    """Return the header, with what the file's first line says where its name says nothing."""
    if found.header.session_id is not None:
        return found.header
    first = next(iter(source.read_at(0, LINE_BYTES_MAX).splitlines()), b"")
    if not first.strip():
        return None
    return found.adapter.with_first_line(found.header, _cleaned(first, 0) or b"")
