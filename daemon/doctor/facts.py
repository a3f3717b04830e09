"""What the page shows, gathered; a part that cannot be told hides none of the others."""

import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

import duckdb

from daemon.bootstrap import roots
from daemon.health.report import document as health_document
from daemon.living import living
from daemon.settings import Settings
from projections.read import Tables, plain
from state.errors import TallystickError

SCHEMA: Final = "tallystick.doctor/1"

#: Variables that say where agents log, and where we do.
VARIABLES: Final = (
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "GPTME_LOGS_HOME",
    "GPTME_LOGS_DIR",
    "GPTME_NAME",
    "OPENCODE_DB",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "TALLYSTICK_HOME",
    "TALLYSTICK_STATE_DIR",
)

#: Tables that the page shows as they are, by their name on it.
_SHOWN: Final[Mapping[str, str]] = {
    "sources": "SELECT * FROM freshness ORDER BY agent",
}


def facts(settings: Settings, environment: Mapping[str, str]) -> dict[str, Any]:
    """
    Return everything that the page shows.

    ``tables`` is null where there are none that can be read; ``tables_problem`` then says why.
    """
    alive = living(settings)
    tables, problem = _tables(settings)
    return {
        "schema": SCHEMA,
        "version": version("tallystick"),
        "health": health_document(alive.case, alive.judged),
        "daemon": alive.document(),
        "places": {
            "home": str(settings.home),
            "state_directory": str(settings.state.root),
            "configuration": str(settings.config_file),
            "has_configuration": settings.config_file.exists(),
        },
        "variables": {name: environment[name] for name in VARIABLES if environment.get(name)},
        "roots": _roots(settings),
        "tables": tables,
        "tables_problem": problem,
    }


def _roots(settings: Settings) -> list[dict[str, Any]]:
    return [
        {"agent": place.adapter.agent, "path": place.path, "exists": os.path.lexists(place.path)}
        for place in roots(settings)
    ]


def _tables(settings: Settings) -> tuple[dict[str, list[dict[str, Any]]] | None, str | None]:
    try:
        with Tables(settings.state.published) as tables:
            return {name: _plain(tables.rows, query) for name, query in _SHOWN.items()}, None
    except TallystickError as error:
        return None, str(error)
    except duckdb.Error as error:
        return None, type(error).__name__


def _plain(rows: Callable[[str], list[dict[str, Any]]], query: str) -> list[dict[str, Any]]:
    return [{name: plain(value) for name, value in row.items()} for row in rows(query)]
