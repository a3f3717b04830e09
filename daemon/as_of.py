"""
The log up to an earlier commit, by today's rules: what would be counted if nothing had come since.

What was believed then is another question: it stands in the beliefs (`tallystick restatements`).
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from daemon import show
from daemon.interrupts import Interrupts
from daemon.scratch import scratch
from daemon.settings import Settings
from daemon.window import BadTime, moment_of
from projections.build import Projection, ProjectionUnusable
from projections.read import NothingPublished, Tables
from projections.usage import ASKED
from state.errors import TallystickError
from state.head import Mark
from state.read import Point, last_commit
from state.tombstones import last_tombstone

_SEQ: Final = re.compile(r"#?(\d{1,18})")


class BadAsOf(TallystickError):
    """
    --as-of is the number of an event (48211), a day or time (2026-11-01, 2026-11-01T10:00), or a duration back (30d).
    """

    exit_code = 2


class NothingThen(TallystickError):
    """
    Nothing was wholly committed by then. When the log began: `tallystick sql "SELECT min(committed_at) FROM commits"`.
    """

    exit_code = 1


class RetiredThen(TallystickError):
    """
    The evidence of then was retired, and only its totals are left: `tallystick sql "SELECT * FROM retired"`.
    """

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Past:
    """What was asked, the commit that answers it, and the file of its tables."""

    asked: str
    point: Point
    path: Path


@contextmanager
def tables_as_of(
    settings: Settings,
    asked: str,
    timezone: str = "UTC",
    views: Iterable[str] = ASKED,
    writes: Path | None = None,
    interrupts: Interrupts | None = None,
) -> Iterator[tuple[Tables, Past]]:
    """
    Give the tables of the log up to *asked*, made for this question and removed after it; of the views only *views*.

    What asks them may write the file *writes*, and nothing else; nothing where it is null. By *interrupts* another
    thread may end the making.

    Raises:
        BadAsOf, NothingThen, RetiredThen: There is no such commit.
        LogBroken, StateUnusable, LogIoError: The log cannot be read.
        ProjectionUnusable: The database failed, for want of room for example.
    """
    point = point_of(settings, asked, timezone)
    held = Interrupts() if interrupts is None else interrupts
    with scratch(settings.state) as place:
        past = Past(asked, point, place.projection)
        try:
            with (
                Projection.scratch(place, settings.state.log_directory, views) as projection,
                held.watching(projection.connection.interrupt),
            ):
                projection.refresh(settings.state.log_directory, point.mark)
        except duckdb.Error as error:
            raise ProjectionUnusable(kind=type(error).__name__) from None
        with Tables(place.projection, writes=writes) as tables:
            yield tables, past


def point_of(settings: Settings, asked: str, timezone: str = "UTC") -> Point:
    """Return the commit that *asked* means."""
    log = settings.state.log_directory
    if not log.is_dir():
        raise NothingPublished(path=log)
    if match := _SEQ.fullmatch(asked):
        point = last_commit(log, int(match[1]))
    else:
        try:
            moment = moment_of("--as-of", asked, timezone)
        except BadTime:
            raise BadAsOf from None
        assert moment is not None  # noqa: S101 - only of no text there is none
        point = last_commit(log, moment)
    return _served(settings, point)


def _served(settings: Settings, point: Point | None) -> Point:
    """
    Return *point* if the log still holds what was there then.
    """
    tombstone = last_tombstone(settings.state.log_directory)
    retired_seq = -1 if tombstone is None else tombstone.last_seq
    if tombstone is not None and (point is None or point.mark.seq < retired_seq):
        raise RetiredThen(first_kept_seq=retired_seq + 1)
    if point is None or point.mark.seq < 0:
        raise NothingThen
    return point


def tell(past: Past, mark: Mark) -> None:
    """Say on stderr what the answer is of, where that is not what somebody would think."""
    show.warn(f"the log up to #{mark.seq}, counted by today's rules; what was believed then: `tallystick restatements`")
    if past.point.is_head:
        show.warn("nothing was committed after that: this is what is counted now")
    if past.point.is_clock_set_back:
        show.warn("the clock was set back since: commits of a later time stand before this one, and are counted")
