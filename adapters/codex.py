"""
What a line of a Codex rollout means.

A rollout states running totals, per-response ledger records, the model in force, whose history it carries and which
tasks its tool calls name. All are logged as stated. Increases, segments and inherited prefixes need more than one line
and are derived later (`projections/counters.py`), so a parent seen late still corrects its child.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.contract import (
    ANSWER,
    NOTHING,
    TURN_ENDED,
    UNRECOGNISED,
    USAGE_LOST,
    Header,
    LineRejected,
    Observation,
    Root,
    SessionStated,
    TurnStated,
    TurnUnmetered,
    UsageStated,
)
from adapters.decode import (
    OutOfRange,
    bounded,
    branch_name,
    context_id,
    digest,
    directory,
    identity,
    log_stem,
    model_name,
    ordinal,
    remote_name,
    tokens,
    utc_time,
    version_name,
)
from adapters.decoder import Decoder
from adapters.task_words import MCP, is_mcp
from adapters.tool_calls import named
from state.vocabulary import Agent, Flag, SourceClass, Witness

#: Known types that hold nothing to count. Types of mid-2025, before lines had a payload, are among them.
KNOWN_TYPES: Final = frozenset(
    {
        "event_msg",
        "function_call",
        "function_call_output",
        "ghost_snapshot",
        "message",
        "reasoning",
        "response_item",
        "world_state",
    }
)

#: Types that always have a payload: without one, it has another name by now.
_WITH_PAYLOAD: Final = frozenset({"event_msg", "response_item"})

#: Items of the model's answer; a message is one when its role says so.
_ANSWERS: Final = frozenset({"custom_tool_call", "function_call", "local_shell_call", "reasoning", "web_search_call"})

#: Events after which nothing more is stated of a turn.
_TURN_ENDS: Final = frozenset({"task_complete", "turn_aborted"})

#: Events about a call of an MCP server's tool. Where a program called it, and not the model, there is no other line.
MCP_EVENTS: Final = frozenset({"mcp_tool_call_begin", "mcp_tool_call_end"})

_THREAD_IN_STEM: Final = re.compile(r"rollout-.*?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")


class TotalUsage(msgspec.Struct):
    """Tokens as Codex writes them: input includes cached, output includes reasoning."""

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    total_tokens: int | None = None


class Info(msgspec.Struct):
    """``token_count.info``: the running total, and what the agent calls the last response."""

    total_token_usage: TotalUsage | None = None
    last_token_usage: TotalUsage | None = None


class EventMessage(msgspec.Struct):
    """Payload of ``event_msg``."""

    type: str | None = None
    info: Info | msgspec.UnsetType | None = msgspec.UNSET


class FunctionCall(msgspec.Struct):
    """Payload of ``response_item``, as far as it calls a tool."""

    type: str | None = None
    role: str | None = None
    name: str | None = None
    namespace: str | None = None
    call_id: str | None = None


class CallArguments(msgspec.Struct):
    """The same once more, where the tool is an MCP server's; ``arguments`` is a string that holds JSON."""

    arguments: str | None = None


class Invocation(msgspec.Struct):
    """``invocation`` of an event about an MCP call."""

    server: str | None = None
    tool: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class McpCall(msgspec.Struct):
    """Payload of ``event_msg`` once more, where it is about an MCP call."""

    call_id: str | None = None
    invocation: Invocation | None = None


class Git(msgspec.Struct):
    """The checkout a session ran in."""

    commit_hash: str | None = None
    branch: str | None = None
    repository_url: str | None = None


class HistoryBase(msgspec.Struct):
    """The earlier page of history on which a thread builds."""

    thread_id: str | None = None
    end_ordinal_exclusive: int | None = None


class ThreadSpawn(msgspec.Struct):
    """Who spawned a subagent."""

    parent_thread_id: str | None = None


class Subagent(msgspec.Struct):
    """``source.subagent``."""

    thread_spawn: ThreadSpawn | None = None


class SessionSource(msgspec.Struct):
    """``source`` where it is an object."""

    subagent: Subagent | None = None


class SessionMeta(msgspec.Struct):
    """Payload of ``session_meta``."""

    id: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    source: SessionSource | str | None = None
    parent_thread_id: str | None = None
    forked_from_id: str | None = None
    subagent_history_start_ordinal: int | None = None
    history_base: HistoryBase | None = None
    model_provider: str | None = None
    git: Git | None = None


