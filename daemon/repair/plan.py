"""
A plan: what is to be done to which claim, and why; a file for people to review, and for `apply` to hold itself to.

Making one changes nothing. Whether its findings will be gone is not promised but tried, on a copy of the tables.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.decode import digest
from daemon.inbox_client import Sealed, checked
from daemon.message import check
from daemon.repair.cases import Case, Cases, read_cases
from daemon.repair.outlook import Outlook
from daemon.repair.runs import Log
from daemon.settings import Settings
from daemon.what_if import tried
from projections.read import Tables, plain
from state.errors import TallystickError
from state.vocabulary import RepairAction

SCHEMA: Final = "tallystick.repair_plan/1"
PRODUCER: Final = "tallystick_repair"

#: How long after the start of its session a run may begin, in seconds. A harness gathers context and waits for its
#: lock before it starts the agent, which takes minutes; in a quarter of an hour the next session of a loop may have
#: begun, and later than that nothing ties a log to this start.
WITHIN_SECONDS: Final = 900

#: A revision behind all others, for a trial.
_LAST: Final = 1 << 40
_PLAN_BYTES_MAX: Final = 64 * 1024 * 1024


class PlanUnreadable(TallystickError):
    """
    This file is no plan that this version wrote. Make one with `tallystick repair plan --out FILE`.
    """

    exit_code = 2


class PlanExists(TallystickError):
    """
    There is a file of this name already, and a reviewed plan is not written over. Choose another name for --out.
    """

    exit_code = 2


class Candidate(msgspec.Struct, frozen=True):
    """
    A log that fits in time.

    ``after_seconds`` lie between the start of the session and that of the log, null where its name stands for two
    instants. ``log_seconds`` lie between the log's start and the last time that it states, null where it states none.
    """

    path: str
    after_seconds: float | None
    log_seconds: float | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is done to one claim.

    ``attach`` gives it a log in the place of ``from_path``, ``clear`` takes that away. ``after_seconds`` and
    ``log_seconds`` are those of the log that it gets. ``candidates`` are all logs that fit, ``findings`` those that
    name this claim, ``would_be`` the rules that would find it with its match. Times are UTC, ``session_seconds`` lie
    between them; null when the record does not say.
    """

    step: int
    action: RepairAction
    why: str
    session_id: str
    agent: str | None
    run_type: str | None
    started_at: str | None
    ended_at: str | None
    session_seconds: float | None
    claim_source: str
    claim_key: str
    claimed_path: str | None
    from_path: str | None
    to_path: str | None
    to_session_id: str | None
    to_agent: str | None
    after_seconds: float | None
    log_seconds: float | None
    candidates: tuple[Candidate, ...]
    findings: tuple[str, ...]
    would_be: tuple[str, ...] = ()

    @property
    def claim(self) -> tuple[str, str]:
        """File and key of its claim."""
        return self.claim_source, self.claim_key

    def letter(self, plan_id: str, revision: int) -> Sealed:
        """Return the message that does this step."""
        body = {
            "plan_id": plan_id,
            "step": self.step,
            "claim_source": self.claim_source,
            "claim_key": self.claim_key,
            "claimed_path": self.claimed_path,
            "started_at": self.started_at,
            "action": self.action,
            "trajectory_path": self.to_path,
            "session_id": self.to_session_id,
            "agent": self.to_agent,
        }
        known = {name: value for name, value in body.items() if value is not None}
        return checked("repair", known, producer=PRODUCER, key=f"repair:{plan_id}:{self.step}", revision=revision)


