"""
Places that somebody named and that are not there: found at the first miss, before anything is read instead.

A harness and its agent agree on names by convention alone: one sets a variable, the other does not look at it. What
stood in the expected place's stead was believed for a year once (the first seed).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from daemon.bootstrap import roots
from daemon.discover import Found, sweep
from daemon.guard import readers
from daemon.health.finding import Finding
from daemon.health.limits import Limits
from daemon.health.typed import typed
from daemon.settings import Settings

#: So many directories and files of a root are looked at for a log.
LOOKED_MAX: Final = 1_000


class Names:
    """Judges the names in the environment and in the configuration; paths are looked at, none is walked."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __call__(self, settings: Settings, now: datetime) -> Iterable[Finding]:
        """Return what is named and is not there; since when is not known."""
        del now
        yield from _of_gptme(settings)
        yield from _of_others(settings)
        yield from self._of_configuration(settings)

    def _of_configuration(self, settings: Settings) -> Iterator[Finding]:
        agents = {name for adapter in readers() for name in (adapter.agent, adapter.parser)}
        for agent, text in self._limits.roots:
            path = settings.home / text.removeprefix("~/")
            if agent not in agents:
                yield _missed(settings, f"roots:{text}", f"[[roots]] names the agent {agent}, which no adapter reads")
            elif not path.exists():
                yield _missed(settings, f"roots:{text}", f"[[roots]] names {path} for {agent}, and it is not there")
            elif not self._holds_logs(settings, path):
                message = f"[[roots]] names {path}, and nothing in it is laid out like a log of {agent}"
                yield _missed(settings, f"roots:{text}", message)
        for text in (*self._limits.claims, *settings.claims):
            path = settings.home / text.removeprefix("~/")
            if not path.exists():
                yield _missed(settings, f"claims:{text}", f"{path} is named as a file of records, and it is not there")

    def _holds_logs(self, settings: Settings, path: Path) -> bool:
        """Say whether a sweep below a root finds a log; it ends with the first, and looks at no more than so much."""
        # As the limits were read: by now the file may say something else, or be broken.
        of_it = [place for place in roots(settings, self._limits) if place.path == str(path)]
        seen = islice(sweep(of_it, settings.zone), LOOKED_MAX)
        return any(isinstance(each, Found) for each in seen)


def _of_gptme(settings: Settings) -> Iterator[Finding]:
    written, read, name = (_stated(settings, each) for each in ("GPTME_LOGS_HOME", "GPTME_LOGS_DIR", "GPTME_NAME"))
    store = settings.home / (_stated(settings, "XDG_DATA_HOME") or ".local/share") / "gptme" / "logs"
    writes_to = settings.home / written if written else store
    if read and settings.home / read != writes_to:
        yield _missed(
            settings,
            "GPTME_LOGS_DIR",
            f"GPTME_LOGS_DIR names {settings.home / read}, and gptme, which does not look at it, writes to {writes_to}",
        )
    for variable, value in (("GPTME_LOGS_HOME", written), ("GPTME_LOGS_DIR", read)):
        yield from _absent(settings, variable, settings.home / value if value else None)
    if name and not (writes_to / name).is_dir():
        yield _missed(
            settings, "GPTME_NAME", f"GPTME_NAME names {name}, and {writes_to} has no conversation of this name"
        )


def _of_others(settings: Settings) -> Iterator[Finding]:
    claude = (part.strip() for part in _stated(settings, "CLAUDE_CONFIG_DIR").split(","))
    for part in claude:
        yield from _absent(settings, "CLAUDE_CONFIG_DIR", settings.home / part.removeprefix("~/") if part else None)
    codex = _stated(settings, "CODEX_HOME")
    yield from _absent(settings, "CODEX_HOME", settings.home / codex if codex else None)
    database = _stated(settings, "OPENCODE_DB")
    data = settings.home / (_stated(settings, "XDG_DATA_HOME") or ".local/share") / "opencode"
    yield from _absent(settings, "OPENCODE_DB", data / database if database and database != ":memory:" else None)


def _stated(settings: Settings, variable: str) -> str:
    """Return what the environment says; blank is unset, as agents take it."""
    return settings.agent_environment.get(variable, "").strip()


def _absent(settings: Settings, variable: str, path: Path | None) -> Iterator[Finding]:
    if path is not None and not path.exists():
        yield _missed(settings, f"{variable}:{path}", f"{variable} names {path}, and it is not there")


def _missed(settings: Settings, source: str, message: str) -> Finding:
    return Finding("name_contract", source, None, message, typed(settings, "adapters", "list"))
