"""
Bytes to complete lines, each with the place it came from.

The cursor never passes the last newline: half a line read as a whole one is lost for ever (Fluent Bit #11265). A line
longer than `LINE_BYTES_MAX` is passed over in constant memory and told as such.
"""

import contextlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Self

import zstandard

from daemon.beneath import open_beneath

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Longest line that is read, in bytes. The longest one seen in public logs has 1.7 MB.
LINE_BYTES_MAX: Final = 8 * 1024 * 1024
#: How much is read at a time, in bytes. A batch is committed between two chunks.
CHUNK_BYTES: Final = 256 * 1024

#: Compressed bytes taken at a time: few, since each of them may unfold to 32 KiB.
_COMPRESSED_BYTES: Final = 512
_WINDOW_BYTES_MAX: Final = 128 * 1024 * 1024

BOM: Final = b"\xef\xbb\xbf"


class NotRegular(OSError):
    """What was a regular file when it was found is none any more."""


class DamagedArchive(OSError):
    """A compressed file cannot be decompressed to its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line end; offsets and lengths count decompressed bytes, without the line end."""

    offset_bytes: int
    content: bytes
    is_terminated: bool = True


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line too long to be read."""

    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    Complete lines in file order, and the offset behind the last of them.

    ``endless_bytes``, when not 0: there is no line, but so many bytes behind the offset of one that is too long.
    """

    lines: list[bytes]
    offset_bytes: int
    end_bytes: int
    long_lines: tuple[LongLine, ...] = ()
    endless_bytes: int = 0


class SourceFile:
    """
    An open log file, plain or compressed, as one stream of bytes with offsets.

    No link is followed between *root* and the file; without a root it may be reached by links, and be none itself.
    """

    def __init__(self, path: str, root: str | None = None) -> None:
        self.path = path
        directory, name = os.path.split(path) if root is None else (root, path[len(root) + 1 :])
        # Not even a pipe makes us wait, and no terminal becomes ours.
        descriptor = open_beneath(directory or ".", name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        self.status = os.fstat(descriptor)  # of the descriptor: the path may be somebody else's by now
        if not stat.S_ISREG(self.status.st_mode):
            os.close(descriptor)
            raise NotRegular(path)
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self.is_compressed = path.endswith(".zst")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has_changed(self) -> bool:
        """Say whether the file was written to, or cut, since it was opened."""
        now, then = os.fstat(self._file.fileno()), self.status
        return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (then.st_size, then.st_mtime_ns, then.st_ctime_ns)

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return up to *length_bytes* of content from *offset_bytes*; fewer at the end."""
        if not self.is_compressed:
            return os.pread(self._file.fileno(), length_bytes, offset_bytes)
        with self._content(offset_bytes) as content:
            return content.read(length_bytes)

    @contextlib.contextmanager
    def _content(self, offset_bytes: int) -> Iterator[IO[bytes]]:
        """Open the stream of content at *offset_bytes*; a compressed one is read up to there."""
        self._file.seek(0 if self.is_compressed else offset_bytes)
        if not self.is_compressed:
            yield self._file
            return
        stream = io.BufferedReader(_Decompressed(self._file, self.path), CHUNK_BYTES)
        _skip(stream, offset_bytes)
        yield stream

    def chunks(self, offset_bytes: int, endless_bytes: int = 0) -> Iterator[Chunk]:
        """
        Yield the complete lines behind *offset_bytes*, in chunks of about `CHUNK_BYTES`.

        What follows the last newline is not yielded; `tail` returns it. *endless_bytes*, when not 0, are known to hold
        no newline and to be more than a line may have: they are not read again.
        """
        with self._content(offset_bytes + endless_bytes) as content:
            yield from _split(content, offset_bytes, endless_bytes)

    def ranges(self, wanted: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the content at each (offset, length) of *wanted*, which rise; shorter where the file ends."""
        if not self.is_compressed:
            yield from (self.read_at(offset, length) for offset, length in wanted)
            return
        with self._content(0) as content:
            position, held = 0, b""
            for offset, length in wanted:
                if offset < position:  # two events of one line
                    yield held[:length]
                    continue
                _skip(content, offset - position)
                held = content.read(length)
                position = offset + len(held)
                yield held

    def tail(self, offset_bytes: int) -> bytes:
        """Return what stands behind *offset_bytes*, up to a little more than the longest line."""
        return self.read_at(offset_bytes, LINE_BYTES_MAX + 1)


class _Decompressed(io.RawIOBase):
    """
    The content of a zstandard file, frame after frame.

    The library's own stream ends without a word where a frame is cut; lines behind the cut would be lost silently.
    """

    def __init__(self, file: io.FileIO, path: str) -> None:
        super().__init__()
        self._file = file
        self._path = path
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._pending = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: "WriteableBuffer") -> int:
        while not self._ready and self._advance():
            pass
        view = memoryview(target)
        size = min(len(view), len(self._ready))
        view[:size] = self._ready[:size]
        self._ready = self._ready[size:]  # a view: what is left is not copied
        return size

    def _advance(self) -> bool:
        """Decompress a little more; false at the end of the file."""
        block = self._pending or self._file.read(_COMPRESSED_BYTES) or b""
        self._pending = b""
        if not block:
            if self._frame is not None:
                raise DamagedArchive(self._path)
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(block))
        except zstandard.ZstdError:
            raise DamagedArchive(self._path) from None
        if self._frame.eof:
            self._pending, self._frame = self._frame.unused_data, None
        return True


def _skip(stream: IO[bytes], length_bytes: int) -> None:
    left = length_bytes
    while left > 0:
        passed = len(stream.read(min(left, CHUNK_BYTES)))
        if not passed:
            return
        left -= passed


def _split(content: IO[bytes], offset_bytes: int, held_bytes: int) -> Iterator[Chunk]:
    """
    Cut the stream at newlines; `held` is the beginning of a line whose end has not been read yet.

    Whether a line is too long must not depend on where reading began, or two passes would say two things of it.
    """
    held: list[bytes] = []
    start = offset_bytes
    while block := content.read(CHUNK_BYTES):
        cut = block.rfind(b"\n") + 1
        if not cut:
            held_bytes += len(block)
            held.append(block)
            if held_bytes > LINE_BYTES_MAX:
                held = []
                yield Chunk([], start, start, endless_bytes=held_bytes)
            continue
        first = block.find(b"\n") + 1
        length = held_bytes + first - 1
        long_lines: tuple[LongLine, ...] = ()
        if length > LINE_BYTES_MAX:
            long_lines = (LongLine(start, length),)
            start += length + 1
            complete = block[first:cut]
        else:
            complete = b"".join((*held, block[:cut]))
        lines = complete.split(b"\n")
        lines.pop()  # what follows the last newline: empty
        yield Chunk(lines, start, start + len(complete), long_lines)
        start += len(complete)
        held, held_bytes = [block[cut:]] if cut < len(block) else [], len(block) - cut
