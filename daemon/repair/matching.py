"""
Which claim is of which log: a pure function, and never a guess.

A claim and a log fit when they are of one loop, the run began while the claimed session ran, and did not go on after
it. A matching takes pairs that fit, each claim and each log at most once, and is monotone: of two claims of a loop the
earlier one has the earlier log, and two that began in one instant are not both matched, as one loop starts one run at
a time. A pair is certain when it stands in *every* largest matching. Nearness decides nothing: the nearest log is how a
year of records came to have somebody else's.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, groupby
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

#: Agents whose logs bear the run type in their names; of the others it is not compared.
NAMES_RUN_TYPE: Final = "gptme"

#: What the clocks of a record and of a log may differ by, as for `trajectory_outside_time`.
CLOCKS_DIFFER: Final = timedelta(minutes=10)

#: Why a claim has its log, or none.
Why = Literal[
    "only_match",  #: the log is in every largest matching
    "nothing_in_time",  #: no log of this loop began while the session ran
    "outlasts_session",  #: what began there went on after the session had ended: it is another session's
    "ambiguous",  #: several logs fit, or the one that does may be another claim's as well
    "repeated_hour",  #: the name of a log that may be meant stands for two instants
    "no_time",  #: the claim does not say when its session started
    "doubtful_time",  #: it does, and the time stands for another: noon, one second of many
    "no_loop",  #: the claim names neither an agent nor a run type
]


class Loop(NamedTuple):
    """What starts one run after the other: an agent, and the type of its runs where names tell it."""

    agent: str
    run_type: str | None


class Session(NamedTuple):
    """A claimed session; ``end`` and ``model`` are null when not known."""

    key: str
    loop: Loop
    start: datetime
    end: datetime | None
    model: str | None = None


class Run(NamedTuple):
    """
    A real log.

    ``moments`` are the instants at which it may have begun: two when its local time came twice. ``last_at`` is the last
    time that it states; null when it states none.
    """

    key: str
    loop: Loop
    moments: tuple[datetime, ...]
    models: tuple[str, ...] = ()
    last_at: datetime | None = None


class Match(NamedTuple):
    """The log of a claim, null where none is certain; ``candidates`` fit, in order of time."""

    run: str | None
    why: Why
    candidates: tuple[str, ...] = ()


def loop_of(agent: str | None, run_type: str | None) -> Loop | None:
    """Return the loop that a claim names; null when it names neither an agent nor a run type that a log could bear."""
    if agent is None and run_type is None:
        return None
    whose = agent or NAMES_RUN_TYPE
    return Loop(whose, run_type if whose == NAMES_RUN_TYPE else None)


def instants(local: datetime, zone: str) -> tuple[datetime, ...]:
    """Return the instants, naive UTC, that a naive local time may mean: two in an hour that clocks repeat or skip."""
    both = (local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    utc = ZoneInfo("UTC")
    return tuple(sorted({each.astimezone(utc).replace(tzinfo=None) for each in both}))


class Known(NamedTuple):
    """A claim whose log is not in question: no earlier claim of its loop has a later log."""

    loop: Loop
    start: datetime
    moment: datetime


class Unplaced(NamedTuple):
    """
    A claim that cannot be matched and may be the owner of a log all the same.

    Of a log of ``agent``, ``run_type`` and ``model``, of any where one is null, that began from ``since`` until
    ``until``, both inclusive; null is unbounded. Not of one of ``but_loop``, in which it is matched.
    """

    agent: str | None
    run_type: str | None
    model: str | None
    since: datetime | None
    until: datetime | None
    but_loop: Loop | None = None

    def may_own(self, run: Run) -> bool:
        """Say whether nothing that is known speaks against it."""
        return (
            self.agent in (None, run.loop.agent)
            and self.run_type in (None, run.loop.run_type)
            and run.loop != self.but_loop
            and _is_of_model(self, run)
            and any(
                (self.since is None or self.since <= moment) and (self.until is None or moment <= self.until)
                for moment in run.moments
            )
        )


def matched(
    sessions: Iterable[Session],
    runs: Iterable[Run],
    within: timedelta,
    known: Iterable[Known] = (),
    unplaced: Iterable[Unplaced] = (),
) -> dict[str, Match]:
    """
    Return what is certain of each session, by its key.

    Args:
        sessions: Claims that want a log; keys are unique.
        runs: Logs that may be theirs: none that another claim has a right to.
        within: How long after the start of its session a run may begin, where the session does not end before.
        known: Claims that have their logs; what is matched is monotone with them, too.
        unplaced: Claims that may be the owners of logs; sessions that such a log fits, and those that have logs in
            common with them, have no certain one.
    """
    others = frozenset(unplaced)
    runs_of: dict[Loop, list[Run]] = defaultdict(list)
    for run in runs:
        runs_of[run.loop].append(run)
    known_of: dict[Loop, list[Known]] = defaultdict(list)
    for each in known:
        known_of[each.loop].append(each)
    found: dict[str, Match] = {}
    for loop, those in groupby(
        sorted(sessions, key=lambda each: (repr(each.loop), each.start)), lambda each: each.loop
    ):
        timeline, order = _Timeline(runs_of[loop]), _Order(known_of[loop])
        for cluster in _clusters(list(those), within):
            found |= _matched_in(cluster, timeline, within, order, others)
    return found


class _Timeline:
    """Runs in order of time, so that those of an interval are had without a look at the rest."""

    def __init__(self, runs: Iterable[Run]) -> None:
        began = sorted(((moment, run) for run in runs for moment in run.moments), key=lambda entry: entry[0])
        self._moments = [moment for moment, _ in began]
        self._runs = [run for _, run in began]

    def between(self, earliest: datetime, latest: datetime) -> list[Run]:
        """Return those that may have begun in an interval, both ends inclusive, each once."""
        first, behind = bisect_left(self._moments, earliest), bisect_right(self._moments, latest)
        return list(dict.fromkeys(self._runs[first:behind]))


class _Order:
    """What claims whose logs are known leave to the others: earlier claims have earlier logs."""

    def __init__(self, known: Iterable[Known]) -> None:
        ordered = sorted(known, key=lambda each: each.start)
        self._starts = [each.start for each in ordered]
        self._latest_until = list(accumulate((each.moment for each in ordered), max))
        self._earliest_from = list(accumulate((each.moment for each in reversed(ordered)), min))[::-1]

    def is_kept(self, session: Session, run: Run) -> bool:
        """Say whether no known claim would be crossed if *session* had *run*."""
        before, behind = bisect_left(self._starts, session.start), bisect_right(self._starts, session.start)
        moment = run.moments[0]
        return (before == 0 or moment >= self._latest_until[before - 1]) and (
            behind == len(self._starts) or moment <= self._earliest_from[behind]
        )


def window(session: Session, within: timedelta) -> tuple[datetime, datetime]:
    """Return when a run of *session* may have begun, both inclusive; names of runs have whole seconds."""
    latest = session.start + within
    return session.start.replace(microsecond=0), latest if session.end is None else min(session.end, latest)


def _clusters(sessions: Sequence[Session], within: timedelta) -> Iterator[list[Session]]:
    """Yield sessions, which stand in order of their start, in groups that can have no log in common."""
    cluster: list[Session] = []
    reach = datetime.min  # noqa: DTZ901 - naive UTC throughout
    for session in sessions:
        earliest, latest = window(session, within)
        if cluster and earliest > reach:
            yield cluster
            cluster = []
        cluster.append(session)
        reach = max(reach, latest)
    if cluster:
        yield cluster


def _matched_in(
    cluster: Sequence[Session], runs: _Timeline, within: timedelta, order: _Order, unplaced: Collection[Unplaced]
) -> dict[str, Match]:
    windows = {session.key: window(session, within) for session in cluster}
    earliest, latest = min(low for low, _ in windows.values()), max(high for _, high in windows.values())
    began = {
        session.key: [
            run
            for run in runs.between(*windows[session.key])
            if _is_of_model(session, run) and order.is_kept(session, run)
        ]
        for session in cluster
    }
    fitting = {session.key: [run for run in began[session.key] if _has_ended(session, run)] for session in cluster}
    candidates = {
        key: tuple(run.key for run in sorted(those, key=lambda run: run.moments)) for key, those in fitting.items()
    }
    if any(len(run.moments) > 1 for run in runs.between(earliest, latest)):
        return {key: Match(None, "repeated_hour", those) for key, those in candidates.items()}
    is_contested = any(each.may_own(run) for those in fitting.values() for run in those for each in unplaced)
    certain = {} if is_contested else _certain(cluster, fitting)
    return {
        key: Match(certain[key], "only_match", those)
        if key in certain
        else Match(None, "ambiguous" if those else "outlasts_session" if began[key] else "nothing_in_time", those)
        for key, those in candidates.items()
    }


def _is_of_model(session: Session | Unplaced, run: Run) -> bool:
    return session.model is None or not run.models or any(_same_model(session.model, each) for each in run.models)


def _has_ended(session: Session, run: Run) -> bool:
    """Say whether a log was complete when its session was, as far as both are known."""
    return session.end is None or run.last_at is None or run.last_at <= session.end + CLOCKS_DIFFER


def _same_model(one: str, other: str) -> bool:
    """Say whether two names may mean one model: providers stand before it, versions are written in several ways."""
    first, second = (name.rsplit("/", 1)[-1].lower().replace(".", "-") for name in (one, other))
    return first in second or second in first


def _certain(cluster: Sequence[Session], fitting: dict[str, list[Run]]) -> dict[str, str]:
    """
    Return the pairs that stand in every largest monotone matching.

    Sessions of one start, and runs of one moment, are one row and one column of a grid: a matching is a chain of
    cells that goes down and to the right. All largest chains have as many cells, so that each has one cell of every
    rank; a pair is certain when its cell is the only one of its rank and it is the only pair in that cell.
    """
    pairs: dict[_Cell, list[tuple[str, str]]] = defaultdict(list)
    for session in cluster:
        for run in fitting[session.key]:
            pairs[_place(session.start), _place(run.moments[0])].append((session.key, run.key))
    before = _chains(pairs)
    behind = _chains((-row, -column) for row, column in pairs)
    through = {(row, column): before[row, column] + 1 + behind[-row, -column] for row, column in pairs}
    longest = max(through.values(), default=0)
    ranks: dict[int, list[_Cell]] = defaultdict(list)
    for cell, length in through.items():
        if length == longest:
            ranks[before[cell]].append(cell)
    only = (pairs[cells[0]] for cells in ranks.values() if len(cells) == 1)
    return dict(those[0] for those in only if len(those) == 1)


#: Row and column of a grid.
_Cell = tuple[int, int]


def _place(instant: datetime) -> int:
    return (instant - datetime.min) // timedelta.resolution  # noqa: DTZ901 - naive UTC throughout


def _chains(cells: Iterable[_Cell]) -> dict[_Cell, int]:
    """
    Return for each cell the length of the longest chain of others that ends above it and to its left.

    ``lasts`` has for each length the leftmost column in which a chain of it ends, in the rows so far. In a row the
    cells are taken from right to left, so that none follows another of its row.
    """
    lasts: list[int] = []
    lengths = {}
    for row, column in sorted(cells, key=lambda cell: (cell[0], -cell[1])):
        length = lengths[row, column] = bisect_left(lasts, column)
        lasts[length : length + 1] = [column]
    return lengths
