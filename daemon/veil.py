"""
Names of directories, files and branches as keyed hashes: what the log may not say in plain, by the operator's setting.

Each part of a path is hashed by itself, so that what lies below what is still seen, and every figure is the same. Words
that agents and tools use everywhere stay: nobody's client is called `projects`. Who has the key and may list the
directories finds a path again; who has the log alone does not.
"""

import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from state.errors import StateUnusable, TallystickError
from state.files import as_known, sync_directory, write_aside
from state.paths import StatePaths
from state.vocabulary import BRANCH

#: Bytes of a key.
KEY_BYTES: Final = 32

#: Parts of a path that stay as they are: they say whose logs these are, and nothing of whom they are about.
KEPT: Final = frozenset(
    {
        "", ".", "..", "~", "home", "root", "Users", "mnt", "srv", "tmp", "var", "opt",
        ".claude", ".codex", ".config", ".local", ".git", "share", "state", "claude", "gptme", "opencode",
        "projects", "sessions", "archived_sessions", "subagents", "workflows", "logs", "branches", "views", "storage",
        "message", "conversation.jsonl", "lossless.jsonl", "history.jsonl", "session-records.jsonl",
    }
)  # fmt: skip

#: What files are called behind their stem; what they are is decided by it.
_SUFFIX: Final = re.compile(r"(?:\.jsonl\.zst|\.jsonl|\.json|\.db)$")
#: A directory of an evaluation is told from others by this much of its name (`findings`, rule `eval_trajectory`).
_EVALUATION: Final = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}-)?gptme-evals-")
_HASHED: Final = re.compile(rf"(?:gptme-evals-)?h[0-9a-f]{{24}}(?:{_SUFFIX.pattern[3:-2]})?")
_HASHED_BRANCH: Final = re.compile(r"h[0-9a-f]{24}/.+")

#: Fields that hold a path, several paths, or a branch, wherever they stand in an event.
PATHS: Final = frozenset(
    {
        "source_path", "source_uri", "previous_path", "cwd", "top_path", "main_path", "git_path", "path", "real_path",
        "trajectory_path", "claimed_path", "claim_source",
    }
)  # fmt: skip
PATH_LISTS: Final = frozenset({"paths", "sources"})
BRANCHES: Final = frozenset({"git_branch"})


class NamesArePlain(TallystickError):
    """
    Names are to be hashed; this log has plain ones or lost its key: restore `log/names.key`, or begin a new log.
    """

    exit_code = 2


class NamesAreHashed(TallystickError):
    """
    Names in this log are hashed: write `names = "hashed"` below `[privacy]`, or begin a new log with `--state-dir`.
    """

    exit_code = 2


