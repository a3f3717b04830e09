"""What operators ask of tasks: all of them, and one in full."""

from collections.abc import Mapping
from typing import Any, Final

from daemon import show
from daemon.owners import NoSuchOwner, plain_rows
from daemon.settings import Settings
from projections.read import Tables

DONE: Final = 0

_TASK_COLUMNS: Final = (
    "task_id",
    "workstream_id",
    "status",
    "calls",
    "allocated_tokens",
    "estimated_tokens",
    "last_call_at",
    "rules",
)


def tasks_document(tables: Tables) -> dict[str, Any]:
    """Return the document of `task list --json`."""
    tasks = plain_rows(tables, "SELECT * FROM tasks ORDER BY last_call_at DESC NULLS LAST, task_id")
    return {"schema": "tallystick.tasks/1", "rows": tasks}


def list_tasks(settings: Settings, *, as_json: bool) -> int:
    """Show every task with what was measured and what was only estimated for it."""
    with Tables(settings.state.published) as tables:
        document = tasks_document(tables)
    if as_json:
        show.document(document)
    else:
        show.table(_TASK_COLUMNS, [_shown(row) for row in document["rows"]])
    return DONE


def task_document(tables: Tables, task: str) -> dict[str, Any]:
    """
    Return the document of `task show ID --json`.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    tasks = plain_rows(tables, "SELECT * FROM tasks WHERE task_id = ?", [task])
    if not tasks:
        raise NoSuchOwner(name=task[:128])
    return {
        "schema": "tallystick.task/1",
        "rows": tasks,
        "reports": plain_rows(tables, "SELECT * FROM task_reports WHERE task_id = ? ORDER BY stated_at, seq", [task]),
        "allocations": plain_rows(
            tables, "SELECT * FROM usage_allocated WHERE task_id = ? ORDER BY called_at, agent, source_id", [task]
        ),
        "estimates": plain_rows(tables, "SELECT * FROM estimates WHERE task_id = ? ORDER BY called_at, seq", [task]),
    }


def show_task(settings: Settings, task: str, *, as_json: bool) -> int:
    """
    Show one task: what was reported of it, and the shares of calls that are its, with rule and evidence.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    with Tables(settings.state.published) as tables:
        document = task_document(tables, task)
    if as_json:
        show.document(document)
        return DONE
    show.table(_TASK_COLUMNS, [_shown(row) for row in document["rows"]])
    for row in document["reports"]:
        who = f"{row['producer']} ({row['origin'] or 'no origin'})"
        show.out(show.safe(f"reported {row['status']} at {row['stated_at'] or '-'} by {who}, #{row['seq']}"))
    columns = ("called_at", "agent", "source_id", "session_id", "total_tokens", "rule", "confidence")
    show.table(columns, document["allocations"])
    for row in document["estimates"]:
        fate = "counts as estimated" if row["measured_seq"] is None else f"superseded by #{row['measured_seq']}"
        show.out(f"estimate #{row['seq']} ({row['source_class']}): {fate}")
    return DONE


def _shown(task: Mapping[str, Any]) -> dict[str, Any]:
    return {**task, "rules": ", ".join(task["rules"]) or None}
