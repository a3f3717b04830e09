"""
Sources to log: whatever a sweep or a wake has seen is read from its cursor on.

What is remembered here between two looks is for speed only: where reading goes on stands in the cursors, which the log
commits together with the events. A kill at any instant neither loses nor doubles.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from adapters.contract import Adapter, Header, LineAdapter
from daemon.behind import Behind
from daemon.databases import DatabaseDenied, beside, is_same_file, read_database
from daemon.discover import Denied, Found, Listed, RootSeen, Seen, deny_code
from daemon.documents import Remembered, read_document
from daemon.identity import Unsteady, continuity, generation, line_hash, real_path, stored_name, stored_path
from daemon.items import Statements
from daemon.provenance import SourceChanged, Stamp
from daemon.reading import Reading, cleaned
from daemon.tail import LINE_BYTES_MAX, DamagedArchive, NotRegular, SourceFile
from daemon.tallies import Said, Tallies, growth, merged
from daemon.trajectories import Trajectories
from state.cursors import Cursor
from state.log import Log
from state.vocabulary import SENTINEL, DenyCode, SourceChange

#: A batch is committed when it holds this many events or bytes, whichever comes first.
BATCH_EVENTS: Final = 1_000
BATCH_BYTES: Final = 256 * 1024

#: One look at a file of a running daemon reads about so many bytes, then others have their turn.
LOOK_BYTES: Final = 4 * 1024 * 1024
#: So long nothing was written before a last line without newline is taken as it is, in seconds.
IDLE_SECONDS: Final = 600
#: So many bytes of a line without end say whether it is still the one that was read.
_SAMPLE_BYTES: Final = 256
#: Continuity of a file of which nothing was read.
_NOTHING_READ: Final = line_hash(b"")
#: A file that is shorter than what was read of it is believed after so many equal looks, or so many at all.
SHRUNK_LOOKS: Final = 2
SHRUNK_POLLS_MAX: Final = 10

Clock = Callable[[], datetime]


@dataclass(slots=True)
class Pass:
    """What one pass saw and did; sizes in bytes. ``agent_files`` are the files of each agent."""

    files: int = 0
    agent_files: Counter[str] = field(default_factory=Counter)
    files_read: int = 0
    bytes_read: int = 0
    events: int = 0
    rejected: int = 0
    denied: list[Denied] = field(default_factory=list)
    directories: set[str] = field(default_factory=set)
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
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._events and not self._cursors

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return len(self._events) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES or len(self._cursors) >= BATCH_EVENTS

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event gets."""
        return self._log.head.seq + 1 + len(self._events)

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
        """
        Make everything durable at once; returns the number of events.

        When the disk is full, all of it stays here, and the same call may be tried again.
        """
        if self.is_empty:
            return 0
        # Never in two parts: after a kill between them the first would be read, and stated, again.
        count = self._log.append(self._events, self._cursors).count
        self._events, self._cursors, self._bytes = [], {}, 0
        return count


def key_of(adapter: Adapter, path: str) -> str:
    """Name a source among the cursors."""
    return f"{adapter.parser}:{stored_path(path)}"


@dataclass(slots=True)
class _Shrunk:
    """A file that is shorter than what was read of it; ``looks`` counts how often it was seen so, unchanged."""

    found: Found
    is_settled: bool = False
    looks: int = 0
    polls: int = 0


@dataclass(frozen=True, slots=True)
class _Endless:
    """A line that is too long and has no end yet: where it begins, how far it was read, and its last bytes there."""

    offset_bytes: int
    end_bytes: int
    sample: bytes


