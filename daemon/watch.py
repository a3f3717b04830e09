"""
Being told that a directory changed: a hint, never the truth.

inotify is not there on every file system, loses events when its queue is full, and has a limit on directories. A
thread of the library may die while the others live on. So the watch is asked again and again whether it can still see,
and where it cannot, the sweep looks at everything more often (`daemon/loop.py`).
"""

import contextlib
import logging
import os
import stat
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from daemon.mailbox import Mailbox
from daemon.workers import Worker

#: All that may mean new bytes. Opening and closing are left out: our own reads would wake us.
_WANTED: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

#: File systems that change without telling this kernel.
_SILENT: Final = ("nfs", "cifs", "smb", "9p", "fuse", "afs", "ceph", "lustre", "vboxsf", "virtiofs")

#: A watch that met its limit is tried again so often, and one that misses changes again and again is not believed for
#: so long, in seconds.
RETRY_SECONDS: Final = 3600.0
_FOREVER: Final = float("inf")

Blindness = Literal[
    "no_inotify",  #: no inotify instance is left, or the system has none
    "watch_limit",  #: fewer directories are watched than there are
    "dead_thread",  #: a thread of the watcher ended; it was begun again
    "overflow",  #: the kernel dropped events, or the library complained
    "silent_filesystem",  #: a root stands on a file system that tells nothing
    "missed",  #: a sweep found changes that nobody had told of
]


