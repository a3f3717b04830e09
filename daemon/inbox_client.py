"""Send messages to the inbox, and ask what became of one; the daemon need not be alive."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from daemon import inbox_directory as place
from daemon.envelope import SCHEMA
from daemon.message import check
from daemon.message_rules import Refused
from daemon.provenance import utc_text
from state.errors import DiskFull, LogIoError, TallystickError
from state.paths import StatePaths
from state.vocabulary import MessageCode

#: How often a waiting caller looks, in seconds.
LOOK_SECONDS: Final = 0.05


class MessageRefused(TallystickError):
    """
    This is no message that the inbox takes, and nothing was written. Put the field named here right and send it again.
    """

    exit_code = 2


class NotSubmitted(TallystickError):
    """
    The message could not be made durable. See that the disk has room and answers, then send it again.

    Where there was no room, nothing was sent. Where the disk did not confirm the name of the file, the message may have
    been taken all the same: only with a key is sending again the same message.
    """


class NoRoom(NotSubmitted):
    """
    The message could not be made durable: there is no room, and nothing was sent. Free some space, then send it again.
    """


@dataclass(frozen=True, slots=True)
class Letter:
    """
    A message as its producer means it; `sealed` makes what is sent of it.

    Args:
        kind: What the body is.
        body: The statement, as in `docs/inbox.md`.
        producer: Program that sends it, as a word.
        key: What it is about: the same message sent again under it is the same message. Null: it stands for itself.
        revision: Order among the messages of *key*; the greatest holds.
        created_at: When it was written, in ISO 8601 with its zone; the clock's time when null.
    """

    kind: str
    body: Mapping[str, Any]
    producer: str
    key: str | None = None
    revision: int | None = None
    created_at: str | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message that was checked: what is written into the inbox, and under which receipt."""

    receipt: str
    content: bytes
    content_hash: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a receipt.

    ``state``: `pending` (its file waits), `stored`, `superseded` (another message of its key holds), `rejected`, or
    `unknown` (neither file nor log knows it). ``seq`` is its event, ``by_seq`` the one that holds instead.
    """

    receipt: str
    state: str
    seq: int | None = None
    by_seq: int | None = None
    code: str | None = None
    field: str | None = None


def submit(
    paths: StatePaths,
    kind: str,
    body: Mapping[str, Any],
    *,
    producer: str,
    key: str | None = None,
    revision: int | None = None,
    now: datetime | None = None,
) -> str:
    """
    Put one message into the inbox and return its receipt; on return it survives a power cut.

    Args:
        paths: The state directory; made when it is missing.
        kind: What the body is.
        body: The statement, as in `docs/inbox.md`.
        producer: Program that sends it, as a word.
        key: What it is about: the same message sent again under it is the same message. Null: it stands for itself.
        revision: Order among the messages of *key*; the greatest holds.
        now: When it is written; the clock's time when null.

    Raises:
        MessageRefused: It is no message; nothing was written.
        NotSubmitted: There is no room, or the disk did not confirm.
        InboxUnsafe, StateUnusable: The inbox cannot be used.
    """
    message = checked(kind, body, producer=producer, key=key, revision=revision, now=now)
    submit_all(paths, [message])
    return message.receipt


def checked(
    kind: str,
    body: Mapping[str, Any],
    *,
    producer: str,
    key: str | None = None,
    revision: int | None = None,
    now: datetime | None = None,
) -> Sealed:
    """
    Return the message that `submit` would write, and write nothing.

    Raises:
        MessageRefused: It is no message.
    """
    try:
        return sealed(Letter(kind, body, producer, key, revision), now)
    except Refused as refused:
        raise MessageRefused(**_facts(refused.code, refused.field)) from None


def sealed(letter: Letter, now: datetime | None = None) -> Sealed:
    """
    Check a message, and return what is sent of it; nothing is written.

    Raises:
        Refused: It is no message, with the first field that is wrong.
    """
    message: dict[str, Any] = {"schema": SCHEMA, "kind": letter.kind, "producer": letter.producer}
    message |= {"body": dict(letter.body)}
    optional = (("key", letter.key), ("revision", letter.revision))
    message |= {name: value for name, value in optional if value is not None}
    written = utc_text((now or datetime.now(UTC)).astimezone(UTC))
    message["created_at"] = written if letter.created_at is None else letter.created_at
    try:
        content = json.dumps(message).encode("ascii")
        found = check(content)
        return Sealed(found.receipt or os.urandom(16).hex(), content, found.content_hash)
    except (TypeError, ValueError, RecursionError):
        raise Refused("invalid_json") from None  # their text may quote the body


def submit_all(paths: StatePaths, messages: Sequence[Sealed]) -> None:
    """
    Put messages into the inbox, all or none; on return they survive a power cut.

    Raises:
        NoRoom: There is no room for all of them; none was sent.
        NotSubmitted: The disk did not confirm.
        InboxUnsafe, StateUnusable: The inbox cannot be used.
    """
    paths.create()
    try:
        place.put(paths.inbox, {each.receipt: each.content for each in messages})
    except DiskFull as error:
        raise NoRoom(path=paths.inbox, reason=error.facts.get("reason")) from None
    except LogIoError as error:
        raise NotSubmitted(path=paths.inbox, reason=error.facts.get("reason")) from None


def is_waiting(paths: StatePaths, receipt: str) -> bool:
    """Say whether the file of *receipt* is still in the inbox."""
    return os.path.lexists(paths.inbox / place.file_name(receipt))


def outcome(paths: StatePaths, receipt: str, *, wait_seconds: float = 0.0) -> Outcome:
    """
    Return what became of *receipt*, waiting at most *wait_seconds* while its file is still there.

    Raises:
        LogBroken, StateUnusable: The log cannot be read.
    """
    deadline = time.monotonic() + wait_seconds
    # The file goes only after the commit: where there is none any more, the log already has what is to be known.
    while is_waiting(paths, receipt):
        if time.monotonic() >= deadline:
            return Outcome(receipt, "pending")
        time.sleep(LOOK_SECONDS)
    from daemon.receipts import Recorded

    with Recorded(paths) as recorded:
        fate = recorded.fate(receipt)
    if fate is None:
        return Outcome(receipt, "unknown")
    return Outcome(receipt, fate.state, fate.seq, fate.by_seq, fate.code, fate.field)


def _facts(code: MessageCode, field: str | None) -> dict[str, str]:
    return ({"field": field} if field else {}) | {"rule": code}
