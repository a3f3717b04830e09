"""What harnesses claimed, against what was measured: `expect`, `findings`, `resolve`, `repair`, `taint`, `consumer`."""

import argparse

from daemon.commands.declared import Commands, command, count, group
from daemon.settings import Settings


def expect(commands: Commands) -> None:
    """Declare `expect`: the log of one name."""
    what = "print the one log of exactly this name, or say that it is not there"
    parser = command(commands, "expect", _expect, what)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a conversation, session or path (default $GPTME_NAME)")
    parser.add_argument("--agent", default="gptme", metavar="A", help="whose log it is (default gptme)")
    parser.add_argument("--within", default="0", metavar="SECONDS", help="how long to wait for it")


def _expect(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.expect import expect

    return expect(settings, options.name, options.agent, options.within, as_json=options.json)


def findings(commands: Commands) -> None:
    """Declare `findings`: what cannot be right."""
    parser = command(commands, "findings", _findings, "what cannot be right in what was claimed and measured")
    parser.add_argument("--rule", metavar="R", help="only the findings of this rule, all of them")
    parser.add_argument("--id", metavar="ID", help="only this finding, and all that is known of it")
    parser.add_argument(
        "action", nargs="?", choices=("acknowledge",), metavar="acknowledge", help="say that a finding is known"
    )
    parser.add_argument("finding", nargs="?", metavar="ID", help="which: the id that is shown with it")
    parser.add_argument(
        "--reason", metavar="WORD", help="expected, known_defect, harmless, repaired_elsewhere or not_ours"
    )
    parser.add_argument("--ticket", metavar="T", help="id of a ticket")
    parser.add_argument(
        "--until", metavar="T", help="a day, a time, or a duration from now (30d); then it alarms again"
    )
    parser.add_argument("--withdraw", action="store_true", help="take the acknowledgement back")


def _findings(options: argparse.Namespace, settings: Settings) -> int:
    if options.action == "acknowledge":
        from daemon.acknowledge import Acknowledged, acknowledge

        wanted = Acknowledged(
            options.finding or "", options.reason, options.ticket, options.until, is_withdrawn=options.withdraw
        )
        return acknowledge(settings, wanted, as_json=options.json)
    from daemon.findings import findings

    return findings(settings, rule=options.rule, name=options.id, as_json=options.json)


def resolve(commands: Commands) -> None:
    """Declare `resolve`: the session between two times."""
    parser = command(commands, "resolve", _resolve, "print the one session that began between two times, or nothing")
    parser.add_argument("--agent", default="gptme", metavar="A", help="whose session (default gptme)")
    parser.add_argument("--run-type", metavar="R", help="its run type, as the name of a run of gptme bears it")
    parser.add_argument(
        "--start", required=True, metavar="TIME", help="when it started: @EPOCH, or ISO 8601 with a zone"
    )
    parser.add_argument("--end", metavar="TIME", help="when it ended (default now)")
    parser.add_argument("--wait", default="0", metavar="SECONDS", help="how long to wait for it")
    parser.add_argument("--path", action="store_true", help="print the path of its log instead")


def _resolve(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.resolve import Question, resolve

    question = Question(options.agent, options.run_type, options.start, options.end)
    return resolve(settings, question, options.wait, is_path=options.path, as_json=options.json)


def repair(commands: Commands) -> None:
    """Declare `repair`: claims put right, and back."""
    what = "put claims right that point at the wrong log: by plan, step by step, and back"
    actions = group(commands, "repair", what)
    plan = command(actions, "plan", _repair_plan, "say what is to be done to which claim, and why; changes nothing")
    plan.add_argument("--out", metavar="FILE", help="write it there, for review and for apply")
    plan.add_argument(
        "--rule", action="append", default=[], metavar="R", help="only claims that this rule found; several times"
    )
    plan.add_argument(
        "--within", default="900", metavar="SECONDS", help="how long after its session a run may begin (default 900)"
    )
    apply = command(
        actions, "apply", _repair_apply, "apply a plan, run all rules again, and show every figure that moved"
    )
    apply.add_argument("plan", metavar="FILE", help="as plan --out wrote it")
    undo = command(actions, "undo", _repair_undo, "take a plan back")
    undo.add_argument("plan", metavar="PLAN", help="its file or its name")
    for each in (apply, undo):
        each.add_argument(
            "--step", action="append", type=count, default=[], metavar="N", help="only this step; several times"
        )
        each.add_argument(
            "--wait", default="60", metavar="SECONDS", help="how long to wait for the daemon (default 60)"
        )


def _repair_plan(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.verbs import show_plan

    return show_plan(settings, options.within, options.rule, options.out, as_json=options.json)


def _repair_apply(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.verbs import apply_plan

    return apply_plan(settings, options.plan, options.step, options.wait, as_json=options.json)


def _repair_undo(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.verbs import undo_plan

    return undo_plan(settings, options.plan, options.step, options.wait, as_json=options.json)


def taint(commands: Commands) -> None:
    """Declare `taint`: what used bad rows."""
    parser = command(
        commands, "taint", _taint, "what used bad rows: sessions, tasks, days, exports and registered consumers"
    )
    parser.add_argument(
        "subject", nargs="?", metavar="ID", help="a finding, a claimed session or a plan (default: critical findings)"
    )
    parser.add_argument("--rule", metavar="R", help="only findings of this rule")


def _taint(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.taint import taint

    return taint(settings, options.subject, options.rule, as_json=options.json)


def consumer(commands: Commands) -> None:
    """Declare `consumer`: who goes by these tables."""
    what = "say who goes by these tables, so that it can be told what was wrong"
    actions = group(commands, "consumer", what)
    add = command(actions, "add", _consumer_add, "register who reads a table, or took a copy of it")
    add.add_argument("consumer", metavar="NAME", help="who: a dashboard, a grader, a file")
    add.add_argument("--table", required=True, metavar="T", help="which table or view")
    add.add_argument("--export", action="store_true", help="a copy that was taken once (default: read again and again)")
    add.add_argument("--since", metavar="T", help="only rows from this day or time on")
    add.add_argument("--until", metavar="T", help="only rows before this day or time")
    add.add_argument("--up-to", metavar="SEQ", help="last event that was in it (default: what the tables hold now)")
    add.add_argument("--withdraw", action="store_true", help="take the registration back")
    command(actions, "list", _consumer_list, "every registration")


def _consumer_add(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.consumers import Use, add

    bounds = (options.since, options.until, options.up_to)
    use = Use(options.consumer, options.table, *bounds, is_export=options.export, is_withdrawn=options.withdraw)
    return add(settings, use, as_json=options.json)


def _consumer_list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.consumers import list_all

    return list_all(settings, as_json=options.json)
