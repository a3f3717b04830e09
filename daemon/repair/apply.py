"""
Applies a plan or takes it back, step by step; each step is a message, and what was appended is never changed.

A step is held against the tables as they are now, and all steps are tried on a copy, before anything is sent.
Afterwards all rules are run again: what was planned to be gone and is not, or is new, takes these steps back.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from daemon import show
from daemon.inbox_client import Sealed, checked
from daemon.repair.cases import read_cases
from daemon.repair.figures import Figures, figures, moved
from daemon.repair.outlook import Finding, Outlook
from daemon.repair.plan import PRODUCER, Plan, Step, expected_after
from daemon.repair.settle import settled
from daemon.settings import Settings
from projections.read import Tables, plain
from state.errors import TallystickError


class PlanStale(TallystickError):
    """
    These steps do not fit, for what the facts name. Nothing was changed. Make a new plan with `tallystick repair plan`.
    """

    exit_code = 1


class StepsNeedOthers(TallystickError):
    """
    These steps alone would leave or make what the facts name. Nothing was changed. Apply the whole of the plan.
    """

    exit_code = 1


class NoSuchStep(TallystickError):
    """
    There is no such step, or no such plan was ever applied here. `tallystick sql 'FROM repairs'` shows what holds.
    """

    exit_code = 2


class Done(NamedTuple):
    """
    What applying or undoing came to.

    ``steps`` are the numbers of what was sent: none, when all was done before. ``remaining`` and ``new`` are why it
    was taken back, with ``is_taken_back``. ``other_events`` is how much else came into the tables meanwhile: what that
    moved stands in ``moved`` as well.
    """

    plan_id: str
    steps: tuple[int, ...]
    moved: tuple[dict[str, Any], ...] = ()
    gone: tuple[Finding, ...] = ()
    remaining: tuple[str, ...] = ()
    new: tuple[Finding, ...] = ()
    is_taken_back: bool = False
    other_events: int = 0


class _Before(NamedTuple):
    """What the tables say before anything is sent."""

    outlook: Outlook
    figures: Figures
    revision: int
    seq: int


_HELD: Final = "SELECT step FROM repairs WHERE plan_id = ?"
#: What holds and does something: of a record that says something else by now a step holds, and changes nothing.
_BOUND: Final = """
    SELECT r.step
    FROM repairs AS r
    SEMI JOIN claims AS c ON r.claim_source = c.source AND r.claim_key = c.claim_key AND r.plan_id = c.plan_id
    WHERE r.plan_id = ?
"""
_SENT: Final = """
    SELECT CAST(body ->> '$.step' AS BIGINT) AS step, message_key, CAST(body AS VARCHAR) AS body
    FROM inbox
    WHERE kind = 'repair' AND (body ->> '$.plan_id') = ?
"""
_REVISION: Final = "SELECT coalesce(max(revision), 0) + 1 AS next FROM messages WHERE kind = 'repair'"
_OTHERS: Final = """
    SELECT count(*) AS n FROM events
    WHERE seq > $since AND (receipt IS NULL OR receipt NOT IN (SELECT unnest($ours)))
