"""
What a tracker's arguments say of a task, whoever read them: one id, and a status from our list.

Imported by the hook, which has milliseconds: nothing heavy here.
"""

from typing import Final

from adapters.decode import identity, ordinal
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


def is_mcp(name: str | None) -> bool:
    """Say whether a tool's name is that of an MCP server's tool."""
    return name is not None and name.startswith(MCP)


def the_one(*spellings: str | int | None) -> str | None:
    """Return the id that is stated; ``None`` when none is, or when two spellings contradict each other."""
    stated = {each for each in map(_id, spellings) if each is not None}
    return stated.pop() if len(stated) == 1 else None


def _id(value: str | int | None) -> str | None:
    if isinstance(value, int):
        number = ordinal(value)
        return None if number is None else str(number)
    return identity(value)


def status_of(text: str | None) -> TaskStatus | None:
    """Return what *text* means of a task; ``None`` for a word that is not in the list."""
    return STATUSES.get(text.lower().replace("-", "_").replace(" ", "_")) if text else None