class Veil:
    """
    Hashes names by one key; what is hashed already stays as it is.

    *patterns* find tasks in branches: what they find is kept beside the hash, as the log names that task anyway.
    """

    def __init__(self, key: bytes, patterns: Sequence[str] = ()) -> None:
        self._key = key
        self._patterns = [found for each in patterns if (found := _compiled(each)) is not None]
        self._part = lru_cache(maxsize=65_536)(self._hashed_part)

    def path(self, text: str) -> str:
        """Return a path, or a URI of one, as it may be stored; what is neither stays."""
        if text.startswith("file://"):
            text = os.fsdecode(unquote_to_bytes(text[len("file://") :]))
        if text.startswith(("/", "~/")):
            return "/".join(map(self._part, text.split("/")))
        if re.match(r"[A-Za-z]:[\\/]|\\\\", text):
            return "".join(part if part in "\\/" else self._part(part) for part in re.split(r"([\\/])", text))
        return text

    def name(self, text: str) -> str:
        """Return the logical name of a source, a path that begins nowhere, as it may be stored."""
        return "/".join(map(self._part, text.split("/")))

    def branch(self, text: str) -> str:
        """Return a branch as it may be stored: a hash, and the task that its name has."""
        if _HASHED_BRANCH.fullmatch(text):
            return text
        digest = self._digest("branch", text)
        found = [match[1] for each in self._patterns if (match := each.search(text)) and match[1]]
        shown = "/".join([f"h{digest[:24]}", *found])
        again = [match[1] for each in self._patterns if (match := each.search(shown)) and match[1]]
        return shown if found and again == found and BRANCH.fullmatch(shown) else f"hash:{digest[:32]}"

    def real(self, stored: str) -> str:
        """
        Return the path that is stored as *stored*, as far as it is still there: directories are listed to find it.

        From the first part that is not found on it stays hashed: a path that does not exist.
        """
        if not stored.startswith("/"):
            return stored
        place, parts = "/", stored.split("/")[1:]
        for number, part in enumerate(parts):
            name = self._found(place, part)
            if name is None:
                return os.path.join(place, *parts[number:])  # noqa: PTH118 - bytes that are no text stay as they are
            place = os.path.join(place, name)  # noqa: PTH118 - the same
        return place

    def event(self, event: bytes) -> bytes:
        """Return an event with every path and branch in it as it may be stored."""
        return json.dumps(self._veiled(json.loads(event)), separators=(",", ":")).encode("ascii")

    def _veiled(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._field(name, value) for name, value in stated.items())

    def _field(self, name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            return name, self._veiled(value)
        if isinstance(value, str):
            if name in PATHS:
                return ("source_path" if name == "source_uri" else name), self.path(value)
            return name, self.branch(value) if name in BRANCHES else value
        if isinstance(value, list) and name in PATH_LISTS:
            return name, [self.path(each) for each in value]
        return name, value

    def _hashed_part(self, part: str) -> str:
        if part in KEPT or _HASHED.fullmatch(part):
            return part
        suffix = _SUFFIX.search(part)
        mark = "gptme-evals-" if _EVALUATION.match(part) else ""
        return f"{mark}h{self._digest('path', part)[:24]}{suffix[0] if suffix else ''}"

    def _digest(self, of: str, text: str) -> str:
        return hmac.digest(self._key, f"{of}:".encode() + text.encode("utf-8", "surrogateescape"), "sha256").hex()

    def _found(self, directory: str, part: str) -> str | None:
        """Return which entry of a directory is stored as *part*."""
        if not _HASHED.fullmatch(part):
            return part
        with suppress(OSError):
            return next((name for name in os.listdir(directory) if self._part(name) == part), None)  # noqa: PTH208 - names
        return None


def key_path(paths: StatePaths) -> Path:
    """Return where the key of a log is: beside its segments, so that whoever copies the log has it too."""
    return paths.log_directory / "names.key"


def veil_of(paths: StatePaths, patterns: Sequence[str] = ()) -> Veil | None:
    """
    Return what veils the names of a log; ``None`` where they are plain.

    Raises:
        StateUnusable: There is a key, and it cannot be read or is none.
    """
    file = key_path(paths)
    if not file.exists():
        return None
    with as_known(file):
        key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise StateUnusable(path=file, reason="no_key")
    return Veil(key, patterns)


def veil_for(paths: StatePaths, patterns: Sequence[str], *, is_wanted: bool) -> Veil | None:
    """
    Return the same for who writes the log, with a key made when a new log is to have one.

    Raises:
        NamesArePlain: Names are to be hashed, in a log without a key that has evidence.
        NamesAreHashed: Names are to be plain, in a log that has a key.
        StateUnusable: The key cannot be read or written.
    """
    known = veil_of(paths, patterns)
    if known is not None and not is_wanted:
        raise NamesAreHashed(path=paths.log_directory)
    if known is not None or not is_wanted:
        return known
    if any(paths.log_directory.iterdir()):
        raise NamesArePlain(path=paths.log_directory)
    _make_key(paths)
    return veil_of(paths, patterns)


def _make_key(paths: StatePaths) -> None:
    """Make the key appear whole and durably, once: of two who make one, the first has made it."""
    target, temporary = key_path(paths), paths.temporary / f"names-{secrets.token_hex(8)}"
    with as_known(target):
        write_aside(temporary, [secrets.token_bytes(KEY_BYTES)])
        with suppress(FileExistsError):
            target.hardlink_to(temporary)
        temporary.unlink()
    sync_directory(target.parent)


def _compiled(pattern: str) -> "re.Pattern[str] | None":
    """Return a pattern of the tables as one of ours; ``None`` for one that is not the same here: its tasks are lost."""
    try:
        return re.compile(pattern)
    except re.error:
        return None
