"""
Findings, asked rule by rule.

`SELECT * FROM findings` says the same. There every rule brings all that it reads with it, and the database plans it all
at once, which takes longer than to answer.
"""

from typing import Any, Final

import duckdb

from projections.catalog import Relation, relations

#: What several rules read: it is computed once.
_SHARED: Final = (
    "usage_measured",
    "sessions",
    "trajectories",
    "claims",
    "doubtful_times",
    "estimates",
    "usage_estimated",
)

_PREFIX: Final = "finding_"

_WORST_FIRST: Final = """
    SELECT *
    FROM ({findings}) AS found
    ORDER BY array_position(['critical', 'warning', 'info'], severity), rule, since NULLS LAST, id
"""


def rules() -> dict[str, Relation]:
    """Return the relation of every rule by its name."""
    return {each.name.removeprefix(_PREFIX): each for each in relations() if each.name.startswith(_PREFIX)}


def findings(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """
    Return the rows of `findings`, the worst first; *connection* may be to tables that are read only.

    What is computed on the way is this cursor's own, and goes with it.
    """
    by_name = {each.name: each for each in relations()}
    with connection.cursor() as own:
        for relation in by_name.values():
            if relation.name in _SHARED or relation.name.startswith(_PREFIX):
                own.execute(f"CREATE TEMP TABLE {relation.name} AS {relation.sql}")
        asked = own.execute(_WORST_FIRST.format(findings=by_name["findings"].sql))
        names = [column[0] for column in asked.description or ()]
        return [dict(zip(names, row, strict=True)) for row in asked.fetchall()]
