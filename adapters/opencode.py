"""
What a row of OpenCode's database means, since OpenCode 1.2.

A message of the assistant is one call; its row is written empty, filled while the answer streams, and written once more
when it is complete. `opencode_storage.py` reads the documents that held the same messages before.
Read from the database that OpenCode 1.18.33 wrote and from its program.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.contract import (
    NOTHING,
    Header,
    LineRejected,
    Observation,
    Root,
    Row,
    TurnUnmetered,
    Unrecognised,
    UsageStated,
)
from adapters.decode import (
    OutOfRange,
    bounded,
    context_id,
    digest,
    directory,
    identity,
    model_name,
    usd_micros,
    version_name,
)
from adapters.decoder import Decoder
from state.vocabulary import Agent, Flag, SourceClass


class Cache(msgspec.Struct):
    """Tokens read from and written to a cache; neither is part of the input."""

    read: int | None = None
    write: int | None = None


class Tokens(msgspec.Struct):
    """Tokens of one call; the input was neither read from nor written to a cache."""

    total: int | None = None
    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache: Cache | None = None


class Time(msgspec.Struct):
    """When a message began and ended, in milliseconds since 1970."""

    created: int | None = None
    completed: int | None = None


class Place(msgspec.Struct):
    """Where the agent worked."""

    cwd: str | None = None


class Message(msgspec.Struct):
    """The fields of a message that are read; all others are skipped undecoded. Only a document has the two ids."""

    id: str | None = None
    sessionID: str | None = None
    role: str | None = None
    modelID: str | None = None
    providerID: str | None = None
    cost: float | None = None
    finish: str | None = None
    tokens: Tokens | None = None
    time: Time | None = None
    path: Place | None = None


class Context(msgspec.Struct, frozen=True):
    """What stands beside a message's JSON."""

    message_id: str | None
    session_id: str | None
    parent_session_id: str | None = None
    agent_version: str | None = None


decode = Decoder(Message, counted=(Tokens, Cache)).decode


class OpenCode:
    """OpenCode's messages in its database; all channels of the program, one database each."""

    kind: Final = "rows"
    agent: Agent = "opencode"
    parser = "opencode"
    source_class: SourceClass = "opencode_db"
    parser_version = 2
    #: Every place of a row from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "item_key": ("item_key",),
        "line_id": ("item_key",),
        "session_id": ("session_id",),
        "parent_session_id": ("parent_id",),
        "agent_version": ("version",),
        "model": ("data.modelID",),
        "model_provider": ("data.providerID",),
        "stop_reason": ("data.finish",),
        "cwd": ("data.path.cwd",),
    }
    # The titles of sessions and the parts of messages, where all text is, are not asked for.
    query = """
        SELECT
            m.id AS item_key,
            m.time_updated AS revision,
            m.rowid AS inserted,
            m.session_id,
            m.data,
            s.parent_id,
            s.version
        FROM message AS m
        LEFT JOIN session AS s ON m.session_id = s.id
    """

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name OpenCode's directory of data, and the database it was told to use instead, if any."""
        data = data_directory(home, environment)
        named = environment.get("OPENCODE_DB", "").strip()
        own = [Root(data / named)] if named and named != ":memory:" else []
        return [Root(data, is_flat=True), *own]

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim ``opencode.db``, the database of any channel, and the one that the operator named."""
        name = relative.name or root.path.name
        is_own = not relative.name or (name.startswith("opencode") and name.endswith(".db"))
        return Header(name.removesuffix(".db"), "main") if is_own else None

    def read_row(self, row: Row, header: Header) -> Iterable[Observation]:
        """State the usage of one message of the assistant; one without tokens is unmetered."""
        data = row.get("data")
        read = decode(data if isinstance(data, bytes) else b"")
        if isinstance(read, LineRejected):
            return (read,)
        context = Context(
            identity(text(row.get("item_key"))),
            context_id(text(row.get("session_id"))),
            context_id(text(row.get("parent_id"))),
            version_name(text(row.get("version"))),
        )
        return stated(read, context)


def data_directory(home: PurePath, environment: Mapping[str, str]) -> PurePath:
    """Return where OpenCode keeps its data; a relative setting is taken from *home*, not from where it was started."""
    return home / (environment.get("XDG_DATA_HOME", "").strip() or ".local/share") / "opencode"


def text(value: bytes | float | None) -> str | None:
    """Return a text of the database; ``None`` when it is null or no text."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else None


