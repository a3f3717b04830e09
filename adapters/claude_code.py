"""
What a line of a Claude Code transcript means.

One API call is one ``message.id``, written on two to ten lines: one per content block, the value on the last. Every
line with usage is stated; which of them counts is decided in `projections`. Copies in other files keep the id. A block
that calls a tracker's tool states the task it names, once for each line that holds it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.contract import (
    NOTHING,
    Header,
    HiddenCall,
    LineRejected,
    Observation,
    Root,
    TaskNamed,
    TurnUnmetered,
    Unrecognised,
    UsageStated,
)
from adapters.decode import (
    OutOfRange,
    bounded,
    branch_name,
    context_id,
    directory,
    identity,
    log_stem,
    model_name,
    tokens,
    usd_micros,
    utc_time,
    version_name,
)
from adapters.decoder import Decoder
from adapters.task_words import is_mcp
from adapters.tool_calls import named
from state.vocabulary import Agent, Confidence, Flag, SourceClass, Witness

#: The agent's own notices (errors, interrupts) carry this model and no usage: not a call.
SYNTHETIC: Final = "<synthetic>"

#: Regions that cost what the book says: none was asked for, or the provider has none.
USUAL_REGIONS: Final = (None, "", "global", "not_available")

#: Lines that show a call for which no usage was written: compaction and the recap after an absence.
HIDDEN_CALLS: Final = frozenset({"compact_boundary", "away_summary"})

#: Known types without usage of their own. An unknown type is counted: it may be where the usage went.
KNOWN_TYPES: Final = frozenset(
    {
        "agent-name",
        "ai-title",
        "attachment",
        "custom-title",
        "file-history-snapshot",
        "last-prompt",
        "mode",
        "permission-mode",
        "pr-link",
        "progress",
        "queue-operation",
        "result",
        "summary",
        "system",
        "tag",
        "task-summary",
        "user",
        "worktree-state",
    }
)


class CacheCreation(msgspec.Struct):
    """How long written cache lives, in tokens."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class Iteration(msgspec.Struct):
    """A part of a server-side loop; only an advisor's part is a call of its own."""

    type: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation: CacheCreation | None = None


class Usage(msgspec.Struct):
    """``message.usage``: the tokens of one call, as known when the line was written."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    iterations: list[Iteration] | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None


class Message(msgspec.Struct):
    """The API response of which the line holds one content block."""

    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: Usage | None = None


class ProgressMessage(msgspec.Struct):
    """A subagent's line as copied into its parent's progress line."""

    type: str | None = None
    timestamp: str | None = None
    requestId: str | None = None
    uuid: str | None = None
    message: Message | None = None


class Progress(msgspec.Struct):
    """``data`` of a progress line."""

    agentId: str | None = None
    message: ProgressMessage | None = None


class Line(msgspec.Struct):
    """The fields of a line that are read; all others are skipped undecoded, conversation text among them."""

    type: str | None = None
    subtype: str | None = None
    uuid: str | None = None
    sessionId: str | None = None
    agentId: str | None = None
    isSidechain: bool | None = None
    requestId: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    gitBranch: str | None = None
    version: str | None = None
    costUSD: float | None = None
    message: Message | None = None
    data: Progress | None = None


class Block(msgspec.Struct):
    """A content block; what is put into a tool stays undecoded until it is known whose tool it is."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class Blocks(msgspec.Struct):
    """``message`` where its blocks are looked at."""

    content: list[Block] | None = None


class CallingLine(msgspec.Struct):
    """An assistant line once more, for its blocks: a line with other content must not cost its usage."""

    message: Blocks | None = None


class NamedUsage(msgspec.Struct):
    """``message`` where the names in its usage are looked at; what they name stays undecoded."""

    usage: dict[str, msgspec.Raw] | None = None


class NamingLine(msgspec.Struct):
    """An assistant line once more, for the names in its usage."""

    message: NamedUsage | None = None


_decode = Decoder(Line, counted=(Usage, CacheCreation, Iteration)).decode
_decode_calls = Decoder(CallingLine).decode
_decode_names = Decoder(NamingLine).decode


