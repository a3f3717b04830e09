"""
What is computed once of large tables, before anybody asks: a server of them stores it beside them.

A view that is stored is found under its own name by every question and by every other view, so that nothing else is
asked than of the tables as they are, and nothing else is answered.
"""

from collections.abc import Collection, Iterable
from typing import Final

import duckdb

from projections.catalog import relations

#: Where they are stored: the database of the process that asks, beside the attached file.
_PLACE: Final = "memory.main"

#: The views of which others are made, or that a page shows whole, and that have few rows beside those of calls.
_VIEWS: Final = frozenset(
    {
        "messages",
        "token_reports",
        "ranked_messages",
        "inbox",
        "task_reports",
        "reported_calls",
        "task_fallbacks",
        "task_fallbacks_doubled",
        "checkout_periods",
        "usage_daily",
        "places",
        "sessions",
        "freshness",
        "reconciliation",
        "task_spans",
        "allocated_calls",
        "usage_allocated",
        "supersessions",
        "estimates",
        "fallbacks",
        "usage_estimated",
        "tasks",
        "workstreams",
        "repos",
        "unattributed",
        "flatlines",
        "trajectories",
        "claims",
        "doubtful_times",
        "findings",
    }
)


#: A view that is as large as what it is made of, and is not stored: it asks for what is, instead of bringing it along.
_ASKING: Final = "usage_superseded"


def settle(connection: duckdb.DuckDBPyConnection, further: Iterable[tuple[str, str]]) -> frozenset[str]:
    """
    Compute and store them, and return their names.

    Args:
        connection: To published tables, attached to a database in memory.
        further: Names and queries of what is no view, in the order in which they are computed.
    """
    views = [(each.name, each.sql) for each in relations() if each.name in _VIEWS or each.refresh == "part"]
    settled = [_stored(connection, name, query) for name, query in views]
    _let_ask(connection)
    settled += [_stored(connection, name, query) for name, query in further]
    return frozenset(settled)


def put_at_hand(connection: duckdb.DuckDBPyConnection, settled: Collection[str]) -> None:
    """Let the names of what is settled mean just that in this connection, also in views: temporary names come first."""
    for name in settled:
        _name(connection, name)
    if settled:
        _let_ask(connection)


def _stored(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> str:
    connection.execute(f"CREATE TABLE {_PLACE}.{name} AS {query}")
    _name(connection, name)
    return name


def _name(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.execute(f"CREATE TEMP VIEW {name} AS FROM {_PLACE}.{name}")


def _let_ask(connection: duckdb.DuckDBPyConnection) -> None:
    (view,) = (each for each in relations() if each.name == _ASKING)
    connection.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")
