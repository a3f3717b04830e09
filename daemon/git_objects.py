"""
Reading commits of a git repository: loose objects and packs, borrowed ones too, and nothing but commits.

Pure reading, no lock, no cache on disk, bounded in size and number whatever the repository says of itself. What is
missing, damaged or no commit is ``None``: whoever asks has null then. `docs/decisions/0009-own-reader-of-commits.md`
says why this is no library.
"""

import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from daemon.git_files import mode_of, open_regular, read_small

#: Longest commit that is read, its message included; what a repository calls a commit can be as long as it likes.
COMMIT_BYTES_MAX: Final = 1024 * 1024
#: Object directories, those included from which objects are borrowed.
DIRECTORIES_MAX: Final = 16
#: Packs that are looked into, the largest first: two descriptors each.
PACKS_MAX: Final = 200
#: A delta rests on another object, and that perhaps on one more; git itself writes chains of 50 at most.
CHAIN_MAX: Final = 200

_ALTERNATES_BYTES_MAX: Final = 64 * 1024
_COMMIT: Final = 1
_OFFSET_DELTA: Final = 6
_REFERENCE_DELTA: Final = 7
_INDEX_MAGIC: Final = b"\xfftOc\x00\x00\x00\x02"
_FANOUT_BYTES: Final = 1024
#: Read of a pack at once: nearly every commit is shorter than this.
_PIECE_BYTES: Final = 1024
#: A part of an index of so many bytes is read whole and searched in memory.
_WINDOW_BYTES: Final = 16 * 1024


class Damaged(Exception):
    """Bytes that are no object."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit says: its parents, when it was committed (seconds since 1970), and its message."""

    parents: tuple[str, ...]
    committed_seconds: int | None
    message: bytes


class Objects:
    """The commits of one repository, while the block lasts."""

    def __init__(self, common_path: str) -> None:
        self._directories = _directories(os.path.join(common_path, "objects"))  # noqa: PTH118 - names of any bytes
        self._packs: list[_Pack] | None = None
        self._is_listed_again = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for pack in self._packs or ():
            pack.close()
        self._packs = None

    def commit(self, name: str) -> Commit | None:
        """
        Return a commit by its name; ``None`` when it is missing, damaged, too long or no commit.

        Raises:
            OSError: It cannot be read, for want of permission for example.
        """
        try:
            content = self._commit_bytes(bytes.fromhex(name))
            return None if content is None else _parsed(content)
        except (Damaged, zlib.error):
            return None

    def _commit_bytes(self, name: bytes) -> bytes | None:
        kind, content = self.read(name) or (None, b"")
        return content if kind == _COMMIT else None

    def read(self, name: bytes, depth: int = 0) -> tuple[int, bytes] | None:
        """Return kind and content of an object; ``None`` when it is not here."""
        if depth > CHAIN_MAX:
            raise Damaged
        found = self._found(name, depth)
        if found is None and not depth and not self._is_listed_again:
            self._is_listed_again = True  # it may have been packed just now
            self._close()
            found = self._found(name, depth)
        return found

    def _found(self, name: bytes, depth: int) -> tuple[int, bytes] | None:
        packs = self._opened(len(name))
        for at, pack in enumerate(packs):
            offset = pack.find(name)
            if offset is not None and pack.is_there():
                if at:  # its neighbours in history are mostly in the same pack
                    packs.insert(0, packs.pop(at))
                return pack.read(offset, self, depth)
        return next(filter(None, (_loose(directory, name) for directory in self._directories)), None)

    def _opened(self, name_bytes: int) -> "list[_Pack]":
        if self._packs is None:
            self._packs = [_Pack(path, name_bytes) for path in _packs(self._directories)]
        return self._packs


