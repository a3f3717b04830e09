"""
What the log says of checkouts, as the published tables have it; and the directories that its events name.

Nothing here needs the log's lock, and nothing is certain: tables lag behind, and a checkout that is recorded twice does
no harm. Tables that are not of this log are not believed at all.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

import duckdb
from pydantic import ValidationError

from daemon.identity import real_path
from daemon.logged import trusted
from state.evidence import CheckoutFacts
from state.paths import StatePaths

_FACTS: Final = """
SELECT arg_max(body, seq) AS body
FROM events
WHERE kind = 'checkout'
GROUP BY body ->> '$.cwd'
ORDER BY max(seq) DESC
LIMIT 5000
"""
_COMMITS: Final = """
SELECT
    body ->> '$.top_path' AS top_path,
    body ->> '$.commit' AS commit
FROM events
WHERE kind = 'git_commit'
ORDER BY seq DESC
LIMIT 20000
"""
_DIRECTORIES: Final = """
WITH named AS (
    SELECT
        seq,
        ingested_at,
        cwd
    FROM events
    WHERE starts_with(cwd, '/')
    UNION ALL
    SELECT
        seq,
        ingested_at,
        body ->> '$.cwd' AS cwd
    FROM events
    WHERE kind = 'token_event' AND starts_with(body ->> '$.cwd', '/')
)
SELECT
    cwd,
    max(ingested_at) AS seen_at
FROM named
GROUP BY cwd
ORDER BY max(seq) DESC
LIMIT 5000
"""


#: Fields of a checkout that are directories; they are looked at again.
_PLACES: Final = frozenset({"cwd", "top_path", "main_path", "git_path"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    What was recorded: the last facts of each directory, commits with their working trees, the oldest first.

    ``seen_at``: when a line with it was last read, UTC, by directory; the latest first.
    """

    facts: tuple[CheckoutFacts, ...] = ()
    commits: tuple[tuple[str, str], ...] = ()
    seen_at: dict[str, datetime] | None = None

    @property
    def unseen(self) -> list[str]:
        """Directories of which nothing was ever recorded, the latest first."""
        known = {facts.cwd for facts in self.facts}
        return [cwd for cwd in self.seen_at or {} if cwd not in known]

    @property
    def present(self) -> list[str]:
        """Directories that were there when they were last looked at."""
        return [facts.cwd for facts in self.facts if facts.state != "gone"]


def recorded(paths: StatePaths) -> Recorded | None:
    """
    Return what the published tables say; ``None`` where there are none, or they are not of this log.

    Raises:
        LogBroken, StateUnusable: The log cannot be read.
    """
    try:
        with trusted(paths) as tables:
            if tables is None:
                return None
            facts = [_facts(row["body"]) for row in tables.rows(_FACTS)]
            place = cache(real_path)  # of thousands of rows, a few hundred directories
            commits = [(place(row["top_path"]), row["commit"]) for row in tables.rows(_COMMITS)]
            seen_at = {place(row["cwd"]): row["seen_at"] for row in tables.rows(_DIRECTORIES)}
    except duckdb.Error:
        return None
    return Recorded(tuple(each for each in facts if each is not None), tuple(reversed(commits)), seen_at)


def _facts(body: str) -> CheckoutFacts | None:
    """Return stored facts; ``None`` for those of another version, which are recorded anew."""
    try:
        stored = json.loads(body)
        return CheckoutFacts.model_validate(
            stored | {name: real_path(stored[name]) for name in _PLACES & stored.keys()}
        )
    except (ValueError, ValidationError):
        return None
