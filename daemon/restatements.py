"""`tallystick restatements`: which totals are other than they were believed to be, by how much, and why."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import duckdb

from daemon import show
from daemon.as_of import tables_as_of
from daemon.interrupts import Interrupts
from daemon.lag import warn_of_lag
from daemon.scratch import scratch
from daemon.settings import Settings
from daemon.window import window_of
from projections.beliefs import BELIEVED
from projections.build import Projection, ProjectionUnusable
from projections.catalog import layout
from projections.read import NothingPublished, Tables, Window, plain
from projections.restated import (
    ASKED,
    Cause,
    Comparison,
    Figures,
    Restated,
    has_beliefs,
    is_nothing,
    minus,
    restated,
    total,
)
from state.paths import StatePaths
from state.read import commits_at
from state.vocabulary import COST

DONE, FINDINGS = 0, 1

_NOTHING: Final[Figures] = dict.fromkeys(BELIEVED) | {"calls": 0}


def restatements(settings: Settings, since: str | None, until: str | None, *, as_json: bool) -> int:
    """Show every total that changed; 1 when a difference is not explained, or nothing was ever stated."""
    with scratch(settings.state) as place, Tables(_kept(settings, place)) as tables:
        is_known, document = _asked(settings, place, tables, window_of(since, until, "UTC"), Interrupts())
        warn_of_lag(tables.head(), settings)
    if as_json:
        show.document(document)
    else:
        show.table(_COLUMNS, [_line(row) for row in document["rows"]])
    if not is_known:
        show.warn("nothing was stated as believed by then: the first time is a day after the log began")
    unexplained = document["unexplained_rows"]
    if unexplained:
        show.warn(f"{unexplained} totals changed without a cause in the log: is it whole? `tallystick verify`")
    return FINDINGS if unexplained or not is_known else DONE


def restatements_document(settings: Settings, window: Window, interrupts: Interrupts) -> dict[str, Any]:
    """
    Return the document of `restatements --json`; of *window* the bounds are when something was believed.

    Raises:
        duckdb.InterruptException: Somebody ended it by *interrupts*; an error of ours may say the same.
        TallystickError: There are no tables, or the log cannot be read, or there is no room to evaluate it.
    """
    with (
        scratch(settings.state) as place,
        Tables(_kept(settings, place)) as tables,
        interrupts.watching(tables.interrupt),
    ):
        return _asked(settings, place, tables, window, interrupts)[1]


def _asked(
    settings: Settings, place: StatePaths, tables: Tables, window: Window, interrupts: Interrupts
) -> tuple[bool, dict[str, Any]]:
    """Return whether anything was stated as believed, and the document."""
    is_known = has_beliefs(tables, window.until)
    changed = restated(tables, window.since, window.until)
    head = tables.head()
    rows = [_row(each, causes) for each, causes in explained(settings, changed, place, interrupts)]
    rows.sort(key=lambda row: (row["day"] or "", row["agent"] or "", row["measurement"]))
    return is_known, {
        "schema": "tallystick.restatements/1",
        "as_of": {"seq": head.seq, "at": plain(head.committed_at), "rules": layout()},
        "since": plain(window.since),
        "until": plain(window.until),
        "rows": rows,
        "unexplained_rows": sum(row["unexplained"] is not None for row in rows),
    }


def _kept(settings: Settings, place: StatePaths) -> Path:
    """Return a second name of the published tables: a daemon may publish others while they are asked."""
    if not settings.state.published.exists():
        raise NothingPublished(path=settings.state.published)
    place.published.hardlink_to(settings.state.published)
    return place.published


def explained(
    settings: Settings, changed: Sequence[Restated], place: StatePaths, interrupts: Interrupts
) -> Iterator[tuple[Restated, list[Cause]]]:
    """
    Yield each total that changed with the causes, of which the last is `unexplained` when they do not add up.

    The log is evaluated by today's rules once, up to each of the beliefs in turn, in tables that are then removed.

    Args:
        settings: Whose log.
        changed: What changed, by the published tables of *place*.
        place: Where tables can be made.
        interrupts: By these another thread may end it.

    Raises:
        LogBroken, StateUnusable, LogIoError: The log cannot be read.
        ProjectionUnusable: The database failed, for want of room for example.
    """
    if not changed:
        return
    log = settings.state.log_directory
    with ExitStack() as held:
        later = place.published
        if (seq := changed[0].now_up_to_seq) is not None:
            _, past = held.enter_context(tables_as_of(settings, str(seq), views=ASKED, interrupts=interrupts))
            later = past.path
        stops = commits_at(log, {each.up_to_seq for each in changed})
        try:
            projection = held.enter_context(Projection.scratch(place, log, ASKED[:1]))
            held.enter_context(interrupts.watching(projection.connection.interrupt))
            comparison = Comparison(projection.connection, later, changed)
            for up_to_seq, group in groupby(sorted(changed, key=lambda each: each.up_to_seq), _up_to_seq):
                if up_to_seq in stops:  # else all up to there was retired
                    projection.refresh(log, stops[up_to_seq])
                yield from _compared(comparison, up_to_seq, list(group))
        except duckdb.Error as error:
            raise ProjectionUnusable(kind=type(error).__name__) from None


def _up_to_seq(each: Restated) -> int:
    return each.up_to_seq


def _compared(
    comparison: Comparison, up_to_seq: int, group: Sequence[Restated]
) -> Iterator[tuple[Restated, list[Cause]]]:
    found, counted, retired = comparison.causes(up_to_seq)
    later = comparison.later_totals() if group[0].now_rules is not None else {}
    for each in group:
        causes = list(found.get(each.key, ()))
        gone = retired.get(each.key, _NOTHING)
        if not is_nothing(gone):
            causes.append(Cause("retired", None, gone["calls"] or 0, minus(_NOTHING, gone)))
        by_rules = [
            (each.rules, minus(total([counted.get(each.key, _NOTHING), gone]), each.then)),
            (each.now_rules, minus(each.now, later.get(each.key, _NOTHING))),
        ]
        causes += [
            Cause("rules", None, 0, difference)
            for rules, difference in by_rules
            if rules not in (None, layout()) and not is_nothing(difference)
        ]
        rest = minus(minus(each.now, each.then), total(cause.difference for cause in causes))
        yield each, causes if is_nothing(rest) else [*causes, Cause("unexplained", None, 0, rest)]


def _row(each: Restated, causes: Sequence[Cause]) -> dict[str, Any]:
    return {
        "day": plain(each.key.day),
        "agent": each.key.agent,
        "measurement": each.key.measurement,
        "believed_at": plain(each.believed_at),
        "believed_up_to_seq": each.up_to_seq,
        "rules": each.rules,
        "is_of_other_rules": each.rules != (each.now_rules or layout()),
        "then": each.then,
        "now": each.now,
        "difference": minus(each.now, each.then),
        "why": [asdict(cause) for cause in causes if cause.cause != "unexplained"],
        "unexplained": next((cause.difference for cause in causes if cause.cause == "unexplained"), None),
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    why = [(each["reason"] or each["cause"], each["difference"]) for each in row["why"]]
    if row["unexplained"] is not None:
        why.append(("unexplained", row["unexplained"]))
    return {
        **{name: row[name] for name in ("day", "agent", "measurement")},
        "believed_at": row["believed_at"][:16],
        "then": row["then"]["total_tokens"],
        "now": row["now"]["total_tokens"],
        "then_usd": _dollars(row["then"]),
        "now_usd": _dollars(row["now"]),
        "why": ", ".join(f"{name} {_signed(difference)}" for name, difference in why),
    }


def _signed(difference: Figures) -> str:
    calls, tokens, cost = difference["calls"], difference["total_tokens"], difference[COST]
    if cost and not (calls or tokens):
        return f"{'+' if cost > 0 else ''}{show.dollars(cost)} USD"
    return f"{tokens or 0:+,}" + (f" ({calls:+,} calls)" if calls else "")


def _dollars(figures: Figures) -> str | None:
    cost = figures[COST]
    return None if cost is None else show.dollars(cost)


_COLUMNS: Final = ("day", "agent", "measurement", "believed_at", "then", "now", "then_usd", "now_usd", "why")