class _Pack:
    """One pack and its index, opened when first asked."""

    def __init__(self, stem: str, name_bytes: int) -> None:
        self._stem = stem
        self._name_bytes = name_bytes
        self._index: int | None = None
        self._pack: int | None = None
        self._fanout: tuple[int, ...] = ()
        self._is_unusable = False

    def close(self) -> None:
        for descriptor in (self._index, self._pack):
            if descriptor is not None:
                os.close(descriptor)

    def is_there(self) -> bool:
        """Say whether there is a pack to the index; an interrupted `git gc` leaves one without."""
        try:
            self._opened_pack()
        except FileNotFoundError:
            self._is_unusable = True
        return not self._is_unusable

    def find(self, name: bytes) -> int | None:
        """Return where in the pack an object stands."""
        if self._is_unusable:
            return None
        try:
            return self._find(name)
        except (Damaged, FileNotFoundError):
            self._is_unusable = True
            return None

    def _find(self, name: bytes) -> int | None:
        index = self._opened_index()
        first = self._fanout[name[0] - 1] if name[0] else 0
        row = self._search(index, name, first, self._fanout[name[0]])
        if row is None:
            return None
        count = self._fanout[255]
        offsets = len(_INDEX_MAGIC) + _FANOUT_BYTES + count * (self._name_bytes + 4)
        offset = int.from_bytes(_exactly(index, offsets + row * 4, 4))
        if offset < 1 << 31:
            return offset
        return int.from_bytes(_exactly(index, offsets + count * 4 + (offset - (1 << 31)) * 8, 8))

    def _opened_index(self) -> int:
        if self._index is None:
            self._index = open_regular(self._stem + ".idx")
            head = _exactly(self._index, 0, len(_INDEX_MAGIC) + _FANOUT_BYTES)
            table = head[len(_INDEX_MAGIC) :]
            self._fanout = tuple(int.from_bytes(table[at : at + 4]) for at in range(0, _FANOUT_BYTES, 4))
            if not head.startswith(_INDEX_MAGIC) or list(self._fanout) != sorted(self._fanout):
                raise Damaged
        return self._index

    def _search(self, index: int, name: bytes, first: int, end: int) -> int | None:
        """Return the row of *name* among the sorted rows from *first* to before *end*."""
        size = self._name_bytes
        names = len(_INDEX_MAGIC) + _FANOUT_BYTES
        while (end - first) * size > _WINDOW_BYTES:
            middle = (first + end) // 2
            if _exactly(index, names + middle * size, size) <= name:
                first = middle
            else:
                end = middle
        rows = _exactly(index, names + first * size, (end - first) * size)
        at = rows.find(name)
        while at > 0 and at % size:
            at = rows.find(name, at + 1)
        return None if at < 0 else first + at // size

    def read(self, offset: int, objects: Objects, depth: int) -> tuple[int, bytes]:
        """Return kind and content of the object at *offset*; of what is no commit perhaps only that it is none."""
        piece = os.pread(self._opened_pack(), _PIECE_BYTES, offset)
        kind, size, at = _pack_header(piece)
        if kind not in (_COMMIT, _OFFSET_DELTA, _REFERENCE_DELTA):
            return kind, b""
        if size > COMMIT_BYTES_MAX:
            raise Damaged
        if kind == _COMMIT:
            return kind, self._inflated(piece, at, offset, size)
        base: tuple[int, bytes] | None
        if kind == _OFFSET_DELTA:
            back, at = _back(piece, at)
            if not 0 < back <= offset or depth >= CHAIN_MAX:
                raise Damaged
            base = self.read(offset - back, objects, depth + 1)
        else:
            base = objects.read(piece[at : at + self._name_bytes], depth + 1)
            at += self._name_bytes
        if base is None:
            raise Damaged
        if base[0] != _COMMIT:
            return base[0], b""
        return base[0], _patched(base[1], self._inflated(piece, at, offset, size))

    def _opened_pack(self) -> int:
        if self._pack is None:
            self._pack = open_regular(self._stem + ".pack")
        return self._pack

    def _inflated(self, piece: bytes, at: int, offset: int, size: int) -> bytes:
        pack = self._opened_pack()
        inflate = zlib.decompressobj()
        content = inflate.decompress(piece[at:], size + 1)
        end = offset + len(piece)
        while not inflate.eof and len(content) <= size and (more := os.pread(pack, 16 * _PIECE_BYTES, end)):
            content += inflate.decompress(inflate.unconsumed_tail + more, size + 1 - len(content))
            end += len(more)
        if len(content) != size:
            raise Damaged
        return content


def _exactly(descriptor: int, offset: int, size: int) -> bytes:
    content = os.pread(descriptor, size, offset)
    if len(content) != size:
        raise Damaged
    return content