def stated(message: Message, context: Context) -> tuple[Observation, ...]:
    """Return what a message says, whichever kind of source holds it."""
    if message.role != "assistant":
        return NOTHING if message.role == "user" else (Unrecognised(agent_version=context.agent_version),)
    tokens = message.tokens or Tokens()
    cache = tokens.cache or Cache()
    try:
        raw = bounded(
            {
                "total": tokens.total,
                "input": tokens.input,
                "output": tokens.output,
                "reasoning": tokens.reasoning,
                "cache.read": cache.read,
                "cache.write": cache.write,
            }
        )
    except OutOfRange:
        return (LineRejected(code="out_of_range", field="tokens"),)
    # OpenCode begins each message with zeros: an answer that streams, one that was cut off, a provider that says
    # nothing, a shell command of the user's. None of them says that it cost nothing.
    if any(raw.values()):
        # Half of a call: its other half has another name by now.
        lost = () if {"input", "output"} <= raw.keys() else (TurnUnmetered(agent_version=context.agent_version),)
        return (_usage(message, context, raw), *lost)
    is_open = message.time is not None and message.time.created is not None and message.time.completed is None
    return (TurnUnmetered(agent_version=context.agent_version, is_open=is_open),)


def _usage(message: Message, context: Context, raw: dict[str, int]) -> UsageStated:
    time = message.time or Time()
    output, is_lower_bound = _output(raw)
    created = _moment(time.created)
    flags: tuple[Flag, ...] = () if created else ("time_quality",)
    if is_lower_bound or time.completed is None:
        flags = (*flags, "incomplete")
    return UsageStated(
        source_id=_identity(message, time, context),
        basis="call",
        witness="message",
        confidence="inferred",
        session_id=context.session_id,
        parent_session_id=context.parent_session_id,
        line_id=context.message_id,
        source_created_at=created,
        model=model_name(message.modelID),
        model_provider=context_id(message.providerID),
        agent_version=context.agent_version,
        cwd=directory(message.path.cwd) if message.path else None,
        stop_reason=context_id(message.finish),
        input_tokens=raw.get("input"),
        cache_read_tokens=raw.get("cache.read"),
        cache_write_tokens=raw.get("cache.write"),
        output_tokens=output,
        reasoning_tokens=raw.get("reasoning"),
        provider_total_tokens=raw.get("total"),
        stated_cost_usd_micros=usd_micros(message.cost),
        flags=flags,
        raw=raw,
    )


def _output(raw: Mapping[str, int]) -> tuple[int | None, bool]:
    """
    Return the output with its reasoning, and whether it is only a lower bound.

    Since April 2026 (anomalyco/opencode#21047) reasoning stands beside output; before, some providers had it inside.
    The total says which. Without one, reasoning greater than the output cannot be inside it; else it may be.
    """
    output, reasoning = raw.get("output"), raw.get("reasoning") or 0
    if output is None or not reasoning:
        return output, False
    others = raw.get("input", 0) + raw.get("cache.read", 0) + raw.get("cache.write", 0)
    if raw.get("total") == others + output + reasoning or reasoning > output:
        return output + reasoning, False
    return output, raw.get("total") != others + output


def _identity(message: Message, time: Time, context: Context) -> str:
    """
    Return what all copies of a call share: when it began and ended, provider, model and directory.

    A fork copies every row under a new id, and with it everything but the ids of message, session and parent
    (tokscale#446: counted eight times), so no id is an identity. No tokens: they are filled in while the answer
    streams, and two calls may well cost the same. The end is in it because subagents that are started together begin
    in one millisecond, in one directory and with one model; until it is written a row has another identity, which its
    next state retires. The price: a copy made between the tokens and the end of a call counts as a call of its own,
    and two calls that agree in all five count as one. A message without a time has only its own id.
    """
    if time.created is None:
        return f"opencode:{digest(repr(('id', context.session_id, context.message_id)))}"
    cwd = message.path.cwd if message.path else None
    return f"opencode:{digest(repr((time.created, time.completed, message.providerID, message.modelID, cwd)))}"


def _moment(milliseconds: int | None) -> str | None:
    """Return a time in milliseconds since 1970 as the log writes it; ``None`` when it is none."""
    if milliseconds is None or not 0 < milliseconds < 253_402_300_800_000:  # the year 10000
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


ADAPTER = OpenCode()
