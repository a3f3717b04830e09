"""
What an import would write: a message for each row that the log does not hold as it stands; and what cannot be read.

A row is known by its table and id, so that neither the order of rows nor how often they were sent decides anything. A
row that changed is the next revision of itself.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from daemon.inbox_client import Letter, Sealed, sealed
from daemon.message_rules import Refused
from daemon.migration.errors import TooManyRows
from daemon.migration.report import PRODUCER, Reading, Report, RowRefused, refused_row, report_of, row_key
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


def plan_of(rows: Iterable[Row | Unreadable], reading: Reading, held: Mapping[str, Told]) -> Plan:
    """
    Hold the rows of an export against what the log holds of their table.

    Args:
        rows: What stands in the export.
        reading: How it is read.
        held: By key, the message of each row of the table that holds.

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
            found = _planned(report, held.get(report.key))
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
    return plan


def undo_of(rows: Iterable[Row | Unreadable], table: str, held: Mapping[str, Told]) -> tuple[Plan, list[str]]:
    """
    Return the rows of an export that cannot be read, and the keys of those that can and that the log holds.

    Of a row only its id is asked: it is taken back whatever it says by now, and however it was read.

    Raises:
        NoTable: The export is none.
    """
    plan, keys = Plan(), dict[str, None]()
    for row in rows:
        plan.rows += 1
        if isinstance(row, Unreadable):
            plan.refuse(row)
            continue
        try:
            key = row_key(table, row.cells)
        except RowRefused as refused:
            plan.refuse(Unreadable(row.line, refused.code, refused.field))
            continue
        plan.repeated += key in keys
        keys[key] = None
    return plan, [key for key in keys if key in held]


def taken_back(told: Told, body: bytes) -> Planned:
    """Return what takes back the row of a message: the same, as it was said, withdrawn."""
    said = json.loads(body)
    is_known = bool(said.get("is_withdrawn"))
    letter = Letter("token_event", said | {"is_withdrawn": True}, PRODUCER, told.key, (told.revision or 0) + 1)
    return Planned(sealed(letter), is_known=is_known, is_correction=not is_known)


def _planned(report: Report, before: Told | None) -> Planned:
    revision = 0 if before is None else before.revision or 0
    now = _sealed(report, revision)
    if before is None or before.content_hash == now.content_hash:
        return Planned(now, is_known=before is not None, is_correction=False)
    return Planned(_sealed(report, revision + 1), is_known=False, is_correction=True)


def _sealed(report: Report, revision: int) -> Sealed:
    try:
        return sealed(report.letter(revision))
    except Refused as refused:
        raise refused_row(refused) from None