class ModelInfo(msgspec.Struct):
    """The model where older versions put it."""

    slug: str | None = None


class TurnContext(msgspec.Struct):
    """Payload of ``turn_context``."""

    model: str | None = None
    model_info: ModelInfo | None = None
    cwd: str | None = None
    turn_id: str | None = None


class Attribution(msgspec.Struct):
    """Which model answered, and in which tier."""

    model: str | None = None
    service_tier: str | None = None


class UsageRecord(msgspec.Struct):
    """Payload of ``token_usage_record``: one response in the agent's own ledger."""

    thread_id: str | None = None
    turn_id: str | None = None
    parent_thread_id: str | None = None
    response_id: str | None = None
    usage: TotalUsage | None = None
    thread_token_usage: TotalUsage | None = None
    attribution: Attribution | None = None


class Compacted(msgspec.Struct):
    """Payload of ``compacted``: it repeats the latest record."""

    latest_token_usage_record: UsageRecord | None = None


class Line(msgspec.Struct):
    """The envelope; the payload is decoded only where its type says that it is needed."""

    type: str | None = None
    timestamp: str | None = None
    ordinal: int | None = None
    payload: msgspec.Raw = msgspec.Raw()
    id: str | None = None
    record_type: str | None = None
    git: Git | None = None


_COUNTED: Final = (TotalUsage, Info, UsageRecord)
_line = Decoder(Line)
_event_message = Decoder(EventMessage, _COUNTED)
_session_meta = Decoder(SessionMeta, _COUNTED)
_turn_context = Decoder(TurnContext, _COUNTED)
_usage_record = Decoder(UsageRecord, _COUNTED)
_compacted = Decoder(Compacted, _COUNTED)
_function_call = Decoder(FunctionCall)
_call_arguments = Decoder(CallArguments)
_mcp_call = Decoder(McpCall)


def codex_home(home: PurePath, environment: Mapping[str, str]) -> PurePath:
    """Return where the agent keeps what is its own."""
    return home / (environment.get("CODEX_HOME") or ".codex")


class Codex:
    """Codex CLI, Desktop, exec and app-server: live, archived and compressed rollouts."""

    kind: Final = "lines"
    agent: Agent = "codex"
    parser = "codex"
    source_class: SourceClass = "codex_session"
    parser_version = 3
    #: Every place of a line from which a string may get into the log, by the field that it becomes;
    #: `payload.arguments` is a string that holds JSON.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "source_id": (
            "payload.response_id",
            "payload.latest_token_usage_record.response_id",
            "payload.thread_id",
            "payload.latest_token_usage_record.thread_id",
        ),
        "request_id": ("payload.response_id", "payload.latest_token_usage_record.response_id"),
        "session_id": ("payload.thread_id", "payload.latest_token_usage_record.thread_id"),
        "stated_session_id": ("payload.id", "id"),
        "parent_session_id": (
            "payload.parent_thread_id",
            "payload.latest_token_usage_record.parent_thread_id",
            "payload.source.subagent.thread_spawn.parent_thread_id",
        ),
        "forked_from_id": ("payload.forked_from_id",),
        "history_base_id": ("payload.history_base.thread_id",),
        "turn_id": ("payload.turn_id",),
        "source_created_at": ("timestamp", "payload.timestamp"),
        "model": (
            "payload.model",
            "payload.model_info.slug",
            "payload.attribution.model",
            "payload.latest_token_usage_record.attribution.model",
        ),
        "model_provider": ("payload.model_provider",),
        "service_tier": (
            "payload.attribution.service_tier",
            "payload.latest_token_usage_record.attribution.service_tier",
        ),
        "agent_version": ("payload.cli_version",),
        "originator": ("payload.originator",),
        "cwd": ("payload.cwd",),
        "git_branch": ("payload.git.branch", "git.branch"),
        "git_remote": ("payload.git.repository_url", "git.repository_url"),
        "git_commit": ("payload.git.commit_hash", "git.commit_hash"),
        "tool_name": ("payload.name", "payload.namespace", "payload.invocation.server", "payload.invocation.tool"),
        "tool_call_id": ("payload.call_id",),
        "task_id": (
            "payload.arguments.task_id",
            "payload.arguments.taskId",
            "payload.invocation.arguments.task_id",
            "payload.invocation.arguments.taskId",
        ),
        "workstream_id": (
            "payload.arguments.workstream_id",
            "payload.arguments.workstreamId",
            "payload.invocation.arguments.workstream_id",
            "payload.invocation.arguments.workstreamId",
        ),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the live and the archived store; a finished rollout is moved from one to the other."""
        base = codex_home(home, environment)
        yield Root(base / "sessions")
        yield Root(base / "archived_sessions", role="archived")

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim every JSONL file; the thread's id stands in a rollout's name."""
        stem = log_stem(relative.name)
        if stem is None:
            return None
        match = _THREAD_IN_STEM.fullmatch(stem)
        return Header(name=stem, role=root.role, session_id=match[1].lower() if match else None)

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Take the thread's id from the first line where the file's name does not tell it."""
        if header.session_id is not None:
            return header
        for seen in self.read_line(line, header):
            if isinstance(seen, SessionStated) and seen.stated_session_id:
                return Header(header.name, header.role, seen.stated_session_id, None, header.zone)
        return Header(header.name, header.role, context_id(header.name), None, header.zone)

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """State a total, a ledger record, the model in force, a session's header or a task that a tool call names."""
        read = _line.decode(line)
        if isinstance(read, LineRejected):
            return (read,)
        try:
            return _observations(read, header)
        except OutOfRange:
            return (LineRejected(code="out_of_range", field="usage"),)


