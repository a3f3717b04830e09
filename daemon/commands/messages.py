"""What others say: `inbox`, `task`, `repo`, `token`, `hook`."""

import argparse

from daemon.commands.declared import Commands, command, group
from daemon.settings import Settings


def inbox(commands: Commands) -> None:
    """Declare `inbox`: messages as they are."""
    what = "send a message of a hook, task or operator; ask what became of one"
    actions = group(commands, "inbox", what)
    submit = command(actions, "submit", _inbox_submit, "put one message into the inbox, and print its receipt")
    submit.add_argument(
        "--kind",
        required=True,
        help="hook_run, task, activity, token_event, allocation, repo, expectation: docs/inbox.md",
    )
    submit.add_argument("--key", help="what it is about; sent again, it is the same message")
    submit.add_argument("--revision", help="order among the messages of the key; the greatest holds")
    submit.add_argument("--producer", default="operator", help="program that sends it (default operator)")
    submit.add_argument("file", metavar="FILE", help="its body, a JSON object; - for standard input")
    status = command(actions, "status", _inbox_status, "what became of a message")
    status.add_argument("receipt", metavar="RECEIPT", help="as submit printed it")
    status.add_argument("--wait", default="0", metavar="SECONDS", help="how long to wait while it is pending")
    command(actions, "list", _inbox_list, "messages that wait, and those that were rejected")


