"""
The compressed form of a sealed segment: zstd frames of 256 KiB each, and an index that says what each must be.

`zstd -d` restores the segment byte for byte; the index is a skippable frame behind the others. It states the size of
each frame, stored and restored, and a hash of its stored bytes, and ends with a hash of itself. So header and last hash
of a segment cost one frame each, damage costs the frame it is in, and no byte is decompressed that is not what was
written.
"""

import hashlib
import io
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import msgspec
import zstandard

from state.files import SAFE_FLAGS

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: What a compressed segment's name ends with, behind the name of the plain one.
SUFFIX: Final = ".zst"

#: Content of one frame, in bytes.
FRAME_BYTES: Final = 256 * 1024

#: Levels above gain little on our lines and cost minutes on a slow machine.
_LEVEL: Final = 3
#: A compressed frame is larger than its content by less than this, in bytes.
_FRAME_OVERHEAD_BYTES: Final = 64 * 1024
#: zstd's own: what follows is not content. Magic number, then the number of bytes to skip.
_SKIPPABLE: Final = struct.Struct("<II")
_SKIPPABLE_MAGIC: Final = 0x184D2A5A
#: Ends the file: hash of the index, its length in bytes, our name.
_TRAILER: Final = struct.Struct("<32sI12s")
_NAME: Final = b"tallystick/1"

_Size = Annotated[int, msgspec.Meta(gt=0, le=FRAME_BYTES + _FRAME_OVERHEAD_BYTES)]


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """
    What one frame must be; ``stored_hash`` is the first 128 bits of the SHA-256 of its compressed bytes.
    """

    stored_bytes: _Size
    content_bytes: _Size
    stored_hash: str


def compressed_path(path: Path) -> Path:
    """
    Name the compressed form of a plain segment.
    """
    return path.with_name(path.name + SUFFIX)


def is_compressed(path: Path) -> bool:
    """
    Say whether *path* names the compressed form.
    """
    return path.name.endswith(SUFFIX)


def compressed(content: BinaryIO) -> Iterator[bytes]:
    """
    Yield the pieces of the compressed form of *content*.
    """
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
    frames = []
    while block := content.read(FRAME_BYTES):
        stored = compressor.compress(block)
        frames.append(Frame(len(stored), len(block), _hash(stored)))
        yield stored
    yield _index_bytes(frames)


def _index_bytes(frames: Sequence[Frame]) -> bytes:
    index = msgspec.json.encode(frames)
    trailer = _TRAILER.pack(hashlib.sha256(index).digest(), len(index), _NAME)
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(index) + len(trailer)) + index + trailer


def _hash(stored: bytes) -> str:
    return hashlib.sha256(stored).hexdigest()[:32]


class Archive(io.RawIOBase):
    """
    The content of a compressed segment as a seekable stream, decompressed where it is read.

    A damaged frame reads as zeros, so that what follows it keeps its offsets: the scan tells the damage and goes on
    behind it. Without its index, which a truncated file has lost, the content ends with the last frame that is whole.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = open(  # noqa: SIM115 - closed with this stream
            path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | SAFE_FLAGS)
        )
        frames = _index(self._file)
        #: The index is as it was written.
        self.is_indexed = frames is not None
        self._frames = list(_found_frames(self._file)) if frames is None else frames
        self._starts = [0, *accumulate(frame.content_bytes for frame in self._frames)]
        self._stored_starts = [0, *accumulate(frame.stored_bytes for frame in self._frames)]
        self._held: tuple[int, bytes] = (-1, b"")  # the frame that was read last
        self._offset_bytes = 0

    def readable(self) -> bool:
        """
        Say yes.
        """
        return True

    def seekable(self) -> bool:
        """
        Say yes: a frame is found by its place in the content.
        """
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """
        Move to an offset in the content.
        """
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset_bytes, os.SEEK_END: self._starts[-1]}[whence]
        self._offset_bytes = origin + offset
        return self._offset_bytes

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """
        Read up to the end of a frame; 0 at the end of the content.
        """
        if self._offset_bytes >= self._starts[-1]:
            return 0
        number = bisect_right(self._starts, self._offset_bytes) - 1
        start = self._offset_bytes - self._starts[number]
        target = memoryview(buffer)
        piece = self._content(number)[start : start + len(target)]
        target[: len(piece)] = piece
        self._offset_bytes += len(piece)
        return len(piece)

    def close(self) -> None:
        """
        Close the file.
        """
        self._file.close()
        super().close()

    def _content(self, number: int) -> bytes:
        if self._held[0] != number:
            self._held = number, self._restored(number)
        return self._held[1]

    def _restored(self, number: int) -> bytes:
        frame = self._frames[number]
        stored = _read_at(self._file, self._stored_starts[number], frame.stored_bytes)
        if _hash(stored) != frame.stored_hash:
            return bytes(frame.content_bytes)
        try:
            content = zstandard.ZstdDecompressor().decompress(stored, max_output_size=frame.content_bytes)
        except zstandard.ZstdError:
            content = b""
        return content if len(content) == frame.content_bytes else bytes(frame.content_bytes)


def _index(file: BinaryIO | io.FileIO) -> list[Frame] | None:
    """
    Read the index at the end of *file*; None unless every byte of it is as it was written.
    """
    size = file.seek(0, os.SEEK_END)
    trailer = _read_at(file, max(size - _TRAILER.size, 0), _TRAILER.size)
    if len(trailer) < _TRAILER.size:
        return None
    _, length, _ = _TRAILER.unpack(trailer)
    start = size - _TRAILER.size - length
    if start < _SKIPPABLE.size:
        return None
    try:
        frames = msgspec.json.decode(_read_at(file, start, length), type=list[Frame])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    stored = _read_at(file, start - _SKIPPABLE.size, size)
    is_whole = stored == _index_bytes(frames) and sum(frame.stored_bytes for frame in frames) == start - _SKIPPABLE.size
    return frames if is_whole else None


def _found_frames(file: BinaryIO | io.FileIO) -> Iterator[Frame]:
    """
    Find the frames of a file whose index is damaged, up to the first that is not whole.
    """
    offset_bytes = 0
    while stored := _read_at(file, offset_bytes, FRAME_BYTES + _FRAME_OVERHEAD_BYTES):
        try:
            content_bytes = zstandard.frame_content_size(stored)
            stream = zstandard.ZstdDecompressor().decompressobj()
            content = stream.decompress(stored) if 0 < content_bytes <= FRAME_BYTES else b""
        except zstandard.ZstdError:
            return
        if not stream.eof or len(content) != content_bytes:
            return
        stored = stored[: len(stored) - len(stream.unused_data)]
        yield Frame(len(stored), len(content), _hash(stored))
        offset_bytes += len(stored)


def _read_at(file: BinaryIO | io.FileIO, offset_bytes: int, length_bytes: int) -> bytes:
    """
    Read up to *length_bytes*; fewer only at the end of *file*.
    """
    pieces = []
    while length_bytes and (piece := os.pread(file.fileno(), length_bytes, offset_bytes)):
        pieces.append(piece)
        offset_bytes, length_bytes = offset_bytes + len(piece), length_bytes - len(piece)
    return b"".join(pieces)
