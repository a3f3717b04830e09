"""
The inbox as a source: small files of hooks, tasks and operators, each of which becomes one event.

A file is removed only after the commit that holds its event. Killed in between, it is read again, which changes no
table: a message is named by its receipt and content, not by how often it was read. Used by the holder of the log's
lock, in one thread.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from daemon import inbox_directory as place
from daemon.envelope import MESSAGE_BYTES_MAX
from daemon.message import Checked, check, rejection
from daemon.message_rules import Refused
from daemon.receipts import Recorded
from state.cursors import Cursor
from state.files import SAFE_FLAGS, as_known
from state.log import Log
from state.paths import StatePaths
from state.vocabulary import MessageCode

#: Messages of one batch.
TAKE_MAX: Final = 1_000
#: At most so many names are kept in memory; what else waits is found by the next look.
NAMES_MAX: Final = 10_000
#: So many messages are remembered, so that one sent again makes no new event. More would only make the log longer.
KNOWN_MAX: Final = 100_000
#: A file that was begun so long ago is never finished, in seconds.
HALF_WRITTEN_SECONDS: Final = 24 * 3600

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | SAFE_FLAGS

#: Errors that are a file's own; any other says something of this process or disk and ends the pass.
_OF_THE_FILE: Final[dict[int, MessageCode]] = {
    errno.ELOOP: "symlink",
    errno.ENXIO: "not_regular",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EIO: "io_error",
}


@dataclass(frozen=True, slots=True)
class Message:
    """
    One file of the inbox as it was read, not yet evidence.

    ``event`` is null when the log already holds the message. ``content_hash`` is null for what is to be rejected.
    ``version`` names the file's content: what was put in its place since is another message. ``cwd`` is the working
    directory that it names, null when it names none.
    """

    name: str
    receipt: str
    content_hash: str | None
    event: bytes | None
    version: tuple[int, int, int]
    cwd: str | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether its file is kept aside instead of being removed."""
        return self.content_hash is None


@dataclass(slots=True)
class Taken:
    """What a pass took from the inbox: messages stored, known before, and rejected."""

    stored: int = 0
    known: int = 0
    rejected: int = 0

    def add(self, messages: Iterable[Message]) -> None:
        """Count what was taken."""
        for each in messages:
            self.rejected += each.is_rejected
            self.known += each.event is None
            self.stored += each.event is not None and not each.is_rejected


