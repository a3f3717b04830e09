"""
What an agent hands its hook, made plain: which event, of which session, and the call of a tool if it is about one.

Of the JSON object only ids, words and a tool call are taken, and of the call nothing leaves `daemon/hooks/claims.py`
but ids and statuses. Codex writes nearly the objects of Claude Code; its older `notify` writes one of its own.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from adapters.decode import context_id, identity
from state.vocabulary import ActivityKind, HookEvent

#: Longest that is read of what an agent hands over, in bytes: a tool's answer is in it.
INPUT_BYTES_MAX: Final = 4 * 1024 * 1024

EVENTS: Final[Mapping[str, HookEvent]] = {
    "SessionStart": "session_started",
    "SessionEnd": "session_ended",
    "UserPromptSubmit": "turn_started",
    "Stop": "turn_ended",
    "StopFailure": "turn_ended",
    "agent-turn-complete": "turn_ended",
    "SubagentStop": "subagent_ended",
    "PostToolUse": "tool_used",
    "PostToolUseFailure": "tool_failed",
    "TaskCreated": "plan_changed",
    "TaskCompleted": "plan_changed",
    "PreCompact": "compacted",
    "PostCompact": "compacted",
    "Notification": "waiting",
}

#: What an agent does, as its event says; what is not here says nothing of it.
ACTIVITIES: Final[Mapping[HookEvent, ActivityKind]] = {
    "session_started": "session_started",
    "session_ended": "session_ended",
    "turn_started": "turn_started",
    "turn_ended": "turn_ended",
    "subagent_ended": "turn_ended",
    "plan_changed": "plan_changed",
    "compacted": "compacted",
    "waiting": "waiting",
}

#: Tools by which agents keep a list of their own, of which no tracker knows.
OWN_LISTS: Final = frozenset(
    {
        "TodoWrite",
        "TodoRead",
        "TaskCreate",
        "TaskUpdate",
        "TaskList",
        "TaskGet",
        "TaskStop",
        "TaskOutput",
        "update_plan",
    }
)

#: By which names agents call what runs a shell command.
SHELLS: Final = frozenset({"Bash", "bash", "shell", "local_shell", "exec_command", "unified_exec"})

_EXIT_CODE: Final = re.compile(r"^(?:exit code|process exited with code):? ([0-9]{1,3})$", re.IGNORECASE | re.MULTILINE)
#: How far into an answer its exit code is looked for, in characters: behind that begins what the command wrote.
_HEADER_CHARS: Final = 200
#: An MCP answer is a list of objects with a text that may be an object itself.
_ANSWER_DEPTH_MAX: Final = 3
#: What services call a refusal in an answer that is a JSON object.
_REFUSALS: Final = ("error", "errors", "isError", "is_error")
#: The only field of a refusal, where a task may have one of this name among others.
_ONLY_REFUSAL: Final = {"detail"}


class Call(NamedTuple):
    """A call of a tool; ``is_failed``: it was not done, as far as its answer tells."""

    name: str
    arguments: Mapping[str, Any]
    is_failed: bool


class Seen(NamedTuple):
    """One event of an agent; null where it did not say."""

    event: HookEvent
    session_id: str | None = None
    source_id: str | None = None
    call: Call | None = None


def read(content: bytes) -> Seen | None:
    """Return what the agent says; ``None`` when it is no JSON object."""
    try:
        stated = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):  # their text would quote the content
        return None
    if not isinstance(stated, dict):
        return None
    event = EVENTS.get(_text(stated, "hook_event_name", "type") or "", "unknown")
    call = _call(stated, event)
    return Seen(
        event="plan_changed" if call is not None and call.name in OWN_LISTS and not call.is_failed else event,
        session_id=context_id(_text(stated, "session_id", "thread-id")),
        source_id=identity(_text(stated, "tool_use_id", "agent_id", "turn_id", "turn-id", "prompt_id")),
        call=call,
    )


def _text(stated: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields that is text."""
    return next((value for name in names if isinstance(value := stated.get(name), str) and value), None)


def _call(stated: Mapping[str, Any], event: HookEvent) -> Call | None:
    name, arguments = _text(stated, "tool_name"), stated.get("tool_input")
    if event not in ("tool_used", "tool_failed") or name is None:
        return None
    is_failed = event == "tool_failed" or _is_failed(stated.get("tool_response"))
    return Call(name, arguments if isinstance(arguments, dict) else {}, is_failed)


def _is_failed(answer: object, depth: int = 0) -> bool:
    """Say whether an answer tells that nothing was done: a flag, an exit code, or what a service says of an error."""
    if depth > _ANSWER_DEPTH_MAX:
        return False
    if isinstance(answer, list):  # content of an MCP tool
        return any(_is_failed(each, depth + 1) for each in answer[:8])
    if isinstance(answer, str):
        return _is_text_of_failure(answer, depth)
    if not isinstance(answer, dict):
        return False
    if any(answer.get(name) for name in _REFUSALS) or answer.keys() == _ONLY_REFUSAL:
        return True
    if answer.get("interrupted") is True or answer.get("success") is False:
        return True
    if any(answer.get(name) not in (None, 0) for name in ("exit_code", "exitCode")):
        return True
    inner = (answer.get(name) for name in ("stdout", "output", "metadata", "content", "text"))
    return any(_is_failed(each, depth + 1) for each in inner if each)


def _is_text_of_failure(answer: str, depth: int) -> bool:
    # What a program wrote may speak of exit codes too; only a shell's answer is text as a whole.
    code = None if depth else _EXIT_CODE.search(answer, 0, _HEADER_CHARS)
    if code is not None:
        return int(code[1]) != 0
    text = answer.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return _is_failed(json.loads(text), depth + 1)
    except (ValueError, RecursionError):
        return False