class Removal(msgspec.Struct, frozen=True):
    """A finding that is to be gone."""

    id: str
    rule: str
    sessions: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    Steps in order of their sessions' time, made when the tables held the log up to ``head_seq``.

    ``plan_id`` names its steps: the same steps are the same plan, whenever it is made. ``removes`` are findings that
    are gone when all of it is applied.
    """

    schema: str
    plan_id: str
    made_at: str
    log_id: str | None
    head_seq: int | None
    within_seconds: float
    removes: tuple[Removal, ...]
    steps: tuple[Step, ...]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def made(settings: Settings, within_seconds: float, rules: Sequence[str]) -> Plan:
    """
    Return a plan for the claims that *rules* found; nothing is changed.

    Raises:
        NothingPublished, TablesUnusable: There are no tables to plan by.
    """
    with Tables(settings.state.published) as tables:
        head, before = tables.head(), Outlook.of(tables)
        cases = read_cases(tables, before, settings.zone)
    steps = _steps(cases, timedelta(seconds=within_seconds), rules)
    after = _outlook(settings, steps)
    while spoiling := _spoiling(steps, before, after):
        # A match that another rule would hold against its claim is none.
        steps = [_cleared(step, spoiling[step.step]) if step.step in spoiling else step for step in steps]
        after = _outlook(settings, steps)
    return Plan(
        schema=SCHEMA,
        plan_id=_name(steps),
        made_at=str(plain(datetime.now(UTC).replace(tzinfo=None))),
        log_id=head.mark.log_id if head.mark else None,
        head_seq=head.seq,
        within_seconds=within_seconds,
        removes=tuple(Removal(each.id, each.rule, len(each.sessions)) for each in before.gone_in(after)),
        steps=tuple(steps),
    )


def _name(steps: Sequence[Step]) -> str:
    return f"plan-{digest(repr(tuple(steps)))[:16]}"


def _steps(cases: Cases, within: timedelta, rules: Sequence[str]) -> list[Step]:
    matches, logs = cases.matches(within), cases.logs_by_path()
    meant = [case for case in cases.cases if any(each.rule in rules for each in case.findings)]
    changes = [(case, matches[case.key], logs.get(matches[case.key].run or "")) for case in meant]
    moving = [each for each in changes if (each[2] and each[2].path) != each[0].row["log_path"]]
    return [
        Step(
            step=number,
            action="clear" if log is None else "attach",
            why=match.why,
            **{name: plain(case.row[name]) for name in _COPIED},  # type: ignore[arg-type]
            session_seconds=_seconds(case.row["started_at"], case.row["ended_at"]),
            from_path=case.row["trajectory_path"],
            to_path=log and log.path,
            to_session_id=log and log.session_id,
            to_agent=log and log.agent,
            after_seconds=log and _candidate(case, log).after_seconds,
            log_seconds=log and _candidate(case, log).log_seconds,
            candidates=tuple(_candidate(case, logs[run]) for run in match.candidates),
            findings=tuple(each.id for each in case.findings),
        )
        for number, (case, match, log) in enumerate(moving, 1)
    ]


_COPIED: Final = (
    "session_id",
    "agent",
    "run_type",
    "started_at",
    "ended_at",
    "claim_source",
    "claim_key",
    "claimed_path",
)


def _candidate(case: Case, log: Log) -> Candidate:
    began = log.run.moments[0] if len(log.run.moments) == 1 else None
    return Candidate(log.path, _seconds(case.row["started_at"], began), _seconds(began, log.run.last_at))


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    return None if since is None or until is None else (until - since).total_seconds()


def _cleared(step: Step, rules: Sequence[str]) -> Step:
    return msgspec.structs.replace(
        step,
        action="clear",
        why="would_be_finding",
        to_path=None,
        to_session_id=None,
        to_agent=None,
        after_seconds=None,
        log_seconds=None,
        would_be=tuple(rules),
    )


def _spoiling(steps: Sequence[Step], before: Outlook, after: Outlook) -> dict[int, list[str]]:
    """Return by number the steps that attach a log with which their claim would be a finding, and by which rules."""
    told: dict[str, set[str]] = defaultdict(set)
    for each in before.new_in(after):
        for session in each.sessions:
            told[session].add(each.rule)
    return {
        step.step: sorted(told[step.session_id])
        for step in steps
        if step.action == "attach" and step.session_id in told
    }


def _outlook(settings: Settings, steps: Iterable[Step]) -> Outlook:
    """Return what would be found if *steps* were applied."""
    return expected_after(settings, [step.letter("trial", _LAST) for step in steps])


def expected_after(settings: Settings, letters: Iterable[Sealed]) -> Outlook:
    """Return what would be found if *letters* were in the log; tried on a copy, nothing is written."""
    now = datetime.now(UTC)
    with tried(settings, [check(each.content).event("0" * 32, now) for each in letters]) as tables:
        return Outlook.of(tables)


def written(plan: Plan, path: Path) -> None:
    """
    Write *plan* where nothing is yet, for this user's eyes.

    Raises:
        PlanExists: Something is there.
    """
    content = json.dumps(plan.document(), indent=1) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise PlanExists(path=path) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_plan(path: Path) -> Plan:
    """
    Return the plan in a file.

    Raises:
        PlanUnreadable: It is none, or its steps are not those that were planned.
    """
    with path.open("rb") as file:
        content = file.read(_PLAN_BYTES_MAX + 1)
    try:
        plan = msgspec.json.decode(content, type=Plan)
    except (msgspec.DecodeError, UnicodeError):
        raise PlanUnreadable(path=path) from None
    if plan.schema != SCHEMA or plan.plan_id != _name(plan.steps) or len(content) > _PLAN_BYTES_MAX:
        raise PlanUnreadable(path=path)
    return plan