class _Handler(FileSystemEventHandler):
    """Puts what it is told into the mailbox; it must never raise, for that would end the watcher's thread."""

    def __init__(self, mailbox: Mailbox, named: str, real: str) -> None:
        self._mailbox = mailbox
        self._named = named
        self._real = real

    def dispatch(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if not path:
                continue
            text = self._named + os.fsdecode(path)[len(self._real) :]
            if event.is_directory:
                self._mailbox.put_directory(text)
            else:
                self._mailbox.put_path(text)


class _Complaints(logging.Handler):
    """The library tells of a full queue in its own log only."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


#: What a root is: device, inode, and whether it can be watched at all. A new one has another identity.
_Identity = tuple[int, int, bool]


class Watch:
    """
    Watches the roots, and knows whether it can see.

    Folders of *flat* roots are not entered; no sweep meets the directories *beside* the roots. Used by one thread; what
    it hears goes into the mailbox from threads of the library.
    """

    def __init__(
        self, mailbox: Mailbox, roots: Iterable[str], *, flat: Iterable[str] = (), beside: Iterable[str] = ()
    ) -> None:
        self._mailbox = mailbox
        self._flat = frozenset(flat)
        self._beside = list(beside)
        self._roots = list(dict.fromkeys((*roots, *self._beside)))
        self._observer: BaseObserver | None = None
        self._watched: dict[str, _Identity] = {}
        self._complaints = _Complaints()
        self._complaints_seen = 0
        self._started_at = self._missed_at = self._distrusted_until = -_FOREVER
        library = logging.getLogger("watchdog")
        library.addHandler(self._complaints)
        library.propagate = False
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")  # they name paths, on stderr
        #: Why changes may go unheard; empty when all are heard.
        self.blindness: frozenset[Blindness] = frozenset()

    def start(self) -> None:
        """Begin to watch every root that exists; what fails is told by `blindness`."""
        self.stop()
        self._started_at = time.monotonic()
        self._watched = {}
        reasons: set[Blindness] = set()
        try:
            observer = Observer()
            observer.start()
        except OSError:
            self.blindness = frozenset({"no_inotify"})
            return
        self._observer = observer
        for root in self._roots:
            identity = _identity(root)
            if identity is None:
                continue  # the sweep tells of a root that is not there, and `check` begins again when it is
            # A directory with two names is told of under the first of them, under which the sweep finds its files, too.
            is_watched = identity in self._watched.values()
            self._watched[root] = identity
            if identity[2] and not is_watched:
                reasons |= self._schedule(observer, root)
        if any(_is_silent(root) for root in self._watched):
            reasons.add("silent_filesystem")
        self.blindness = frozenset(reasons)

    def _schedule(self, observer: BaseObserver, root: str) -> set[Blindness]:
        is_directory = Path(root).is_dir()
        named = root if is_directory else os.path.dirname(root)  # noqa: PTH120 - a text
        real = os.path.realpath(named)  # a linked directory is not followed by the library
        handler = _Handler(self._mailbox, named, real)
        try:
            observer.schedule(handler, real, recursive=is_directory and root not in self._flat, event_filter=_WANTED)
        except FileNotFoundError:
            return set()
        except OSError:
            return {"watch_limit"} if _has_instance() else {"no_inotify"}
        return set()

    def stop(self) -> None:
        """End the library's threads."""
        if self._observer is not None:
            with contextlib.suppress(RuntimeError):  # one of them may never have started
                self._observer.stop()
                self._observer.join(5)
            self._observer = None

    def check(self, *, has_missed: bool = False) -> bool:
        """
        Look whether everything is still watched, and begin anew where it is not.

        Args:
            has_missed: Whether a sweep found changes that nobody had told of.

        Returns:
            Whether the watch was begun anew: what happened in between is known to a sweep only.
        """
        reasons: set[Blindness] = {"missed"} if has_missed else set()
        if self._complaints.count > self._complaints_seen:
            self._complaints_seen = self._complaints.count
            reasons.add("overflow")
        if self._is_dead():
            reasons.add("dead_thread")
        is_worth_trying = "watch_limit" in self.blindness and time.monotonic() - self._started_at > RETRY_SECONDS
        if not reasons and self._observer is not None and not self._has_other_roots() and not is_worth_trying:
            return False
        if has_missed:
            self._distrust()
        self.start()
        self.blindness |= reasons
        return True

    def _distrust(self) -> None:
        """Not believe a watch for a while that misses changes again soon after it was begun anew."""
        now = time.monotonic()
        if now - self._missed_at < RETRY_SECONDS:
            self._distrusted_until = now + RETRY_SECONDS
        self._missed_at = now

    def settle(self, directories: int) -> None:
        """
        Take in that a whole sweep has ended: it made up for what was not heard before it.

        Args:
            directories: How many directories it met, to be held against what the kernel watches.
        """
        lasting = self.blindness & {"silent_filesystem", "no_inotify"}
        if time.monotonic() < self._distrusted_until:
            lasting |= {"missed"}
        directories += sum(1 + _directories_in(each) for each in self._beside)
        is_short = _watches() < directories if _can_count() else "watch_limit" in self.blindness
        self.blindness = lasting | ({"watch_limit"} if is_short and not lasting & {"no_inotify"} else frozenset())

    def worker(self) -> Worker:
        """Return how the library's threads are; the next sweep of what is hot begins dead ones anew."""
        return Worker(None if self._observer is None else not self._is_dead())

    def _is_dead(self) -> bool:
        observer = self._observer
        if observer is None:
            return False
        return not observer.is_alive() or not all(emitter.is_alive() for emitter in list(observer.emitters))

    def _has_other_roots(self) -> bool:
        """Say whether a root appeared, vanished or was made anew: the watch on an old one hears nothing."""
        return any(_identity(root) != self._watched.get(root) for root in self._roots)


def _directories_in(directory: str) -> int:
    try:
        return sum(entry.is_dir() for entry in Path(directory).iterdir())
    except OSError:
        return -1  # it is not there itself


def _identity(root: str) -> _Identity | None:
    """Return what *root* is now; ``None`` when it is not there."""
    try:
        status = os.stat(root)  # noqa: PTH116 - device and inode are wanted
    except OSError:
        return None
    is_watchable = os.access(root, os.R_OK | os.X_OK) if stat.S_ISDIR(status.st_mode) else stat.S_ISREG(status.st_mode)
    return status.st_dev, status.st_ino, is_watchable


def _inotify_files() -> Iterator[Path]:
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(entry) == "anon_inode:inotify":  # noqa: PTH115 - no path
                yield Path("/proc/self/fdinfo") / entry.name


def _can_count() -> bool:
    return Path("/proc/self/fdinfo").is_dir()


def _has_instance() -> bool:
    return not _can_count() or any(True for _ in _inotify_files())


def _watches() -> int:
    """Return how many directories the kernel watches for this process: what the library believes is no proof."""
    count = 0
    for file in _inotify_files():
        with contextlib.suppress(OSError):
            count += file.read_bytes().count(b"inotify wd:")
    return count


def _is_silent(root: str) -> bool:
    """Say whether *root* stands on a file system that changes without telling."""
    try:
        device = os.stat(root).st_dev  # noqa: PTH116 - the device is wanted
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = (line.partition(" - ")[2].split(" ")[0] for line in mounts if line.split(" ")[2] == wanted)
    return any(kind.startswith(_SILENT) for kind in kinds)
