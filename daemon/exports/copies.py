"""
What a copy holds, whatever its format: named columns with their types, and rows in an order that does not change.

A copy is of one commit of the log. Its figures are those of `usage --json`, or the rows of a table as `sql` shows them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import duckdb

from daemon.options import BadOption, check_words
from daemon.usage_verb import INCLUDABLE, usage_document
from projections.catalog import relations
from projections.read import Tables, TablesUnusable, Window, plain
from projections.usage import CHOOSABLE, DIMENSIONS, EVERYTHING, TOKENS, Only
from state.vocabulary import FLAGS

SCHEMA: Final = "tallystick.export/1"

#: The name of a copy of `usage`, which is no table.
USAGE: Final = "usage"

#: Rows that are held in memory at a time.
PAGE_ROWS: Final = 10_000

#: What every row of `usage` says behind its dimensions, and the type of each; a test holds docs/exports.md against it.
FIGURES: Final[Mapping[str, str]] = {
    "measurement": "VARCHAR",
    "calls": "BIGINT",
    **dict.fromkeys(TOKENS, "BIGINT"),
    "incomplete_calls": "BIGINT",
    **{f"quality_{flag}": "BIGINT" for flag in FLAGS},
    "cost_usd_micros": "BIGINT",
    "unpriced_calls": "BIGINT",
    "timezone": "VARCHAR",
    "as_of_seq": "BIGINT",
}


class Wanted(NamedTuple):
    """
    The options of `export`, as words; of *table* all rows, or where it is null usage by the dimensions *by*.

    ``as_of`` is up to when, null for now; ``only`` which rows, by dimension, null for what belongs to none.
    """

    table: str | None
    by: tuple[str, ...]
    since: str | None
    until: str | None
    timezone: str
    include: tuple[str, ...]
    as_of: str | None = None
    only: Only = EVERYTHING


@dataclass(frozen=True, slots=True)
class Copy:
    """
    One copy, whose rows are asked for when it is made.

    ``columns`` are names with the database's types. ``query`` gives the rows of a table, null for usage, whose rows are
    known. ``about`` says of what it is a copy. ``uses`` are the tables that are read for it. ``window`` are the bounds
    of what was asked, null for none.
    """

    columns: Mapping[str, str]
    rows: Callable[[], Iterator[Sequence[Any]]]
    query: str | None
    about: Mapping[str, Any]
    uses: tuple[str, ...]
    window: Window


def copy_of(tables: Tables, wanted: Wanted) -> Copy:
    """
    Return what is wanted of *tables*.

    Raises:
        BadOption: There is no such table, dimension or class, or a table was to be cut or grouped.
        BadTime, EmptyWindow, BadZone: A bound is none.
    """
    return _of_usage(tables, wanted) if wanted.table is None else _of_table(tables, wanted.table, wanted)


def copyable() -> tuple[str, ...]:
    """Return the names of the tables and views that can be copied."""
    return tuple(each.name for each in relations() if each.refresh in ("append", "replace", "view"))


def check_whole(wanted: Wanted) -> None:
    """
    Refuse what would be a part of a table; there is no table of an earlier commit either, but for what usage needs.

    Raises:
        BadOption: Something of that is wanted.
    """
    parts = (wanted.by, wanted.include, wanted.since, wanted.until, wanted.only, wanted.as_of)
    if wanted.table is not None and any(parts):
        options = "--by, --since, --until, --include, --only, --unattributed and --as-of"
        raise BadOption(option="--table", can_be=f"copied whole: without {options}")


def _of_usage(tables: Tables, wanted: Wanted) -> Copy:
    from daemon.window import window_of

    check_words("--by", wanted.by, DIMENSIONS)
    check_words("--include", wanted.include, INCLUDABLE)
    check_words("--only", wanted.only, CHOOSABLE)
    by = tuple(dict.fromkeys(wanted.by))
    window = window_of(wanted.since, wanted.until, wanted.timezone)
    document = usage_document(tables, by, window, wanted.include, wanted.as_of, only=wanted.only)
    columns = {**{name: "DATE" if name == "day" else "VARCHAR" for name in by}, **FIGURES}
    same = {"timezone": wanted.timezone, "as_of_seq": document["as_of"]["seq"]}
    rows = [list(map((_flat(row) | same).get, columns)) for row in document["rows"]]
    # Rows and totals differ by nothing but the grouping; what no row holds is said beside them.
    beside = {name: value for name, value in document.items() if name not in ("schema", "rows")}
    uses = _used((*by, *wanted.only), wanted.include)
    return Copy(columns, lambda: iter(rows), None, {"table": USAGE, **beside}, uses, window)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    quality = row.get("quality", {})
    return {**row, **{f"quality_{flag}": quality.get(flag) for flag in FLAGS}}


def _used(named_by: Sequence[str], include: Sequence[str]) -> tuple[str, ...]:
    """Return the tables behind a question for usage that is grouped or chosen by these dimensions."""
    is_sliced = not {"task", "workstream"}.isdisjoint(named_by)
    named = ("usage_attributed" if "repo" in named_by else "usage_measured", *(f"usage_{each}" for each in include))
    return tuple(dict.fromkeys((*named, *(("usage_allocated",) if is_sliced else ()))))


def _of_table(tables: Tables, name: str, wanted: Wanted) -> Copy:
    check_words("--table", [name], copyable())
    check_whole(wanted)
    key = next(each.key for each in relations() if each.name == name)
    query = f"SELECT * FROM {name} ORDER BY {', '.join(key)}"  # noqa: S608 - names are ours
    columns = {row["column_name"]: row["column_type"] for row in tables.rows(f"DESCRIBE {query}")}
    head = tables.head()
    about = {"table": name, "as_of": {"seq": head.seq, "at": plain(head.committed_at)}}
    return Copy(columns, lambda: _paged(_asked(tables, query)), query, about, (name,), Window())


def _asked(tables: Tables, query: str) -> duckdb.DuckDBPyConnection:
    try:
        return tables.connection.execute(query)
    except duckdb.Error:
        raise TablesUnusable(query=query) from None


def _paged(asked: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while page := asked.fetchmany(PAGE_ROWS):
        yield from ([plain(value) for value in row] for row in page)
