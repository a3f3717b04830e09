"""How bytes reach the disk and stay there."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from state.errors import DiskFull, LogIoError, StateUnusable, TallystickError

#: Nobody follows a planted link, no child inherits the descriptor.
SAFE_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW

#: Of what is never written again: even its owner has to say so first.
SEALED_MODE: Final = 0o400

#: No room, no quota, or a limit on the size of a file (`ulimit -f`): free some, try again.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: The disk did not do what it was asked to. Everything else is a matter of owner, mode or mount.
_DEVICE: Final = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN})


def known(error: OSError, path: Path) -> TallystickError:
    """
    Say which of our kinds of error *error* is.
    """
    reason = errno.errorcode.get(error.errno or 0)
    if error.errno in _FULL:
        return DiskFull(path=path, reason=reason)
    if error.errno in _DEVICE:
        return LogIoError(path=path, reason=reason)
    return StateUnusable(path=path, reason=reason)


@contextlib.contextmanager
def as_known(path: Path) -> Iterator[None]:
    """
    Turn an operating system's error about *path* into one of ours.
    """
    try:
        yield
    except OSError as error:
        raise known(error, path) from None


def write_all(descriptor: int, content: bytes) -> None:
    """
    Write *content*, however short the single writes are.
    """
    left = memoryview(content)
    while left:
        written = os.write(descriptor, left)
        if not written:
            raise OSError(errno.EIO, "nothing written")
        left = left[written:]


def sync(descriptor: int, path: Path, how: Callable[[int], None] | None = None) -> None:
    """
    Wait until what was written to *descriptor* survives a power cut.

    Args:
        descriptor: A file, or a directory for its names; syncing a file keeps its content, not its name.
        path: Its name, for the message.
        how: `os.fdatasync` when None, which is enough for what was appended.

    Raises:
        LogIoError: Whatever the reason. A second fsync may report success for pages that the kernel dropped after the
            first (PostgreSQL, 2018), so nobody may try again.
    """
    try:
        (how or os.fdatasync)(descriptor)
    except OSError as error:
        raise LogIoError(path=path, reason=errno.errorcode.get(error.errno or 0)) from None


def sync_directory(directory: Path) -> None:
    """
    Wait until the names in *directory* survive a power cut.

    Raises:
        LogIoError: The disk did not confirm.
        StateUnusable: The directory cannot be opened.
    """
    with as_known(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | SAFE_FLAGS)
    try:
        sync(descriptor, directory, os.fsync)
    finally:
        os.close(descriptor)


def publish(temporary: Path, target: Path, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    """
    Make *target* appear whole or not at all, and durably.

    Args:
        temporary: Where it is written first, on the same filesystem; what a crash left there is overwritten.
        target: Its name; what bears it is replaced.
        pieces: Its content.
        mode: Who may do what with it.

    Raises:
        DiskFull: There is no room; the temporary file is gone again.
        LogIoError: The disk did not confirm.
        StateUnusable: One of the directories cannot be written.
    """
    with as_known(target):
        write_aside(temporary, pieces, mode)
        temporary.rename(target)
    sync_directory(target.parent)


def publish_all(directory: Path, files: Sequence[tuple[str, str, bytes]], mode: int = 0o600) -> None:
    """
    Make files appear in *directory* durably; none of them before all of them are on the disk.

    What has no room, or cannot be written, fails before the first name appears. A power cut between the names can leave
    some of them.

    Args:
        directory: Where they are.
        files: Of each its temporary name, its name and its content; what bears the name is replaced.
        mode: Who may do what with them.

    Raises:
        DiskFull: There is no room; no temporary file is left.
        LogIoError: The disk did not confirm; no temporary file is left.
        StateUnusable: The directory cannot be written.
    """
    try:
        with as_known(directory):
            for temporary, _, content in files:
                write_aside(directory / temporary, (content,), mode)
            for temporary, target, _ in files:
                (directory / temporary).rename(directory / target)
    except TallystickError:
        for temporary, _, _ in files:
            with contextlib.suppress(OSError):
                (directory / temporary).unlink()
        raise
    sync_directory(directory)


def write_aside(temporary: Path, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    """
    Write a file whose name nobody reads yet, and wait until its content survives a power cut.

    Raises:
        LogIoError: The disk did not confirm.
        OSError: It could not be written; it is gone again.
    """
    temporary.unlink(missing_ok=True)  # what a crash left may not be writable
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | SAFE_FLAGS, mode)
    try:
        for piece in pieces:
            write_all(descriptor, piece)
        # Rename without this sync leaves an empty file after a power cut; measured on ext4.
        sync(descriptor, temporary, os.fsync)
    except OSError:
        temporary.unlink()
        raise
    finally:
        os.close(descriptor)