def _pack_header(piece: bytes) -> tuple[int, int, int]:
    """Return kind and size of an object in a pack, and where in *piece* it begins."""
    if not piece:
        raise Damaged
    kind, size = piece[0] >> 4 & 7, piece[0] & 15
    at, shift = 1, 4
    while piece[at - 1] & 128:
        if at >= min(len(piece), 10):
            raise Damaged
        size |= (piece[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return kind, size, at


def _back(piece: bytes, at: int) -> tuple[int, int]:
    """Return how far before its delta an object stands, and where the delta begins."""
    back = -1
    for end in range(at, min(at + 10, len(piece))):
        back = (back + 1) << 7 | piece[end] & 127
        if not piece[end] & 128:
            return back, end + 1
    raise Damaged


def _patched(base: bytes, delta: bytes) -> bytes:
    """Return what *delta* makes of *base*."""
    base_size, at = _size(delta, 0)
    size, at = _size(delta, at)
    if base_size != len(base) or size > COMMIT_BYTES_MAX:
        raise Damaged
    parts = bytearray()
    try:
        while at < len(delta) and len(parts) <= size:
            code = delta[at]
            at += 1
            if code & 128:
                offset, length, at = _copied(delta, at, code)
                parts += base[offset : offset + length]
            elif code:
                parts += delta[at : at + code]
                at += code
            else:
                raise Damaged
    except IndexError:
        raise Damaged from None
    if len(parts) != size:
        raise Damaged
    return bytes(parts)


def _size(delta: bytes, at: int) -> tuple[int, int]:
    size = 0
    for end in range(at, min(at + 10, len(delta))):
        size |= (delta[end] & 127) << 7 * (end - at)
        if not delta[end] & 128:
            return size, end + 1
    raise Damaged


def _copied(delta: bytes, at: int, code: int) -> tuple[int, int, int]:
    """Return which part of the base is meant, and where the delta goes on."""
    offset = length = 0
    for bit in range(4):
        if code >> bit & 1:
            offset |= delta[at] << 8 * bit
            at += 1
    for bit in range(3):
        if code >> 4 + bit & 1:
            length |= delta[at] << 8 * bit
            at += 1
    return offset, length or 0x10000, at


_KINDS: Final = {b"commit": _COMMIT, b"tree": 2, b"blob": 3, b"tag": 4}


def _loose(directory: str, name: bytes) -> tuple[int, bytes] | None:
    """Return kind and content of an object in a file of its own; ``None`` when there is none."""
    text = name.hex()
    packed = read_small(f"{directory}/{text[:2]}/{text[2:]}", COMMIT_BYTES_MAX)
    if packed is None:
        return None
    content = zlib.decompressobj().decompress(packed, COMMIT_BYTES_MAX + 64)
    header, _, body = content.partition(b"\0")
    kind, _, size = header.partition(b" ")
    if kind != b"commit":
        return _KINDS.get(kind, 0), b""
    if not size.isdigit() or int(size[:10]) != len(body):
        raise Damaged
    return _COMMIT, body


def _directories(own: str) -> list[str]:
    """Return the object directories: the repository's own, and those it borrows from (`objects/info/alternates`)."""
    found = {os.path.realpath(own): None}
    left = [own]
    while left and len(found) < DIRECTORIES_MAX:
        directory = left.pop(0)
        for line in (read_small(f"{directory}/info/alternates", _ALTERNATES_BYTES_MAX) or b"").splitlines():
            if not line or line.startswith(b"#") or b"\0" in line or len(found) >= DIRECTORIES_MAX:
                continue
            place = os.path.realpath(os.path.join(directory, os.fsdecode(line)))  # noqa: PTH118 - names of any bytes
            if place not in found:
                found[place] = None
                left.append(place)
    return list(found)


def _packs(directories: list[str]) -> list[str]:
    """Return the packs without their ending, the largest first."""
    sizes = {path: size for directory in directories for path, size in _packs_in(f"{directory}/pack")}
    return sorted(sizes, key=lambda path: (-sizes[path], path))[:PACKS_MAX]


def _packs_in(directory: str) -> Iterator[tuple[str, int]]:
    if not stat.S_ISDIR(mode_of(directory)):
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".idx") and entry.is_file():
                yield entry.path.removesuffix(".idx"), entry.stat().st_size


# A line of a header over several lines, of a signature for example, begins with a space.
_PARENT: Final = re.compile(rb"^parent ([^\n]*)$", re.MULTILINE)
_COMMITTER: Final = re.compile(rb"^committer [^\n]*> ([0-9]{1,11}) [+-][0-9]{4}$", re.MULTILINE)
_NAME: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def _parsed(content: bytes) -> Commit:
    head, _, message = content.partition(b"\n\n")
    parents = _PARENT.findall(head)
    if not head.startswith(b"tree ") or not all(map(_NAME.fullmatch, parents)):
        raise Damaged
    time = _COMMITTER.search(head)
    return Commit(tuple(name.decode() for name in parents), int(time[1]) if time else None, message)
