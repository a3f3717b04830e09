"""
The log in two parts: what the published tables hold of it, if they can be believed, and the event lines that are newer.

Nothing here needs the log's lock. Tables that are not of this log, or of before a damage to it, are not believed.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import msgspec

from projections.read import NothingPublished, Tables, TablesUnusable
from state.head import Mark
from state.paths import StatePaths
from state.read import event_lines, holds, slices
from state.upcast import upcast_line

_RECOVERY: Final = b'"k":"recovery"'


class _Kind(msgspec.Struct):
    k: str


_kind = msgspec.json.Decoder(_Kind).decode


@contextmanager
def logged(paths: StatePaths, mark: bytes) -> Iterator[tuple[Tables | None, list[bytes]]]:
    """
    Give the published tables, null when they cannot be believed, and the newer event lines that contain *mark*.

    *mark* is the beginning of a name and its value. Quotes inside a string are escaped, so no value can look like it;
    but a line that has it inside its body is given too.

    Raises:
        LogBroken, StateUnusable, LogIoError: The log cannot be read.
    """
    with ExitStack() as held:
        tables = held.enter_context(trusted(paths))
        newer = _lines(paths, (mark, _RECOVERY), tables.head().mark if tables is not None else None)
        if tables is not None and any(_kind(line).k == "recovery" for line in newer if _RECOVERY in line):
            # The log lost events since these tables were made: they may hold what the log does not.
            tables, newer = None, _lines(paths, (mark, _RECOVERY), None)
        yield tables, [line for line in newer if mark in line]


@contextmanager
def trusted(paths: StatePaths) -> Iterator[Tables | None]:
    """
    Give the published tables; null where there are none, or they are not of this log.

    Raises:
        LogBroken, StateUnusable: The log cannot be read.
    """
    with ExitStack() as held:
        try:
            tables = held.enter_context(Tables(paths.published))
        except (NothingPublished, TablesUnusable):
            yield None
            return
        mark = tables.head().mark
        yield tables if mark is not None and holds(paths.log_directory, mark) else None


def _lines(paths: StatePaths, marks: Sequence[bytes], after: Mark | None) -> list[bytes]:
    return [
        upcast_line(line)
        for part in slices(paths.log_directory, after.seq if after else -1, after)
        for line in event_lines(part)
        if any(mark in line for mark in marks)
    ]
