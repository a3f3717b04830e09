"""
Under which key a statement is known when its producer gives none: what it is about, made into one id.

Whoever writes the same statement, by HTTP, from the command line or as a file, comes to the same key.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from daemon.provenance import utc_text
from state.vocabulary import ID

#: What a declaration is about; how much of it, and whether it is taken back, is what it says.
_TARGET: Final = ("session_id", "source_id", "agent", "since", "until", "task_id", "workstream_id")
_TIMES: Final = frozenset({"since", "until"})
#: What a registration says; they add up, so that another statement is another registration.
_REGISTERED: Final = ("repo", "root_commits", "remotes", "paths", "aliases")


def token_key(provider: str | None, source_id: str) -> str:
    """Return the key of a report of tokens: its provider's name of what it reports."""
    plain = f"token:{provider or ''}:{source_id}"
    # "a" + "b:c" and "a:b" + "c" would meet.
    is_clear = ID.fullmatch(plain) and ":" not in (provider or "")
    return plain if is_clear else f"token:{_digest([provider, source_id])}"


def task_key(task_id: str) -> str:
    """Return the key of the reports about a task that are ordered by revisions."""
    plain = f"task:{task_id}"
    return plain if ID.fullmatch(plain) else f"task:{_digest([task_id])}"


def allocation_key(body: Mapping[str, Any]) -> str:
    """Return the key of a declaration: which tokens it is about and whose they are, but not how many."""
    return f"allocation:{_digest([_in_utc(body.get(name)) if name in _TIMES else body.get(name) for name in _TARGET])}"


def registration_key(body: Mapping[str, Any]) -> str:
    """Return the key of a registration: everything it says but whether it is taken back."""
    return f"repo:{_digest([_unordered(body.get(name)) for name in _REGISTERED])}"


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


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode("ascii")).hexdigest()[:32]
