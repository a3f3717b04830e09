"""
What an import would write: a message for each row that the log does not hold as it stands; and what cannot be read.

A row is known by its table and id, so that neither the order of rows nor how often they were sent decides anything. A
row that changed is the next revision of itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from daemon.inbox_client import Sealed, sealed
from daemon.message_rules import Refused
from daemon.migration.errors import TooManyRows
from daemon.migration.report import Reading, Report, RowRefused, refused_row, report_of
from daemon.migration.table import Row, Unreadable
from daemon.receipts import Told

#: Rows of one import: they are held against each other in memory before the first is written.
ROWS_MAX: Final = 250_000
#: At most so many unreadable rows are named; all are counted.
SHOWN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Planned:
    """The message of a row that can be read; ``is_known``: the log holds exactly this."""

    message: Sealed
    is_known: bool
    is_correction: bool


@dataclass(slots=True)
class Plan:
    """Everything that one export comes to."""

    planned: dict[str, Planned] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)
    unreadable_count: int = 0
    rows: int = 0
    repeated: int = 0

    @property
    def to_write(self) -> list[Sealed]:
        """Return the messages that the log does not hold yet."""
        return [each.message for each in self.planned.values() if not each.is_known]

    def refuse(self, row: Unreadable) -> None:
        """Count a row that cannot be read, and name it while there is room."""
        self.unreadable_count += 1
        if len(self.unreadable) < SHOWN_MAX:
            self.unreadable.append(row)


def plan_of(
    rows: Iterable[Row | Unreadable], reading: Reading, held: Mapping[str, Told], *, is_undo: bool = False
) -> Plan:
    """
    Hold the rows of an export against what the log holds of their table.

    Args:
        rows: What stands in the export.
        reading: How it is read.
        held: By key, the message of each row of the table that holds.
        is_undo: Whether the rows are to be taken back.

    Raises:
        TooManyRows: There are more than an import takes.
        NoTable: The export is none.
    """
    plan = Plan()
    lines: dict[str, int] = {}
    contradicted: Counter[str] = Counter()
    for row in rows:
        plan.rows += 1
        if plan.rows > ROWS_MAX:
            raise TooManyRows(rows_max=ROWS_MAX)
        if isinstance(row, Unreadable):
            plan.refuse(row)
            continue
        try:
            report = report_of(row.cells, reading)
            found = _planned(report, held.get(report.key), is_undo=is_undo)
        except RowRefused as refused:
            plan.refuse(Unreadable(row.line, refused.code, refused.field))
            continue
        key = report.key
        first = plan.planned.setdefault(key, found)
        lines.setdefault(key, row.line)
        if first is not found and first.message.content_hash != found.message.content_hash:
            contradicted[key] += 1
            plan.refuse(Unreadable(row.line, "contradicts", "id"))
        elif first is not found:
            plan.repeated += 1
    # Of two rows with one id that say different things nobody knows which is right: neither is taken.
    for key in contradicted:
        del plan.planned[key]
        plan.refuse(Unreadable(lines[key], "contradicts", "id"))
    if is_undo:
        plan.planned = {key: each for key, each in plan.planned.items() if key in held}
    return plan


def _planned(report: Report, before: Told | None, *, is_undo: bool) -> Planned:
    revision = 0 if before is None else before.revision or 0
    now = _sealed(report, revision, is_undo=is_undo)
    if before is None or before.content_hash == now.content_hash:
        return Planned(now, is_known=before is not None, is_correction=False)
    return Planned(_sealed(report, revision + 1, is_undo=is_undo), is_known=False, is_correction=True)


def _sealed(report: Report, revision: int, *, is_undo: bool) -> Sealed:
    try:
        return sealed(report.letter(revision, is_withdrawn=is_undo))
    except Refused as refused:
        raise refused_row(refused) from None
