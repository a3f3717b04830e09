"""What the lines of a segment are, and how they are chained."""

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import msgspec

from state.archive import Archive, compressed_path, is_compressed
from state.errors import EventRefused
from state.files import SAFE_FLAGS, as_known

#: Longest event line, in bytes, with its sequence number.
EVENT_BYTES_MAX: Final = 64 * 1024
#: Largest batch, in bytes: room for the cursors of half a million files. A reader holds twice this at most.
BATCH_BYTES_MAX: Final = 256 * 1024 * 1024
#: What stands before the first segment.
NO_CHAIN: Final = "0" * 64

_HEADER_BYTES_MAX: Final = 4096
_BUFFER_BYTES: Final = 64 * 1024
#: An object that has a key, but not ours, and no character that could end the line or need an encoding.
_EVENT: Final = re.compile(rb'\{"(?!q":)[ -~]*\}')
#: Begins each line that closes something. Event lines begin with "q", and JSON holds no raw newline.
CLOSING: Final = b'\n{"k":"'
#: What follows the bytes that a hash covers: the hash, then the end of the line.
ENDING: Final = b'"}\n'
ENDING_BYTES: Final = 64 + len(ENDING)

Count = Annotated[int, msgspec.Meta(ge=0)]


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="hdr"):
    """
    First line of a segment. ``prev`` is the hash that the segment before ended with, ``t`` UTC.
    """

    fmt: Literal[1] = 1
    log: Annotated[str, msgspec.Meta(pattern="^[0-9a-f-]{36}$")]
    host: str
    base: Count
    prev: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    t: str


class CommitLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="commit"):
    """
    Last line of a batch of ``n`` events from sequence number ``s`` on.

    ``cur`` holds the cursors that moved; the opening commit of a segment holds all there are. ``t`` is UTC, ``m``
    monotonic nanoseconds within ``boot``.
    """

    s: Count
    n: Count
    cur: msgspec.Raw
    t: str
    m: int
    boot: str
    h: str


class SealLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="seal"):
    """
    Last line of a closed segment with ``n`` events.
    """

    n: Count
    t: str
    h: str


class Position(msgspec.Struct, frozen=True):
    """
    A place between two batches: what is proven ends here, what follows is proven from here.
    """

    offset_bytes: int
    next_seq: int
    chain: str


class Batch(msgspec.Struct, frozen=True):
    """
    A proven batch; its bytes are event lines, then the commit line.
    """

    first_seq: int
    count: int
    start_offset_bytes: int
    end_offset_bytes: int
    chain: str
    commit: CommitLine

    @property
    def last_seq(self) -> int:
        """One less than ``first_seq`` when there is no event."""
        return self.first_seq + self.count - 1

    @property
    def after(self) -> Position:
        """Where the next batch begins."""
        return Position(self.end_offset_bytes, self.first_seq + self.count, self.chain)


class Seal(msgspec.Struct, frozen=True):
    """
    A proven seal line; ``first_seq`` is the one that the next segment begins with.
    """

    first_seq: int
    start_offset_bytes: int
    end_offset_bytes: int
    chain: str

    @property
    def after(self) -> Position:
        """End of the segment."""
        return Position(self.end_offset_bytes, self.first_seq, self.chain)


@dataclass(frozen=True, slots=True)
class Damage:
    """
    Bytes that are not what was committed, although proven ones follow; or, by ``reason``, something else.

    ``link``: a segment does not join the one before it. ``index``: that of a compressed segment. ``tombstone``: the one
    that begins at ``segment``. The missing sequence numbers are None when no event is missing: the bytes held cursors
    only, or a copy.
    """

    segment: int
    start_offset_bytes: int
    end_offset_bytes: int
    first_missing_seq: int | None
    last_missing_seq: int | None
    reason: Literal["bytes", "link", "index", "tombstone"] = "bytes"

    @classmethod
    def between(cls, segment: int, start: Position, end_offset_bytes: int, next_seq: int) -> "Damage":
        """
        Describe what lies between *start* and the next proven bytes, which go on with *next_seq*.
        """
        missing = (start.next_seq, next_seq - 1) if next_seq > start.next_seq else (None, None)
        return cls(segment, start.offset_bytes, end_offset_bytes, *missing)


@dataclass(frozen=True, slots=True)
class Tail:
    """
    Unproven bytes at the end of a segment: being written, torn, or damaged.
    """

    segment: int
    start: Position
    end_offset_bytes: int


@dataclass(frozen=True, slots=True)
class Instant:
    """
    When something was written: UTC, and monotonic nanoseconds within one boot of the machine.
    """

    at: datetime
    monotonic_ns: int
    boot: str

    @property
    def text(self) -> str:
        """UTC in ISO 8601, always with microseconds."""
        return f"{self.at:%Y-%m-%dT%H:%M:%S.%fZ}"


