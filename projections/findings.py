"""
Findings, asked rule by rule.

`SELECT * FROM findings` says the same. There every rule brings all that it reads with it, and the database plans it all
at once, which takes longer than to answer.
"""

import re
from typing import Any, Final

from projections.catalog import Relation, read_by_several, relations
from projections.read import Tables

_PREFIX: Final = "finding_"

_WORST_FIRST: Final = """
    SELECT *
    FROM ({findings}) AS found
    ORDER BY array_position(['critical', 'warning', 'info'], severity), rule, since NULLS LAST, id
"""


def rules() -> dict[str, Relation]:
    """Return the relation of every rule by its name."""
    return {each.name.removeprefix(_PREFIX): each for each in relations() if each.name.startswith(_PREFIX)}


def severities() -> dict[str, str]:
    """Return how bad what a rule finds is, by the rule's name, as the view says it."""
    whole = next(each for each in relations() if each.name == "findings")
    return dict(re.findall(r"'(\w+)' AS rule,\s+'(\w+)' AS severity", whole.sql))


def findings(tables: Tables) -> list[dict[str, Any]]:
    """
    Return the rows of `findings`, the worst first.

    What is computed on the way is a connection's own, and goes with it.
    """
    if "findings" in tables.settled:
        return tables.rows(_WORST_FIRST.format(findings="FROM findings"))
    parts = list(rules().values())
    whole = next(each for each in relations() if each.name == "findings")
    with tables.own() as own:
        for relation in (*read_by_several(parts), *parts):
            own.execute(f"CREATE TEMP TABLE {relation.name} AS {relation.sql}")
        return tables.fetched(own.execute(_WORST_FIRST.format(findings=whole.sql)))
