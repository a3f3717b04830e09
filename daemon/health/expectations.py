"""Logs that a harness expected under an exact name and that were not there, as `tallystick expect` left it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import duckdb

from daemon.health.finding import Finding
from daemon.health.messages import NewMessages
from daemon.health.typed import typed
from daemon.settings import Settings

#: A miss is told for so long: a name that is made anew for every session can never be met later.
TOLD_FOR: Final = timedelta(days=1)


@dataclass(slots=True)
class Expectations:
    """Judges the newest statement about each name; a name that is met later is wrong no more."""

    settings: Settings
    _messages: NewMessages = field(default_factory=lambda: NewMessages("expectation"))
    _newest: dict[tuple[str, str], tuple[int, datetime, bool]] = field(default_factory=dict)

    def __call__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterable[Finding]:
        """Return the names that missed."""
        for at, revision, body in self._messages.of(connection):
            key = body["agent"], body["name"]
            if key not in self._newest or self._newest[key][0] <= revision:
                self._newest[key] = revision, at, body["is_found"]
        self._newest = {key: each for key, each in self._newest.items() if now - each[1] < TOLD_FOR}
        for (agent, name), (_, at, is_found) in self._newest.items():
            if not is_found:
                yield Finding(
                    "name_contract",
                    f"{agent}:{name}",
                    at.isoformat(timespec="seconds"),
                    f"a harness expected a log of {agent} called {name}, and it was not there",
                    typed(self.settings, "expect", name, "--agent", agent),
                )
