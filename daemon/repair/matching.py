"""
Which claim is of which log: a pure function, and never a guess.

A claim and a log fit when they are of one loop and the run began while the claimed session ran. A matching takes
pairs that fit, each claim and each log at most once, and is monotone: of two claims of a loop the earlier one has the
earlier log, and two that began in one instant are not both matched, as one loop starts one run at a time. A pair is
certain when it stands in *every* largest matching. Nearness decides nothing: the nearest log is how a year of records
came to have somebody else's.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

#: Agents whose logs bear the run type in their names; of the others it is not compared.
_NAMES_RUN_TYPE: Final = "gptme"

#: Why a claim has its log, or none.
Why = Literal[
    "only_match",  #: the log is in every largest matching
    "nothing_in_time",  #: no log of this loop began while the session ran
    "ambiguous",  #: several logs fit, or the one that does fits another claim as well
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
    """A real log; ``moments`` are the instants at which it may have begun: two when its local time came twice."""

    key: str
    loop: Loop
    moments: tuple[datetime, ...]
    models: tuple[str, ...] = ()


class Match(NamedTuple):
    """The log of a claim, null where none is certain; ``candidates`` fit, in order of time."""

    run: str | None
    why: Why
    candidates: tuple[str, ...] = ()


def loop_of(agent: str | None, run_type: str | None) -> Loop | None:
    """Return the loop that a claim names; null when it names neither an agent nor a run type that a log could bear."""
    if agent is None and run_type is None:
        return None
    whose = agent or _NAMES_RUN_TYPE
    return Loop(whose, run_type if whose == _NAMES_RUN_TYPE else None)


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


def matched(
    sessions: Iterable[Session], runs: Iterable[Run], within: timedelta, known: Iterable[Known] = ()
) -> dict[str, Match]:
    """
    Return what is certain of each session, by its key.

    Args:
        sessions: Claims that want a log; keys are unique.
        runs: Logs that may be theirs: none that another claim has a right to.
        within: How long after the start of its session a run may begin, where the session does not end before.
        known: Claims that have their logs; what is matched is monotone with them, too.
    """
    known_of: dict[Loop, list[Known]] = defaultdict(list)
    for each in known:
        known_of[each.loop].append(each)
    runs_of: dict[Loop, list[Run]] = defaultdict(list)
    for run in runs:
        runs_of[run.loop].append(run)
    found: dict[str, Match] = {}
    for loop, those in groupby(
        sorted(sessions, key=lambda each: (repr(each.loop), each.start)), lambda each: each.loop
    ):
        for cluster in _clusters(list(those), within):
            found |= _matched_in(cluster, runs_of[loop], within, known_of[loop])
    return found


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
    cluster: Sequence[Session], runs: Sequence[Run], within: timedelta, known: Sequence[Known]
) -> dict[str, Match]:
    windows = {session.key: window(session, within) for session in cluster}
    earliest, latest = min(low for low, _ in windows.values()), max(high for _, high in windows.values())
    near = [run for run in runs if any(earliest <= moment <= latest for moment in run.moments)]
    # Only a claim that has its log near one of these can stand between.
    beside = [each for each in known if earliest <= each.moment <= latest or earliest <= each.start <= latest]
    fitting = {
        session.key: [
            run for run in near if _fits(session, run, windows[session.key]) and _in_order(session, run, beside)
        ]
        for session in cluster
    }
    candidates = {
        key: tuple(run.key for run in sorted(those, key=lambda run: run.moments)) for key, those in fitting.items()
    }
    if any(len(run.moments) > 1 for run in near):
        return {key: Match(None, "repeated_hour", those) for key, those in candidates.items()}
    certain = _certain(cluster, fitting)
    return {
        key: Match(certain[key], "only_match", those)
        if key in certain
        else Match(None, "ambiguous" if those else "nothing_in_time", those)
        for key, those in candidates.items()
    }


def _fits(session: Session, run: Run, between: tuple[datetime, datetime]) -> bool:
    is_in_time = any(between[0] <= moment <= between[1] for moment in run.moments)
    is_of_model = (
        session.model is None or not run.models or any(_same_model(session.model, each) for each in run.models)
    )
    return is_in_time and is_of_model


def _in_order(session: Session, run: Run, known: Iterable[Known]) -> bool:
    """Say whether no claim whose log is known would be crossed: earlier claims have earlier logs."""
    moment = run.moments[0]
    return not any(
        (each.start < session.start and moment < each.moment) or (each.start > session.start and moment > each.moment)
        for each in known
    )


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
    starts = sorted({session.start for session in cluster})
    moments = sorted({run.moments[0] for those in fitting.values() for run in those})
    pairs: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for session in cluster:
        for run in fitting[session.key]:
            pairs[starts.index(session.start), moments.index(run.moments[0])].append((session.key, run.key))
    before = _chains(len(starts), len(moments), set(pairs))
    turned = {(len(starts) - 1 - row, len(moments) - 1 - column) for row, column in pairs}
    behind = _chains(len(starts), len(moments), turned)
    longest = before[-1][-1]
    ranks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, column in pairs:
        rank = before[row][column]
        if rank + 1 + behind[len(starts) - 1 - row][len(moments) - 1 - column] == longest:
            ranks[rank].append((row, column))
    only = (pairs[cells[0]] for cells in ranks.values() if len(cells) == 1)
    return dict(those[0] for those in only if len(those) == 1)


def _chains(rows: int, columns: int, cells: set[tuple[int, int]]) -> list[list[int]]:
    """Return by row and column the length of the longest chain in the cells above and to the left of it."""
    lengths = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows):
        for column in range(columns):
            taken = lengths[row][column] + 1 if (row, column) in cells else 0
            lengths[row + 1][column + 1] = max(lengths[row][column + 1], lengths[row + 1][column], taken)
    return lengths
