"""
Whether the hooks that should run do: what the agents' settings say of them, and when they ran last.

A hook is expected where the operator says so, or once it has run. A hook is no source of tokens; it tells what work is
for. When it is silent, tasks come to estimates, and nobody would know why.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb

from daemon.health.finding import Finding
from daemon.health.limits import Limits
from daemon.health.messages import NewMessages
from daemon.health.typed import typed
from daemon.hooks.agents import AGENTS
from daemon.hooks.installed import State, installed
from daemon.settings import Settings

_WRONG: Final[dict[State, str]] = {
    "missing": "do not name it",
    "incomplete": "name it for some of its events only",
    "command_gone": "name a command that is not there or cannot be run",
    "disabled": "switch every hook off (disableAllHooks)",
    "unreadable": "cannot be read",
}


@dataclass(slots=True)
class Hooks:
    """Judges each hook that is expected; looks at new rows and at one small file per hook."""

    settings: Settings
    limits: Limits
    _messages: NewMessages = field(default_factory=lambda: NewMessages("hook_run"))
    _ran_at: dict[str, datetime] = field(default_factory=dict)

    def __call__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterable[Finding]:
        """Return the hooks that are not in place, and those that are silent while their agent works."""
        for at, _, body in self._messages.of(connection):
            # A run that understood nothing is none: a key that has another name must not look like a hook that works.
            if body["hook"] in AGENTS and body["outcome"] != "failed" and body.get("event") != "unknown":
                self._ran_at[body["hook"]] = max(at, self._ran_at.get(body["hook"], at))
        expected = [hook for hook in AGENTS if hook in self.limits.expected_hooks or hook in self._ran_at]
        if expected:
            measured_at = self._measured_at(connection, now)
            for hook in expected:
                yield from self._missing(hook)
                yield from self._stopped(hook, measured_at.get(AGENTS[hook]))

    def _measured_at(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> dict[str, datetime]:
        """Return when each agent's newest call of the last window was; what is read late is no work of now."""
        since = now - timedelta(seconds=self.limits.reporting_window_seconds)
        query = (
            "SELECT agent, max(source_created_at) FROM events WHERE ingested_at >= ? AND source_created_at >= ? "
            "AND source_created_at <= ? AND kind = 'usage' GROUP BY agent"
        )
        bounds = [each.astimezone(UTC).replace(tzinfo=None) for each in (since, since, now)]
        return {agent: at.replace(tzinfo=UTC) for agent, at in connection.execute(query, bounds).fetchall()}

    def _missing(self, hook: str) -> Iterator[Finding]:
        found = installed(self.settings, hook)
        if found.state != "installed":
            message = f"the settings of {AGENTS[hook]} ({found.path}) {_WRONG[found.state]}: its tasks go unreported"
            yield Finding(
                "hook_missing",
                hook,
                _text(self._ran_at.get(hook)),
                message,
                typed(self.settings, "hook", "install", hook),
            )

    def _stopped(self, hook: str, measured_at: datetime | None) -> Iterator[Finding]:
        ran_at = self._ran_at.get(hook)
        window = timedelta(seconds=self.limits.reporting_window_seconds)
        if measured_at is None or (ran_at is not None and measured_at - ran_at <= window):
            return
        agent = AGENTS[hook]
        silence = "has never run" if ran_at is None else f"ran last {_minutes(measured_at - ran_at)} before"
        message = f"{agent} works, and its hook {silence}"
        yield Finding("hook_stopped", hook, _text(ran_at), message, typed(self.settings, "hook", "status", hook))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _minutes(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