def _observations(read: Line, header: Header) -> tuple[Observation, ...]:
    kind, raw = read.type, read.payload
    if not raw:
        return _old_line(read, header)
    if kind == "event_msg":
        message = _event_message.decode(raw)
        return _rejected(message) if isinstance(message, LineRejected) else _event(read, message, header)
    if kind == "token_usage_record":
        record = _usage_record.decode(raw)
        return _rejected(record) if isinstance(record, LineRejected) else _record(read, record, header, "ledger")
    if kind == "turn_context":
        turn = _turn_context.decode(raw)
        return _rejected(turn) if isinstance(turn, LineRejected) else (_turn(read, turn, header),)
    if kind == "session_meta":
        meta = _session_meta.decode(raw)
        return _rejected(meta) if isinstance(meta, LineRejected) else (_session(read, meta, header),)
    if kind == "compacted":
        compacted = _compacted.decode(raw)
        return _rejected(compacted) if isinstance(compacted, LineRejected) else _compaction(read, compacted, header)
    if kind == "response_item":
        call = _function_call.decode(raw)
        return NOTHING if isinstance(call, LineRejected) else _item(read, call, header)
    return NOTHING if kind in KNOWN_TYPES else UNRECOGNISED


def _event(read: Line, message: EventMessage, header: Header) -> tuple[Observation, ...]:
    kind = message.type
    if kind == "token_count":
        return _token_count(read, message, header)
    if kind in MCP_EVENTS:
        call = _mcp_call.decode(read.payload)
        return NOTHING if isinstance(call, LineRejected) else _mcp_event(read, call, header)
    if kind in _TURN_ENDS:
        return TURN_ENDED
    if isinstance(message.info, Info):
        return USAGE_LOST  # a total under a name that we do not know
    return UNRECOGNISED if kind is None else NOTHING


def _item(read: Line, call: FunctionCall, header: Header) -> tuple[Observation, ...]:
    """Say that the model answered, and which task a call of its names."""
    if call.type in _ANSWERS or (call.type == "message" and call.role == "assistant"):
        return (*ANSWER, *_tool_call(read, call, header)) if call.type == "function_call" else ANSWER
    return UNRECOGNISED if call.type is None and call.role is None else NOTHING


def _tool_call(read: Line, call: FunctionCall, header: Header) -> tuple[Observation, ...]:
    """State the task that a call of an MCP tool names; Codex's own tools are no trackers."""
    name = _mcp_name(call)
    if call.type != "function_call" or name is None:
        return NOTHING
    given = _call_arguments.decode(read.payload)
    if isinstance(given, LineRejected) or given.arguments is None:
        return NOTHING
    return _named(read, given.arguments.encode("utf-8", "surrogatepass"), name, call.call_id, header)


