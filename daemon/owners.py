"""What questions about repositories and about tasks share: rows as JSON has them, and a name that nothing has."""

from typing import Any

from projections.read import Tables, plain
from state.errors import TallystickError


class NoSuchOwner(TallystickError):
    """
    No repository, task or directory has this name. `tallystick repo list` and `tallystick task list` say what there is.
    """

    exit_code = 1


def plain_rows(tables: Tables, query: str, parameters: Any = ()) -> list[dict[str, Any]]:  # noqa: ANN401 - by place or by name
    """Return rows whose values JSON can hold."""
    return [{name: plain(value) for name, value in row.items()} for row in tables.rows(query, parameters)]
