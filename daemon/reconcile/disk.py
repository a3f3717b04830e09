"""
What lies on the disk against the marks of the log: what is read, what is not, and what is gone with its bytes.

Nothing is opened: a sweep over all roots and the cursors of the last commits are enough, with a daemon or without.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from daemon.bootstrap import roots
from daemon.discover import Denied, Found, RootSeen, Seen, sweep
from daemon.identity import real_path, stored_path
from daemon.ingest import is_unchanged, key_of
from daemon.settings import Settings
from state.cursors import Cursor
from state.read import cursors

#: Of what is no session log, but is read all the same: a harness's records of sessions.
_RECORD: Final = "record"

#: `never_read` and `behind` can be read; `unreadable` was tried as it is, in vain, or may not even be looked at: who
#: owns it gives this user the right, or another copy. `gone` is read by nobody: it went while it was being read.
#: `half_line`: it went with the beginning of a line, which is what a killed agent leaves.
Reason = Literal["never_read", "behind", "unreadable", "gone", "half_line"]


@dataclass(frozen=True, slots=True)
class Gap:
    """
    A file, or place, of which the log does not hold everything.

    Args:
        agent: Whose it is.
        source: Its stored path.
        reason: Why.
        modified_at: When it was written last, UTC; null where nobody could look.
        unread_bytes: How many bytes are behind the mark, or went with the file; null where that is not known.
        found: The file as it was seen; null for what is not there, or may not be looked at.
    """

    agent: str
    source: str
    reason: Reason
    modified_at: datetime | None
    unread_bytes: int | None
    found: Found | None = None

    def document(self) -> dict[str, Any]:
        """Return what is shown of it."""
        at = self.modified_at
        return {
            "agent": self.agent,
            "source": self.source,
            "reason": self.reason,
            "modified_at": None if at is None else at.isoformat(timespec="seconds"),
            "unread_bytes": self.unread_bytes,
        }


@dataclass(frozen=True, slots=True)
class Disk:
    """
    What one sweep over all roots has come to; counts of session logs.

    Args:
        found: Logs that were found, of any time.
        on_disk: Of which were written in the time asked for.
        ingested: Of which are read to their end.
        in_progress: Of which were written just now and are being read: neither ingested nor stale yet.
        gaps: What is left of them, and of everything else that is read.
    """

    found: int
    on_disk: int
    ingested: int
    in_progress: int
    gaps: Sequence[Gap]

    @property
    def stale(self) -> int:
        """Logs that changed since they were read, or were never read."""
        return self.on_disk - self.ingested - self.in_progress

    def by(self, *reasons: Reason) -> list[Gap]:
        """Return the gaps of these reasons."""
        return [gap for gap in self.gaps if gap.reason in reasons]

    @property
    def recoverable(self) -> list[Gap]:
        """What a pass, or the daemon, can still read."""
        return self.by("never_read", "behind")

    @property
    def failed(self) -> list[Gap]:
        """What was tried in vain: a pass tries again, as a lock may be gone by now; nobody waits for it."""
        return [gap for gap in self.by("unreadable") if gap.found is not None]


class Marks:
    """How far each source is read, by key and by inode: a file may have been read under another name."""

    def __init__(self, known: Mapping[str, Cursor]) -> None:
        self.known = known
        self._by_inode = {
            cursor.generation.rpartition(":")[0]: cursor
            for cursor in known.values()
            if cursor.generation and cursor.state in ("present", "moved", "gone")
        }

    def of(self, found: Found) -> Cursor | None:
        """Return the mark of a file; ``None`` when it was never met, or only could not be read."""
        mark = self.known.get(key_of(found.adapter, found.path))
        if mark is not None and mark.generation and mark.state != "moved":
            return mark
        return self._of_other_name(found)

    def holds(self, found: Found) -> bool:
        """Say whether all of a file is in the log."""
        mark = self.known.get(key_of(found.adapter, found.path))
        if mark is not None and is_unchanged(mark, found.adapter, found.path, found.status):
            return True
        other = self._of_other_name(found)
        is_read = other is not None and other.size_bytes == found.status.st_size
        return is_read or not found.status.st_size

    def has_failed(self, found: Found) -> bool:
        """Say whether a file was tried, as it is now, and could not be read."""
        mark = self.known.get(key_of(found.adapter, found.path))
        is_denied = mark is not None and mark.state == "unreadable" and mark.changed_ns == found.status.st_ctime_ns
        return is_denied or self.is_broken(found)

    def is_broken(self, found: Found) -> bool:
        """Say whether a document, as it is now, made no sense at the last look: at another one it is rejected."""
        mark = self.known.get(key_of(found.adapter, found.path))
        seen = (found.status.st_size, found.status.st_mtime_ns)
        return mark is not None and bool(mark.broken_hash) and (mark.size_bytes, mark.modified_ns) == seen

    def has_reached(self, found: Found) -> bool:
        """
        Say whether a file is read, or was tried, to where it was when it was found; one that went is nobody's to read.
        """
        if self.has_failed(found):
            return True
        mark = self.of(found)
        is_later = mark is not None and mark.state == "present" and mark.changed_ns >= found.status.st_ctime_ns
        if mark is not None and is_later and (found.adapter.kind != "lines" or mark.size_bytes >= found.status.st_size):
            return True
        return self.holds(found) or not os.path.lexists(found.path)

    def _of_other_name(self, found: Found) -> Cursor | None:
        """Return the mark under which a file was read that was moved since, or has another name."""
        other = self._by_inode.get(f"{found.status.st_dev}:{found.status.st_ino}")
        if other is None or other.agent != found.adapter.agent or other.modified_ns != found.status.st_mtime_ns:
            return None
        return None if other.source_path == stored_path(found.path) else other


def marks(settings: Settings) -> Marks:
    """
    Return how far each source is read, as the log says by now.

    Raises:
        LogBroken, StateUnusable, LogIoError: The log cannot be read.
    """
    return Marks(cursors(settings.state.log_directory, Cursor))


def look(settings: Settings, since: datetime | None = None, settled_before: datetime | None = None) -> Disk:
    """
    Sweep over all roots, and hold what is found against the marks.

    Args:
        settings: The home and the log.
        since: Only files that were written from then on; null for all.
        settled_before: What was written later is being read at this moment, and is no gap yet; null: nobody reads.

    Raises:
        LogBroken, StateUnusable, LogIoError: The log cannot be read.
        AdapterNameTaken: Two adapters have one name.
    """
    # The marks first: what is read in between makes no gap, only a mark that is newer than the look.
    known = marks(settings)
    seen = list(sweep(roots(settings), settings.zone))
    found = [each for each in seen if isinstance(each, Found)]
    files = [each for each in found if _is_since(_modified(each.status), since)]
    unread = [each for each in files if not known.holds(each)]
    waiting = [each for each in unread if settled_before is not None and _modified(each.status) >= settled_before]
    gaps = [_gap(each, known) for each in unread if each not in waiting]
    gaps += [_denied(each) for each in seen if isinstance(each, Denied)]
    gaps += [gap for gap in _gone(seen, known) if since is None or (gap.modified_at or since) > since]
    on_disk = _logs(files)
    return Disk(
        found=_logs(found),
        on_disk=on_disk,
        ingested=on_disk - _logs(unread),
        in_progress=_logs(waiting),
        gaps=sorted(gaps, key=lambda gap: (gap.reason, gap.agent, gap.source)),
    )


def _logs(files: Sequence[Found]) -> int:
    return sum(each.header.role != _RECORD for each in files)


def _gap(found: Found, known: Marks) -> Gap:
    mark, size = known.of(found), found.status.st_size
    reason: Reason = "never_read" if mark is None else "behind"
    is_plain = found.adapter.kind == "lines" and not found.path.endswith(".zst")
    read = mark.offset_bytes if mark is not None and is_plain else None
    return Gap(
        agent=found.adapter.agent,
        source=stored_path(found.path),
        reason="unreadable" if known.has_failed(found) else reason,
        modified_at=_modified(found.status),
        unread_bytes=size if mark is None else size - read if read is not None and size >= read else None,
        found=found,
    )


def _denied(denied: Denied) -> Gap:
    return Gap(denied.adapter.agent, stored_path(denied.path), "unreadable", None, None)


def _gone(seen: Sequence[Seen], known: Marks) -> Iterator[Gap]:
    """Yield the files that are not there any more and were not read to their end; those that were are no gap."""
    kinds = {each.adapter.parser: each.adapter.kind for each in seen if isinstance(each, RootSeen)}
    there = {key_of(each.adapter, each.path) for each in seen if isinstance(each, Found | Denied)}
    tops = {(each.adapter.parser, each.path) for each in seen if isinstance(each, RootSeen) and each.exists}
    for key, mark in known.known.items():
        if key in there or mark.role == _RECORD or kinds.get(key.partition(":")[0]) != "lines":
            continue  # a document or a database is read whole, or it was not read
        if mark.state != "gone" and not _has_vanished(key, mark, tops):
            continue
        lost = _lost_bytes(mark)
        at = datetime.fromtimestamp(mark.modified_ns / 1e9, UTC) if mark.modified_ns else None
        if lost != 0:
            yield Gap(mark.agent, mark.source_path, "gone" if lost is None else "half_line", at, lost)


def _lost_bytes(mark: Cursor) -> int | None:
    """
    Return how many bytes went with a file as it was seen last; null where that is not known, as it was being read.

    A place that could never be read has held nobody knows what; health told of it while it was there.
    """
    if not mark.generation or mark.source_path.endswith(".zst"):
        return 0
    if mark.size_bytes < mark.offset_bytes:
        return None
    return mark.size_bytes - mark.offset_bytes if mark.tail_hash is None else 0


def _has_vanished(key: str, mark: Cursor, tops: set[tuple[str, str]]) -> bool:
    """Say whether a file went since the last sweep: below a root that is there, where nothing is denied."""
    if mark.state not in ("present", "unreadable"):
        return False
    path, parser = real_path(mark.source_path), key.partition(":")[0]
    if not any(parser == of and path.startswith(top + os.sep) for of, top in tops):
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(max(status.st_mtime, 0.0), UTC)


def _is_since(at: datetime, since: datetime | None) -> bool:
    return since is None or at >= since