def _mcp_name(call: FunctionCall) -> str | None:
    """Return the whole name of an MCP tool: newer versions have the server in a field of its own, as a namespace."""
    if call.name is None or is_mcp(call.name):
        return call.name
    return f"{call.namespace.removesuffix('__')}__{call.name}" if call.namespace and is_mcp(call.namespace) else None


def _mcp_event(read: Line, call: McpCall, header: Header) -> tuple[Observation, ...]:
    """State the task that an MCP call names: the same call id as the model's own call, if there is one."""
    told = call.invocation
    if told is None or not told.arguments or not told.server or not told.tool:
        return NOTHING
    return _named(read, told.arguments, f"{MCP}{told.server}__{told.tool}", call.call_id, header)


def _named(
    read: Line, arguments: "bytes | msgspec.Raw", name: str, call_id: str | None, header: Header
) -> tuple[Observation, ...]:
    return named(
        arguments,
        tool_name=name,
        tool_call_id=call_id,
        session_id=header.session_id,
        parent_session_id=header.parent_session_id,
        source_created_at=utc_time(read.timestamp),
    )


def _rejected(payload: LineRejected) -> tuple[Observation, ...]:
    """A payload that is no object says nothing that could be counted; a counted field that is impossible rejects."""
    return UNRECOGNISED if payload.code == "invalid_json" else (payload,)


def _compaction(read: Line, compacted: Compacted, header: Header) -> tuple[Observation, ...]:
    copy = compacted.latest_token_usage_record
    return _record(read, copy, header, "ledger_copy") if copy is not None else NOTHING


def _old_line(read: Line, header: Header) -> tuple[Observation, ...]:
    """Read a line of mid-2025: no payload, and a bare first line as the session's header."""
    if read.type is None and read.id is not None and read.timestamp is not None:
        git = read.git or Git()
        return (
            SessionStated(
                session_id=header.session_id,
                stated_session_id=context_id(read.id),
                source_created_at=utc_time(read.timestamp),
                git_branch=branch_name(git.branch),
                git_remote=remote_name(git.repository_url),
                git_commit=context_id(git.commit_hash),
            ),
        )
    known = read.record_type is not None or (read.type in KNOWN_TYPES and read.type not in _WITH_PAYLOAD)
    return NOTHING if known else UNRECOGNISED


def _token_count(read: Line, payload: EventMessage, header: Header) -> tuple[Observation, ...]:
    info = payload.info
    if info is None:
        return NOTHING  # rate limits alone, before the first answer
    if info is msgspec.UNSET:
        return USAGE_LOST
    raw = _raw("total", info.total_token_usage) | _raw("last", info.last_token_usage)
    if not raw:
        return USAGE_LOST
    created = utc_time(read.timestamp)
    # Evidence is the increase of the total: where only the last response is left of it, little can be counted.
    return (
        *_lost(info.total_token_usage),
        UsageStated(
            basis="counter",
            witness="counter",
            confidence="counted",
            session_id=header.session_id,
            ordinal=ordinal(read.ordinal),
            source_created_at=created,
            flags=() if created else ("time_quality",),
            raw=raw,
        ),
    )


def _lost(usage: TotalUsage | None) -> tuple[Observation, ...]:
    """State that a part of what every version writes is missing: it has another name by now."""
    is_whole = usage is not None and None not in (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        usage.total_tokens,
    )
    return () if is_whole else (TurnUnmetered(),)


def _record(read: Line, record: UsageRecord, header: Header, witness: Witness) -> tuple[Observation, ...]:
    usage = record.usage
    if usage is None or not (raw := _raw("usage", usage)):
        return USAGE_LOST
    thread = context_id(record.thread_id) or header.session_id
    raw |= _raw("thread", record.thread_token_usage)
    response = identity(record.response_id)
    uncached, cache_read, cache_write, flags = _input_parts(usage)
    if response is None:
        flags = (*flags, "identity_inferred")
    created = utc_time(read.timestamp)
    return (
        *_lost(usage),
        UsageStated(
            source_id=f"{thread}:{response or _content(record, raw)}",
            basis="call",
            witness=witness,
            confidence="stated" if response else "inferred",
            session_id=thread,
            parent_session_id=context_id(record.parent_thread_id),
            request_id=response,
            ordinal=ordinal(read.ordinal),
            source_created_at=created,
            model=model_name(record.attribution.model) if record.attribution else None,
            service_tier=context_id(record.attribution.service_tier) if record.attribution else None,
            input_tokens=uncached,
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
            output_tokens=tokens(usage.output_tokens),
            reasoning_tokens=tokens(usage.reasoning_output_tokens),
            provider_total_tokens=tokens(usage.total_tokens),
            flags=flags if created else (*flags, "time_quality"),
            raw=raw,
        ),
    )


