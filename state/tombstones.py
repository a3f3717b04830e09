"""What stands in the log in place of segments that were retired."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from state.errors import LogBroken
from state.files import as_known
from state.segment import ENDING, ENDING_BYTES, NO_CHAIN, Count, Damage, Position, chained
from state.vocabulary import COST, STATED_TOTAL, TOKEN_CLASSES, TOKEN_TOTALS

_NAME: Final = re.compile(r"(\d{20})-(\d{20})\.tombstone\.json")

#: What a total states, each by itself.
RETIRED_CLASSES: Final = (*TOKEN_CLASSES, *TOKEN_TOTALS, STATED_TOTAL, COST)

_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """
    Measured usage of one agent, day (UTC) and model, as it was believed when its evidence was retired.

    ``tokens`` by `RETIRED_CLASSES`; one is null when no call stated it. ``day`` is null for calls whose time could not
    be trusted; ``agent`` where a report named none. Beside them stands what they cost, in micro-dollars.
    """

    agent: str | None
    day: date | None
    model: str | None
    calls: Count
    incomplete_calls: Count
    tokens: dict[str, Count | None]


class Tombstone(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="tombstone"):
    """
    What was retired at once: events ``first_seq`` to ``last_seq``, in ``segments`` files with ``content_bytes``.

    ``events`` counts those that could still be read. ``chain`` is the hash that the last of the segments ended with,
    and that the first one left states as its ``prev``. ``kept`` are lines of events that stay: they say something of
    what is left, such as whose it is. ``prev`` is the hash of the tombstone before this one, ``t`` the time in UTC,
    ``h`` the hash of ``prev`` and of this tombstone up to here.
    """

    fmt: Literal[1] = 1
    log: str
    first_seq: Count
    last_seq: Count
    segments: Count
    events: Count
    content_bytes: Count
    chain: _Hash
    prev: _Hash
    t: str
    totals: tuple[Total, ...]
    kept: tuple[str, ...] = ()
    h: str = ""

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.first_seq:020d}-{self.last_seq:020d}.tombstone.json"


def sealed_tombstone(tombstone: Tombstone) -> bytes:
    """
    Return the content of a tombstone's file, with its hash.
    """
    covered = msgspec.json.encode(tombstone).removesuffix(b'"}')
    return covered + chained(tombstone.prev, covered).encode("ascii") + ENDING


def is_tombstone(name: str) -> bool:
    """
    Say whether a file of the log is one, by its name.
    """
    return bool(_NAME.fullmatch(name))


def begin(log_directory: Path, names: Sequence[str]) -> Position:
    """
    Say what the first segment has to follow: the beginning of all, or what the last tombstone stands for.

    A tombstone that is damaged stands for nothing: then the first segment follows nothing that we know, and the log
    is not served.
    """
    last = max(filter(is_tombstone, names), default=None)
    tombstone = _read(log_directory / last) if last else None
    return Position(0, tombstone.last_seq + 1, tombstone.chain) if tombstone else Position(0, 0, NO_CHAIN)


def is_retired(log_directory: Path) -> bool:
    """
    Say whether anything was retired from the log, be its tombstone damaged or not.
    """
    return bool(_paths(log_directory))


def last_tombstone(log_directory: Path) -> Tombstone | None:
    """
    Read the newest tombstone only; None when nothing was retired.

    Raises:
        LogBroken: It is damaged.
        StateUnusable, LogIoError: It cannot be read.
    """
    path = max(_paths(log_directory), default=None)
    tombstone = _read(path) if path else None
    if path and tombstone is None:
        raise LogBroken(path=path, reason="tombstone")
    return tombstone


def tombstones(log_directory: Path) -> list[Tombstone]:
    """
    Read all tombstones, in order.

    Raises:
        LogBroken: One is damaged or missing, so the totals that were retired are not known.
        StateUnusable, LogIoError: One cannot be read.
    """
    found = []
    for path, tombstone in _proven(log_directory):
        if tombstone is None:
            raise LogBroken(path=path, reason="tombstone")
        found.append(tombstone)
    return found


def damaged_tombstones(log_directory: Path) -> list[Damage]:
    """
    Tell which tombstones are damaged, or follow one that is missing.
    """
    bases = [int(path.name[:20]) for path, tombstone in _proven(log_directory) if tombstone is None]
    return [Damage(base, 0, 0, None, None, "tombstone") for base in bases]


def _proven(log_directory: Path) -> Iterator[tuple[Path, Tombstone | None]]:
    """
    Read each tombstone; None for one that is not what was written, or does not follow the one before it.
    """
    next_seq: int | None = 0
    chain: str | None = NO_CHAIN
    for path in sorted(_paths(log_directory)):
        tombstone = _read(path)
        if tombstone is None:
            next_seq = chain = None  # the next one follows something that we cannot compare it with
            yield path, None
            continue
        is_next = next_seq in {None, tombstone.first_seq} and chain in {None, tombstone.prev}
        yield path, tombstone if is_next else None
        next_seq, chain = tombstone.last_seq + 1, tombstone.h


def _paths(log_directory: Path) -> list[Path]:
    with as_known(log_directory):
        return [path for path in log_directory.glob("*.tombstone.json") if is_tombstone(path.name)]


def _read(path: Path) -> Tombstone | None:
    """
    Read one tombstone; None when it is not what was written.
    """
    with as_known(path):
        content = path.read_bytes()
    try:
        tombstone = msgspec.json.decode(content, type=Tombstone)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    ending = chained(tombstone.prev, content[:-ENDING_BYTES]).encode("ascii") + ENDING
    return tombstone if content.endswith(ending) and path.name == tombstone.name else None
