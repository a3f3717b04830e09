"""What operators ask of tasks: all of them, and one in full."""

from typing import Final

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


def list_tasks(settings: Settings, *, as_json: bool) -> int:
    """Show every task with what was measured and what was only estimated for it."""
    with Tables(settings.state.published) as tables:
        tasks = plain_rows(tables, "SELECT * FROM tasks ORDER BY last_call_at DESC NULLS LAST, task_id")
    if as_json:
        show.document({"schema": "tallystick.tasks/1", "rows": tasks})
    else:
        show.table(_TASK_COLUMNS, [row | {"rules": ", ".join(row["rules"]) or None} for row in tasks])
    return DONE


def show_task(settings: Settings, task: str, *, as_json: bool) -> int:
    """
    Show one task: what was reported of it, and the shares of calls that are its, with rule and evidence.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    with Tables(settings.state.published) as tables:
        tasks = plain_rows(tables, "SELECT * FROM tasks WHERE task_id = ?", [task])
        reports = plain_rows(tables, "SELECT * FROM task_reports WHERE task_id = ? ORDER BY stated_at, seq", [task])
        shares = plain_rows(
            tables, "SELECT * FROM usage_allocated WHERE task_id = ? ORDER BY called_at, agent, source_id", [task]
        )
        guesses = plain_rows(tables, "SELECT * FROM estimates WHERE task_id = ? ORDER BY called_at, seq", [task])
    if not tasks:
        raise NoSuchOwner(name=task[:128])
    if as_json:
        document = {"rows": tasks, "reports": reports, "allocations": shares, "estimates": guesses}
        show.document({"schema": "tallystick.task/1"} | document)
        return DONE
    show.table(_TASK_COLUMNS, [row | {"rules": ", ".join(row["rules"]) or None} for row in tasks])
    for row in reports:
        who = f"{row['producer']} ({row['origin'] or 'no origin'})"
        show.out(show.safe(f"reported {row['status']} at {row['stated_at'] or '-'} by {who}, #{row['seq']}"))
    show.table(("called_at", "agent", "source_id", "session_id", "total_tokens", "rule", "confidence"), shares)
    for row in guesses:
        fate = "counts as estimated" if row["measured_seq"] is None else f"superseded by #{row['measured_seq']}"
        show.out(f"estimate #{row['seq']} ({row['source_class']}): {fate}")
    return DONE