def _content(record: UsageRecord, raw: dict[str, int]) -> str:
    """Name a response without an id: the thread's running sum tells equal ones apart, and their copies agree in it."""
    return f"content:{digest(repr((record.turn_id, sorted(raw.items()))))}"


def _input_parts(usage: TotalUsage) -> tuple[int | None, int | None, int | None, tuple[Flag, ...]]:
    """
    Return uncached input, cache reads and cache writes, which together are the stated input.

    Clamped and flagged where the stated parts exceed the stated whole; the raw numbers are kept beside them.
    """
    whole = tokens(usage.input_tokens)
    read, written = tokens(usage.cached_input_tokens), tokens(usage.cache_write_input_tokens)
    if whole is None:
        return None, read, written, ()
    read_kept = None if read is None else min(read, whole)
    written_kept = None if written is None else min(written, whole - (read_kept or 0))
    flags: tuple[Flag, ...] = () if (read_kept, written_kept) == (read, written) else ("clamped",)
    return whole - (read_kept or 0) - (written_kept or 0), read_kept, written_kept, flags


def _raw(prefix: str, usage: TotalUsage | None) -> dict[str, int]:
    """Return the numbers as stated, under the source's own names behind the object that holds them."""
    if usage is None:
        return {}
    return bounded({f"{prefix}.{name}": getattr(usage, name) for name in usage.__struct_fields__})


def _turn(read: Line, turn: TurnContext, header: Header) -> TurnStated:
    return TurnStated(
        session_id=header.session_id,
        ordinal=ordinal(read.ordinal),
        source_created_at=utc_time(read.timestamp),
        model=model_name(turn.model or (turn.model_info.slug if turn.model_info else None)),
        cwd=directory(turn.cwd),
        turn_id=context_id(turn.turn_id),
    )


def _session(read: Line, meta: SessionMeta, header: Header) -> SessionStated:
    git, base = meta.git or Git(), meta.history_base
    ends = [
        end
        for stated in (meta.subagent_history_start_ordinal, base.end_ordinal_exclusive if base else None)
        if (end := ordinal(stated)) is not None
    ]
    return SessionStated(
        session_id=header.session_id,
        stated_session_id=context_id(meta.id),
        parent_session_id=context_id(meta.parent_thread_id or _spawned_by(meta)),
        forked_from_id=context_id(meta.forked_from_id),
        history_base_id=context_id(base.thread_id) if base else None,
        history_end_ordinal=max(ends) if ends else None,
        ordinal=ordinal(read.ordinal),
        source_created_at=utc_time(read.timestamp) or utc_time(meta.timestamp),
        agent_version=version_name(meta.cli_version),
        originator=_program(meta.originator),
        model_provider=context_id(meta.model_provider),
        cwd=directory(meta.cwd),
        git_branch=branch_name(git.branch),
        git_remote=remote_name(git.repository_url),
        git_commit=context_id(git.commit_hash),
    )


def _spawned_by(meta: SessionMeta) -> str | None:
    source = meta.source
    if isinstance(source, SessionSource) and source.subagent and source.subagent.thread_spawn:
        return source.subagent.thread_spawn.parent_thread_id
    return None


def _program(originator: str | None) -> str | None:
    """Return the program that began a session; ``Codex Desktop`` is a name, whatever else has blanks becomes a hash."""
    return context_id("Codex_" + originator[6:] if originator and _CODEX_NAME.fullmatch(originator) else originator)


#: How Codex's own programs are called: its name and one more word.
_CODEX_NAME: Final = re.compile(r"Codex [A-Za-z]{1,16}")

ADAPTER = Codex()
