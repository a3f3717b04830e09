"""
A document that its agent rewrites whole: read as a whole, item by item, whenever its bytes changed.

While it is being rewritten a reader sees half of it. So a document that cannot be read is looked at again; only one
that still holds the same broken bytes at the next look is told as rejected. Which items are unchanged is remembered
within bounds, and only to keep the log small: without that memory all items are stated again, and the tables say the
same. Of a file of records it is more: a record that was there and is not any more is claimed by nobody. An answer that
an agent takes out of its document was paid for all the same, so of those nothing is ever taken back.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from adapters.contract import UNRECOGNISED, DocumentAdapter, Header, Item, LineRejected
from daemon.identity import line_hash
from daemon.items import ItemPlace, Statements, stored_key
from daemon.tail import SourceFile
from state.cursors import Cursor

#: Largest document that is read, in bytes; it is held in memory as a whole.
DOCUMENT_BYTES_MAX: Final = 64 * 1024 * 1024

#: At most so many items are remembered, over all documents.
REMEMBERED_ITEMS_MAX: Final = 200_000

#: Stands where the hash of a document would, when it is too long to be read.
_TOO_LONG: Final = "too_long"


class Remembered:
    """
    The items of the documents read last, by source; bounded, the oldest documents go first.

    An entry belongs to one content of its document, so what a failed commit lost is not taken for stated: the cursor
    then still names the content before.
    """

    def __init__(self, items_max: int = REMEMBERED_ITEMS_MAX) -> None:
        self._items_max = items_max
        self._count = 0
        self._documents: OrderedDict[str, tuple[str, Mapping[str, str]]] = OrderedDict()
        #: Where records point and nothing stood when that was last looked at.
        self.missing_paths: set[str] = set()

    def items(self, source_key: str, content_hash: str) -> Mapping[str, str]:
        """Return the hashes of the items that are evidence of this content; empty when it is not known."""
        known, items = self._documents.get(source_key, ("", {}))
        return items if content_hash and known == content_hash else {}

    def keep(self, source_key: str, content_hash: str, items: Mapping[str, str]) -> None:
        """Remember the items of a document; forget the oldest documents beyond the bound."""
        self._forget(source_key)
        self._documents[source_key] = (content_hash, items)
        self._count += len(items)
        while self._count > self._items_max:
            self._forget(next(iter(self._documents)))

    def _forget(self, source_key: str) -> None:
        _, items = self._documents.pop(source_key, ("", {}))
        self._count -= len(items)


def read_document(
    adapter: DocumentAdapter,
    header: Header,
    source: SourceFile,
    cursor: Cursor,
    source_key: str,
    statements: Statements,
    remembered: Remembered,
    *,
    before: str,
    is_idle: bool = True,
) -> Iterator[Cursor]:
    """
    Collect in *statements* what is new in a document, and yield the cursor that says so.

    Args:
        adapter: Meaning of the document.
        header: What the document's place says.
        source: The open document.
        cursor: What was read of it before.
        source_key: Its name among the cursors.
        statements: Takes the evidence.
        remembered: Items that need not be stated again.
        before: Hash of the content that was read last, also by an older parser, whose items are all stated again.
        is_idle: Nobody seems to be writing it any more: one that is broken can be told as such.
    """
    seen = msgspec.structs.replace(
        cursor,
        size_bytes=source.status.st_size,
        modified_ns=source.status.st_mtime_ns,
        changed_ns=source.status.st_ctime_ns,
        broken_hash="",
        is_reparsed=False,
    )
    if source.status.st_size > DOCUMENT_BYTES_MAX:
        yield _too_long(seen, statements)
        return
    content = source.read_at(0, DOCUMENT_BYTES_MAX + 1)
    name = line_hash(content)
    if name == cursor.content_hash:
        yield msgspec.structs.replace(seen, offset_bytes=len(content))
        return
    if not content.strip():  # about to be written: no document yet, and none that is broken
        yield msgspec.structs.replace(seen, offset_bytes=0, is_reparsed=cursor.is_reparsed)
        return
    read = _asked(adapter, content, header)
    if isinstance(read, LineRejected):
        if is_idle and name == cursor.broken_hash:
            yield _rejected(seen, name, content, read, statements)
        else:
            # A time of change that no file has: it is opened again. What is not read is behind the mark.
            yield msgspec.structs.replace(
                seen, broken_hash=name, offset_bytes=0, changed_ns=0, is_reparsed=cursor.is_reparsed
            )
        return
    stood = remembered.items(source_key, before)
    stated = _state_items(content, read, stood if cursor.content_hash else {}, statements)
    if header.role == "record" and not _is_whole(content, read):
        stated = {**stood, **stated}  # what is not seen may be in what could not be read
    elif header.role == "record":
        for key in stood.keys() - stated.keys():
            statements.gone(key, stood[key])
    remembered.keep(source_key, name, stated)
    yield msgspec.structs.replace(seen, content_hash=name, offset_bytes=len(content), **asdict(statements.counts))


def _is_whole(content: bytes, items: tuple[Item, ...]) -> bool:
    """Say whether every line of a file of records could be read, the last one too: then what is not in it is gone."""
    if any(isinstance(each, LineRejected) for item in items for each in item.observations):
        return False
    return content.endswith(b"\n") or not items or items[-1].observations != UNRECOGNISED


def _asked(adapter: DocumentAdapter, content: bytes, header: Header) -> tuple[Item, ...] | LineRejected:
    """Ask the adapter; what it raises says nothing but that it failed."""
    try:
        read = adapter.read_document(content, header)
        return read if isinstance(read, LineRejected) else tuple(read)
    except MemoryError:  # no fault of what is read: rejected, it would be passed over for good
        raise
    except Exception:  # noqa: BLE001 - an adapter of somebody else must not end the daemon; the document is told
        return LineRejected(code="adapter_failed")


def _state_items(
    content: bytes, items: tuple[Item, ...], unchanged: Mapping[str, str], statements: Statements
) -> dict[str, str]:
    """State every item that is not *unchanged*; returns the hashes of all."""
    hashes: dict[str, str] = {}
    position = 0
    for item in items:
        key, name = stored_key(item.key), line_hash(item.content)
        hashes[key] = name
        start = content.find(item.content, position)
        position = max(position, start + len(item.content))
        if start < 0:  # the adapter put it together: only the whole document holds it
            start, length = 0, len(content)
        else:
            length = len(item.content)
        if unchanged.get(key) == name:
            statements.unchanged(item.observations)
        else:
            statements.item(ItemPlace(key, name, start, length), item.content, item.observations)
    return hashes


def _too_long(seen: Cursor, statements: Statements) -> Cursor:
    if seen.content_hash != _TOO_LONG:
        place = ItemPlace("", "", 0, seen.size_bytes)
        statements.rejected(LineRejected(code="too_long"), place, None)
    return msgspec.structs.replace(seen, content_hash=_TOO_LONG, offset_bytes=seen.size_bytes)


def _rejected(seen: Cursor, name: str, content: bytes, why: LineRejected, statements: Statements) -> Cursor:
    """Reject a document that is as broken as at the last look."""
    statements.rejected(why, ItemPlace("", "", 0, len(content)), content)
    return msgspec.structs.replace(
        seen, content_hash=name, offset_bytes=len(content), rejected_lines=seen.rejected_lines + 1
    )
