"""Plugs sources, adapters, log, tables and clock together; the only place that knows all of them."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from adapters.claims import ADAPTER as CLAIMS
from adapters.contract import Adapter, Root
from adapters.registry import same_names
from daemon.beliefs import Believer
from daemon.checkouts import Checkouts, look_once
from daemon.discover import Found, Place, Seen, places, sweep
from daemon.guard import readers
from daemon.health.limits import Limits, limits
from daemon.identity import NAMES
from daemon.inbox import Inbox, Taken, take_all
from daemon.inbox_directory import InboxUnsafe
from daemon.ingest import Ingest, Pass
from daemon.prices import Pricer, own_prices
from daemon.publish import publish
from daemon.recollect import recollect
from daemon.scratch import is_scratch, sweep_scratch
from daemon.settings import Settings
from daemon.task_rules import branch_patterns, record
from daemon.veil import Veil, veil_for
from daemon.veiled_log import VeiledLog
from projections.build import Projection, ProjectionUnusable
from state.cursors import Cursor
from state.errors import TallystickError
from state.log import Log


class AdapterNameTaken(TallystickError):
    """
    Two adapters have one name; nothing was read. `tallystick adapters list` says where they are from: uninstall one.
    """


def utc_now() -> datetime:
    """Return the aware UTC time; tests hand in their own clock instead."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Caught:
    """What a catch-up pass did; ``head_seq`` is the log's last event, -1 before the first."""

    read: Pass
    messages: Taken
    added: int
    head_seq: int


@contextmanager
def open_log(settings: Settings, clock: Callable[[], datetime] = utc_now) -> Iterator[Log[Cursor]]:
    """
    Open the one log of a state directory, made when it is new; held until the block ends.

    Raises:
        NamesArePlain, NamesAreHashed: Names of its other events are stored otherwise than the configuration says.
    """
    settings.state.create()
    NAMES.veil = _veil(settings)
    with VeiledLog.open(settings.state, Cursor, host=settings.host, clock=clock) as log:
        _empty(settings.state.temporary)
        yield log


def _veil(settings: Settings) -> Veil | None:
    """Return what hashes names, where the configuration wants that."""
    if not settings.config_file.exists():
        return veil_for(settings.state, (), is_wanted=False)
    from daemon.config import read_config  # brings pydantic, which a daemon without a configuration never needs

    is_wanted = read_config(settings.config_file).privacy.names == "hashed"
    return veil_for(settings.state, branch_patterns(settings), is_wanted=is_wanted)


def _empty(temporary: Path) -> None:
    """Remove what a killed process left: only the holder of the log's lock writes there, and questions to the past."""
    sweep_scratch(temporary)
    for entry in temporary.iterdir():
        if is_scratch(entry):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def roots(settings: Settings, known: Limits | None = None) -> list[Place]:
    """
    Return the roots of every adapter in the home that is read.

    Args:
        settings: Whose home.
        known: What the configuration said when it was read; null to read it now.

    Raises:
        AdapterNameTaken: Two adapters have one name.
        ConfigUnusable: The configuration was asked, and cannot be read.
    """
    if taken := same_names():
        raise AdapterNameTaken(names=",".join(taken))
    found = limits(settings) if known is None else known
    return [
        *places(readers(), settings.home, settings.agent_environment),
        *further(readers(), settings, found.roots),
        *claimed(settings, (*found.claims, *settings.claims)),
    ]


def claimed(settings: Settings, paths: Iterable[str]) -> Iterator[Place]:
    """Yield the files of records that are named, as roots of their own; each once."""
    absolute = (os.path.abspath(settings.home / path.removeprefix("~/")) for path in paths)  # noqa: PTH100 - links stay
    for path in dict.fromkeys(absolute):
        yield Place(path, CLAIMS, Root(Path(path), "record", is_file=True))


def further(
    adapters: Iterable[Adapter], settings: Settings, named: Sequence[tuple[str, str]] | None = None
) -> Iterator[Place]:
    """Yield the further roots of *adapters* (*named*, else as configured), each like the first of its adapter's own."""
    known = tuple(adapters)
    for agent, path in limits(settings).roots if named is None else named:
        for adapter in known:
            own = next(iter(adapter.roots(settings.home, {})), None)
            if agent in (adapter.agent, adapter.parser) and own is not None:
                further = replace(own, path=settings.home / path.removeprefix("~/"))
                yield Place(str(further.path), adapter, further)


def seen_files(settings: Settings) -> list[Seen]:
    """Sweep the roots of every adapter."""
    return list(sweep(roots(settings), settings.zone))


def bytes_found(seen: list[Seen]) -> int:
    """Return the size of all files of a sweep, for a progress bar."""
    return sum(each.status.st_size for each in seen if isinstance(each, Found))


def catch_up(
    settings: Settings,
    seen: list[Seen],
    clock: Callable[[], datetime] = utc_now,
    progress: Callable[[int], None] = lambda _: None,
) -> Caught:
    """Read everything new into the log, bring the tables up to it and publish them."""
    with open_log(settings, clock) as log:
        rules = record(log, settings, clock)
        ingest = Ingest(log, clock, progress, remembered=recollect(settings.state, log), home=settings.home)
        read = ingest.run(seen)
        # Tables may still hold what the log has lost: they must say what the log says, or a rebuild would surprise.
        anew = log.recovery is not None and bool(log.recovery.read_again)
        look_once(ingest, Checkouts(clock, rules), None if anew else settings.state)
        try:
            messages = take_all(Inbox(settings.state, log.log_id, clock), log)
        except InboxUnsafe:
            refresh_and_publish(settings, anew=anew)  # what agents have logged is shown all the same
            raise
        pricer = Pricer(clock, own_prices(settings))
        stating = (
            lambda tables: _append(log, pricer.events(tables.connection, log.head.seq)),
            lambda tables: _append(log, Believer(clock).events(tables.connection, log.head.seq)),
        )
        added = refresh_and_publish(settings, anew=anew, stating=stating)
        return Caught(read, messages, added, log.head.seq)


def _append(log: Log[Cursor], events: Sequence[bytes]) -> bool:
    """Append what the tables had to say, and say whether they had."""
    if events:
        log.append(events, {})
    return bool(events)


def refresh_and_publish(
    settings: Settings, *, anew: bool = False, stating: Sequence[Callable[[Projection], bool]] = ()
) -> int:
    """
    Bring the tables up to the log's head and publish them; the caller holds the log's lock.

    Args:
        settings: Whose log and tables.
        anew: Whether the tables are not to be believed.
        stating: Each appends to the log what the tables say, and says whether it has; then they are brought up to that.

    Raises:
        ProjectionUnusable: The database failed, for want of room for example; the log is not touched.
    """
    if anew:
        Projection.discard(settings.state)
    try:
        with Projection.open(settings.state) as projection:
            before = projection.mark()
            added = projection.refresh(settings.state.log_directory)
            for state in stating:
                if state(projection):
                    added += projection.refresh(settings.state.log_directory)
            if anew or projection.mark() != before or not settings.state.published.exists():
                publish(projection, settings.state)
            return added
    except duckdb.Error as error:
        raise ProjectionUnusable(kind=type(error).__name__) from None
