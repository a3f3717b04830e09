"""
Observation to evidence: who read it, where, when and with which parser.

The reader adds this, never the adapter. A file's share of it is encoded once, a line's share is spliced behind: an
event costs one short encoding, whatever it carries.
"""

import hashlib
import json
from datetime import datetime
from typing import Protocol

import msgspec

from adapters.contract import Adapter, Header, Observed
from daemon.identity import stored_path
from state.vocabulary import EVENT_VERSION, DaemonChange, DenyCode, SourceChange

_encode = msgspec.json.Encoder().encode


class SourceChanged(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="source"):
    """Something happened to a source itself; ``code`` says why it cannot be read, ``previous_path`` where it was."""

    change: SourceChange
    code: DenyCode | None = None
    previous_path: str | None = None
    size_bytes: int | None = None


class DaemonChanged(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="daemon"):
    """The daemon itself began or ended."""

    change: DaemonChange
    program_version: str


def daemon_event(changed: DaemonChanged, now: datetime) -> bytes:
    """Return *changed* as an event."""
    return _encode(changed)[:-1] + b',"v":%d,"ingested_at":"%b"}' % (EVENT_VERSION, utc_text(now).encode())


def stored_place(path: str) -> dict[str, str]:
    """Return the one of ``source_path`` and ``source_uri`` that can name *path*."""
    stored = stored_path(path)
    return {"source_uri" if stored.startswith("file://") else "source_path": stored}


def utc_text(moment: datetime) -> str:
    """Return an aware UTC time as the log writes it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def salted_hash(salt: str, line: bytes) -> str:
    """Return the hash of a line of which nothing else is known; the salt keeps short secrets from being guessed."""
    return hashlib.sha256(salt.encode() + line).hexdigest()[:32]


class Place(Protocol):
    """Where a row or an item stands; the key is empty for a document as a whole."""

    @property
    def key(self) -> str:
        """Its own id."""

    @property
    def line_hash(self) -> str:
        """Hash of its bytes."""

    @property
    def offset_bytes(self) -> int | None:
        """First byte in its document; null for a row."""

    @property
    def length_bytes(self) -> int | None:
        """Its bytes in its document; null for a row."""


class Stamp:
    """What all events of one source share, encoded once."""

    def __init__(self, adapter: Adapter, path: str, generation: str, header: Header | None, now: datetime) -> None:
        #: When the source was read, UTC.
        self.read_at = now
        shared = {
            "v": EVENT_VERSION,
            "agent": adapter.agent,
            "source_class": adapter.source_class,
            **stored_place(path),
            "source_generation": generation,
            "source_role": header.role if header else None,
            "source_session_id": header.session_id if header else None,
            "parser": adapter.parser,
            "parser_version": adapter.parser_version,
            "ingested_at": utc_text(now),
        }
        known = {name: value for name, value in shared.items() if value is not None}
        self._shared = _encode(known)[1:]

    def event(self, observed: Observed) -> bytes:
        """Return *observed* as an event of the whole source."""
        return _ascii(_encode(observed)[:-1] + b"," + self._shared)

    def line_event(self, observed: Observed, offset_bytes: int, length_bytes: int, line_hash: str) -> bytes:
        """Return *observed* as an event of one line: its byte range and the hash of exactly those bytes."""
        place = b',"offset_bytes":%d,"length_bytes":%d,"line_hash":"%s",' % (
            offset_bytes,
            length_bytes,
            line_hash.encode(),
        )
        return _ascii(_encode(observed)[:-1] + place + self._shared)

    def item_event(self, observed: Observed, place: "Place") -> bytes:
        """Return *observed* as an event of one row or one item of a document."""
        where = {
            "offset_bytes": place.offset_bytes,
            "length_bytes": place.length_bytes,
            "item_key": place.key or None,
            "line_hash": place.line_hash,
        }
        known = {name: value for name, value in where.items() if value is not None}
        return _ascii(_encode(observed)[:-1] + b"," + _encode(known)[1:-1] + b"," + self._shared)


def _ascii(event: bytes) -> bytes:
    return event if event.isascii() else json.dumps(msgspec.json.decode(event), separators=(",", ":")).encode()