def config_directories(home: PurePath, environment: Mapping[str, str]) -> list[PurePath]:
    """Return where the agent keeps what is its own: the configured directories, else both default ones."""
    # A shell expands only the first `~` of a list. A relative path would depend on where the agent was started; we
    # take it from home.
    configured = [part.strip() for part in environment.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()]
    named = [home / part.removeprefix("~/") for part in configured]
    return named or [home / (environment.get("XDG_CONFIG_HOME") or ".config") / "claude", home / ".claude"]


class ClaudeCode:
    """Claude Code's transcripts, below every directory where its wrappers and versions put them."""

    kind: Final = "lines"
    agent: Agent = "claude_code"
    parser = "claude_code"
    source_class: SourceClass = "claude_transcript"
    parser_version = 3
    #: Every place of a line from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "source_id": ("message.id", "data.message.message.id", "uuid", "data.message.uuid"),
        "line_id": ("uuid", "data.message.uuid"),
        "request_id": ("requestId", "data.message.requestId"),
        "session_id": ("sessionId",),
        "agent_id": ("agentId", "data.agentId"),
        "source_created_at": ("timestamp", "data.message.timestamp"),
        "model": (
            "message.model",
            "message.usage.iterations.[].model",
            "data.message.message.model",
            "data.message.message.usage.iterations.[].model",
        ),
        "service_tier": (
            "message.usage.service_tier",
            "message.usage.speed",
            "message.usage.inference_geo",
            "data.message.message.usage.service_tier",
            "data.message.message.usage.speed",
            "data.message.message.usage.inference_geo",
        ),
        "stop_reason": ("message.stop_reason", "data.message.message.stop_reason"),
        "agent_version": ("version",),
        "cwd": ("cwd",),
        "git_branch": ("gitBranch",),
        "tool_name": ("message.content.[].name",),
        "tool_call_id": ("message.content.[].id",),
        "task_id": ("message.content.[].input.task_id", "message.content.[].input.taskId"),
        "workstream_id": ("message.content.[].input.workstream_id", "message.content.[].input.workstreamId"),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the configured directories, else both default ones; then the wrappers' own stores."""
        config_home = home / (environment.get("XDG_CONFIG_HOME") or ".config")
        yield from (Root(base / "projects") for base in config_directories(home, environment))
        yield Root(home / ".cc-mirror")
        yield Root(config_home / "Claude" / "local-agent-mode-sessions")
        yield Root(home / "Library" / "Application Support" / "Claude" / "local-agent-mode-sessions")

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim every transcript below a ``projects`` directory; a workflow's journal is metadata, never usage."""
        stem = log_stem(relative.name)
        parts = relative.parts
        if root.path.name != "projects":
            if "projects" not in parts:
                return None
            parts = parts[parts.index("projects") + 1 :]
        if stem is None or len(parts) < 2:
            return None
        below = parts[1:-1]
        if "subagents" in below:
            if stem == "journal":
                return None
            parent = below[below.index("subagents") - 1] if below.index("subagents") else None
            return Header(name="/".join((*below, stem)), role="subagent", session_id=context_id(parent))
        if stem.startswith("agent-"):
            return Header(name=stem, role="subagent")
        return Header(name=stem, role="main", session_id=context_id(below[0] if below else stem))

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Return *header*: each line of a transcript carries its own context."""
        return header

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """State usage and named tasks of an assistant line, usage of the copy in a progress line, or a hidden call."""
        read = _decode(line)
        if isinstance(read, LineRejected):
            return (read,)
        kind = read.type
        if kind == "assistant":
            return _with_tasks(_with_lost_cache(_assistant(read, header), line, read), line, read, header)
        if kind == "progress" and read.data is not None and read.data.message is not None:
            return _progress(read, read.data, read.data.message, header)
        if kind == "system" and read.subtype in HIDDEN_CALLS:
            return (_hidden(read, header),)
        return NOTHING if kind in KNOWN_TYPES else _unknown(read)


def _unknown(read: Line) -> tuple[Observation, ...]:
    """A line of a type that we do not know; with usage in it, it is an answer under another name."""
    version = version_name(read.version)
    unknown = Unrecognised(agent_version=version)
    if read.message is None or read.message.usage is None:
        return (unknown,)
    return (unknown, TurnUnmetered(agent_version=version))


def _unmetered(read: Line) -> tuple[Observation, ...]:
    return (TurnUnmetered(agent_version=version_name(read.version)),)


def _assistant(read: Line, header: Header) -> tuple[Observation, ...]:
    message = read.message
    if message is None or message.usage is None:
        return NOTHING if message is not None and message.model == SYNTHETIC else _unmetered(read)
    return _usage(read, header, message, message.usage, "transcript")


def _with_lost_cache(said: tuple[Observation, ...], line: bytes, read: Line) -> tuple[Observation, ...]:
    """Add that tokens of the cache are lost: they are missing, and stand there under a name that we do not know."""
    if not said or not all(isinstance(each, UsageStated) for each in said) or _states_cache(read):
        return said
    again = _decode_names(line)
    if isinstance(again, LineRejected) or again.message is None or again.message.usage is None:
        return said
    unknown = again.message.usage.keys() - Usage.__struct_fields__
    return (*said, *_unmetered(read)) if any("cache" in name.lower() for name in unknown) else said


def _states_cache(read: Line) -> bool:
    usage = read.message.usage if read.message is not None else None
    return (
        usage is not None
        and usage.cache_read_input_tokens is not None
        and usage.cache_creation_input_tokens is not None
    )


def _with_tasks(said: tuple[Observation, ...], line: bytes, read: Line, header: Header) -> tuple[Observation, ...]:
    """Add the tasks that the line's tool calls name; of a line that is rejected nothing else is kept."""
    again = _decode_calls(line)
    if isinstance(again, LineRejected) or any(isinstance(each, LineRejected) for each in said):
        return said
    return (*said, *_tasks_named((again.message or Blocks()).content or (), read, header))


