"""
Which tasks of a tracker a tool call speaks of, by whatever path it reaches the tracker.

By MCP under any name of server and tool; by REST from a shell (curl, wget, HTTPie, `gh api`); by our own command. Never
one tool's name: a server that is renamed must not end the reports.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from adapters.task_words import is_mcp, status_of, the_one
from daemon.hooks.seen import OWN_LISTS, SHELLS, Call
from state.vocabulary import HookSkip, TaskStatus

#: Longest command that is taken apart, in characters.
COMMAND_CHARS_MAX: Final = 16 * 1024

#: Tools and scripts that carry many tasks from one place to another; what they report never leaves an estimate.
_BULK: Final = re.compile(r"(?:^|_)(?:bulk|batch|sync|import|migrat\w*|backfill|consistency|reconcile)(?:_|$)")


class Claim(NamedTuple):
    """What a call says of one task; null for an id that only the shell knows, and for no status of our list."""

    task_id: str | None
    status: TaskStatus | None
    workstream_id: str | None = None


class Claims(NamedTuple):
    """What is to be reported of a call, and why nothing is; ``is_bulk``: it is no single task's completion."""

    reports: tuple[Claim, ...]
    skip: HookSkip | None
    is_bulk: bool = False


def claims_of(call: Call) -> Claims:
    """Return what *call* says of tasks, if it was done."""
    if call.name in OWN_LISTS:
        return Claims((), "session_internal")
    words = _command(call)
    if words is not None and sum(map(len, words)) > COMMAND_CHARS_MAX:
        return Claims((), "too_long")
    found = tuple(dict.fromkeys(_in_arguments(call) if is_mcp(call.name) else _in_command(words)))
    if not found:
        return Claims((), "no_tracker_call")
    if call.is_failed:
        return Claims((), "call_failed")
    reports = tuple(each for each in found if each.task_id is not None and each.status is not None)
    if reports:
        return Claims(reports, None, len(found) > 1 or _is_bulk(call.name))
    return Claims((), "unclear" if any(each.task_id is None for each in found) else "no_status")


def _command(call: Call) -> str | list[str] | None:
    """Return the command that a shell was to run, as text or as words; ``None`` for every other tool."""
    if call.name not in SHELLS:
        return None
    command = call.arguments.get("command", call.arguments.get("cmd"))
    if isinstance(command, list):
        return [each for each in command if isinstance(each, str)]
    return command if isinstance(command, str) else None


def _in_command(command: str | list[str] | None) -> Iterable[Claim]:
    if command is None or not any("task" in each for each in ([command] if isinstance(command, str) else command)):
        return ()
    from daemon.hooks import shell  # only for the few commands that may be about a task

    return shell.claims_in(command)


def _in_arguments(call: Call) -> Iterable[Claim]:
    def stated(*names: str) -> str | None:
        values = (call.arguments.get(name) for name in names)
        return the_one(*(each for each in values if isinstance(each, str) or type(each) is int))

    task = stated("task_id", "taskId")
    if task is None:
        return
    status = call.arguments.get("status")
    known = status_of(status) if isinstance(status, str) else None
    yield Claim(task, known, stated("workstream_id", "workstreamId"))


def _is_bulk(name: str) -> bool:
    return _BULK.search(name.lower().replace("-", "_")) is not None
