"""`tallystick usage`: tokens by dimension, each row with its class, and what the sums do not hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from daemon import show
from daemon.lag import warn_of_lag
from daemon.options import check_words
from daemon.settings import Settings
from projections.catalog import layout
from projections.read import Tables, Window, plain
from projections.usage import (
    CHOOSABLE,
    DIMENSIONS,
    EVERYTHING,
    LACKING,
    MONEY,
    TOKENS,
    Only,
    allocated,
    estimated,
    estimated_tokens,
    measured,
    price_book,
    superseded,
    unpriced,
)
from state.vocabulary import COST, FLAGS

DONE: Final = 0

#: Classes that `--include` may add beside measured, and what reads each.
INCLUDABLE: Final = {"estimated": estimated, "allocated": allocated, "superseded": superseded}

#: Every class, measured first, and what reads each.
_ASKED: Final = {"measured": measured, **INCLUDABLE}
CLASSES: Final = tuple(_ASKED)

SHOWN_TOKENS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
)

#: So many models without a price are named below a table; `--json` has all.
_UNPRICED_MAX: Final = 5

#: What stands in a table for tokens of no repository, task or workstream, by class.
_OF_CLASS: Final[Mapping[str, Mapping[str, str]]] = {
    "measured": {"repo": "(unattributed)", "task": "(unallocated)", "workstream": "(unallocated)"},
    "allocated": {"repo": "(unattributed)"},
}


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """The options of `usage`, as words."""

    by: tuple[str, ...]
    since: str | None
    until: str | None
    timezone: str
    include: tuple[str, ...]
    as_of: str | None = None
    only: Mapping[str, str | None] = field(default_factory=dict)


def usage(settings: Settings, question: UsageQuestion, *, as_json: bool) -> int:
    """Show measured usage, and beside it, never in it, the classes asked for."""
    from daemon.window import window_of

    check_words("--by", question.by, DIMENSIONS)
    check_words("--include", question.include, INCLUDABLE)
    check_words("--only", question.only, CHOOSABLE)
    window = window_of(question.since, question.until, question.timezone)
    if question.as_of is None:
        with Tables(settings.state.published) as tables:
            document = usage_document(tables, question.by, window, question.include, only=question.only)
            warn_of_lag(tables.head(), settings)
    else:
        document = _usage_of_then(settings, question, window, question.as_of)
    if as_json:
        show.document(document)
        return DONE
    if not (document["sources"] or document["rows"]):
        show.warn("no source was ever read: these are no zeros but nothing; run `tallystick ingest`")
    priced = f"usd ({document['as_of']['price_book'] or 'not priced'})"
    columns = (*question.by, "measurement", "calls", *SHOWN_TOKENS, priced, "incomplete_calls")
    show.table(columns, [_named(row) | {priced: _dollars(row)} for row in document["rows"]])
    _print_totals(document)
    return DONE


def _usage_of_then(settings: Settings, question: UsageQuestion, window: Window, asked: str) -> dict[str, Any]:
    """Return the document as of an earlier commit of the log."""
    from daemon.as_of import tables_as_of, tell

    with tables_as_of(settings, asked, question.timezone) as (tables, past):
        document = usage_document(tables, question.by, window, question.include, asked, only=question.only)
    tell(past, past.point.mark)
    return document


def usage_document(
    tables: Tables,
    by: Sequence[str],
    window: Window,
    include: Collection[str],
    asked: str | None = None,
    *,
    only: Only = EVERYTHING,
    classes: Collection[str] | None = None,
    rows_max: int | None = None,
) -> dict[str, Any]:
    """
    Return the document of `usage --json`.

    Args:
        tables: Where to look.
        by: Dimensions of which each row has a value.
        window: Which calls.
        include: Classes beside measured.
        asked: What `--as-of` said; null without it.
        only: Which rows, by dimension; by task or workstream the shares of it, as measured rows have none.
        classes: Instead of *include*, every class that is asked about.
        rows_max: How many rows are shown at most, those with the most tokens; null for all. Totals are of all rows.
    """
    from daemon.window import check_zone

    check_zone(tables, window.timezone)
    by = tuple(dict.fromkeys(by))
    head = tables.head()
    chosen = _classes(("measured", *include) if classes is None else classes, only)
    found = _found(tables, by, window, chosen, only)
    every = [_usage_row(by, row, name) for name, group in found.items() for row in group if head.seq is not None]
    rows = _shown(every, rows_max)
    totals = {
        name: _usage_row((), _total(tables, by, window, name, only, found.get(name)), name) if name in chosen else {}
        for name in CLASSES
    }
    return {
        "schema": "tallystick.usage/1",
        "as_of": {
            "seq": head.seq,
            "at": plain(head.committed_at),
            "price_book": price_book(tables),
            "asked": asked,
            "rules": layout(),
        },
        "only": dict(only),
        "rows": rows[0],
        "rows_not_shown": rows[1],
        **tables.sources(),
        **tables.retired(window),
        "unpriced": unpriced(tables, window, only) if totals["measured"].get("unpriced_calls") else [],
        "estimated_tokens_not_included": 0 if "estimated" in chosen else estimated_tokens(tables, window, only),
        "totals": totals,
    }


def _classes(asked: Collection[str], only: Only) -> tuple[str, ...]:
    """Return the classes that are asked about and know of what they are chosen by."""
    wanted = {*asked, *(("allocated",) if not LACKING["measured"].isdisjoint(only) else ())}
    return tuple(name for name in CLASSES if name in wanted and LACKING.get(name, frozenset()).isdisjoint(only))


def _found(
    tables: Tables, by: Sequence[str], window: Window, classes: Sequence[str], only: Only
) -> dict[str, list[dict[str, Any]]]:
    """Return the groups of each class; where measured rows are sliced, the shares are among them already."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in classes:
        if name != "allocated" or not any(row.get("measurement") == name for row in found.get("measured", ())):
            found[name] = _ASKED[name](tables, by, window, only)
    return found


