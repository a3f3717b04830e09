"""What a reconcile came to: a document for whoever asked, a file that is kept for a while, and numbers as evidence."""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from daemon.inbox_client import submit
from daemon.provenance import utc_text
from daemon.reconcile.counted import Counted
from daemon.reconcile.disk import Disk, Gap
from daemon.reconcile.fallbacks import PRODUCER
from state.files import as_known, publish_all, sync_directory
from state.paths import StatePaths
from state.vocabulary import RunBy

SCHEMA: Final = "tallystick.reconcile/1"

#: So many report files are kept, the newest.
REPORTS_MAX: Final = 30
#: A report names so many gaps; all are counted.
_GAPS_MAX: Final = 200
_PREFIX: Final = "reconcile-"


@dataclass(frozen=True, slots=True)
class Report:
    """
    One run.

    Args:
        at: When it ended, UTC.
        run_by: Who ran it.
        since: Only what happened from then on; null for everything.
        is_applied: Whether it was asked to write.
        disk: What lies on the disk, afterwards.
        recovered: What this very run has brought into the log.
        counted: What the tables say, afterwards; null where there are none, as nothing was ever read.
        as_of: Up to where they hold the log, and when that was committed; nulls beside null.
        findings: Those that alarm and that nobody has acknowledged.
        proposed: How many decisions about fallbacks it would write, or has written.
        is_late: Whether what was asked for was not done in time.
    """

    at: datetime
    run_by: RunBy
    since: datetime | None
    is_applied: bool
    disk: Disk
    recovered: Sequence[Gap]
    counted: Counted | None
    as_of: tuple[int | None, str | None]
    findings: Sequence[dict[str, Any]]
    proposed: int
    is_late: bool

    @property
    def alarms(self) -> list[str]:
        """What of it is a reason to look, in words; none: all is well."""
        flatlines = self.counted is not None and bool(self.counted.flatline_days)
        leaked = self.counted is not None and bool(self.counted.leaked)
        is_doubled = self.counted is not None and bool(self.counted.counted_twice)
        told = {
            "nothing_to_read": not self.disk.found,
            "nothing_read": self.counted is None,
            "recoverable_gap": bool(self.disk.recoverable),
            "lost_gap": bool(self.disk.by("gone")),
            "unreadable": bool(self.disk.by("unreadable")),
            "flatline": flatlines,
            "leaked_fallback": leaked,
            "counted_twice": is_doubled,
            "finding": bool(self.findings),
            "not_caught_up": self.is_late,
        }
        return [name for name, is_so in told.items() if is_so]

    def document(self) -> dict[str, Any]:
        """Return what `reconcile --json` prints and the report file holds: names, times and numbers."""
        disk, seq_and_time = self.disk, self.as_of
        parts: dict[str, Any] = dict.fromkeys(_PARTS) if self.counted is None else self.counted.document()
        for day in parts["flatline_days"] or ():
            day["unread_logs"] = self._unread_on(day)
        return {
            "schema": SCHEMA,
            "at": utc_text(self.at),
            "as_of": {"seq": seq_and_time[0], "at": seq_and_time[1]},
            "run_by": self.run_by,
            "since": None if self.since is None else utc_text(self.since),
            "is_applied": self.is_applied,
            "alarms": self.alarms,
            "sessions": {
                "on_disk": disk.on_disk,
                "ingested": disk.ingested,
                "in_progress": disk.in_progress,
                "stale": disk.stale,
            },
            **parts,
            "gaps": {
                "recoverable": len(disk.recoverable),
                "unreadable": len(disk.by("unreadable")),
                "lost": len(disk.by("gone")),
                "rows": [gap.document() for gap in disk.gaps[:_GAPS_MAX]],
            },
            "recovered": [gap.document() for gap in self.recovered[:_GAPS_MAX]],
            "recovered_logs": len(self.recovered),
            "fallback_decisions": self.proposed,
            "findings": [_named(row) for row in self.findings],
        }

    def _unread_on(self, day: dict[str, Any]) -> int:
        """Return how many unread logs were written on that day or later: what was worked then may stand in them."""
        begun = date.fromisoformat(day["day"])
        return sum(
            gap.modified_at is not None and gap.modified_at.date() >= begun and day["agent"] in (None, gap.agent)
            for gap in self.disk.recoverable
        )

    def body(self) -> dict[str, Any]:
        """Return the numbers as the log keeps them."""
        disk, counted = self.disk, self.counted
        told: dict[str, Any] = {
            "run_by": self.run_by,
            "is_applied": self.is_applied,
            "is_clean": not self.alarms,
            "sessions_on_disk": disk.on_disk,
            "sessions_ingested": disk.ingested,
            "sessions_stale": disk.stale,
            "recoverable_gaps": len(disk.recoverable),
            "lost_gaps": len(disk.by("gone")),
            "unreadable": len(disk.by("unreadable")),
            "recovered": len(self.recovered),
            "at": utc_text(self.at),
        }
        if self.since is not None:
            told["since"] = utc_text(self.since)
        if counted is not None:
            told |= {
                "duplicate_source_ids": counted.duplicates,
                "fallback_events": counted.fallback_events,
                "leaked_fallbacks": len(counted.leaked),
                "superseded_rows": counted.superseded_rows,
                "unattributed_sessions": counted.unattributed_sessions,
                "rows_without_provenance": counted.without_provenance,
                "flatline_days": len(counted.flatline_days),
                "findings": len(self.findings),
            }
        return told


#: Parts that only tables can tell.
_PARTS: Final = ("duplicates", "fallbacks", "superseded", "unattributed", "without_provenance", "flatline_days")


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a report says of a finding; the rest is told by `tallystick findings`."""
    since = row["since"]
    return {
        "id": row["id"],
        "rule": row["rule"],
        "severity": row["severity"],
        "agent": row["agent"],
        "sessions": len(row["sessions"] or ()),
        "since": None if since is None else since.isoformat(timespec="seconds") + "Z",
        "next": row["next"],
    }


def keep(paths: StatePaths, report: Report) -> str:
    """
    Write the report file, forget the oldest, and send the numbers; returns the receipt of the message.

    Raises:
        TallystickError: There is no room, or the state directory cannot be written.
    """
    paths.create()
    _write(paths, report)
    return submit(paths, "reconciliation", report.body(), producer=PRODUCER, now=report.at)


def _write(paths: StatePaths, report: Report) -> None:
    directory = paths.reports
    with as_known(directory):
        directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory)  # which also refuses a link in its place, before anything is written through it
    name = f"{_PREFIX}{report.at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.json"
    content = json.dumps(report.document(), indent=1).encode() + b"\n"
    publish_all(directory, [(f".{name}.{os.getpid()}", name, content)])
    with as_known(directory):
        kept = sorted(each.name for each in directory.iterdir() if each.name.startswith(_PREFIX))
    for old in kept[:-REPORTS_MAX]:
        with contextlib.suppress(OSError):  # another run has done it
            (directory / old).unlink()
