"""`tallystick export`: a copy on stdout or in a file, whole or not at all, and the evidence that it was taken."""

import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from daemon import show
from daemon.as_of import Past, tables_as_of, tell
from daemon.exports.consumed import name_of, record_copy, record_reader
from daemon.exports.copies import Copy, Wanted, check_whole, copy_of
from daemon.exports.formats import as_json, csv, parquet
from daemon.exports.target import aside_of, put, whole
from daemon.lag import warn_of_lag
from daemon.options import BadOption, check_words
from daemon.settings import Settings
from projections.read import Tables

DONE: Final = 0

_TEXTS: Final = {"csv": csv, "json": as_json}


class Taken(NamedTuple):
    """
    Where a copy goes, and who takes it.

    ``out`` is a file, null for stdout; ``consumer`` its name as `taint` shows it, null for the file's. Where
    ``is_recorded`` is false no evidence is left, and `taint` cannot name the copy.
    """

    out: str | None
    consumer: str | None
    is_recorded: bool


class CcusageQuestion(NamedTuple):
    """The options of `export ccusage`, as words."""

    report: str
    agent: str
    since: str | None
    until: str | None
    timezone: str


def export(settings: Settings, format_: str, wanted: Wanted, taken: Taken) -> int:
    """
    Write one copy of usage or of a table.

    Raises:
        BadOption: Parquet was to go to stdout, or there is no such table, dimension or class.
        NothingPublished, TablesUnusable: There is nothing to copy; nothing was written.
        BadAsOf, NothingThen, RetiredThen, LogBroken, ProjectionUnusable: The same of what was then.
        NotSubmitted, InboxUnsafe, StateUnusable, MessageRefused: The evidence of it could not be left; nothing was
            written.
        NotWritten: The file could not be written; what was there before stays.
    """
    check_whole(wanted)
    target = None if taken.out is None else Path(taken.out).absolute()
    if format_ == "parquet":
        if target is None:
            raise BadOption(option="--out", can_be="a file: Parquet is no text")
        return _parquet(settings, wanted, taken, target)
    with _tables(settings, wanted) as (tables, past):
        copy = copy_of(tables, wanted)
        pieces = _begun(_TEXTS[format_](copy))
        _record(settings, tables, copy, taken, name_of(f"stdout.{format_}" if target is None else target.name))
        if target is None:
            _say(pieces)
        else:
            put(target, pieces)
        _tell(settings, tables, copy, past)
    return DONE


def _parquet(settings: Settings, wanted: Wanted, taken: Taken, target: Path) -> int:
    with _tables(settings, wanted, aside_of(target)) as (tables, past):
        copy = copy_of(tables, wanted)
        # Before the file is begun, as what goes wrong with the inbox is another error than what does with the file.
        _record(settings, tables, copy, taken, name_of(target.name))
        with whole(target) as aside:
            aside.unlink(missing_ok=True)
            parquet(tables, copy, aside)
        _tell(settings, tables, copy, past)
    return DONE


@contextmanager
def _tables(settings: Settings, wanted: Wanted, writes: Path | None = None) -> Iterator[tuple[Tables, Past | None]]:
    """Give what is published, or the tables of then with their commit; *writes* is all that they may write."""
    if wanted.as_of is None:
        with Tables(settings.state.published, writes=writes) as tables:
            yield tables, None
        return
    with tables_as_of(settings, wanted.as_of, wanted.timezone, writes=writes) as found:
        yield found


def _begun(pieces: Iterator[bytes]) -> Iterable[bytes]:
    """Return *pieces* after the first one was made: what cannot be computed at all fails before anything is written."""
    return chain([next(pieces)], pieces)


def _record(settings: Settings, tables: Tables, copy: Copy, taken: Taken, name: str) -> None:
    if taken.is_recorded:
        record_copy(settings, tables, taken.consumer or name, copy.uses, copy.window)


def _say(pieces: Iterable[bytes]) -> None:
    if sys.stdout is None:
        raise OSError(errno.EBADF, "stdout is closed")
    for piece in pieces:
        sys.stdout.buffer.write(piece)


def _tell(settings: Settings, tables: Tables, copy: Copy, past: Past | None) -> None:
    """Say on stderr what the copy does not hold."""
    if past is None:
        warn_of_lag(tables.head(), settings)
    else:
        tell(past, past.point.mark)
    if copy.about.get("sources") == 0:
        show.warn("no source was ever read: these are no zeros but nothing; run `tallystick ingest`")


def export_ccusage(settings: Settings, asked: CcusageQuestion, taken: Taken) -> int:
    """
    Print one report in the JSON of ccusage; whatever fails, nothing is on stdout.

    Raises:
        BadOption: There is no such report, or no report of this agent.
        NothingPublished, NothingRead: There is nothing to report.
    """
    from daemon.exports import ccusage
    from daemon.window import window_of

    check_words("--agent", [asked.agent], ccusage.AGENTS)
    window = window_of(asked.since, asked.until, asked.timezone)
    with Tables(settings.state.published) as tables:
        document = ccusage.document(tables, ccusage.Asked(asked.report, asked.agent, window), datetime.now(UTC))
        if taken.is_recorded:
            record_reader(settings, tables, taken.consumer or "ccusage", ("usage_measured",))
        warn_of_lag(tables.head(), settings)
    show.document(document)
    return DONE