def _inbox_submit(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.inbox_verbs import send

    given = {"key": options.key, "revision": options.revision, "producer": options.producer}
    return send(settings, options.kind, options.file, **given, as_json=options.json)


def _inbox_status(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.inbox_verbs import status

    return status(settings, options.receipt, options.wait, as_json=options.json)


def _inbox_list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.inbox_verbs import listing

    return listing(settings, as_json=options.json)


def task(commands: Commands) -> None:
    """Declare `task`: what tasks have come to, and whose tokens are theirs."""
    what = "say what a task has come to, and to which task tokens belong"
    actions = group(commands, "task", what)
    report = command(actions, "report", _task_report, "say what a task has come to, and print the receipt")
    report.add_argument("task", metavar="ID", help="id of the task, as its tracker names it")
    report.add_argument("status", metavar="STATUS", help="open, in_progress, blocked, completed, failed or cancelled")
    report.add_argument("--session", metavar="S", help="session that worked on it")
    report.add_argument("--agent", metavar="A", help="agent that worked on it")
    report.add_argument("--workstream", metavar="W", help="workstream to which it belongs")
    report.add_argument("--repo", metavar="R", help="repository in which it is worked on")
    report.add_argument("--at", metavar="TIME", help="since when")
    report.add_argument("--origin", metavar="WORD", default="operator", help="what makes the report (default operator)")
    report.add_argument("--estimated-input-tokens", metavar="N", help="a guess, for where nothing was measured")
    report.add_argument("--estimated-output-tokens", metavar="N", help="the same for output")
    report.add_argument("--key", metavar="K", help="what it is about; sent again, it is the same message")
    report.add_argument("--revision", metavar="N", help="order among the messages of the key; the greatest holds")
    allocate = command(actions, "allocate", _task_allocate, "declare to which task tokens belong")
    allocate.add_argument("task", metavar="ID", help="the task; - for none, or for a workstream alone")
    target = allocate.add_mutually_exclusive_group(required=True)
    target.add_argument("--session", metavar="S", help="all calls of this session")
    target.add_argument("--call", metavar="C", help="this one call")
    allocate.add_argument("--agent", metavar="A", help="agent of that session or call")
    allocate.add_argument("--since", metavar="T", help="only calls from this day or time on")
    allocate.add_argument("--until", metavar="T", help="only calls before this day or time")
    allocate.add_argument(
        "--permille", metavar="N", help="thousandths of the tokens (default: an equal part of the rest)"
    )
    allocate.add_argument("--workstream", metavar="W", help="workstream to which they belong")
    allocate.add_argument("--withdraw", action="store_true", help="take this declaration back")
    allocate.add_argument("--what-if", action="store_true", help="write nothing, show whose tokens would change")
    command(actions, "list", _task_list, "every task: what was measured for it, and what only estimated")
    task = command(actions, "show", _task_show, "one task: its reports, its shares of calls, by which rule")
    task.add_argument("task", metavar="ID", help="id of the task")


def _task_report(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.task_verbs import Report, report

    wanted = Report(
        task=options.task,
        status=options.status,
        session=options.session,
        agent=options.agent,
        workstream=options.workstream,
        repo=options.repo,
        at=options.at,
        origin=options.origin,
        estimated_input_tokens=options.estimated_input_tokens,
        estimated_output_tokens=options.estimated_output_tokens,
        key=options.key,
        revision=options.revision,
    )
    return report(settings, wanted, as_json=options.json)


def _task_allocate(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.task_verbs import Declaration, allocate

    wanted = Declaration(
        task=options.task,
        session=options.session,
        call=options.call,
        agent=options.agent,
        since=options.since,
        until=options.until,
        permille=options.permille,
        workstream=options.workstream,
        is_withdrawn=options.withdraw,
    )
    return allocate(settings, wanted, is_asking=options.what_if, as_json=options.json)


def _task_list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.task_answers import list_tasks

    return list_tasks(settings, as_json=options.json)


def _task_show(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.task_answers import show_task

    return show_task(settings, options.task, as_json=options.json)


def repo(commands: Commands) -> None:
    """Declare `repo`: what belongs to a repository."""
    what = "say which checkouts, remotes and names belong to a repository"
    actions = group(commands, "repo", what)
    register = command(
        actions, "register", _repo_register, "register a checkout, or remotes, directories and commits, by a name"
    )
    place = "a checkout (default: here, unless --remote, --path or --root say what belongs to it)"
    register.add_argument("place", nargs="?", metavar="PATH", help=place)
    register.add_argument("--name", metavar="SLUG", help="its name (default: the path of its remote origin)")
    register.add_argument("--remote", action="append", default=[], metavar="URL", help="an address; several times")
    register.add_argument("--path", action="append", default=[], metavar="P", help="a directory; several times")
    register.add_argument("--root", action="append", default=[], metavar="COMMIT", help="a first commit; several times")
    register.add_argument("--withdraw", action="store_true", help="take back a registration of exactly this")
    alias = command(actions, "alias", _repo_alias, "register further names of a repository")
    alias.add_argument("slug", metavar="SLUG", help="the name under which it is shown")
    alias.add_argument("others", nargs="+", metavar="OTHER", help="a name that means the same")
    alias.add_argument("--withdraw", action="store_true", help="take the further names back")
    command(actions, "list", _repo_list, "every repository with its usage, and what belongs to none, and why")
    explain = command(actions, "explain", _repo_explain, "why a directory, or what, belongs to a repository or to none")
    explain.add_argument("what", metavar="WHAT", help="a repository, one of its names, or a directory")


def _repo_register(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_verbs import Registration, register

    asked = Registration(
        place=options.place,
        name=options.name,
        remotes=options.remote,
        paths=options.path,
        roots=options.root,
        is_withdrawn=options.withdraw,
    )
    return register(settings, asked, as_json=options.json)


def _repo_alias(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_verbs import alias

    return alias(settings, options.slug, options.others, is_withdrawn=options.withdraw, as_json=options.json)


def _repo_list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_answers import list_repos

    return list_repos(settings, as_json=options.json)


def _repo_explain(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_answers import explain_repo

    return explain_repo(settings, options.what, as_json=options.json)


def token(commands: Commands) -> None:
    """Declare `token`: tokens that no log has."""
    what = "tokens that no log of an agent has"
    actions = group(commands, "token", what)
    add = command(actions, "add", _token_add, "write one report of tokens, or a list of them; print their receipts")
    add.add_argument("file", metavar="FILE", help="JSON as POST /api/v1/token-events takes it; - for standard input")
    add.add_argument("--wait", metavar="SECONDS", help="wait for the outcome at most so long, and print it")


def _token_add(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.token_verbs import add

    return add(settings, options.file, options.wait, as_json=options.json)


def hook(commands: Commands) -> None:
    """Declare `hook`: what an agent calls."""
    what = "what an agent calls at its events, and its place in the agent's settings"
    actions = group(commands, "hook", what)
    for name in ("claude-code", "codex"):
        run = command(actions, name, _run_hook, f"called by {name}: its JSON on stdin, or as an argument", None)
        run.add_argument("handed", nargs="?", metavar="JSON", help="what the agent hands over")
        run.set_defaults(hook=name)
    install = command(actions, "install", _hook_install, "put it into an agent's settings, and keep the rest of them")
    install.add_argument("--notify", action="store_true", help="for a Codex without hooks: as its `notify` instead")
    uninstall = command(actions, "uninstall", _hook_uninstall, "take it out of an agent's settings")
    for each in (install, uninstall):
        each.add_argument("hook", choices=("claude-code", "codex"), metavar="AGENT", help="claude-code or codex")
    status = command(actions, "status", _hook_status, "what the agents' settings say of it")
    status.add_argument("hook", nargs="?", choices=("claude-code", "codex"), metavar="AGENT", help="only this one")


def _run_hook(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.hooks.command import main as run_hook

    handed = [] if options.handed is None else [options.handed]
    return run_hook([options.hook, "--state-dir", str(settings.state.root), *handed])


def _hook_install(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.hooks.verbs import add

    return add(settings, options.hook, is_notify=options.notify, as_json=options.json)


def _hook_uninstall(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.hooks.verbs import remove

    return remove(settings, options.hook, as_json=options.json)


def _hook_status(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.hooks.verbs import status

    return status(settings, options.hook, as_json=options.json)
