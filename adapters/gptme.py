"""
What a line of a gptme conversation means.

A message with usage in its metadata is one call. gptme gives it no id and copies it freely: into branches on undo and
edit, into views and an archive on compaction, into forks. So a call's identity is what all its copies share.
Read from the source of gptme 0.28 to 0.35.1 and from logs that 0.35.1 wrote.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.contract import NOTHING, UNMETERED, UNRECOGNISED, Header, LineRejected, Observation, Root, UsageStated
from adapters.decode import (
    OutOfRange,
    context_id,
    digest,
    local_time,
    log_stem,
    model_name,
    tokens,
    usd_micros,
    utc_time,
)
from adapters.decoder import Decoder
from state.vocabulary import Agent, Flag, Role, SourceClass

#: gptme writes the first three; "tool" is what other writers of its format call a tool's result.
KNOWN_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})

#: Folders of a conversation that hold copies of it, and what such a copy is.
COPIES: Final[Mapping[str, Role]] = {"branches": "branch", "views": "view"}

#: Folders of a conversation in which a ``conversation.jsonl`` is somebody's file, not a conversation of its own.
NO_CONVERSATIONS: Final = frozenset({*COPIES, "workspace", "files", "attachments"})


class Usage(msgspec.Struct):
    """Tokens of one call: input is neither read from nor written to a cache, output includes reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None


class Metadata(Usage):
    """What gptme noted of a message; up to 0.31 the tokens stood flat in it."""

    model: str | None = None
    cost: float | None = None
    usage: Usage | None = None


class Line(msgspec.Struct):
    """The fields of a message that are read; all others are skipped undecoded, its text among them."""

    role: str | None = None
    timestamp: str | None = None
    metadata: Metadata | None = None


_decode = Decoder(Line, counted=(Usage, Metadata)).decode


class Gptme:
    """gptme's conversations: one folder each, with the copies that undo, edit and compaction leave in it."""

    kind: Final = "lines"
    agent: Agent = "gptme"
    parser = "gptme"
    source_class: SourceClass = "gptme_log"
    parser_version = 1
    #: Every place of a line from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "source_created_at": ("timestamp",),
        "model": ("metadata.model",),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the directory gptme writes to, and the one its companion package was told to read."""
        # gptme reads GPTME_LOGS_HOME alone, gptme-sessions GPTME_LOGS_DIR alone. An operator who set the second knows
        # of logs there, and gptme still writes to the first: to search one of them is to miss the other's sessions.
        # Blank is unset, as in gptme. A relative path would depend on where gptme was started; we take it from home.
        stated = {name: text.strip() for name, text in environment.items()}
        store = home / (stated.get("XDG_DATA_HOME") or ".local/share") / "gptme" / "logs"
        written = home / stated["GPTME_LOGS_HOME"] if stated.get("GPTME_LOGS_HOME") else store
        read = home / stated["GPTME_LOGS_DIR"] if stated.get("GPTME_LOGS_DIR") else written
        return [Root(path) for path in dict.fromkeys((written, read))]

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim a conversation, its branches and views, and the archive of a compacted one; whatever it is called."""
        stem, folder = log_stem(relative.name), relative.parent.name
        is_copy = len(relative.parts) > 2 and folder in COPIES
        conversation = relative.parent.parent if is_copy else relative.parent
        # gptme before 0.32 took a name with slashes, hence a folder at any depth.
        if stem is None or not conversation.name or NO_CONVERSATIONS & set(conversation.parts[1:]):
            return None
        name, session_id = str(conversation), context_id(str(conversation))
        if is_copy:
            hidden = stem.startswith(".")  # an editor's lock
            return None if hidden else Header(f"{name}/{folder}/{stem}", COPIES[folder], session_id)
        if stem == "lossless":
            # `/compact` replaces conversation.jsonl; from then on the calls before it may stand only here.
            return Header(f"{name}/{stem}", "archived", session_id)
        if stem == "conversation":
            # A subagent may begin with a copy of its parent's messages: the parent is their owner.
            role: Role = "subagent" if conversation.name.startswith("subagent-") else "main"
            return Header(name, role, session_id)
        return None

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Return *header*: a conversation is known by its folder."""
        return header

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """State the usage of a message, whatever its role; an answer without usage is unmetered."""
        read = _decode(line)
        if isinstance(read, LineRejected):
            return (read,)
        metadata = read.metadata or Metadata()
        try:
            raw = _raw(metadata.usage or Usage()) or _raw(metadata)
        except OutOfRange:
            return (LineRejected(code="out_of_range", field="usage"),)
        if raw:
            # All zero is a call too: gptme keeps no failed call, so the provider answered, and said zero.
            # Half of a call: its other half has another name by now.
            lost = NOTHING if {"input_tokens", "output_tokens"} <= raw.keys() else UNMETERED
            return (_stated(read, metadata, raw, header), *lost)
        if read.role == "assistant" or metadata.usage is not None:
            return UNMETERED
        return NOTHING if read.role in KNOWN_ROLES else UNRECOGNISED


def _raw(usage: Usage) -> dict[str, int]:
    """Return the tokens as stated, under the source's own names."""
    pairs = ((name, tokens(getattr(usage, name))) for name in Usage.__struct_fields__)
    return {name: value for name, value in pairs if value is not None}


def _stated(read: Line, metadata: Metadata, raw: dict[str, int], header: Header) -> UsageStated:
    aware = utc_time(read.timestamp)
    created = aware or local_time(read.timestamp, header.zone)
    flags: tuple[Flag, ...] = () if created else ("time_quality",)
    if "output_tokens" not in raw:
        flags = (*flags, "incomplete")  # the stream was closed after its first event: no output, so a lower bound
    return UsageStated(
        source_id=_identity(read.timestamp, metadata.model, raw, header),
        basis="call",
        witness="message",
        confidence="inferred",
        session_id=header.session_id,
        source_created_at=created,
        assumed_zone=header.zone if created and not aware else None,
        model=model_name(metadata.model),
        input_tokens=raw.get("input_tokens"),
        cache_read_tokens=raw.get("cache_read_tokens"),
        cache_write_tokens=raw.get("cache_creation_tokens"),
        output_tokens=raw.get("output_tokens"),
        reasoning_tokens=raw.get("reasoning_tokens"),
        stated_cost_usd_micros=usd_micros(metadata.cost),
        flags=flags,
        raw=raw,
    )


def _identity(timestamp: str | None, model: str | None, raw: dict[str, int], header: Header) -> str:
    """
    Return what all copies of a call share: time, model and tokens.

    Neither cost, which gptme rounds when a log is edited by hand, nor timings, which it adds later. A time is taken
    as gptme writes it, because loading and writing a log turns ``Z`` into ``+00:00`` and ``.12`` into ``.120000``.
    A message without time has only its session, so that equal numbers of two sessions stay two calls.
    """
    try:
        moment = datetime.fromisoformat(timestamp or "").isoformat()
    except ValueError:
        moment = timestamp or f"session {header.session_id}"
    return f"gptme:{digest(repr((moment, model or '', sorted(raw.items()))))}"


ADAPTER = Gptme()
