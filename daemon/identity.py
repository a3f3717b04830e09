"""
Which file is this: its generation, and the proof that the bytes before our offset are still those we read.

A deleted file's inode is given to the next one, and forks begin with the same bytes, so neither an inode nor a prefix
names a file. Only a hash of what stands before the offset says whether the offset still holds.
"""

import hashlib
import os
from typing import Final, Protocol
from urllib.parse import quote, unquote_to_bytes

from daemon.veil import Veil
from state.vocabulary import PATH

#: Up to this size everything before the offset is hashed; beyond it, samples of the same sum.
CONTINUITY_BYTES: Final = 32 * 1024
_SAMPLES: Final = 32


class Names:
    """How this process stores names; ``veil`` is null where they are plain. Set when it is known whose log it is."""

    veil: Veil | None = None


#: Of this process: whoever opens a log, or asks about one, says which.
NAMES: Final = Names()


class RandomAccess(Protocol):
    """Bytes that can be read at an offset."""

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return up to *length_bytes* from *offset_bytes*; fewer at the end."""


class Unsteady(Exception):
    """A file is being written anew at this moment: what was read of it does not stand there to be proven."""


def line_hash(line: bytes) -> str:
    """Return the hash that names a line's bytes, without its line end: 128 bits of SHA-256, in hex."""
    return hashlib.sha256(line).hexdigest()[:32]


def continuity(source: RandomAccess, offset_bytes: int) -> str:
    """
    Return the hash of what stands before *offset_bytes*.

    All of it when it is small. Else samples, the last of which ends at the offset and the first of which is the head:
    some tools rewrite line 1 in place, others the whole file.

    Raises:
        Unsteady: The file is shorter than that.
    """
    if offset_bytes <= CONTINUITY_BYTES:
        return line_hash(_whole(source, 0, offset_bytes))
    length = CONTINUITY_BYTES // _SAMPLES
    step = (offset_bytes - length) / (_SAMPLES - 1)
    samples = hashlib.sha256()
    for index in range(_SAMPLES):
        samples.update(_whole(source, round(index * step), length))
    return samples.hexdigest()[:32]


def _whole(source: RandomAccess, offset_bytes: int, length_bytes: int) -> bytes:
    content = source.read_at(offset_bytes, length_bytes)
    if len(content) < length_bytes:
        raise Unsteady
    return content


def generation(status: os.stat_result, seq: int) -> str:
    """Name the content of a file: device, inode, and the event with which reading it began; never given twice."""
    return f"{status.st_dev}:{status.st_ino}:{seq}"


def stored_name(name: str) -> str:
    """Return a file's logical name as it may be stored: itself when it is clean, else its bytes percent-encoded."""
    if NAMES.veil is not None:
        return NAMES.veil.name(name)
    is_clean = name.isprintable() and not any("\ud800" <= char <= "\udfff" for char in name)
    return name if is_clean else quote(os.fsencode(name))


def stored_path(path: str) -> str:
    """
    Return *path* as it may be stored: itself when it is clean, else a ``file://`` URI of its bytes.

    A name with control characters or bytes that are no UTF-8 can neither be printed nor compared safely. Where names
    are hashed, each of its parts is.
    """
    if NAMES.veil is not None:
        return NAMES.veil.path(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(path))
    return path if PATH.fullmatch(path) else "file://" + quote(os.fsencode(path))


def real_path(source: str) -> str:
    """Return the path behind a stored place; a hashed one is looked for, and stays hashed when it is not there."""
    if NAMES.veil is not None:
        return NAMES.veil.real(source)
    return os.fsdecode(unquote_to_bytes(source[len("file://") :])) if source.startswith("file://") else source
