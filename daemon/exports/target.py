"""The file that a copy becomes: it appears whole or not at all, and what was there before stays until then."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from state.errors import LogIoError, StateUnusable, TallystickError
from state.files import sync_directory, write_aside


class NotWritten(TallystickError):
    """
    The file could not be written; what was there before stays. See that its directory is there, writable and has room.
    """


def aside_of(target: Path) -> Path:
    """Return where *target* is written first: hidden, and of no suffix that anybody collects."""
    return target.with_name(f".{target.name}.tallystick")


def put(target: Path, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    """
    Write *pieces* into the place of *target*, with *mode* whatever this process's umask is.

    Raises:
        NotWritten: It could not be written.
    """
    with whole(target) as aside:
        write_aside(aside, pieces, mode)
        aside.chmod(mode)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """
    Give the path that becomes *target* when the block ends without an error, and is gone when it ends with one.

    Raises:
        NotWritten: It could not be written.
    """
    aside = aside_of(target)
    try:
        try:
            yield aside
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
        sync_directory(target.parent)
    except OSError as error:
        raise NotWritten(path=target, reason=errno.errorcode.get(error.errno or 0, "unknown")) from None
    except (LogIoError, StateUnusable) as error:  # as the disk's own errors are told of our log
        raise NotWritten(path=target, reason=error.facts.get("reason")) from None
