"""
How an adapter turns untrusted JSON values into bounded, patterned ones.

Nothing here puts a value into an exception: decoders of other people quote what they could not read.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from state.vocabulary import BRANCH, ID, MODEL, PATH, TOKENS_MAX, VERSION

#: A time as the log writes it and the tables read it; Python reads many more spellings (weeks, commas, any separator).
_CANONICAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")

#: No system opens a longer path, in bytes; escaped, each of them may take three in the log.
_PATH_BYTES_MAX = 4_096
#: No address of a remote is longer; without a bound one line with a megabyte of it stopped every pass.
_ADDRESS_CHARS_MAX = 1_024

#: Greatest number of a line; what is beyond it does not fit into a column, and one such line would stop every refresh.
_ORDINAL_MAX = 2**63 - 1


class OutOfRange(ValueError):
    """A number of tokens is negative or beyond what any call can use."""


def tokens(value: int | None) -> int | None:
    """Return *value* if it is a possible number of tokens; ``None`` stays ``None``."""
    if value is None:
        return None
    if not 0 <= value <= TOKENS_MAX:
        raise OutOfRange
    return value


def ordinal(value: int | None) -> int | None:
    """Return *value* if it can be the number of a line, else ``None``."""
    return value if value is not None and 0 <= value <= _ORDINAL_MAX else None


def bounded(stated: Mapping[str, int | None]) -> dict[str, int]:
    """Return what is stated of *stated*; raises `OutOfRange` when one of it is no possible number of tokens."""
    raw = {name: value for name, value in stated.items() if value is not None}
    if raw and not (min(raw.values()) >= 0 and max(raw.values()) <= TOKENS_MAX):
        raise OutOfRange
    return raw


def digest(text: str) -> str:
    """Return the 128-bit hash, in hex, that stands for a string which may not be stored."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _patterned(pattern: re.Pattern[str], text: str | None) -> str | None:
    if not text:
        return None
    return text if pattern.fullmatch(text) else f"hash:{digest(text)}"


def identity(text: str | None) -> str | None:
    """Return an id as it stands when it looks like one, else its hash; empty is ``None``."""
    return _patterned(ID, text)


@lru_cache(maxsize=4096)
def context_id(text: str | None) -> str | None:
    """`identity` for ids that repeat from line to line."""
    return _patterned(ID, text)


@lru_cache(maxsize=1024)
def model_name(text: str | None) -> str | None:
    """Return a model's name when it looks like one, else its hash; an address may hold a password."""
    return f"hash:{digest(text)}" if text and "://" in text else _patterned(MODEL, text)


@lru_cache(maxsize=1024)
def version_name(text: str | None) -> str | None:
    """Return an agent's version when it looks like one, else its hash."""
    return _patterned(VERSION, text)


@lru_cache(maxsize=4096)
def branch_name(text: str | None) -> str | None:
    """Return a branch's name when it looks like one, else its hash."""
    return _patterned(BRANCH, text)


@lru_cache(maxsize=4096)
def directory(text: str | None) -> str | None:
    """Return an absolute path when it looks like one, and not longer than a path can be, else its hash."""
    if not text:
        return None
    return text if PATH.fullmatch(text) and _is_short(text) else f"hash:{digest(text)}"


def _is_short(path: str) -> bool:
    try:
        return len(path.encode()) <= _PATH_BYTES_MAX
    except UnicodeEncodeError:  # half a character: no text at all
        return False


_PLACE = r"(?:[^@/\s]*@)?([A-Za-z0-9][A-Za-z0-9.-]+)(?::\d+)?[:/]+([A-Za-z0-9._/~+-]+?)(?i:\.git)?/?"
#: An address with a scheme that git takes, and one without: `host:path`, or what has been named before.
_ADDRESS = re.compile(rf"(?:https?|ssh|git)://{_PLACE}")
_SHORT = re.compile(_PLACE)
_HASHED = re.compile(r"hash:[0-9a-f]{32}")


@lru_cache(maxsize=1024)
def remote_name(text: str | None) -> str | None:
    """Return ``host/path`` of a git remote; user, password and token never pass. Anything else becomes a hash."""
    if not text or _HASHED.fullmatch(text):
        return text or None
    pattern = _ADDRESS if "://" in text else _SHORT
    match = pattern.fullmatch(text) if len(text) <= _ADDRESS_CHARS_MAX else None
    return f"{match[1].lower()}/{match[2]}" if match else f"hash:{digest(text)}"


def utc_time(text: str | None) -> str | None:
    """Return an aware ISO time in UTC; ``None`` when it is missing, has no zone, or is no time."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return None
        return text if _CANONICAL.fullmatch(text) else _canonical(moment)
    except (ValueError, OverflowError):
        return None


def local_time(text: str | None, zone: str) -> str | None:
    """Return a local ISO time of *zone* as UTC; a time that carries its own zone keeps it."""
    if not text:
        return None
    from zoneinfo import ZoneInfo  # for the agents that write local times: a hook pays for nothing it does not need

    try:
        moment = datetime.fromisoformat(text)
        return _canonical(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))
    except (ValueError, OverflowError):
        return None


def _canonical(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def usd_micros(value: float | None) -> int | None:
    """Return a stated cost in whole micro-dollars; ``None`` when it is missing or no possible cost."""
    if value is None or not 0 <= value < 1e9:  # NaN fails both comparisons
        return None
    return round(value * 1_000_000)


def log_stem(name: str) -> str | None:
    """Return a log file's name without ``.jsonl`` or ``.jsonl.zst``; ``None`` when it is no such file."""
    for ending in (".jsonl", ".jsonl.zst"):
        if name.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return None
