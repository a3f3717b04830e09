"""Whether a pattern of the operator's can be run where it will be: in the tables, by RE2."""

import re
import warnings
from typing import LiteralString


def what_is_wrong(pattern: str) -> LiteralString | None:
    """
    Return the rule that *pattern* breaks, null when it can be run.

    ``no_pattern``: it is no regular expression. ``needs_one_group``: what is found is its one group. ``not_re2``: it
    looks ahead or behind, refers back, or would need too much memory.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError):
        return "no_pattern"
    if groups != 1:
        return "needs_one_group"
    return None if _runs(pattern) else "not_re2"


def _runs(pattern: str) -> bool:
    import duckdb  # only where there is a pattern to be tried

    with duckdb.connect() as connection:
        try:
            connection.execute("SELECT regexp_extract('a/B-1', ?, 1)", [pattern]).fetchall()
        except duckdb.Error:
            return False
    return True