def chained(chain: str, covered: bytes) -> str:
    """
    Return the hash of everything up to and including *covered*, given the hash of everything before.
    """
    state = hashlib.sha256(chain.encode("utf-8"))
    state.update(covered)
    return state.hexdigest()


def ascii_json(value: object) -> bytes:
    """
    Return *value* as JSON in ASCII; msgspec writes UTF-8, and paths hold any character.
    """
    encoded = msgspec.json.encode(value)
    if encoded.isascii():
        return encoded
    return json.dumps(msgspec.json.decode(encoded), separators=(",", ":")).encode("ascii")


def numbered(events: Sequence[bytes], first_seq: int) -> list[bytes]:
    """
    Give each event its sequence number and make it a line.

    Args:
        events: JSON objects, not empty, on one line, in ASCII, without "q".
        first_seq: Number of the first.

    Returns:
        Lines with their newline.

    Raises:
        EventRefused: One of them cannot be a line; its index and a code are named.
    """
    lines = [b'{"q":%d,%b\n' % (seq, event[1:]) for seq, event in enumerate(events, first_seq)]
    for index, (event, line) in enumerate(zip(events, lines, strict=True)):
        if len(line) > EVENT_BYTES_MAX:
            raise EventRefused(index=index, reason="too_long", line_bytes=len(line))
        if not _EVENT.fullmatch(event):
            raise EventRefused(index=index, reason="not_an_event")
    return lines


def batch_bytes(start: Position, lines: Sequence[bytes], cursors: bytes, at: Instant) -> tuple[bytes, Position]:
    """
    Return the bytes of a batch at *start*, and the position after them.

    Args:
        start: Where it will stand.
        lines: Events, from `numbered`.
        cursors: JSON object in ASCII.
        at: Now.

    Raises:
        EventRefused: The batch is too large to be read again.
    """
    commit = b'{"k":"commit","s":%d,"n":%d,"cur":%b,"t":"%b","m":%d,"boot":"%b","h":"' % (
        start.next_seq,
        len(lines),
        cursors,
        at.text.encode("ascii"),
        at.monotonic_ns,
        at.boot.encode("ascii"),
    )
    covered = b"".join((*lines, commit))
    if len(covered) > BATCH_BYTES_MAX - _HEADER_BYTES_MAX:
        raise EventRefused(reason="batch_too_large", batch_bytes=len(covered))
    return _hashed(start, covered, start.next_seq + len(lines))


def seal_bytes(start: Position, base: int, at: Instant) -> tuple[bytes, Position]:
    """
    Return the seal line of the segment from *base* that ends at *start*, and the position after it.
    """
    covered = b'{"k":"seal","n":%d,"t":"%b","h":"' % (start.next_seq - base, at.text.encode("ascii"))
    return _hashed(start, covered, start.next_seq)


def _hashed(start: Position, covered: bytes, next_seq: int) -> tuple[bytes, Position]:
    chain = chained(start.chain, covered)
    content = covered + chain.encode("ascii") + ENDING
    return content, Position(start.offset_bytes + len(content), next_seq, chain)


def header_bytes(header: Header) -> tuple[bytes, Position]:
    """
    Return the header line, and the position after it: the header is covered by the first commit's hash.
    """
    line = ascii_json(header) + b"\n"
    return line, Position(len(line), header.base, chained(header.prev, line))


def open_segment(path: Path) -> BinaryIO:
    """
    Open a segment as a seekable stream of its lines; offsets count these bytes, however they are stored.

    A plain segment that was compressed since its name was read is found under its new one.
    """
    with as_known(path):
        if not is_compressed(path):
            try:
                return open(path, "rb", opener=lambda name, flags: os.open(name, flags | SAFE_FLAGS))
            except FileNotFoundError:
                path = compressed_path(path)
                if not path.exists():
                    raise
        return io.BufferedReader(Archive(path), _BUFFER_BYTES)


def is_indexed(file: BinaryIO) -> bool:
    """
    Say whether the index of an open segment is whole; a plain one needs none.
    """
    raw = getattr(file, "raw", None)
    return raw.is_indexed if isinstance(raw, Archive) else True


def read_header(file: BinaryIO, base: int) -> tuple[Header | None, Position]:
    """
    Read the header of the segment named *base*, and the position of its first batch.

    An unreadable header gives None, and a position from which nothing is proven: the search for proven bytes then
    begins at the first byte.
    """
    line = file.readline(_HEADER_BYTES_MAX)
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, Position(0, base, "")
    return header, Position(len(line), base, chained(header.prev, line))


def ending(file: BinaryIO, end_offset_bytes: int) -> str | None:
    """
    Read the hash of the line that ends at *end_offset_bytes*; None when no such line ends there.
    """
    if end_offset_bytes < ENDING_BYTES:
        return None
    file.seek(end_offset_bytes - ENDING_BYTES)
    found = file.read(ENDING_BYTES)
    return found[:64].decode("latin-1") if found[64:] == ENDING else None
