"""Which bytes of a segment are proven."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

import msgspec

from state.errors import LogBroken
from state.segment import (
    BATCH_BYTES_MAX,
    CLOSING,
    ENDING,
    ENDING_BYTES,
    Batch,
    CommitLine,
    Damage,
    Position,
    Seal,
    SealLine,
    Tail,
    chained,
)

_CHUNK_BYTES: Final = 1024 * 1024
_decoder: Final[msgspec.json.Decoder[CommitLine | SealLine]] = msgspec.json.Decoder(CommitLine | SealLine)


class _Line(NamedTuple):
    """
    Where a line stands in its segment, with its newline.
    """

    start: int
    end: int


class _Window:
    """
    The bytes of a segment from the last proven position on, read as they are needed; all offsets are the segment's.
    """

    def __init__(self, file: BinaryIO, offset_bytes: int) -> None:
        self._file = file
        self._offset_bytes = max(offset_bytes - 1, 0)  # the newline before a line is part of what is searched for
        self._bytes = b""
        file.seek(self._offset_bytes)

    @property
    def end(self) -> int:
        return self._offset_bytes + len(self._bytes)

    def between(self, start: int, end: int) -> bytes:
        return self._bytes[start - self._offset_bytes : end - self._offset_bytes]

    def chain(self, start: Position, line: _Line) -> str:
        """
        Return the hash that *line* must state to close a batch that begins at *start*.
        """
        return chained(start.chain, self.between(start.offset_bytes, line.end - ENDING_BYTES))

    def holds_events(self, start: int, end: int, first_seq: int, count: int) -> bool:
        """
        Say whether *count* lines stand there, of which the first and the last bear the right sequence numbers.
        """
        first, behind = start - self._offset_bytes, end - self._offset_bytes
        if not count:
            return first == behind
        last = self._bytes.rfind(b"\n", first, behind - 1) + 1 or first
        return (
            self._bytes.count(b"\n", first, behind) == count
            and self._bytes.startswith(b'{"q":%d,' % first_seq, first)
            and self._bytes.startswith(b'{"q":%d,' % (first_seq + count - 1), last)
        )

    def last(self, needle: bytes, start: int, end: int) -> int:
        """
        Return where *needle* stands last between *start* and *end*; less than *start* when it does not.
        """
        found = self._bytes.rfind(needle, max(start - self._offset_bytes, 0), end - self._offset_bytes)
        return self._offset_bytes + found if found >= 0 else -1

    def closing_line(self, searched: int, keep_from: int) -> _Line | None:
        """
        Find the first complete commit or seal line that begins at *searched* or later; None when there is none.

        Bytes before *keep_from* may be forgotten.
        """
        while True:
            begin = self._bytes.find(CLOSING, max(searched - 1 - self._offset_bytes, 0))
            end = self._bytes.find(b"\n", begin + 1) if begin >= 0 else -1
            if end >= 0:
                return _Line(self._offset_bytes + begin + 1, self._offset_bytes + end + 1)
            searched = self._offset_bytes + begin + 1 if begin >= 0 else max(searched, self.end - len(CLOSING))
            if not self._read_on(keep_from):
                return None

    def _read_on(self, keep_from: int) -> bool:
        forgotten = max(keep_from - 1 - self._offset_bytes, 0)
        held_bytes = len(self._bytes) - forgotten
        if held_bytes > BATCH_BYTES_MAX:
            raise LogBroken(path=self._file.name, offset_bytes=keep_from)
        # Reading as much as is held keeps the copying linear, however far the next proven bytes are.
        chunk = self._file.read(max(held_bytes, _CHUNK_BYTES))
        self._bytes = self._bytes[forgotten:] + chunk
        self._offset_bytes += forgotten
        return bool(chunk)


def scan(file: BinaryIO, base: int, start: Position) -> Iterator[Batch | Seal | Damage | Tail]:
    """
    Prove the bytes of one segment from *start* to its end, a batch at a time.

    A batch is proven by the hash that closes it, which covers all before it. Where bytes do not, the first batch that
    follows from the hash stated right before it is proven again: one flipped bit would otherwise take along all that
    stands behind it (NATS JetStream #7549 lost acknowledged messages that way).

    Args:
        file: The segment.
        base: Its first sequence number.
        start: End of its header, or of one of its batches.

    Returns:
        In file order, without overlap or gap; a `Tail` only as the last.

    Raises:
        LogBroken: There are more unproven bytes than a batch can have.
    """
    window = _Window(file, start.offset_bytes)
    at, searched = start, start.offset_bytes
    chains: tuple[str, ...] = ()  # after a batch that is not proven: what a later one may follow from
    while line := window.closing_line(searched, keep_from=at.offset_bytes):
        searched = line.end
        found = None
        if not chains:  # only the first closing line after a proven position can close the batch that begins there
            chain = window.chain(at, line)
            found = _closed(window, at, line, base, chain)
            chains = (at.chain, chain)
        found = found or _found_again(window, at, line, base, chains)
        if found is None:
            continue
        if found.start_offset_bytes > at.offset_bytes:
            yield Damage.between(base, at, found.start_offset_bytes, found.first_seq)
        yield found
        at, chains = found.after, ()
    if at.offset_bytes < window.end:
        yield Tail(base, at, window.end)


def _closed(window: _Window, start: Position, line: _Line, base: int, chain: str) -> Batch | Seal | None:
    """
    Return what *line* closes, if it begins at *start* and hashes to *chain*.
    """
    text = window.between(line.start, line.end)
    closing = _decoded(text) if text.endswith(chain.encode("ascii") + ENDING) else None
    if closing is None or _first_seq(closing, base) != start.next_seq:
        return None
    count = closing.n if isinstance(closing, CommitLine) else 0
    if not window.holds_events(start.offset_bytes, line.start, start.next_seq, count):
        return None
    if isinstance(closing, SealLine):
        return Seal(start.next_seq, start.offset_bytes, line.end, chain)
    return Batch(start.next_seq, count, start.offset_bytes, line.end, chain, closing)


def _found_again(window: _Window, at: Position, line: _Line, base: int, chains: Sequence[str]) -> Batch | Seal | None:
    """
    Return what *line* closes, if it is proven by what stands before it, wherever behind *at* that is.

    The hash it follows from is the one stated right before it or, when just that hash is damaged, one of *chains*.
    """
    # Where the newline before it is damaged, a closing line hangs on another one.
    line = line._replace(start=window.last(CLOSING[1:], line.start, line.end))
    closing = _decoded(window.between(line.start, line.end))
    if closing is None:
        return None
    first_seq = _first_seq(closing, base)
    has_events = isinstance(closing, CommitLine) and closing.n > 0
    begin = window.last(b'{"q":%d,' % first_seq, at.offset_bytes, line.start) if has_events else line.start
    if begin <= at.offset_bytes or first_seq < at.next_seq:
        return None
    stated = window.between(max(begin - ENDING_BYTES, at.offset_bytes), begin - len(ENDING)).decode("latin-1")
    for chain in (stated, *chains):
        start = Position(begin, first_seq, chain)
        if found := _closed(window, start, line, base, window.chain(start, line)):
            return found
    return None


def _decoded(line: bytes) -> CommitLine | SealLine | None:
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _first_seq(closing: CommitLine | SealLine, base: int) -> int:
    return base + closing.n if isinstance(closing, SealLine) else closing.s
