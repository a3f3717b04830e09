"""What `tallystick import` does once its options are read."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from daemon import show
from daemon.migration.classify import CLASSES
from daemon.migration.delivery import delivery
from daemon.migration.errors import NeverImported
from daemon.migration.outcome import COUNTED, as_if, fates, measured
from daemon.migration.plan import Plan, plan_of, taken_back, undo_of
from daemon.migration.report import Reading, key_prefix, next_of
from daemon.migration.table import COLUMNS, NEEDED, Export, format_of
from daemon.options import BadOption, check_words
from daemon.receipts import Recorded
from daemon.settings import Settings
from daemon.window import window_of
from projections.read import Tables
from state.vocabulary import WORD, LegacyClass

DONE, FINDINGS = 0, 1

_ERRORS_SHOWN: Final = 20
#: The name of the table where none is given.
_TABLE: Final = "token_events"


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `import`, as words; null where nothing was said."""

    file: str | None
    format: str | None
    columns: Sequence[str]
    notes: Sequence[str]
    table: str | None
    timezone: str | None
    is_dry_run: bool
    is_undo: bool


def run_import(settings: Settings, asked: Asked, *, as_json: bool) -> int:
    """
    Import the rows of an old table, or take them back; in a dry run say what would come of it, and write nothing.

    Returns:
        0; 1 when a row could not be read.

    Raises:
        BadOption, BadZone, NoTable, TooManyRows, NeverImported: Nothing was written.
        ImportRuns, NotTaken: Another import, or whoever holds the log, is in the way.
    """
    export, reading = _export(asked), _reading(asked)
    if asked.is_undo:
        planned = partial(_undone, settings, export, reading.table)
    elif export is None:
        raise BadOption(option="FILE", can_be="left out with --undo only")
    else:
        planned = partial(_plan, settings, export, reading)
    plan, outcome = (_tried if asked.is_dry_run else _done)(settings, planned)
    document = _document(asked, reading.table, export, plan) | outcome
    if as_json:
        show.document(document)
    else:
        _print(document)
    return FINDINGS if plan.unreadable_count else DONE


def _tried(settings: Settings, planned: Callable[[], Plan]) -> tuple[Plan, dict[str, Any]]:
    plan = planned()
    before = _measured_now(settings)
    with as_if(settings, plan.to_write) as connection:
        found = fates(connection, list(plan.planned))
        return plan, _outcome(found, before, measured(connection))


def _done(settings: Settings, planned: Callable[[], Plan]) -> tuple[Plan, dict[str, Any]]:
    with delivery(settings) as way:
        way.empty_inbox()
        plan = planned()
        before = _measured_now(settings)
        way.send(plan.to_write)
        if not way.publish():
            show.warn("the tables are behind the log: what became of the rows is as of before")
    with Tables(settings.state.published) as tables:
        found = fates(tables.connection, list(plan.planned))
        return plan, _outcome(found, before, measured(tables.connection))


def _plan(settings: Settings, export: Export, reading: Reading) -> Plan:
    with ExitStack() as held:
        known = {}
        if settings.state.log_directory.is_dir():
            known = held.enter_context(Recorded(settings.state)).held("token_event", key_prefix(reading.table))
        return plan_of(export.rows(), reading, known)


def _undone(settings: Settings, export: Export | None, table: str) -> Plan:
    """Return what takes back the rows of a file, or, without one, every row of the table, as the log holds them."""
    if not settings.state.log_directory.is_dir():
        raise NeverImported(table=table)
    with Recorded(settings.state) as recorded:
        known = recorded.held("token_event", key_prefix(table))
        if not known:
            raise NeverImported(table=table)
        plan, keys = (Plan(), list(known)) if export is None else undo_of(export.rows(), table, known)
        bodies = recorded.bodies(known[key] for key in keys)
        plan.planned = {key: taken_back(known[key], bodies[known[key].seq]) for key in keys}
        return plan


def _measured_now(settings: Settings) -> dict[str, Any]:
    if not settings.state.published.exists():
        return {"calls": 0, "total_tokens": 0}
    with Tables(settings.state.published) as tables:
        return measured(tables.connection)


# -- options -------------------------------------------------------------------------------------------------------


def _export(asked: Asked) -> Export | None:
    """Return the file; null where none was named. Of one that is undone nothing is needed but its ids."""
    if asked.file is None:
        return None
    path = Path(asked.file)
    export = Export(path, format_of(path, asked.format), _mapping(asked.columns))
    return replace(export, needed=NEEDED[:1]) if asked.is_undo else export


