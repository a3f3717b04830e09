"""`tallystick repair plan|apply|undo`: what each command does once its options are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from daemon import show
from daemon.message_options import seconds
from daemon.options import check_words
from daemon.repair.apply import Done, apply, undo
from daemon.repair.cases import RULES
from daemon.repair.plan import made, read_plan, written
from daemon.settings import Settings

DONE, FINDINGS = 0, 1


def show_plan(settings: Settings, within: str, rules: Sequence[str], out: str | None, *, as_json: bool) -> int:
    """Make a plan and write it to *out*, or show it."""
    check_words("--rule", rules, RULES)
    plan = made(settings, seconds(within, "--within"), tuple(rules) or RULES)
    if out is not None:
        written(plan, Path(out))
    if as_json:
        show.document(plan.document())
    elif plan.steps:
        show.table(_STEPS, [_shown(step) for step in plan.document()["steps"]])
        attached = sum(step.action == "attach" for step in plan.steps)
        show.out("")
        show.out(f"{plan.plan_id}: {attached} to attach, {len(plan.steps) - attached} to clear")
        show.out("gone when applied: " + (", ".join(f"{each.rule} {each.id}" for each in plan.removes) or "no finding"))
        show.out(f"apply it: tallystick repair apply {out}" if out else "write it: tallystick repair plan --out FILE")
    else:
        show.out("nothing to repair")
    return DONE


_SECONDS: Final = ("after_seconds", "log_seconds", "session_seconds")
_STEPS: Final = ("step", "action", "why", "session_id", "started_at", *_SECONDS, "from_path", "to_path")


def _shown(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step as a person reads it: whole seconds, and the rules that a match would break."""
    why = " ".join([step["why"], *step["would_be"]])
    return step | {name: step[name] and round(step[name]) for name in _SECONDS} | {"why": why}


def apply_plan(settings: Settings, file: str, numbers: Sequence[int], wait: str, *, as_json: bool) -> int:
    """Apply a plan, and show every figure that moved; 1 when its findings stayed, or new ones came."""
    done = apply(settings, read_plan(Path(file)), numbers, seconds(wait))
    return _told("tallystick.repair_apply/1", "applied", done, as_json=as_json)


def undo_plan(settings: Settings, plan: str, numbers: Sequence[int], wait: str, *, as_json: bool) -> int:
    """Take a plan back, given by its file or its name, and show every figure that moved."""
    plan_id = read_plan(Path(plan)).plan_id if Path(plan).exists() else plan
    done = undo(settings, plan_id, numbers, seconds(wait))
    return _told("tallystick.repair_undo/1", "taken back", done, as_json=as_json)


def _told(schema: str, what: str, done: Done, *, as_json: bool) -> int:
    if as_json:
        document = {
            "schema": schema,
            "plan_id": done.plan_id,
            "steps": list(done.steps),
            "is_taken_back": done.is_taken_back,
            "gone": [{"id": each.id, "rule": each.rule} for each in done.gone],
            "remaining": list(done.remaining),
            "new": [{"id": each.id, "rule": each.rule} for each in done.new],
            "moved": list(done.moved),
            "other_events": done.other_events,
        }
        show.document(document)
    elif done.is_taken_back:
        found = [*done.remaining, *(f"{each.rule} {each.id}" for each in done.new)]
        show.out(f"taken back again, as this is still or newly found: {', '.join(found)}")
    elif done.steps:
        show.out(f"{done.plan_id}: {len(done.steps)} steps {what}; figures that moved:")
        show.table(("figure", "of", "name", "before", "after"), done.moved)
        if done.other_events:
            show.out(
                f"other events that came in meanwhile: {done.other_events:,}; what they moved is listed here as well"
            )
    else:
        show.out(f"{done.plan_id}: nothing to do, everything is {what} already")
    return FINDINGS if done.is_taken_back else DONE
