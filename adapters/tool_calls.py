"""
What a tool call may say of a task: its ids and a status from our list, and nothing else of the call.

A tracker is reached through MCP. An agent's own tools have arguments of the same names (`TaskUpdate`, `TaskStop`), but
theirs name something inside the session; so only calls of MCP tools are asked.
"""

import msgspec

from adapters.contract import LineRejected, TaskNamed
from adapters.decode import context_id, identity
from adapters.decoder import Decoder
from adapters.task_words import status_of, the_one


class Arguments(msgspec.Struct):
    """The arguments that are read; all others are skipped undecoded, and so is what is nested in these."""

    task_id: str | int | None = None
    taskId: str | int | None = None
    workstream_id: str | int | None = None
    workstreamId: str | int | None = None
    status: str | None = None


_decode = Decoder(Arguments).decode


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
    task = the_one(read.task_id, read.taskId)
    workstream = the_one(read.workstream_id, read.workstreamId)
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
            task_status=None if task is None else status_of(read.status),
        ),
    )
