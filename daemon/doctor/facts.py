"""What the page shows, gathered; a part that cannot be told hides none of the others."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import duckdb

from daemon.bootstrap import roots
from daemon.findings import found, summary
from daemon.health.report import document as health_document
from daemon.health.retention_race import races, races_on_disk
from daemon.hooks.agents import AGENTS
from daemon.hooks.installed import installed
from daemon.living import living
from daemon.service.condition import condition
from daemon.service.installed import own
from daemon.settings import Settings, options
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
    "versions": "SELECT * FROM drift",
    "flatlines": "SELECT * FROM flatlines WHERE is_flatline ORDER BY day DESC, agent LIMIT 30",
    "hooks": "SELECT * FROM hooks ORDER BY hook, agent",
}


def facts(settings: Settings, environment: Mapping[str, str]) -> dict[str, Any]:
    """
    Return everything that the page shows.

    ``tables`` is null where there are none that can be read; ``tables_problem`` then says why.
    """
    alive = living(settings)
    integrity, integrity_problem = _integrity(settings)
    read, read_problem = _roots(settings)
    tables, problem = _tables(settings, is_on_disk=not alive.is_running and read_problem is None)
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
        "service": condition(own(settings), options(settings)).document(),
        "roots": read,
        "roots_problem": read_problem,
        "hooks": [_hook(settings, hook) for hook in AGENTS],
        "integrity": integrity,
        "integrity_problem": integrity_problem,
        "tables": tables,
        "tables_problem": problem,
    }


def _integrity(settings: Settings) -> tuple[dict[str, Any] | None, str | None]:
    """Return how many findings alarm; null, and why, where that cannot be asked."""
    try:
        with Tables(settings.state.published) as tables:
            return summary(found(tables, datetime.now(UTC))), None
    except TallystickError as error:
        return None, str(error)
    except duckdb.Error as error:
        return None, type(error).__name__


def _roots(settings: Settings) -> tuple[list[dict[str, Any]], str | None]:
    """Return every place that is read; none, and why, where the configuration or the adapters do not tell."""
    try:
        found = roots(settings)
    except TallystickError as error:
        return [], str(error)
    rows = [{"agent": at.adapter.agent, "path": at.path, "exists": os.path.lexists(at.path)} for at in found]
    return rows, None


def _hook(settings: Settings, hook: str) -> dict[str, Any]:
    found = installed(settings, hook)
    return {"hook": hook, "agent": AGENTS[hook], "state": found.state, "path": str(found.path)}


def _tables(settings: Settings, *, is_on_disk: bool) -> tuple[dict[str, list[dict[str, Any]]] | None, str | None]:
    """Return what the tables say; *is_on_disk*: also what lies on the disk and, as no daemon reads, nobody has met."""
    ask = races_on_disk if is_on_disk else races
    try:
        with Tables(settings.state.published) as tables:
            shown = {name: tables.rows(query) for name, query in _SHOWN.items()}
            shown["clean_up"] = [asdict(race) for race in ask(settings, tables.connection, datetime.now(UTC))]
            return {name: [_plain(row) for row in rows] for name, rows in shown.items()}, None
    except TallystickError as error:
        return None, str(error)
    except duckdb.Error as error:
        return None, type(error).__name__


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in row.items()}