def _tasks_named(blocks: Iterable[Block], read: Line, header: Header) -> Iterable[TaskNamed]:
    for block in blocks:
        if block.type == "tool_use" and block.input and block.name is not None and is_mcp(block.name):
            yield from named(
                block.input,
                tool_name=block.name,
                tool_call_id=block.id,
                session_id=context_id(read.sessionId) or header.session_id,
                parent_session_id=header.parent_session_id,
                source_created_at=utc_time(read.timestamp),
            )


def _progress(read: Line, progress: Progress, copy: ProgressMessage, header: Header) -> tuple[Observation, ...]:
    if copy.type not in ("assistant", None) or copy.message is None or copy.message.usage is None:
        return NOTHING
    nested = Line(
        uuid=copy.uuid,
        sessionId=read.sessionId,
        agentId=progress.agentId,
        isSidechain=True,
        requestId=copy.requestId,
        timestamp=copy.timestamp or read.timestamp,
        cwd=read.cwd,
        gitBranch=read.gitBranch,
        version=read.version,
    )
    return _usage(nested, header, copy.message, copy.message.usage, "progress")


def _usage(read: Line, header: Header, message: Message, usage: Usage, witness: Witness) -> tuple[Observation, ...]:
    if message.model == SYNTHETIC:
        return NOTHING
    try:
        raw = _raw(usage)
        if not raw:
            return _unmetered(read)
        key, flags = _identity(read, message, raw)
        call = _stated(read, header, usage, raw, key, message, message.model, flags, witness)
        # Half of a call: its other half has another name by now.
        lost = _unmetered(read) if usage.input_tokens is None or usage.output_tokens is None else NOTHING
        if not usage.iterations:
            return (call, *lost)
        return (call, *lost, *_advisors(read, header, message, usage.iterations, key, flags, witness))
    except OutOfRange:
        return (LineRejected(code="out_of_range", field="usage"),)


