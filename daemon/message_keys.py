"""
Under which key a statement is known when its producer gives none: what it is about, made into one id.

Whoever writes the same statement, by HTTP, from the command line or as a file, comes to the same key.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from adapters.decode import digest
from daemon.provenance import utc_text
from state.vocabulary import ID

#: Which tokens a declaration is about; how many of them, and whether it is taken back, is what it says.
_MEANT: Final = ("session_id", "source_id", "agent", "since", "until")
_TIMES: Final = frozenset({"since", "until"})
#: What a registration says; they add up, so that another statement is another registration.
_REGISTERED: Final = ("repo", "root_commits", "remotes", "paths", "aliases")


def token_key(provider: str | None, source_id: str, *, is_measured: bool) -> str:
    """
    Return the key of a report of tokens: its provider's name of what it reports.

    What was only estimated has another: however great it is, it is no later state of what was measured.
    """
    kind = "token" if is_measured else "estimate"
    plain = f"{kind}:{provider or ''}:{source_id}"
    # "a" + "b:c" and "a:b" + "c" would meet.
    is_clear = ID.fullmatch(plain) and ":" not in (provider or "")
    return plain if is_clear else f"{kind}:{digest(json.dumps([provider, source_id]))}"


def task_key(task_id: str) -> str:
    """Return the key of the reports about a task that are ordered by revisions."""
    plain = f"task:{task_id}"
    return plain if ID.fullmatch(plain) else f"task:{digest(task_id)}"


def allocation_key(body: Mapping[str, Any]) -> str:
    """
    Return the key of a declaration: tokens and window meant, and to what they belong.

    Where there is a task its workstream is no part of the key: it is a fact about the task that may be put right.
    """
    belongs_to = "workstream_id" if body.get("task_id") is None else "task_id"
    about = {name: body[name] for name in (*_MEANT, belongs_to) if body.get(name) is not None}
    same = {name: _in_utc(value) if name in _TIMES else value for name, value in about.items()}
    return f"allocation:{digest(json.dumps(same, sort_keys=True))}"


def registration_key(body: Mapping[str, Any]) -> str:
    """Return the key of a registration: all that it registers, in whatever order."""
    about = {name: _unordered(body[name]) for name in _REGISTERED if body.get(name)}
    return f"repo:{digest(json.dumps(about, sort_keys=True))}"


def _unordered(value: Any) -> Any:  # noqa: ANN401 - decoded JSON
    """Return several names as one would compare them: neither their order nor a repetition says anything."""
    return sorted(set(map(str, value))) if isinstance(value, list | tuple) else value


def _in_utc(value: Any) -> Any:  # noqa: ANN401 - decoded JSON
    """Return a time as it is compared, whatever its zone; what is none is refused where it is checked."""
    try:
        moment = datetime.fromisoformat(value)
        return utc_text(moment.astimezone(UTC)) if moment.tzinfo is not None else value
    except (TypeError, ValueError, OverflowError):
        return value
