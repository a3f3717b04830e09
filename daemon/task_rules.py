"""
The rules by which branches and commits name tasks, from the configuration into the log.

They are evidence: what a branch was taken for can be asked of the log alone, on any host.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from daemon.logged import logged
from daemon.own_events import own_event
from daemon.settings import Settings
from state.cursors import Cursor
from state.evidence import RuleSet
from state.log import Log
from state.paths import StatePaths
from state.vocabulary import TASK_BRANCH_PATTERN, TASK_TRAILERS, WORKSTREAM_TRAILERS

#: What holds where neither a configuration nor the log says anything.
DEFAULTS: Final = RuleSet(
    branch_pattern=TASK_BRANCH_PATTERN,
    workstream_branch_pattern=None,
    task_trailers=TASK_TRAILERS,
    workstream_trailers=WORKSTREAM_TRAILERS,
)

_MARK: Final = b'"k":"rules"'
_ASKED: Final = "SELECT body FROM events WHERE kind = 'rules' ORDER BY seq DESC LIMIT 1"


class _Line(msgspec.Struct):
    k: str
    body: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Line).decode


def effective(settings: Settings) -> RuleSet:
    """
    Return the rules that hold from now on.

    Raises:
        ConfigUnusable: The configuration cannot be read, or a pattern in it cannot be run.
    """
    if not settings.config_file.exists():
        return DEFAULTS
    from daemon.config import read_config

    return read_config(settings.config_file).tasks.rules()


def branch_patterns(settings: Settings) -> tuple[str, ...]:
    """Return the patterns that find tasks and workstreams in branches; raises as `effective`."""
    rules = effective(settings)
    return tuple(each for each in (rules.branch_pattern, rules.workstream_branch_pattern) if each)


def record(log: Log[Cursor], settings: Settings, clock: Callable[[], datetime]) -> RuleSet:
    """
    Append the rules if the log's own are others, and return them; the caller holds the log.

    Without a configuration, and without rules in the log, nothing is appended: the defaults hold.

    Raises:
        ConfigUnusable: As `effective`; nothing was appended.
        LogBroken, StateUnusable, LogIoError, DiskFull: The log cannot be read or written.
    """
    rules = effective(settings)
    if _stated(rules) != (recorded(settings.state) or _stated(DEFAULTS)):
        log.append([own_event("rules", rules, clock())], {})
    return rules


def recorded(paths: StatePaths) -> dict[str, Any] | None:
    """Return the body of the last rules in the log; null when it has none."""
    with logged(paths, _MARK) as (tables, newer):
        bodies = [line.body for line in map(_decode, newer) if line.k == "rules" and line.body is not None]
        if not bodies and tables is not None:
            bodies = [json.loads(row["body"]) for row in tables.rows(_ASKED)]
    return bodies[-1] if bodies else None


def _stated(rules: RuleSet) -> dict[str, Any]:
    """Return *rules* as the log holds them: no null, lists for tuples."""
    return rules.model_dump(mode="json", exclude_none=True)