def _total(
    tables: Tables, by: Sequence[str], window: Window, name: str, only: Only, groups: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """Return the sum of a class: of its groups, unless they slice calls, whose marks would count with each part."""
    if groups is None or (name == "measured" and not LACKING[name].isdisjoint(by)):
        return _ASKED[name](tables, (), window, only)[0]
    nullable = (*TOKENS, *MONEY)
    columns = (*nullable, *FLAGS, "calls", "unpriced_calls")
    stated = {column: [row[column] for row in groups if row[column] is not None] for column in columns}
    return {column: sum(values) if values or column not in nullable else None for column, values in stated.items()}


def _shown(rows: list[dict[str, Any]], rows_max: int | None) -> tuple[list[dict[str, Any]], int]:
    """Return the rows with the most tokens, in the order in which they were, and how many others there are."""
    if rows_max is None or len(rows) <= rows_max:
        return rows, 0
    least_first = sorted(range(len(rows)), key=lambda place: rows[place]["total_tokens"] or 0)
    left_out = set(least_first[: len(rows) - rows_max])
    return [row for place, row in enumerate(rows) if place not in left_out], len(left_out)


def _usage_row(by: Sequence[str], row: Mapping[str, Any], measurement: str) -> dict[str, Any]:
    shown: dict[str, Any] = {name: plain(row[name]) for name in by}
    shown["measurement"] = row.get("measurement", measurement)
    shown["calls"] = row["calls"]
    shown |= {name: row[name] for name in TOKENS}
    if measurement in ("measured", "allocated"):
        shown["incomplete_calls"] = row["incomplete"]
        shown["quality"] = {flag: row[flag] for flag in FLAGS}
        shown |= {name: row[name] for name in (*MONEY, "unpriced_calls")}
    return shown


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a table shows it: measured tokens that belong to nothing say so."""
    nothing = _OF_CLASS.get(row["measurement"], {})
    return {name: nothing.get(name) if value is None else value for name, value in row.items()}


def _dollars(row: Mapping[str, Any]) -> str | None:
    """Return what a row cost as a table shows it; at least so much where calls of it are unpriced."""
    cost = row.get(COST)
    if cost is None:
        return None
    return f"{'>=' if row['unpriced_calls'] else ''}{show.dollars(cost)}"


def _print_totals(document: Mapping[str, Any]) -> None:
    # By task there is nothing measured, but shares of it.
    name = next(each for each in CLASSES if document["totals"][each])
    total = document["totals"][name]
    tokens, incomplete = total["total_tokens"], total["incomplete_calls"]
    notes = [f"total {name} {'-' if tokens is None else format(tokens, ',')}"]
    if total.get(COST) is not None:
        notes.append(f"cost {_dollars(total)} USD by {document['as_of']['price_book']}")
    if document["unpriced"]:
        notes.append(f"{total['unpriced_calls']:,} calls have no price ({_unpriced_models(document['unpriced'])})")
    if incomplete:
        notes.append(f"a lower bound: {incomplete} calls are incomplete")
    if document["estimated_tokens_not_included"]:
        notes.append(f"estimated {document['estimated_tokens_not_included']:,} is not included")
    if document["unmetered_sources"]:
        notes.append(f"{document['unmetered_sources']} sources state no usage")
    if document["rejected_lines"]:
        notes.append(f"{document['rejected_lines']} lines could not be read")
    if document["unreadable_paths"]:
        notes.append(f"{document['unreadable_paths']} places could not be read at all")
    if document["retired_calls"]:
        notes.append(f"{document['retired_tokens']:,} tokens more were measured once; their evidence is retired")
    if document["unread_bytes"]:
        notes.append(f"{document['unread_bytes']:,} bytes are not read yet")
    show.out("; ".join(notes))


def _unpriced_models(groups: Sequence[Mapping[str, Any]]) -> str:
    """Name the models without a price and why, the first few of them."""
    named = [f"{each['model'] or 'no model'}: {each['reason']}" for each in groups[:_UNPRICED_MAX]]
    return ", ".join(named) + (", ..." if len(groups) > _UNPRICED_MAX else "")
