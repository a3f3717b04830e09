"""
What a message of the inbox is: its envelope, its receipt, and the event it becomes.

Pure: bytes in, a checked message or a refusal out. A refusal names a field of ours and a rule, never a value.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError

from daemon.envelope import ABOUT_ORDER, MESSAGE_BYTES_MAX, stated_hash
from daemon.message_rules import Refused, hold, implied_revision
from daemon.own_events import stated
from daemon.provenance import utc_text
from state.evidence import MESSAGES, Frozen, Identifier, Moment, Revision, Word
from state.segment import EVENT_BYTES_MAX
from state.vocabulary import EVENT_VERSION, MessageCode

#: Room for the sequence number that the log adds, in bytes.
_NUMBER_BYTES: Final = 64

F = TypeVar("F", bound=Frozen)

#: Rules of pydantic that are not `invalid_field`.
_CODES: Final[Mapping[str, MessageCode]] = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}


class Envelope(Frozen):
    """What every message says beside its body."""

    version: Literal["tallystick.inbox/1"] = Field(alias="schema", description="this contract and its version")
    kind: Word = Field(description="which body follows; one of the kinds below")
    producer: Word = Field(description="program that sends it")
    key: Identifier | None = Field(None, description="what it is about; null when it stands for itself")
    revision: Revision | None = Field(None, description="order among the messages of its key; null is before 0")
    created_at: Moment | None = Field(None, description="when it was written; null when the producer does not know")
    body: dict[str, Any] = Field(description="the statement")


@dataclass(frozen=True, slots=True)
class Checked:
    """A message that can be taken; ``receipt`` is null without a key: its sender draws one."""

    envelope: Envelope
    body: Frozen
    receipt: str | None
    content_hash: str

    def event(self, receipt: str, now: datetime) -> bytes:
        """
        Return the message as a line for the log.

        Raises:
            Refused: It became longer than an event may be.
        """
        envelope = self.envelope
        written: dict[str, Any] = {
            "k": envelope.kind,
            "v": EVENT_VERSION,
            "producer": envelope.producer,
            "key": envelope.key,
            "revision": self._revision(),
            "receipt": receipt,
            "content_hash": self.content_hash,
            "source_created_at": envelope.created_at and utc_text(envelope.created_at.astimezone(UTC)),
            "ingested_at": utc_text(now),
            "body": stated(self.body),
        }
        event = _line(written)
        if len(event) > EVENT_BYTES_MAX - _NUMBER_BYTES:
            raise Refused("too_long")
        return event

    def _revision(self) -> int | None:
        """Return the order that the message states; one that states none may be ordered by its body."""
        return implied_revision(self.body) if self.envelope.revision is None else self.envelope.revision


def rejection(receipt: str, refused: Refused, length_bytes: int, now: datetime) -> bytes:
    """Return the line for the log that says why a message was not taken."""
    return _line(
        {
            "k": "message_rejected",
            "v": EVENT_VERSION,
            "receipt": receipt,
            "code": refused.code,
            "field": refused.field,
            "length_bytes": length_bytes,
            "ingested_at": utc_text(now),
        }
    )


def check(content: bytes) -> Checked:
    """
    Read one message.

    Raises:
        Refused: It is not one, with the first field that is wrong.
    """
    if len(content) > MESSAGE_BYTES_MAX:
        raise Refused("too_long")
    message = decoded(content)
    envelope = _validated(Envelope, message, "")
    kind = MESSAGES.get(envelope.kind)
    if kind is None:
        raise Refused("unknown_kind", "kind")
    if envelope.revision is not None and envelope.key is None:
        raise Refused("needs_key", "revision")
    body = _validated(kind, envelope.body, "body.")
    hold(body)
    receipt = stated_hash(message) if envelope.key is not None else None
    return Checked(envelope, body, receipt, stated_hash(message, ABOUT_ORDER))


def decoded(content: bytes) -> dict[str, Any]:
    """
    Return the JSON object that *content* is.

    Raises:
        Refused: It is none; a name that stands in it twice is refused too, as readers disagree which one counts.
    """
    found = decoded_value(content)
    if not isinstance(found, dict):
        raise Refused("invalid_json")
    return found


def decoded_value(content: bytes) -> object:
    """Return the JSON value that *content* is; refuses as `decoded` does."""
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_named_once, parse_constant=_no_constant)
    except RecursionError:
        raise Refused("too_deep") from None
    except ValueError:  # of JSON and of UTF-8: their text would quote the content
        raise Refused("invalid_json") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_: str) -> None:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError


def _validated(model: type[F], content: Mapping[str, Any], prefix: str) -> F:
    """Hold *content* against *model*; of an error only rule and field are looked at, its text has the value in it."""
    known = {info.alias or name for name, info in model.model_fields.items()}
    try:
        return model.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    code = _CODES.get(first["type"], "invalid_field")
    raise Refused(code, prefix + name if name in known else prefix[:-1] or None)


def _line(stated: Mapping[str, Any]) -> bytes:
    known = {name: value for name, value in stated.items() if value is not None}
    return json.dumps(known, separators=(",", ":")).encode("ascii")