"""


def _steps_of(tables: Tables, query: str, plan_id: str) -> frozenset[int]:
    return frozenset(row["step"] for row in tables.rows(query, [plan_id]))


def _before(tables: Tables) -> _Before:
    outlook = Outlook.of(tables)
    return _Before(
        outlook,
        figures(tables, outlook),
        # One order over all plans: the newest step about a claim holds, whichever plan it is of.
        tables.rows(_REVISION)[0]["next"],
        tables.head().seq or 0,
    )


def apply(settings: Settings, plan: Plan, numbers: Sequence[int], wait_seconds: float) -> Done:
    """
    Apply the steps with these *numbers*, all when there are none; what is applied already is left alone.

    Raises:
        PlanStale: It does not fit, or what was applied of it does not bind its claim, any more; nothing was sent.
        StepsNeedOthers: A part of it was chosen that cannot stand alone; nothing was sent.
        NoSuchStep: One of *numbers* is none.
        NotTakenYet: Whoever holds the log has not taken the messages in time.
    """
    chosen = _chosen(plan, numbers)
    with Tables(settings.state.published) as tables:
        bound = _steps_of(tables, _BOUND, plan.plan_id)
        steps = [step for step in chosen if step.step not in bound]
        if not steps:
            return Done(plan.plan_id, ())
        before = _before(tables)
        _hold(tables, before.outlook, settings.zone, plan, steps)
    is_whole = bound | {step.step for step in steps} == {step.step for step in plan.steps}
    planned = frozenset(each.id for each in plan.removes) if is_whole else frozenset()
    letters = [step.letter(plan.plan_id, before.revision) for step in steps]
    expected = expected_after(settings, letters)
    if problems := _problems(planned, before.outlook, expected):
        raise (PlanStale if is_whole else StepsNeedOthers)(**problems)
    settled(settings, letters, wait_seconds)
    done, after = _compared(settings, plan.plan_id, [step.step for step in steps], letters, before)
    remaining = tuple(sorted((planned | before.outlook.ids - expected.ids) & after.ids))
    new = tuple(each for each in before.outlook.new_in(after) if _is_about(each, steps))
    if not (remaining or new):
        return done
    undo(settings, plan.plan_id, done.steps, wait_seconds)
    return Done(plan.plan_id, done.steps, remaining=remaining, new=new, is_taken_back=True)


def _problems(planned: frozenset[str], before: Outlook, expected: Outlook) -> dict[str, str]:
    """Return what would be in the way afterwards: findings that stay, and new ones, each with its rule."""
    ways = {
        "would_stay": [each for each in expected.findings if each.id in planned],
        "would_be_new": list(before.new_in(expected)),
    }
    return {way: ", ".join(sorted(f"{each.rule} {each.id}" for each in those)) for way, those in ways.items() if those}


def undo(settings: Settings, plan_id: str, numbers: Sequence[int], wait_seconds: float) -> Done:
    """
    Take back the steps with these *numbers*, all when there are none; what is taken back already is left alone.

    Raises:
        NoSuchStep: No such plan was ever applied, or it has no such step.
        NotTakenYet: Whoever holds the log has not taken the messages in time.
    """
    with Tables(settings.state.published) as tables:
        sent = {row["step"]: row for row in tables.rows(_SENT, [plan_id])}
        if not sent or not set(numbers) <= set(sent):
            raise NoSuchStep(plan=show.safe(plan_id), steps=",".join(map(str, numbers)) or "all")
        steps = sorted(_steps_of(tables, _HELD, plan_id) & (set(numbers) or set(sent)))
        if not steps:
            return Done(plan_id, ())
        before = _before(tables)
    letters = [_undoing(sent[number], before.revision) for number in steps]
    settled(settings, letters, wait_seconds)
    return _compared(settings, plan_id, steps, letters, before)[0]


def _undoing(sent: Mapping[str, Any], revision: int) -> Sealed:
    body = json.loads(sent["body"]) | {"is_undone": True}
    return checked("repair", body, producer=PRODUCER, key=sent["message_key"], revision=revision)


def _compared(
    settings: Settings, plan_id: str, steps: Sequence[int], letters: Sequence[Sealed], before: _Before
) -> tuple[Done, Outlook]:
    with Tables(settings.state.published) as tables:
        after = Outlook.of(tables)
        differing = tuple(moved(before.figures, figures(tables, after)))
        ours = [letter.receipt for letter in letters]
        others = tables.rows(_OTHERS, {"since": before.seq, "ours": ours})[0]["n"]
    gone = tuple(before.outlook.gone_in(after))
    return Done(plan_id, tuple(steps), differing, gone, other_events=others), after


def _is_about(finding: Finding, steps: Sequence[Step]) -> bool:
    """Say whether a finding is about what *steps* did; while a daemon runs, others come and go."""
    paths = {f"path:{step.to_path}" for step in steps if step.to_path is not None}
    return bool(finding.sessions & {step.session_id for step in steps} or finding.evidence & paths)


def _chosen(plan: Plan, numbers: Sequence[int]) -> list[Step]:
    chosen = [step for step in plan.steps if not numbers or step.step in numbers]
    if not set(numbers) <= {step.step for step in chosen}:
        raise NoSuchStep(plan=plan.plan_id, steps=",".join(map(str, numbers)))
    return chosen


def _hold(tables: Tables, outlook: Outlook, zone: str, plan: Plan, steps: Sequence[Step]) -> None:
    """
    Hold *steps* against the claims and logs of now.

    Raises:
        PlanStale: The log is another one, a claim is gone or points elsewhere, or its match is not certain any more.
    """
    mark = tables.head().mark
    if mark is None or mark.log_id != plan.log_id:
        raise PlanStale(log=plan.log_id)
    cases = read_cases(tables, outlook, zone)
    rows = {case.key: case.row for case in cases.cases}
    matches = cases.matches(timedelta(seconds=plan.within_seconds), [step.claim for step in steps])
    for step in steps:
        row = rows.get(step.claim)
        # Names of sessions come again: a record that tells of another time is another claim.
        if row is None or plain(row["started_at"]) != step.started_at:
            raise PlanStale(step=step.step, session=step.session_id, why="claim_is_gone")
        if (row["claimed_path"], row["trajectory_path"]) != (step.claimed_path, step.from_path):
            raise PlanStale(step=step.step, session=step.session_id, why="points_elsewhere")
        match = matches[step.claim]
        if step.action == "attach" and match.run != step.to_path:
            raise PlanStale(step=step.step, session=step.session_id, why="another_log" if match.run else match.why)
