"""Where messages wait: the inbox directory, whom it must belong to, and the names in it."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from daemon.envelope import is_receipt
from state.errors import TallystickError
from state.files import SAFE_FLAGS, as_known, publish_all

#: Where files go that are no messages; inside the inbox, hence on the same filesystem.
REJECTED: Final = "rejected"
SUFFIX: Final = ".json"
#: Begins the names of files that are still being written.
HIDDEN: Final = "."
HALF_WRITTEN_SUFFIX: Final = ".tmp"


class InboxUnsafe(TallystickError):
    """
    The inbox is no directory of this user's alone; nothing was read. Look at what is in it, and give it mode 0700.
    """


def file_name(receipt: str) -> str:
    """Return the name under which a message waits."""
    return receipt + SUFFIX


def receipt_in(name: str) -> str | None:
    """Return the receipt that a file's name states; ``None`` when it is no name of a message."""
    stem = name.removesuffix(SUFFIX)
    return stem if stem != name and is_receipt(stem) else None


def put(inbox: Path, messages: Mapping[str, bytes]) -> None:
    """
    Put messages, by receipt, into the inbox, all or none; on return they survive a power cut.

    Raises:
        DiskFull: There is no room; none was sent.
        LogIoError: The disk did not confirm.
        InboxUnsafe, StateUnusable: The inbox cannot be used.
    """
    with opened(inbox):
        pass  # only to be sure whose it is
    publish_all(inbox, [(_half_written(each), file_name(each), content) for each, content in messages.items()])


def _half_written(receipt: str) -> str:
    return f"{HIDDEN}{receipt}.{os.urandom(4).hex()}{HALF_WRITTEN_SUFFIX}"


@contextmanager
def opened(directory: Path) -> Iterator[int]:
    """
    Yield a descriptor of the inbox, or of a directory in it.

    Raises:
        InboxUnsafe: It is a link or no directory, belongs to another user, or others can write to it.
        StateUnusable: It cannot be opened.
    """
    with as_known(directory):
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | SAFE_FLAGS)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise InboxUnsafe(path=directory, reason="not_a_directory") from None
            raise
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in (os.geteuid(), 0):
            raise InboxUnsafe(path=directory, reason="foreign_owner")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise InboxUnsafe(path=directory, reason="writable_by_others")
        yield descriptor
    finally:
        os.close(descriptor)
