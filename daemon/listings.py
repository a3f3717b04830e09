"""
`tallystick list`: rows of a table as they are, in pages that are complete whatever is added in between.

A page begins behind the key of the last row of the one before, and keys do not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from daemon import cursors, show
from daemon.options import BadOption
from daemon.owners import plain_rows
from daemon.settings import Settings
from projections.catalog import Relation, relations
from projections.read import Tables, plain

DONE: Final = 0

Order = Literal["ascending", "descending"]

#: What can be listed, by the name it has outside, and the columns by whose values rows can be chosen.
LISTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("kind", "agent", "session_id", "source"),
    "sessions": ("agent", "session_id"),
    "freshness": ("agent",),
    "high-water-marks": ("agent", "state", "session_id"),
    "reconciliation": ("agent", "reason"),
    "superseded": ("agent", "session_id", "reason"),
    "rejected": ("agent", "code"),
    "fallbacks": ("session_id", "task_id"),
    "unattributed": ("agent", "session_id", "repo_gap"),
    "drift": ("agent",),
    "flatlines": ("agent",),
    "claims": ("agent", "session_id"),
    "hooks": ("hook", "agent"),
    "runs": ("watcher",),
    "reconciliations": (),
}
#: Where the table has another name.
_TABLES: Final[Mapping[str, str]] = {"superseded": "usage_superseded"}


@dataclass(frozen=True, slots=True)
class Page:
    """
    Which rows of a list.

    Args:
        after: The `next` of the page before; null for the first one.
        rows_max: How many rows at most; null for all.
        order: By the key.
        only: Values that columns have to have.
    """

    after: str | None = None
    rows_max: int | None = None
    order: Order = "ascending"
    only: Mapping[str, str] = field(default_factory=dict)


def relation(name: str) -> Relation:
    """Return the table behind a list."""
    table = _TABLES.get(name, name.replace("-", "_"))
    return next(each for each in relations() if each.name == table)


def schema(name: str) -> str:
    """Return the name and version of the document of a list."""
    return f"tallystick.{name.replace('-', '_')}/1"


def listing(tables: Tables, name: str, page: Page) -> dict[str, Any]:
    """
    Return the document of `list NAME --json`.

    Raises:
        BadAfter: The page begins nowhere.
    """
    table, head = relation(name), tables.head()
    rows = _rows(tables, table, page)  # one more than are shown, where there is more
    shown = rows[: page.rows_max]
    return {
        "schema": schema(name),
        "as_of": {"seq": head.seq, "at": plain(head.committed_at)},
        "rows": shown,
        "next": cursors.written([shown[-1][column] for column in table.key]) if len(rows) > len(shown) else None,
    }


def _rows(tables: Tables, table: Relation, page: Page) -> list[dict[str, Any]]:
    conditions = ["true", *(f"{column} = $only_{column}" for column in page.only)]
    parameters: dict[str, Any] = {f"only_{column}": value for column, value in page.only.items()}
    if page.after is not None:
        values = cursors.read(page.after, _types(tables, table))
        conditions.append(_behind(table.key, values, ">" if page.order == "ascending" else "<"))
        parameters |= {f"key_{number}": value for number, value in enumerate(values) if value is not None}
    direction = "ASC NULLS FIRST" if page.order == "ascending" else "DESC NULLS LAST"
    order = ", ".join(f"{column} {direction}" for column in table.key)
    limit = "" if page.rows_max is None else f"LIMIT {page.rows_max + 1}"
    asked = f"FROM {table.name} WHERE {' AND '.join(conditions)} ORDER BY {order} {limit}"
    return plain_rows(tables, f"SELECT * {asked}", parameters)


def _types(tables: Tables, table: Relation) -> list[str]:
    """Return the types of the key: as they are noted, for to describe a view takes as long as to ask it."""
    query = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT internal"
    types = {row["column_name"]: row["data_type"] for row in tables.rows(query, [table.name])}
    return [types[column] for column in table.key]


def _behind(key: Sequence[str], values: Sequence[Any], sign: str, number: int = 0) -> str:
    """Return the condition that a row stands behind *values*, column by column; null stands before everything."""
    column, value = key[0], values[0]
    if value is None:
        here, same = (f"{column} IS NOT NULL" if sign == ">" else "false"), f"{column} IS NULL"
    else:
        here, same = f"{column} {sign} $key_{number}", f"{column} = $key_{number}"
        if sign == "<":
            here = f"({here} OR {column} IS NULL)"
    if len(key) == 1:
        return here
    return f"({here} OR ({same} AND {_behind(key[1:], values[1:], sign, number + 1)}))"


def show_listing(settings: Settings, name: str, page: Page, *, as_json: bool) -> int:
    """
    Show rows of a table.

    Raises:
        BadOption: There is no such list, it cannot be chosen by such a column, or a page has no row.
        BadAfter: The page begins nowhere.
    """
    if name not in LISTINGS:
        raise BadOption(option="WHAT", can_be=",".join(LISTINGS))
    if not set(page.only) <= set(LISTINGS[name]):
        raise BadOption(option="--only", can_be=",".join(LISTINGS[name]))
    if page.rows_max == 0:
        raise BadOption(option="--limit", can_be="1 or more")
    with Tables(settings.state.published) as tables:
        document = listing(tables, name, page)
    if as_json:
        show.document(document)
        return DONE
    rows = document["rows"]
    columns = [column for column in (rows[0] if rows else ()) if any(row[column] is not None for row in rows)]
    show.table(columns, rows)
    if document["next"] is not None:
        show.out(f"there is more: --after {document['next']}")
    return DONE