class Inbox:
    """
    The files that wait, and which of them are being taken.

    The loop calls `take`, commits the `events` of what it got, and then `done`. What was taken is not taken again
    until it is done, however often its commit is tried.
    """

    def __init__(self, paths: StatePaths, log_id: str, clock: Callable[[], datetime]) -> None:
        self._paths = paths
        self._log_id = log_id
        self._clock = clock
        self._names: list[str] = []
        self._taken: set[str] = set()
        self._known: dict[bytes, None] | None = None

    def take(self, limit: int = TAKE_MAX) -> list[Message]:
        """
        Read the messages that wait, at most *limit*; none when there are none.

        Raises:
            InboxUnsafe: Others can write to the inbox.
            StateUnusable: It cannot be read.
        """
        with place.opened(self._paths.inbox) as directory, as_known(self._paths.inbox):
            names = self._next(directory, limit)
            if not names:
                return []
            now = self._clock()
            found = [each for name in names if (each := self._read(directory, name, now)) is not None]
        self._taken.update(each.name for each in found)
        return found

    def done(self, messages: Sequence[Message]) -> None:
        """
        Remove the files of *messages*, which are committed; those of rejected ones are kept in `rejected/`.

        Raises:
            StateUnusable: A file cannot be removed, so that it would be read for ever.
        """
        with place.opened(self._paths.inbox) as directory, as_known(self._paths.inbox):
            for each in messages:
                if _version(directory, each.name) == each.version:
                    self._remove(directory, each)
                self._taken.discard(each.name)
                self._remember(each)

    # -- which files ---------------------------------------------------------------------------------------------

    def _next(self, directory: int, limit: int) -> list[str]:
        """Return the next names in order; the directory is read again only when all names of the last look are gone."""
        if not self._names:
            self._names = sorted(self._look(directory), reverse=True)
        names = self._names[-limit:][::-1]
        del self._names[-limit:]
        return names

    def _look(self, directory: int) -> list[str]:
        with os.scandir(directory) as entries:
            waiting = (each.name for each in entries if self._is_message(directory, each.name))
            return list(itertools.islice(waiting, NAMES_MAX))

    def _is_message(self, directory: int, name: str) -> bool:
        if name.startswith(place.HIDDEN):
            self._forget_half_written(directory, name)
            return False
        return name != place.REJECTED and name not in self._taken

    def _forget_half_written(self, directory: int, name: str) -> None:
        """Remove what a producer began and never finished; nobody was told that it was sent."""
        status = _status(directory, name) if name.endswith(place.HALF_WRITTEN_SUFFIX) else None
        if status is None or not stat.S_ISREG(status.st_mode):
            return
        if self._clock().timestamp() - status.st_mtime > HALF_WRITTEN_SECONDS:
            _unlink(directory, name)

    # -- one file ------------------------------------------------------------------------------------------------

    def _read(self, directory: int, name: str, now: datetime) -> Message | None:
        """Return the message, or what rejects it; ``None`` when its file is gone again."""
        status = _status(directory, name)
        if status is None:
            return None
        receipt = place.receipt_in(name) or self._salted(name)
        version = _version_of(status)
        try:
            checked = _checked(directory, name, status)
            is_new = _identity(receipt, checked.content_hash) not in self._index()
            event = checked.event(receipt, now) if is_new else None
        except Refused as refused:
            return Message(name, receipt, None, rejection(receipt, refused, status.st_size, now), version)
        except FileNotFoundError:
            return None
        return Message(name, receipt, checked.content_hash, event, version, getattr(checked.body, "cwd", None))

    def _salted(self, name: str) -> str:
        """Name a file whose own name may be anything, and hence is not repeated anywhere."""
        return hashlib.sha256(self._log_id.encode() + os.fsencode(name)).hexdigest()[:32]

    def _remove(self, directory: int, message: Message) -> None:
        if message.is_rejected:
            self._keep_aside(directory, message)
        else:
            _unlink(directory, message.name)

    def _keep_aside(self, directory: int, message: Message) -> None:
        """Move a rejected file out of the way; what is there already under its name stays too."""
        kept = self._paths.inbox / place.REJECTED
        kept.mkdir(mode=0o700, exist_ok=True)
        with place.opened(kept) as target:
            name = place.file_name(message.receipt)
            if _status(target, name) is not None:
                name = place.file_name(f"{message.receipt}.{message.version[-1]}")
            with contextlib.suppress(FileNotFoundError):
                os.rename(message.name, name, src_dir_fd=directory, dst_dir_fd=target)
                _for_its_owner_only(kept / name)

    # -- what is known -------------------------------------------------------------------------------------------

    def _index(self) -> dict[bytes, None]:
        """Return which messages the log holds, asked of it when the first file is there."""
        if self._known is None:
            with Recorded(self._paths) as recorded:
                newest = recorded.newest(KNOWN_MAX)
            self._known = {_identity(each.receipt or "", each.content_hash or ""): None for each in newest}
        return self._known

    def _remember(self, message: Message) -> None:
        if message.content_hash is None or self._known is None:
            return
        self._known[_identity(message.receipt, message.content_hash)] = None
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]


def events(messages: Iterable[Message]) -> list[bytes]:
    """Return what is to be committed of *messages*; a message that the log holds adds nothing."""
    return [each.event for each in messages if each.event is not None]


def take_all(inbox: Inbox, log: Log[Cursor]) -> Taken:
    """Take everything that waits, in commits of its own."""
    taken = Taken()
    while messages := inbox.take():
        if new := events(messages):
            log.append(new, {})
        inbox.done(messages)
        taken.add(messages)
    return taken


def _checked(directory: int, name: str, status: os.stat_result) -> Checked:
    """
    Read one file and check what it says.

    Raises:
        Refused: It is no message of ours.
        FileNotFoundError: It is gone.
    """
    _check_kind(status)
    receipt = place.receipt_in(name)
    if receipt is None:
        raise Refused("bad_name")
    checked = check(_content(directory, name))
    if checked.receipt not in (None, receipt):
        raise Refused("wrong_receipt")
    return checked


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise Refused("symlink")
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not_regular")
    if status.st_uid not in (os.geteuid(), 0):
        raise Refused("foreign_owner")
    if status.st_size > MESSAGE_BYTES_MAX:
        raise Refused("too_long")


def _content(directory: int, name: str) -> bytes:
    """Read one file, at most a byte more than a message may have."""
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
        try:
            _check_kind(os.fstat(descriptor))  # of what was opened, whatever bore the name a moment ago
            pieces = []
            left = MESSAGE_BYTES_MAX + 1
            while left and (piece := os.read(descriptor, left)):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
        finally:
            os.close(descriptor)
    except OSError as error:
        code = _OF_THE_FILE.get(error.errno or 0)
        if code is None:
            raise
        raise Refused(code) from None


def _identity(receipt: str, content_hash: str) -> bytes:
    return bytes.fromhex(receipt + content_hash)


def _status(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _version(directory: int, name: str) -> tuple[int, int, int] | None:
    status = _status(directory, name)
    return _version_of(status) if status is not None else None


def _version_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _unlink(directory: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _for_its_owner_only(path: Path) -> None:
    status = path.lstat()
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        path.chmod(0o600)
