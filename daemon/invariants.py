"""
`tallystick invariants`: whether anything that has to hold does not, in the few lines that an agent's next session sees.

They are read by agents: rules, counts and commands of ours stand in them, and nothing that somebody else has named. A
session's or a path's name could be an instruction.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from daemon import show
from daemon.findings import alarming, found
from daemon.health.finding import by_severity
from daemon.health.heard import is_word
from daemon.health.rules import RULES
from daemon.health.stamps import stamp
from daemon.health.verb import is_by_hand
from daemon.living import Living, living
from daemon.provenance import utc_text
from daemon.reconcile.age import last_run
from daemon.settings import Settings
from projections.read import Tables
from state.errors import TallystickError
from state.files import as_known

SCHEMA: Final = "tallystick.invariants/1"

DONE, VIOLATED, UNKNOWN = 0, 1, 3

#: What is told of itself: whoever asks now is not silent.
_OWN_RULE: Final = "invariants_silent"
#: Evidence that is older says nothing of now, where no daemon keeps it new.
_OLD: Final = timedelta(days=1)
#: So many lines are enough to make somebody look.
_LINES_MAX: Final = 8

Kind = Literal["finding", "health", "reconcile", "unknown"]


@dataclass(frozen=True, slots=True)
class Violation:
    """
    One rule that does not hold.

    Args:
        kind: Who found it: the tables, health, the newest reconcile, or nobody, as it cannot be judged.
        rule: Which one.
        severity: How bad that is.
        means: What it says, in words of ours.
        next: The command that shows more.
        count: How often it does not hold.
        sessions: How many sessions that is about; null where it is about none.
    """

    kind: Kind
    rule: str
    severity: str
    means: str
    next: str
    count: int = 1
    sessions: int | None = None

    def line(self) -> str:
        """Return it as a session sees it."""
        times = f" ({self.count})" if self.count > 1 else ""
        about = f", {self.sessions} sessions" if self.sessions else ""
        return f"- {self.severity} {self.rule}{times}{about}: {self.means}; next: `{self.next}`"


def invariants(settings: Settings, *, is_context: bool, as_json: bool) -> int:
    """Say what does not hold: 0 nothing, 1 something, 3 when that cannot be told."""
    now = datetime.now(UTC)
    daemon = living(settings)
    told = sorted([*_of_health(daemon), *_of_tables(settings, daemon, now)], key=_rank)
    if not is_by_hand() and settings.state.root.is_dir():
        with as_known(settings.state.stamp("invariants")):
            stamp(settings.state, "invariants")
    code = _code(told)
    if as_json:
        show.document(_document(told, code, now))
    elif is_context:
        for text in context(told, code, now):
            show.out(text)
    else:
        show.table(("severity", "rule", "count", "sessions", "next"), [_row(each) for each in told])
        show.out(_verdict(told, code, now))
    return code


def context(told: Sequence[Violation], code: int, now: datetime) -> Iterator[str]:
    """Yield the lines for an agent's next session: one that says when, and one for each rule, the worst first."""
    yield _verdict(told, code, now)
    yield from (each.line() for each in told[:_LINES_MAX])
    if len(told) > _LINES_MAX:
        yield f"- and {len(told) - _LINES_MAX} more; next: `tallystick invariants`"


def _verdict(told: Sequence[Violation], code: int, now: datetime) -> str:
    at = f"checked {now:%Y-%m-%dT%H:%MZ}"
    if code == DONE:
        return f"tallystick: all invariants hold, {at}"
    if code == UNKNOWN:
        return f"tallystick: nobody can tell whether the token numbers are right, {at}"
    return f"tallystick: {len(told)} invariants do not hold, do not trust the token numbers before you looked, {at}"


def _code(told: Sequence[Violation]) -> int:
    """Return the exit code: what is violated is known, whatever else is not."""
    if any(each.kind != "unknown" for each in told):
        return VIOLATED
    return UNKNOWN if told else DONE


_RANKS: Final = ("critical", "unknown", "warning")


def _rank(violation: Violation) -> tuple[int, str]:
    return _RANKS.index(violation.severity), violation.rule


def _of_health(daemon: Living) -> Iterator[Violation]:
    """Yield what health finds, by rule."""
    findings = [each for each in by_severity(daemon.findings) if each.rule != _OWN_RULE]
    counts = Counter(each.rule for each in findings)
    for each in {each.rule: each for each in reversed(findings)}.values():
        kind: Kind = "unknown" if each.rank == "unknown" else "health"
        means = RULES[each.rule].means
        yield Violation(kind, each.rule, each.rank, means, "tallystick health", counts[each.rule])


def _of_tables(settings: Settings, daemon: Living, now: datetime) -> Iterator[Violation]:
    """Yield the findings that nobody has acknowledged, by rule; that they cannot be told is told, too."""
    try:
        with Tables(settings.state.published) as tables:
            committed_at = tables.head().committed_at
            rows = alarming(found(tables, now))
            reconciled = last_run(tables, now)
    except TallystickError as error:
        name = type(error).__name__
        yield Violation("unknown", "findings_unknown", "unknown", f"the tables say nothing ({name})", _NEXT_OF_TABLES)
        return
    for rule in dict.fromkeys(row["rule"] for row in rows):
        yield _violation([row for row in rows if row["rule"] == rule])
    if reconciled is not None and not reconciled["is_clean"]:
        means = "disk, log and tables did not agree when they were last held against each other"
        yield Violation("reconcile", "reconcile_not_clean", "warning", means, "tallystick reconcile")
    if not daemon.is_running and (committed_at is None or now.replace(tzinfo=None) - committed_at > _OLD):
        means = "no daemon is heard, and the newest evidence is older than a day"
        yield Violation("unknown", "evidence_old", "unknown", means, "tallystick ingest")


_NEXT_OF_TABLES: Final = "tallystick status"


def _violation(rows: Sequence[dict[str, Any]]) -> Violation:
    """Return what all rows of one rule come to; the first is the worst."""
    sessions = {session for row in rows for session in row["sessions"] or ()}
    rule = rows[0]["rule"] if is_word(rows[0]["rule"]) else "finding"
    means = "the evidence contradicts itself"
    return Violation(
        "finding", rule, rows[0]["severity"], means, "tallystick findings", len(rows), len(sessions) or None
    )


def _row(violation: Violation) -> dict[str, Any]:
    return {
        "kind": violation.kind,
        "rule": violation.rule,
        "severity": violation.severity,
        "count": violation.count,
        "sessions": violation.sessions,
        "means": violation.means,
        "next": violation.next,
    }


def _document(told: Sequence[Violation], code: int, now: datetime) -> dict[str, Any]:
    state = {DONE: "ok", VIOLATED: "violated", UNKNOWN: "unknown"}[code]
    return {"schema": SCHEMA, "state": state, "checked_at": utc_text(now), "violations": [_row(each) for each in told]}
