"""
What a tool call may say of a task: its ids and a status from our list, and nothing else of the call.

A tracker is reached through MCP. An agent's own tools have arguments of the same names (`TaskUpdate`, `TaskStop`), but
theirs name something inside the session; so only calls of MCP tools are asked.
"""

from typing import Final

import msgspec

from adapters.contract import LineRejected, TaskNamed
from adapters.decode import context_id, identity, ordinal
from adapters.decoder import Decoder
from state.vocabulary import TaskStatus

#: How agents begin the name of a tool of an MCP server: `mcp__<server>__<tool>`.
MCP: Final = "mcp__"

#: What trackers call a status, where there is no doubt about it. Blanks and dashes are underscores here.
STATUSES: Final[dict[str, TaskStatus]] = {
    "todo": "open",
    "open": "open",
    "pending": "open",
    "in_progress": "in_progress",
    "started": "in_progress",
    "doing": "in_progress",
    "blocked": "blocked",
    "done": "completed",
    "complete": "completed",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}


class Arguments(msgspec.Struct):
    """The arguments that are read; all others are skipped undecoded, and so is what is nested in these."""

    task_id: str | int | None = None
    taskId: str | int | None = None
    workstream_id: str | int | None = None
    workstreamId: str | int | None = None
    status: str | None = None


_decode = Decoder(Arguments).decode


def is_mcp(name: str | None) -> bool:
    """Say whether a tool's name is that of an MCP server's tool."""
    return name is not None and name.startswith(MCP)


def named(
    arguments: "bytes | msgspec.Raw",
    tool_name: str,
    tool_call_id: str | None,
    session_id: str | None,
    parent_session_id: str | None,
    source_created_at: str | None,
) -> tuple[TaskNamed, ...]:
    """State what *arguments*, a JSON object, name; nothing when they name neither task nor workstream."""
    read = _decode(arguments)
    if isinstance(read, LineRejected):
        return ()
    task = _the_one(read.task_id, read.taskId)
    workstream = _the_one(read.workstream_id, read.workstreamId)
    if task is None and workstream is None:
        return ()
    return (
        TaskNamed(
            session_id=session_id,
            parent_session_id=parent_session_id,
            source_created_at=source_created_at,
            tool_name=context_id(tool_name) or "",
            tool_call_id=identity(tool_call_id),
            task_id=task,
            workstream_id=workstream,
            task_status=None if task is None else _status(read.status),
        ),
    )


def _the_one(*spellings: str | int | None) -> str | None:
    """Return the id that is stated; ``None`` when none is, or when two spellings contradict each other."""
    stated = {each for each in map(_id, spellings) if each is not None}
    return stated.pop() if len(stated) == 1 else None


def _id(value: str | int | None) -> str | None:
    if isinstance(value, int):
        number = ordinal(value)
        return None if number is None else str(number)
    return identity(value)


def _status(text: str | None) -> TaskStatus | None:
    return STATUSES.get(text.lower().replace("-", "_").replace(" ", "_")) if text else None
