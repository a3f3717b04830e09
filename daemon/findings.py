"""`tallystick findings`: what cannot be right in what was claimed and measured, as the published tables say."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from daemon import show
from daemon.settings import Settings
from projections import findings as asked
from projections.read import Tables, plain
from state.errors import TallystickError

DONE, FINDINGS = 0, 1

#: Severities that make an exit code; the third is `info`.
ALARMING: Final = ("critical", "warning")

#: So many findings of a rule, sessions of a finding and pieces of evidence are shown to a person; JSON has all.
_FINDINGS_SHOWN: Final = 10
_SESSIONS_SHOWN: Final = 4
_EVIDENCE_SHOWN: Final = 6


class NoSuchRule(TallystickError):
    """
    No rule has this name. docs/findings.md lists them; `tallystick findings` shows those that found something.
    """

    exit_code = 2


class NoSuchFinding(TallystickError):
    """
    No finding has this id: it is gone, or has grown and has another. `tallystick findings` lists those there are.
    """

    exit_code = 2


def found(tables: Tables, now: datetime) -> list[dict[str, Any]]:
    """Return every finding, the worst first; ``acknowledged`` says whether somebody knows of it at *now*."""
    moment = now.astimezone(UTC).replace(tzinfo=None)
    rows = asked.findings(tables)
    for row in rows:
        until = row["acknowledged_until"]
        row["acknowledged"] = row["acknowledged_at"] is not None and (until is None or moment < until)
    return rows


def alarming(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings that alarm: neither acknowledged nor mere information."""
    return [row for row in rows if row["severity"] in ALARMING and not row["acknowledged"]]


def findings(settings: Settings, *, rule: str | None = None, name: str | None = None, as_json: bool) -> int:
    """
    Show every finding, those of one rule, or the one with this id and all that is known of it; 1 when one alarms.

    Raises:
        NoSuchRule: There is no such rule.
        NoSuchFinding: There is no such finding, or none of this rule.
    """
    with Tables(settings.state.published) as tables:
        rows = [row for row in _found_by(tables, datetime.now(UTC), rule) if name in (None, row["id"])]
        document = _document(tables, rows)
    if name is not None and not rows:
        raise NoSuchFinding(finding=name[:64])
    if as_json:
        show.document(document)
    else:
        shown = len(rows) if rule is not None else _FINDINGS_SHOWN
        for line in page(rows, shown) if name is None else whole(rows[0]):
            show.out(show.safe(line))
    return FINDINGS if alarming(rows) else DONE


def findings_document(tables: Tables, now: datetime, rule: str | None = None) -> dict[str, Any]:
    """
    Return the document of `findings --json`; *now* decides which acknowledgements hold.

    Raises:
        NoSuchRule: There is no such rule.
    """
    return _document(tables, _found_by(tables, now, rule))


def _found_by(tables: Tables, now: datetime, rule: str | None) -> list[dict[str, Any]]:
    if rule is not None and rule not in asked.rules():
        raise NoSuchRule(rule=rule[:64])
    return [row for row in found(tables, now) if rule in (None, row["rule"])]


def _document(tables: Tables, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    head = tables.head()
    as_of = {"seq": head.seq, "at": plain(head.committed_at)}
    return {"schema": "tallystick.findings/1", "as_of": as_of, "rows": plain(rows)}


def page(rows: Sequence[Mapping[str, Any]], shown: int) -> Iterator[str]:
    """Yield what a person reads: *shown* findings of each rule, then what is known, then how many there are."""
    open_, known = ([row for row in rows if row["acknowledged"] is each] for each in (False, True))
    for (severity, rule), group in groupby(open_, lambda row: (row["severity"], row["rule"])):
        each = list(group)
        yield f"{severity.upper()}  {rule}: {asked.rules()[rule].what.removesuffix('.')}"
        for row in each[:shown]:
            yield from _finding(row)
        if len(each) > shown:
            yield f"  and {len(each) - shown:,} more: tallystick findings --rule {rule}"
        yield ""
    if known:
        yield "known, and no alarm"
        yield from map(_known, known)
        yield ""
    yield _tally(rows)


def whole(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is known of one finding, a session and a piece of evidence a line."""
    yield f"{row['severity'].upper()}  {row['rule']}: {asked.rules()[row['rule']].what.removesuffix('.')}"
    stated = ("id", "agent", "since", "next", *(_ACKNOWLEDGED if row["acknowledged_at"] is not None else ()))
    yield from (f"  {each:20} {'-' if row[each] is None else row[each]}" for each in stated)
    yield from (f"  {'session':20} {each}" for each in row["sessions"])
    yield from (f"  {'evidence':20} {each}" for each in row["evidence"])


#: Who knows of a finding, since when and for how long.
_ACKNOWLEDGED: Final = (
    "acknowledged_reason",
    "acknowledged_ticket",
    "acknowledged_at",
    "acknowledged_until",
)


def _finding(row: Mapping[str, Any]) -> Iterator[str]:
    agent = f" of {row['agent']}" if row["agent"] else ""
    since = "" if row["since"] is None else f" since {row['since']:%Y-%m-%d %H:%M}"
    yield f"  {row['id']}  {_sessions(row['sessions'])}{agent}{since}"
    yield f"  {'':12}  {'  '.join(row['evidence'][:_EVIDENCE_SHOWN])}"
    yield f"  {'':12}  $ {row['next']}"


def _sessions(sessions: Sequence[str]) -> str:
    count = len(sessions)
    if not count:
        return "no session"
    named = " ".join(sessions[:_SESSIONS_SHOWN])
    more = f" and {count - _SESSIONS_SHOWN:,} more" if count > _SESSIONS_SHOWN else ""
    return f"{count:,} session{'' if count == 1 else 's'}: {named}{more}"


def _known(row: Mapping[str, Any]) -> str:
    until = row["acknowledged_until"]
    ticket = f", {row['acknowledged_ticket']}" if row["acknowledged_ticket"] else ""
    ends = "" if until is None else f", until {until:%Y-%m-%d %H:%M}"
    return f"  {row['id']}  {row['rule']}: {row['acknowledged_reason']}{ticket}{ends}"


def _tally(rows: Sequence[Mapping[str, Any]]) -> str:
    loud = len(alarming([dict(row) for row in rows]))
    known = sum(row["acknowledged"] for row in rows)
    return f"{len(rows):,} findings: {loud:,} alarm, {known:,} known" if rows else "nothing is found"


def summary(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return how many findings alarm, in all and by rule, and how many are known."""
    every = list(rows)
    loud = alarming(every)
    return {
        "alarming": len(loud),
        "acknowledged": sum(row["acknowledged"] for row in every),
        "rules": dict(sorted(Counter(row["rule"] for row in loud).items())),
    }