def _advisors(
    read: Line,
    header: Header,
    message: Message,
    parts: list[Iteration],
    key: str,
    flags: tuple[Flag, ...],
    witness: Witness,
) -> Iterable[UsageStated]:
    """State each advisor's part: its tokens are not in the top level, and its model is its own."""
    for index, part in enumerate(parts):
        if part.type == "advisor_message" and (raw := _raw(part)):
            name = f"{key}:advisor:{index}"
            yield _stated(read, header, part, raw, name, message, part.model, flags, witness)


def _stated(
    read: Line,
    header: Header,
    usage: Usage | Iteration,
    raw: dict[str, int],
    key: str,
    message: Message,
    model: str | None,
    flags: tuple[Flag, ...],
    witness: Witness,
) -> UsageStated:
    short, long = raw.get("ephemeral_5m_input_tokens"), raw.get("ephemeral_1h_input_tokens")
    written = raw.get("cache_creation_input_tokens")
    if short is not None or long is not None:
        parts = (short or 0) + (long or 0)
        if written is None:
            written = tokens(parts)
        elif parts != written:
            short = long = None
            flags = (*flags, "split_unknown")
    created = utc_time(read.timestamp)
    if created is None:
        flags = (*flags, "time_quality")
    return UsageStated(
        source_id=key,
        basis="call",
        witness=witness,
        confidence=_confidence(witness, flags),
        session_id=context_id(read.sessionId) or header.session_id,
        parent_session_id=header.parent_session_id,
        agent_id=context_id(read.agentId),
        is_sidechain=read.isSidechain,
        line_id=identity(read.uuid),
        request_id=identity(read.requestId),
        source_created_at=created,
        model=model_name(model),
        service_tier=context_id(_service_tier(message.usage)) if message.usage is not None else None,
        agent_version=version_name(read.version),
        cwd=directory(read.cwd),
        git_branch=branch_name(read.gitBranch),
        stop_reason=context_id(message.stop_reason),
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_tokens=written,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=usage.output_tokens,
        stated_cost_usd_micros=usd_micros(read.costUSD),
        flags=flags,
        raw=raw,
    )


def _service_tier(usage: Usage) -> str | None:
    """Return what makes the call's price another: speed, tier or region, the first that is not the usual one."""
    if usage.speed not in (None, "standard"):
        return usage.speed
    if usage.service_tier not in (None, "standard"):
        return usage.service_tier
    if usage.inference_geo not in USUAL_REGIONS:
        return f"geo_{usage.inference_geo}"
    return usage.service_tier


def _confidence(witness: Witness, flags: tuple[Flag, ...]) -> Confidence:
    if witness == "progress":
        return "lower_bound"
    return "inferred" if "identity_inferred" in flags else "stated"


def _identity(read: Line, message: Message, raw: dict[str, int]) -> tuple[str, tuple[Flag, ...]]:
    """Return the call's identity: the provider's id, else the line's, else what the line says of the call."""
    if message.id:
        return identity(message.id) or "", ()
    if read.uuid:
        return f"uuid:{identity(read.uuid)}", ()
    content = repr((read.sessionId, read.timestamp, read.requestId, message.model, sorted(raw.items())))
    return f"content:{hashlib.sha256(content.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}", (
        "identity_inferred",
    )


def _raw(usage: Usage | Iteration) -> dict[str, int]:
    """Return the numbers as stated, under the source's own names; raises `OutOfRange` for an impossible one."""
    raw: dict[str, int | None] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "output_tokens": usage.output_tokens,
    }
    split = usage.cache_creation
    if split is not None:
        raw["ephemeral_5m_input_tokens"] = split.ephemeral_5m_input_tokens
        raw["ephemeral_1h_input_tokens"] = split.ephemeral_1h_input_tokens
    return bounded(raw)


def _hidden(read: Line, header: Header) -> HiddenCall:
    return HiddenCall(
        line_id=identity(read.uuid),
        session_id=context_id(read.sessionId) or header.session_id,
        source_created_at=utc_time(read.timestamp),
        agent_version=version_name(read.version),
        cwd=directory(read.cwd),
        git_branch=branch_name(read.gitBranch),
    )


ADAPTER = ClaudeCode()
