"""
What the daemon's last heartbeat says, whatever stands in the file.

A field that is missing or of another type is remembered and read as null: what cannot be judged must not look well.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

#: Name and version of what `health.json` holds.
SCHEMA: Final = "tallystick.heartbeat/1"
#: A heartbeat is a few kilobytes; a file of more bytes than these is none.
_BYTES_MAX: Final = 4 * 1024 * 1024
#: No count, size or age of ours is greater.
_NUMBER_MAX: Final = 10**15
_PATH_CHARACTERS_MAX: Final = 4096
#: What `word` takes; everything of ours that is no sentence, path or number fits.
_WORD_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@-")
_WORD_CHARACTERS_MAX: Final = 128


class Said:
    """A heartbeat, asked field by field."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        #: Fields that were asked for and are missing, or are not what they should be.
        self.unusable: set[str] = set()

    def number(self, *path: str) -> float | None:
        """Return a number; null where the daemon said null."""
        found: float | None = self._checked(path, _is_number)
        return found

    def word(self, *path: str) -> str | None:
        """Return a word of ours; null where the daemon said null."""
        found: str | None = self._checked(path, is_word)
        return found

    def flag(self, *path: str) -> bool | None:
        """Return yes or no; null where the daemon said null."""
        found: bool | None = self._checked(path, lambda value: isinstance(value, bool))
        return found

    def path(self, *path: str) -> str | None:
        """Return a stored path; null where the daemon said null."""
        found: str | None = self._checked(path, _is_path)
        return found

    def list(self, *path: str) -> list[Any] | None:
        """Return a list of anything; null where the daemon said null."""
        found: list[Any] | None = self._checked(path, lambda value: isinstance(value, list))
        return found

    def words(self, *path: str) -> tuple[str, ...]:
        """Return a list of words of ours."""
        return tuple(self._checked(path, lambda value: isinstance(value, list) and all(map(is_word, value))) or ())

    def names(self, *path: str) -> tuple[str, ...]:
        """Return the names below a field, in order: of agents or of threads."""
        return tuple(
            sorted(self._checked(path, lambda value: isinstance(value, dict) and all(map(is_word, value))) or ())
        )

    def time(self, *path: str) -> datetime | None:
        """Return a time in UTC; null where the daemon said null."""
        found = self._checked(path, _is_time)
        return None if found is None else datetime.fromisoformat(found).astimezone(UTC)

    def has(self, name: str) -> bool:
        """Say whether the daemon says anything under *name*."""
        return name in self.fields

    def _checked(self, path: tuple[str, ...], is_so: Callable[[Any], bool]) -> Any:  # noqa: ANN401 - what is_so says
        """Return what stands at *path* if it is null or as it should be; else null, and remember the place."""
        found: Any = self.fields
        for name in path:
            if not isinstance(found, dict) or name not in found:
                self.unusable.add(".".join(path))
                return None
            found = found[name]
        if found is None or is_so(found):
            return found
        self.unusable.add(".".join(path))
        return None


def _is_number(found: object) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return abs(found) <= _NUMBER_MAX  # NaN is not, either


def _is_path(found: object) -> bool:
    return isinstance(found, str) and found.isprintable() and len(found) <= _PATH_CHARACTERS_MAX


def _is_time(found: object) -> bool:
    try:
        return isinstance(found, str) and bool(datetime.fromisoformat(found).astimezone(UTC))
    except (ValueError, OverflowError):
        return False


def is_word(found: object) -> bool:
    """Say whether *found* is a word that may be shown wherever a sentence may."""
    return isinstance(found, str) and 0 < len(found) <= _WORD_CHARACTERS_MAX and _WORD_CHARACTERS.issuperset(found)


class Heard(NamedTuple):
    """
    A heartbeat, or why there is none that can be used.

    ``problem`` is null beside a heartbeat; else `missing`, `empty`, `too_long`, `no_json`, `other_schema`,
    `not_regular` or the system's name of the error.
    """

    said: Said
    problem: str | None = None


def hear(path: Path) -> Heard:
    """Read the last heartbeat."""
    try:
        content = _content(path)
    except FileNotFoundError:
        return _without("missing")
    except OSError as error:
        return _without(errno.errorcode.get(error.errno or 0, "unknown"))
    if content is None:
        return _without("not_regular")
    return heard(content)


def heard(content: bytes) -> Heard:
    """Return what *content* says, whatever it is."""
    if not content.strip():
        return _without("empty")
    if len(content) > _BYTES_MAX:
        return _without("too_long")
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return _without("no_json")
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        return _without("other_schema")
    return Heard(Said(said))


def _without(problem: str) -> Heard:
    return Heard(Said({}), problem)


def _content(path: Path) -> bytes | None:
    """Return what the file holds, or its beginning where it is too long; ``None`` for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # nobody answers a pipe
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_BYTES_MAX + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