def _mapping(columns: Sequence[str]) -> dict[str, str]:
    """Return `OLD=NEW` as a mapping; an empty NEW says that a column is not read."""
    pairs = [each.partition("=") for each in columns]
    if not all(equals and old for old, equals, _ in pairs):
        raise BadOption(option="--map", can_be="OLD=NEW")
    check_words("--map", [new for _, _, new in pairs if new], COLUMNS)
    found = {old: new for old, _, new in pairs}
    meant = [new for new in found.values() if new]
    if len(set(meant)) != len(meant) or len(found) != len(pairs):
        raise BadOption(option="--map", reason="named_twice")
    return found


def _reading(asked: Asked) -> Reading:
    if asked.file is None and asked.table is None:
        raise BadOption(option="--table", reason="needed_without_file")
    table = _TABLE if asked.table is None else asked.table
    if WORD.fullmatch(table) is None:
        raise BadOption(option="--table", can_be="a word: a-z, 0-9 and _")
    if asked.timezone is not None:
        window_of(None, None, asked.timezone)  # refuses what is no zone
    return Reading(table, asked.timezone, _forms(asked.notes))


def _forms(notes: Sequence[str]) -> list[tuple[LegacyClass, str]]:
    pairs = [each.partition("=") for each in notes]
    check_words("--note", [name for name, _, _ in pairs], CLASSES)
    known: Mapping[str, LegacyClass] = {each: each for each in CLASSES}
    return [(known[name], beginning.strip().lower()) for name, _, beginning in pairs if beginning.strip()]


# -- what is said --------------------------------------------------------------------------------------------------


def _document(asked: Asked, table: str, export: Export | None, plan: Plan) -> dict[str, Any]:
    planned = plan.planned.values()
    return {
        "schema": "tallystick.import/1",
        "table": table,
        "format": None if export is None else export.format,
        "is_dry_run": asked.is_dry_run,
        "is_undo": asked.is_undo,
        "rows": plan.rows,
        "repeated": plan.repeated,
        "unreadable": plan.unreadable_count,
        "written": len(plan.to_write),
        "corrected": sum(each.is_correction for each in planned),
        "unchanged": sum(each.is_known for each in planned),
        "ignored_columns": [] if export is None or asked.is_undo else sorted(export.ignored),
        "errors": [asdict(each) | {"next": next_of(each.code, each.field)} for each in plan.unreadable],
    }


def _outcome(found: Sequence[Mapping[str, Any]], before: object, after: object) -> dict[str, Any]:
    """Return a line per class: its rows, tokens and fates; and what is measured, before and after."""
    classes = []
    for name in CLASSES:
        own = [each for each in found if each["legacy_class"] == name]
        if own:
            became = {each["fate"]: each["rows"] for each in own}
            classes.append({"class": name, "rows": sum(became.values()), **_sums(own), "became": became})
    counted = {fate: _sums([each for each in found if each["fate"] == fate]) for fate in COUNTED}
    return {"classes": classes, "counted": counted, "measured": {"before": before, "after": after}}


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """Return the tokens of *rows*; null where none of them states any."""
    names = ("input_tokens", "cache_read_tokens", "output_tokens")
    stated = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    return {name: sum(numbers) if numbers else None for name, numbers in stated.items()}


def _print(document: Mapping[str, Any]) -> None:
    rows = [{**each, "became": _listed(each["became"])} for each in document["classes"]]
    show.table(("class", "rows", "input_tokens", "cache_read_tokens", "output_tokens", "became"), rows)
    would = "would be written" if document["is_dry_run"] else "written"
    parts = [f"{document['rows']:,} rows", f"{document['written']:,} {would}", f"{document['unchanged']:,} as before"]
    parts += [f"{document[name]:,} {name}" for name in ("corrected", "repeated", "unreadable") if document[name]]
    before, after = document["measured"]["before"], document["measured"]["after"]
    show.out("; ".join(parts))
    show.out(f"measured tokens before {before['total_tokens']:,}, after {after['total_tokens']:,}")
    if document["ignored_columns"]:
        show.out(f"columns not read: {', '.join(document['ignored_columns'])}")
    for each in document["errors"][:_ERRORS_SHOWN]:
        where = f" in {each['field']}" if each["field"] else ""
        show.warn(f"line {each['line']}: {each['code']}{where}; next: {each['next']}")
    if document["unreadable"] > _ERRORS_SHOWN:
        show.warn(f"{document['unreadable'] - _ERRORS_SHOWN:,} more rows could not be read; --json names them")


def _listed(became: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {fate}" for fate, count in sorted(became.items()))
