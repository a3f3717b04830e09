"""`tallystick findings`: what cannot be right in what was claimed and measured, as the published tables say."""

from datetime import UTC, datetime
from typing import Any, Final

from daemon import show
from daemon.settings import Settings
from projections.read import Tables, plain

DONE, FINDINGS = 0, 1

#: Severities that make an exit code; the third is `info`.
ALARMING: Final = ("critical", "warning")

_ALL: Final = """
SELECT *
FROM findings
ORDER BY array_position(['critical', 'warning', 'info'], severity), rule, since NULLS LAST, id
"""


def found(tables: Tables, now: datetime) -> list[dict[str, Any]]:
    """Return every finding, the worst first; ``acknowledged`` says whether somebody knows of it at *now*."""
    rows = tables.rows(_ALL)
    for row in rows:
        until = row["acknowledged_until"]
        row["acknowledged"] = row["acknowledged_at"] is not None and (until is None or now.replace(tzinfo=None) < until)
    return rows


def alarming(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings that alarm: neither acknowledged nor mere information."""
    return [row for row in rows if row["severity"] in ALARMING and not row["acknowledged"]]


def findings(settings: Settings, *, as_json: bool) -> int:
    """Show every finding; 1 when one alarms."""
    with Tables(settings.state.published) as tables:
        rows = found(tables, datetime.now(UTC))
        if as_json:
            head = tables.head()
            as_of = {"seq": head.seq, "at": plain(head.committed_at)}
            show.document({"schema": "tallystick.findings/1", "as_of": as_of, "rows": plain(rows)})
        else:
            show.table(_COLUMNS, [{**row, "sessions": len(row["sessions"])} for row in rows])
    return FINDINGS if alarming(rows) else DONE


_COLUMNS: Final = ("id", "rule", "severity", "since", "agent", "sessions", "next")
