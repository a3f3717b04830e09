"""
Compress sealed segments: safe beside the one writer and any reader, and killed at any instant.

A segment is in one of three states: plain; both forms, of which the compressed one counts, since it was compared with
the plain one before it got its name; compressed only. Each call goes on from where the last one was cut off.
"""

import contextlib
import fcntl
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from state.archive import FRAME_BYTES, SUFFIX, Archive, compressed, compressed_path
from state.errors import LogIoError
from state.files import SAFE_FLAGS, SEALED_MODE, as_known, sync_directory, write_aside
from state.scan import scan
from state.segment import Batch, Seal, is_indexed, open_segment, read_header
from state.walk import Segment, segments


@dataclass(frozen=True, slots=True)
class Compressed:
    """
    A segment that now exists compressed only; ``base`` is its first sequence number.
    """

    base: int
    content_bytes: int
    stored_bytes: int


def compress(log_directory: Path) -> Iterator[Compressed]:
    """
    Compress every sealed segment, oldest first, one per step; what was interrupted is finished.

    Needs no lock of the writer; a second caller waits until the first one is done with its segment. The last segment
    is left alone, and so is one that is damaged or was never sealed: `verify` tells those.

    Raises:
        DiskFull: There is no room; the plain segment is as it was.
        LogIoError: What was read back is not what was written, or the disk did not confirm; the plain segment is as
            it was.
        StateUnusable: The log cannot be read or written.
    """
    for segment in segments(log_directory)[:-1]:
        with alone(log_directory), as_known(segment.path):
            done = _compress(segment)
        if done:
            yield done


@contextlib.contextmanager
def alone(log_directory: Path) -> Iterator[None]:
    """
    Wait until nobody else compresses or retires segments, and keep others waiting.
    """
    with as_known(log_directory):
        descriptor = os.open(log_directory, os.O_RDONLY | os.O_DIRECTORY | SAFE_FLAGS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _compress(segment: Segment) -> Compressed | None:
    """
    Bring one segment to its last state; None when it is there already, or may not be.
    """
    plain = segment.path.with_name(segment.path.name.removesuffix(SUFFIX))
    target = compressed_path(plain)
    if not plain.exists():
        return None
    if not (target.exists() and _is_same(plain, target)):
        # Of two that differ the proven one is kept; of two that are proven we do not choose.
        if not _is_sealed(plain, segment.base) or (target.exists() and _is_sealed(target, segment.base)):
            return None
        _write_compared(plain, target)
    done = Compressed(segment.base, plain.stat().st_size, target.stat().st_size)
    plain.unlink()
    sync_directory(plain.parent)
    return done


def _is_sealed(path: Path, base: int) -> bool:
    """
    Say whether every byte of a segment is proven, and the last of them are its seal.
    """
    with open_segment(path) as file:
        _, start = read_header(file, base)
        is_end = False
        for part in scan(file, base, start):
            if not isinstance(part, Batch | Seal):
                return False
            is_end = isinstance(part, Seal)
        return is_end and is_indexed(file)


def _write_compared(plain: Path, target: Path) -> None:
    """
    Write the compressed form, and give it its name once it was read back and compared.
    """
    temporary = target.with_name(target.name + ".tmp")
    with open_segment(plain) as file:
        write_aside(temporary, compressed(file), SEALED_MODE)
    if not _is_same(plain, temporary):
        temporary.unlink()
        raise LogIoError(path=temporary, reason="compare")
    temporary.rename(target)
    sync_directory(target.parent)


def _is_same(plain: Path, stored: Path) -> bool:
    """
    Say whether *stored* is whole and restores *plain* byte for byte.
    """
    with open_segment(plain) as expected, Archive(stored) as found:
        if not found.is_indexed:
            return False
        restored = io.BufferedReader(found)
        while block := expected.read(FRAME_BYTES):
            if restored.read(FRAME_BYTES) != block:
                return False
        return not restored.read(1)