class Ingest:
    """
    Sources to log: whatever a sweep or a wake has seen is read from its cursor on.

    ``is_live``: files are looked at again and again while agents write them. Then a last line without newline waits
    until it is idle, a file that is suddenly shorter is given time to be whole again, and one look reads a bounded
    part of a file, so that no file keeps the others waiting.
    """

    def __init__(
        self,
        log: Log[Cursor],
        clock: Clock,
        progress: Callable[[int], None] = lambda _: None,
        *,
        is_live: bool = False,
        remembered: Remembered | None = None,
        home: Path = Path("/nonexistent"),
    ) -> None:
        self._log = log
        self._clock = clock
        self._progress = progress
        self._is_live = is_live
        self._remembered = remembered if remembered is not None else Remembered()
        self._trajectories = Trajectories(home, self._remembered.missing_paths)
        self.batch = Batch(log)
        self._pass = Pass()
        self._seen: set[str] = set()
        self._adapters: dict[str, Adapter] = {}
        self._shrunk: dict[str, _Shrunk] = {}
        self._endless: dict[str, _Endless] = {}
        self._directories: set[str] = set()
        self._tallies = Tallies()
        #: Bytes read since this object was made.
        self.read_bytes = 0
        #: Sources whose marks are behind their ends.
        self.behind = Behind()
        #: Sources by inode; a tuple, since nearly all have one name and there may be 50,000.
        self._by_inode: dict[int, tuple[str, ...]] = {}
        for key, cursor in log.cursors.items():
            self._index(key, cursor)

    def run(self, seen: Iterable[Seen]) -> Pass:
        """Read everything in *seen*; commits as it goes, and once more at the end."""
        self.begin_sweep()
        for each in seen:
            while self.look(each):
                pass
        read = self.end_sweep()
        self.commit()
        self.tally(is_end=True)
        self.batch.commit()  # of its own, as nothing of it was stated by a source
        return read

    def begin_sweep(self) -> None:
        """Forget what was seen: a sweep over all roots begins."""
        self._pass, self._seen = Pass(), set()

    def look(self, seen: Seen) -> bool:
        """Take in what there is to say of one place; true when more of it is left to read."""
        self._adapters[seen.adapter.parser] = seen.adapter
        match seen:
            case Found():
                key = key_of(seen.adapter, seen.path)
                self._see(key, seen.adapter)
                return self._read(key, seen)
            case Denied():
                self._deny(seen)
            case RootSeen():
                self._root(seen)
            case Listed():
                self._pass.directories.add(seen.path)
        return False

    def is_second_name(self, seen: Found | Denied) -> bool:
        """Say whether a file has several names and this is none that we read it under: the sweep decides on one."""
        return (
            isinstance(seen, Found)
            and seen.status.st_nlink > 1
            and self.batch.cursor(key_of(seen.adapter, seen.path)) is None
        )

    def is_settled(self, adapter: Adapter, path: str, status: os.stat_result) -> bool:
        """Say whether nothing is new in a file, and count it as seen: what a sweep asks before anything else."""
        key = f"{adapter.parser}:{path}"  # a path that is stored otherwise is not found, and looked at in full
        known = self.batch.cursor(key)
        if known is None or not self._has_nothing_new(known, adapter, path, status):
            return False
        self._see(key, adapter)
        self._progress(status.st_size)
        return True

    def _see(self, key: str, adapter: Adapter) -> None:
        """Count a file, once in a sweep; what was planted is nobody's log."""
        if key not in self._seen:
            self._seen.add(key)
            if adapter.agent != SENTINEL:
                self._pass.files += 1
                self._pass.agent_files[adapter.agent] += 1

    def end_sweep(self) -> Pass:
        """State what vanished since the last sweep over all roots, and return what this one did."""
        self._note_vanished()
        return self._pass

    def poll_shrunk(self) -> None:
        """
        Look again at files that were shorter than what was read of them; to be called about once a second.

        gptme writes its whole file at every message, and a reader sees size 0, then a part, then all of it. That is no
        truncation: only a file that stays short is one.
        """
        for key, shrunk in list(self._shrunk.items()):
            try:
                status = os.stat(shrunk.found.path, follow_symlinks=False)  # noqa: PTH116 - beside the sweep's
            except OSError:
                del self._shrunk[key]
                continue
            before = shrunk.found.status
            is_same = (status.st_size, status.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
            shrunk.found = replace(shrunk.found, status=status)
            shrunk.polls += 1
            shrunk.looks = shrunk.looks + 1 if is_same else 0
            shrunk.is_settled = shrunk.looks >= SHRUNK_LOOKS or shrunk.polls >= SHRUNK_POLLS_MAX
            if shrunk.is_settled or not is_same:
                self.look(shrunk.found)

    @property
    def has_shrunk(self) -> bool:
        """Whether some file waits for `poll_shrunk`."""
        return bool(self._shrunk)

    def taken_directories(self) -> set[str]:
        """Return the working directories of the lines that were read since the last call."""
        taken = self._directories.copy()
        self._directories.clear()
        return taken

    def tally(self, *, is_end: bool = False) -> None:
        """Add to the batch what is to be told by now of each agent and version; everything at the end."""
        self.batch.add(self._tallies.taken(self._clock(), is_end=is_end))

    def commit(self) -> int:
        """Make what was read durable; returns the number of events."""
        count = self.batch.commit()
        self._pass.events += count
        return count

    def _move(self, key: str, cursor: Cursor) -> None:
        before = self.batch.cursor(key)
        if before == cursor:
            return  # a file that waits for something is looked at again and again: nothing is written of that
        if before is None or before.generation != cursor.generation:
            if before is not None:
                self._forget(key, before)
            self._index(key, cursor)
        self.batch.move(key, cursor)

    def _index(self, key: str, cursor: Cursor) -> None:
        if cursor.generation:
            self._by_inode[_inode(cursor)] = (*self._by_inode.get(_inode(cursor), ()), key)

    def _forget(self, key: str, cursor: Cursor) -> None:
        if cursor.generation:
            others = tuple(name for name in self._by_inode.pop(_inode(cursor), ()) if name != key)
            if others:
                self._by_inode[_inode(cursor)] = others

    # -- one file ------------------------------------------------------------------------------------------------

    def _read(self, key: str, found: Found) -> bool:
        known = self.batch.cursor(key)
        if known is not None and self._has_nothing_new(known, found.adapter, found.path, found.status):
            self._progress(found.status.st_size)
            return False
        code: DenyCode
        try:
            with SourceFile(found.path, found.root) as source:
                return self._read_open(key, known, found, source)
        except DatabaseDenied as error:
            code = error.code
        except DamagedArchive:
            code = "damaged_archive"
        except NotRegular:
            code = "not_regular"
        except OSError as error:
            code = deny_code(error)
        self._deny(Denied(found.path, found.adapter, code), found.status.st_ctime_ns)
        self._count_denied(key, known, found)
        return False

    def _has_nothing_new(self, known: Cursor, adapter: Adapter, path: str, status: os.stat_result) -> bool:
        if not is_unchanged(known, adapter, path, status):
            return False
        has_unsaid_tail = known.size_bytes > known.offset_bytes and known.tail_hash is None
        return not has_unsaid_tail or path.endswith(".zst") or not self._is_final(status)

    def _is_final(self, status: os.stat_result) -> bool:
        """Say whether a last line without newline is to be taken as it is: nobody seems to write at it any more."""
        return not self._is_live or self._clock().timestamp() - status.st_mtime >= IDLE_SECONDS

    def _read_open(self, key: str, known: Cursor | None, found: Found, source: SourceFile) -> bool:
        if found.adapter.kind != "lines":
            self._read_items(key, known, found, source)
            return False
        header = _completed(found, found.adapter, source)
        if header is None and source.status.st_size and self._is_final(source.status):
            header = found.header  # blank lines, and nobody seems to go on: read, and nothing is in it
        if header is None:
            self._count_backlog(key, source, 0, is_waiting=True)
            return False  # not one line yet, and the adapter needs the first to know the session
        start = self._place(key, known, found, source)
        if start is None:
            return False  # shorter than what was read: it is given time
        cursor = msgspec.structs.replace(
            start,
            session_id=header.session_id,
            name=stored_name(header.name),
            role=header.role,
            size_bytes=0,
            is_reparsed=start.is_reparsed and not start.size_bytes,
        )
        if start is not known:
            self._move(key, cursor)  # with what was just stated of the file, whatever becomes of reading it
        reading = Reading(found.adapter, header, source, cursor, self._log.log_id, self._directories)
        is_at_end = False
        try:
            if not self._take(key, reading, source):
                return True
            is_at_end = True
            rest = reading.unterminated(self._clock()) if self._is_final(source.status) else []
            end = msgspec.structs.replace(reading.finished(), state="present")
        except Unsteady:
            return True  # looked at again at once: by then it is shorter, or whole
        finally:
            self.read_bytes += reading.offset_bytes - cursor.offset_bytes
            self._pass.bytes_read += reading.offset_bytes - cursor.offset_bytes
            self._pass.rejected += reading.rejected - cursor.rejected_lines
            self._add_tally(found, reading.said, source, is_first=not start.size_bytes)
            self._count_backlog(key, source, reading.offset_bytes, is_waiting=is_at_end)
        self.batch.add(rest)
        if cursor.state != "present":
            self._state(found, cursor.generation, SourceChanged(change="readable"))
        self._move(key, end)
        self._commit_full()
        self._pass.files_read += 1
        return False

    def _read_items(self, key: str, known: Cursor | None, found: Found, source: SourceFile) -> None:
        """Read a document or a database: both are rewritten, so what is new is told by their items, not by a place."""
        header, adapter = found.header, found.adapter
        start, news = self._place_of_items(known, found, source)
        cursor = msgspec.structs.replace(
            start,
            session_id=header.session_id,
            name=stored_name(header.name),
            role=header.role,
            state="present",
        )
        stamp = Stamp(adapter, source.path, cursor.generation, header, self._clock())
        statements = Statements(
            stamp, self._log.log_id, self._directories, self._trajectories, is_reparsed=cursor.is_reparsed
        )
        if adapter.kind == "document":
            before = known.content_hash if known is not None else ""
            is_idle = self._is_final(source.status)
            moves = read_document(
                adapter, header, source, cursor, key, statements, self._remembered, before=before, is_idle=is_idle
            )
        elif adapter.kind == "rows":
            moves = read_database(adapter, header, source, cursor, statements)
        else:
            return
        for moved in moves:
            if news is not None:  # said only now: a database that cannot be read was not opened
                self._state(found, cursor.generation, news)
                news = None
            self.batch.add(statements.taken())
            self._move(key, moved)
            self._commit_full()
        self._add_tally(found, statements.said, source, is_first=not start.size_bytes)
        self._count_backlog(key, source, source.status.st_size if moved.offset_bytes else 0, is_waiting=True)
        self._progress(source.status.st_size)
        self.read_bytes += source.status.st_size
        self._pass.files_read += 1
        self._pass.bytes_read += source.status.st_size
        self._pass.rejected += statements.counts.rejected_lines

    def _place_of_items(
        self, known: Cursor | None, found: Found, source: SourceFile
    ) -> tuple[Cursor, SourceChanged | None]:
        """Return the cursor of a document or a database, whose generation stays, and what happened to it since."""
        size = found.status.st_size
        if known is None or not known.generation:
            name = self._next_generation(source)
            return _fresh(found, name, stored_path(found.path)), SourceChanged(change="opened", size_bytes=size)
        if known.parser_version != found.adapter.parser_version:
            again = msgspec.structs.replace(_fresh(found, known.generation, known.source_path), is_reparsed=True)
            return again, SourceChanged(change="reparsed", size_bytes=size)
        if not is_same_file(known, source.status):
            return known, SourceChanged(change="replaced", size_bytes=size)
        return known, SourceChanged(change="readable") if known.state != "present" else None

    def _take(self, key: str, reading: Reading, source: SourceFile) -> bool:
        """Read complete lines to the end of the file; false when this look has read enough of it."""
        start = reading.offset_bytes
        endless_bytes = self._endless_bytes(key, source, start)
        for chunk in source.chunks(start, endless_bytes):
            if chunk.endless_bytes:
                passed_bytes = chunk.offset_bytes + chunk.endless_bytes - start - endless_bytes
                if self._is_live and passed_bytes >= LOOK_BYTES and not source.is_compressed:
                    self._remember_endless(key, source, chunk.offset_bytes, chunk.endless_bytes)
                    return False
                self._progress(0)  # nothing of it will count, and it may be gigabytes: it goes on
                continue
            events = reading.events(chunk, self._clock())
            cursor = reading.proven(chunk)
            # Now, not at the end: what was read is evidence, and an error behind it must not bring it up again.
            reading.tally()
            self.batch.add(events)
            self._move(key, cursor)
            self._commit_full()
            self._progress(chunk.end_bytes - chunk.offset_bytes)
            # A compressed file is read in one go: each look would decompress it from its beginning.
            if self._is_live and reading.offset_bytes - start >= LOOK_BYTES and not source.is_compressed:
                return False
        self._remember_endless(key, source, reading.offset_bytes, source.status.st_size - reading.offset_bytes)
        return True

    def _endless_bytes(self, key: str, source: SourceFile, offset_bytes: int) -> int:
        """Return how many bytes behind *offset_bytes* are known to be a line that is too long and has no end yet."""
        known = self._endless.get(key)
        if known is None or known.offset_bytes != offset_bytes or source.is_compressed:
            return 0
        is_same = source.read_at(known.end_bytes - len(known.sample), len(known.sample)) == known.sample
        return known.end_bytes - offset_bytes if is_same else 0

    def _remember_endless(self, key: str, source: SourceFile, offset_bytes: int, length_bytes: int) -> None:
        """Remember a line without end, so that it is not read from its beginning at every look."""
        if source.is_compressed or length_bytes <= LINE_BYTES_MAX:
            self._endless.pop(key, None)
            return
        end = offset_bytes + length_bytes
        self._endless[key] = _Endless(offset_bytes, end, source.read_at(end - _SAMPLE_BYTES, _SAMPLE_BYTES))

    def _add_tally(
        self, found: Found, said: Sequence[tuple[str | None, Said]], source: SourceFile, *, is_first: bool
    ) -> None:
        """Take in what one look at a file has read."""
        if not said or found.adapter.agent == SENTINEL or found.header.role == "record":
            return  # nobody's work
        now = self._clock()
        of = growth(
            is_first=is_first,
            is_archive=source.is_compressed,
            modified_at=source.status.st_mtime,
            now=now,
            begun_at=self._log.begun_at,
        )
        self._tallies.add(found.adapter.agent, merged(said), stored_path(found.path), now, of=of)

    def _commit_full(self) -> None:
        if self.batch.is_full:
            self.commit()

    def _count_backlog(self, key: str, source: SourceFile, mark_bytes: int, *, is_waiting: bool) -> None:
        """Take in what is left of a source; *is_waiting* when it is nothing but what its agent has not ended yet."""
        size = mark_bytes if source.is_compressed else source.status.st_size
        is_left = is_waiting and self._is_final(source.status)
        self.behind.note(key, mark_bytes, size, time.monotonic(), is_waiting=is_waiting, is_left=is_left)

    def _count_denied(self, key: str, known: Cursor | None, found: Found) -> None:
        """Take in what is left of a file that was read before and cannot be read any more."""
        size = found.status.st_size
        is_new = known is not None and known.size_bytes != size and not found.path.endswith(".zst")
        if known is not None and is_new and found.adapter.kind == "lines":
            self.behind.note(key, known.offset_bytes, size, time.monotonic(), is_waiting=False)

    def _place(self, key: str, known: Cursor | None, found: Found, source: SourceFile) -> Cursor | None:
        """
        Return the cursor from which to go on, and state what happened to the file since; ``None`` to look again later.
        """
        if known is None or not known.generation:
            return self._open_new(key, known, found, source)
        if known.state == "moved":
            # What comes back was read on under its other name: that mark is the one that holds.
            return self._open_new(key, None, found, source)
        if known.parser_version != found.adapter.parser_version:
            again = self._begin_again(known, found, "reparsed", known.generation)
            return msgspec.structs.replace(again, is_reparsed=True)
        change = _what_changed(known, source)
        if change == "truncated" and self._is_given_time(key, found):
            return None
        self._shrunk.pop(key, None)
        if change is None:
            if known.state in ("present", "unreadable"):
                return known  # an unreadable one is readable again only once it was read to its end
            self._state(found, known.generation, SourceChanged(change="readable"))
            return msgspec.structs.replace(known, state="present")
        return self._begin_again(known, found, change, self._next_generation(source))

    def _is_given_time(self, key: str, found: Found) -> bool:
        if not self._is_live:
            return False
        return not self._shrunk.setdefault(key, _Shrunk(found)).is_settled

    def _begin_again(self, known: Cursor, found: Found, change: SourceChange, name: str) -> Cursor:
        self._state(found, name, SourceChanged(change=change, size_bytes=found.status.st_size))
        return _fresh(found, name, known.source_path)

    def _open_new(self, key: str, known: Cursor | None, found: Found, source: SourceFile) -> Cursor:
        moved = self._moved_from(key, found, source)
        if moved is None:
            name = self._next_generation(source)
            self._state(found, name, SourceChanged(change="opened", size_bytes=found.status.st_size))
            fresh = _fresh(found, name, stored_path(found.path))
            return msgspec.structs.replace(fresh, state=known.state) if known is not None else fresh
        old_key, old = moved
        self._move(old_key, msgspec.structs.replace(old, state="moved"))
        self.behind.forget(old_key)
        self._state(found, old.generation, SourceChanged(change="moved", previous_path=old.source_path))
        return msgspec.structs.replace(old, source_path=stored_path(found.path), state="present")

    def _moved_from(self, key: str, found: Found, source: SourceFile) -> tuple[str, Cursor] | None:
        """Return the cursor of the same file under its former name, when its content is still the one we read."""
        for old_key in sorted(self._by_inode.get(source.status.st_ino, ())):
            old = self.batch.cursor(old_key)
            if old_key == key or old is None or old.name != stored_name(found.header.name):
                continue
            if _is_still_there(old, source.status):
                continue  # a second name of one file
            is_same = old.agent == found.adapter.agent and old.state in ("present", "gone")
            if is_same and old.parser_version == found.adapter.parser_version and _what_changed(old, source) is None:
                return old_key, old
        return None

    def _next_generation(self, source: SourceFile) -> str:
        """Name new content by the event that states it: an inode that is given away brings back no old name."""
        return generation(source.status, self.batch.next_seq)

    def _state(self, found: Found, name: str, change: SourceChanged) -> None:
        self.batch.add([Stamp(found.adapter, found.path, name, found.header, self._clock()).event(change)])

    # -- what cannot be read -------------------------------------------------------------------------------------

    def _deny(self, denied: Denied, changed_ns: int = 0) -> None:
        """
        State once that a place cannot be read; the mark says of which content (*changed_ns*, 0 for what is no file).
        """
        self._pass.denied.append(denied)
        key = key_of(denied.adapter, denied.path)
        self._seen.add(key)
        known = self.batch.cursor(key)
        if known is None or known.state != "unreadable":
            change = SourceChanged(change="unreadable", code=denied.code)
            self._note(denied.adapter, denied.path, known, change, "unreadable")
        noted = self.batch.cursor(key)
        if noted is not None:
            self._move(key, msgspec.structs.replace(noted, changed_ns=changed_ns))

    def _root(self, root: RootSeen) -> None:
        (self._pass.roots_seen if root.exists else self._pass.roots_missing).append(root.path)
        known = self.batch.cursor(key_of(root.adapter, root.path))
        if not root.exists and (known is None or known.state != "missing"):
            self._note(root.adapter, root.path, known, SourceChanged(change="missing", code="missing"), "missing")
        elif root.exists and known is not None and known.state != "present":
            self._note(root.adapter, root.path, known, SourceChanged(change="readable"), "present")

    def _note(self, adapter: Adapter, path: str, known: Cursor | None, change: SourceChanged, state: str) -> None:
        """State what happened to a place, once: its cursor remembers."""
        self.batch.add([Stamp(adapter, path, known.generation if known else "", None, self._clock()).event(change)])
        cursor = known or Cursor(adapter.agent, stored_path(path), "", adapter.parser_version)
        self._move(key_of(adapter, path), msgspec.structs.replace(cursor, state=state))

    def _note_vanished(self) -> None:
        """State which known files are gone, and which denied places are not denied any more. History stays."""
        for key in sorted(self._log.cursors.keys() - self._seen):
            cursor = self.batch.cursor(key)
            parser = key.partition(":")[0]
            if cursor is None or parser not in self._adapters or cursor.state not in ("present", "unreadable"):
                continue
            path = real_path(cursor.source_path)
            change = self._vanished(path, cursor)
            if change is not None:
                self._note(self._adapters[parser], path, cursor, SourceChanged(change=change), "gone")
                self.behind.forget(key)

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


def _inode(cursor: Cursor) -> int:
    """Return the inode of a source that was read, whatever its device."""
    return int(cursor.generation.split(":")[1])


def _is_still_there(known: Cursor, status: os.stat_result) -> bool:
    """Say whether the file of *status* still has the name under which it is known."""
    try:
        return os.path.samestat(os.lstat(real_path(known.source_path)), status)
    except OSError:
        return False


def is_unchanged(known: Cursor, adapter: Adapter, path: str, status: os.stat_result) -> bool:
    """Say whether a file is as it was when it was read to where its cursor stands."""
    return (
        known.state == "present"
        and known.size_bytes == status.st_size
        # Unlike the time of modification, no program can set it back; and it moves when permissions do.
        and known.changed_ns == status.st_ctime_ns
        and known.parser_version == adapter.parser_version
        and (
            known.generation.startswith(f"{status.st_dev}:{status.st_ino}:")
            if adapter.kind == "lines"
            else not known.beside or known.beside == beside(path, status)
        )
    )


def _what_changed(known: Cursor, source: SourceFile) -> SourceChange | None:
    """Return what happened to the content before the cursor; ``None`` when it still stands."""
    if not known.generation.startswith(f"{source.status.st_dev}:{source.status.st_ino}:"):
        return "replaced"
    if source.is_compressed:
        return None if known.modified_ns == source.status.st_mtime_ns else "replaced"
    try:
        if source.status.st_size >= known.offset_bytes and continuity(source, known.offset_bytes) == known.continuity:
            return None
    except Unsteady:
        return "truncated"
    # While it is being written anew nobody can say that it is another: like a shorter file, it is given time.
    is_other = source.status.st_size >= known.offset_bytes and not source.has_changed()
    return "replaced" if is_other else "truncated"


def _fresh(found: Found, name: str, path: str) -> Cursor:
    # With the time of its content: an archive of which nothing can be read is not another one at each look.
    return Cursor(
        found.adapter.agent,
        path,
        name,
        found.adapter.parser_version,
        modified_ns=found.status.st_mtime_ns,
        continuity=_NOTHING_READ,
    )


def _completed(found: Found, adapter: LineAdapter, source: SourceFile) -> Header | None:
    """Return the header, with what the file's first line says where its name says nothing."""
    if found.header.session_id is not None:
        return found.header
    first = next((line for line in source.read_at(0, LINE_BYTES_MAX).splitlines() if line.strip()), None)
    if first is None:
        return None
    return adapter.with_first_line(found.header, cleaned(first, 0) or b"")
