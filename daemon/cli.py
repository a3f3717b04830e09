"""
The command `tallystick`: one verb per function, stdout is data, stderr is log.

Heavy imports stand inside the verbs: a fast command must not pay for a slow one.
"""

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence

from daemon.settings import Settings, load
from state.errors import TallystickError

Verb = Callable[[argparse.Namespace, Settings], int]

#: Exit codes beside those of the errors themselves.
DONE, FINDINGS, USAGE, UNAVAILABLE, BROKEN = 0, 1, 2, 3, 4


_BACK = re.compile(r"-\d+[dhm]")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; whatever fails is said in one line with the next step."""
    os.umask(0o077)  # what we write is about somebody's work: nobody else's to read
    parser = _parser()
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        settings = load(options.home, options.state_dir)
        verb: Verb = options.verb
        code = verb(options, settings)
        if sys.stdout is not None:
            sys.stdout.flush()
    except TallystickError as error:
        return _said(str(error), error.exit_code)
    except BrokenPipeError:
        _forget_output()  # the reader has enough, as with `head`
        return DONE
    except KeyboardInterrupt:
        return _said("interrupted; what was committed is kept, the next run goes on from there", 130)
    except UnicodeError:
        return _said("a path given is no UTF-8 text; give the state directory another name", USAGE)
    except OSError as error:
        _forget_output()
        where = f" {error.filename}" if isinstance(error.filename, str) else ""
        return _said(f"cannot read or write{where}: {errno.errorcode.get(error.errno or 0, 'unknown')}", UNAVAILABLE)
    return code


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join `--until -5d` to one word: a parser of options takes what begins with a dash for one, and says nothing."""
    words: list[str] = []
    for word in arguments:
        if words and words[-1] in ("--since", "--until") and _BACK.fullmatch(word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _said(text: str, code: int) -> int:
    clean = "".join(char if char.isprintable() else "?" for char in text)
    sys.stderr.write(f"tallystick: {clean}\n")
    return code


def _forget_output() -> None:
    """Let what is left in the buffer go nowhere: nobody can take it."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tallystick", description=_SUMMARY, allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.set_defaults(home=None, state_dir=None)
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = _verb(verbs, "demo", _demo, "bundled synthetic logs -> totals, freshness, findings; checks its own numbers")
    demo.add_argument("--serve", action="store_true", help="answer with the dashboard over them, until it is ended")
    demo.add_argument("--port", type=_count, default=0, metavar="N", help="where (default: any that is free)")
    ingest = _verb(verbs, "ingest", _ingest, "one catch-up pass over every agent's logs, then exit")
    run = _verb(verbs, "run", _run, "the daemon: watches the logs until it is told to stop", None)
    for reader in (ingest, run):
        reader.add_argument(
            "--claims", action="append", default=[], metavar="PATH", help="a harness's file of records; several times"
        )
    usage = _verb(verbs, "usage", _usage, "tokens, grouped; each row names its class")
    _grouping(usage)
    sessions = _verb(verbs, "sessions", _sessions, "sessions, also those that state no usage")
    sessions.add_argument("session", nargs="?", metavar="ID", help="one session's calls")
    _verb(verbs, "health", _health, "one line for a monitoring system: 0 ok, 1 warning, 2 critical, 3 unknown")
    _verb(verbs, "doctor", _doctor, "one page: what is wrong and what to type, where everything is, what runs")
    _verb(verbs, "status", _status, "per agent: how new the evidence is and what is unread")
    tail = _verb(
        verbs, "tail", _tail, "evidence as it is appended", "print events as they stand in the log, a line each"
    )
    tail.add_argument("-n", "--last", type=_count, default=10, metavar="N", help="begin with the last N (default 10)")
    tail.add_argument("--no-follow", action="store_true", help="do not wait for more")
    explain = _verb(verbs, "explain", _explain, "from a total back to files and byte ranges")
    explain.add_argument(
        "what", metavar="WHAT", help="a day, session, call, event (#123), task, workstream or repository"
    )
    explain.add_argument("--agent", help="only this agent's calls")
    explain.add_argument("--timezone", default="UTC", help="what a day is (default UTC)")
    verify = _verb(verbs, "verify", _verify, "is the log what was once committed?")
    verify.add_argument("--sources", action="store_true", help="reopen surviving files and compare line hashes")
    _inbox(verbs)
    _task(verbs)
    _repo(verbs)
    _api(verbs)
    _hook(verbs)
    _expect_verb(verbs)
    _findings_verbs(verbs)
    _repair_verbs(verbs)
    _beliefs_verbs(verbs, usage)
    _list_verb(verbs)
    _reconcile_verbs(verbs)
    quality = _verb(verbs, "quality", _quality, "what is not as good as a measured call of a known repository")
    quality.add_argument("--since", metavar="TIME", help="only what happened from then on")
    _import_verb(verbs)
    _verb(verbs, "rebuild", _rebuild, "make the tables anew from the log")
    _adapter_verbs(verbs)
    _export_verbs(verbs)
    _service(verbs)
    sql = _verb(verbs, "sql", _sql, "query the published tables")
    sql.add_argument("query", metavar="QUERY")
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"tallystick {version('tallystick')}\n")
        sys.exit(DONE)


_SUMMARY = (
    "Evidence-backed token accounts of coding agents. Exit: 0 done, 1 findings, 2 usage, 3 unavailable, 4 broken."
)


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    verb: Verb,
    what: str,
    json_is: str | None = "print one JSON document",
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument("--home", help="the home whose agent logs are read (default: yours)")
    parser.add_argument("--state-dir", help="where log and tables are kept")
    if json_is is not None:
        parser.add_argument("--json", action="store_true", help=json_is)
    parser.set_defaults(verb=verb)
    return parser


def _grouping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by",
        default="agent",
        help="day,agent,source,provider,model,session,repo,branch,task,workstream,host (default agent)",
    )
    parser.add_argument("--since", help="from this day or time on, or a duration back from now (30d, 12h)")
    parser.add_argument("--until", help="before this day or time")
    parser.add_argument("--timezone", default="UTC", help="what a day is, as an IANA name (default UTC)")
    parser.add_argument(
        "--include", default="", help="estimated,allocated,superseded: further classes, never summed with measured"
    )
    only = "only what has this agent, source, provider, model, session, repo, branch, task or workstream; several times"
    parser.add_argument("--only", action="append", type=_pair, default=[], metavar="NAME=VALUE", help=only)
    parser.add_argument("--unattributed", action="store_true", help="only what belongs to no repository")


def _inbox(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "send a message of a hook, task or operator; ask what became of one"
    parser = verbs.add_parser("inbox", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    submit = _verb(actions, "submit", _inbox_submit, "put one message into the inbox, and print its receipt")
    submit.add_argument(
        "--kind",
        required=True,
        help="hook_run, task, activity, token_event, allocation, repo, expectation: docs/inbox.md",
    )
    submit.add_argument("--key", help="what it is about; sent again, it is the same message")
    submit.add_argument("--revision", help="order among the messages of the key; the greatest holds")
    submit.add_argument("--producer", default="operator", help="program that sends it (default operator)")
    submit.add_argument("file", metavar="FILE", help="its body, a JSON object; - for standard input")
    status = _verb(actions, "status", _inbox_status, "what became of a message")
    status.add_argument("receipt", metavar="RECEIPT", help="as submit printed it")
    status.add_argument("--wait", default="0", metavar="SECONDS", help="how long to wait while it is pending")
    _verb(actions, "list", _inbox_list, "messages that wait, and those that were rejected")


def _task(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "say what a task has come to, and to which task tokens belong"
    parser = verbs.add_parser("task", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    report = _verb(actions, "report", _task_report, "say what a task has come to, and print the receipt")
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
    allocate = _verb(actions, "allocate", _task_allocate, "declare to which task tokens belong")
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
    _verb(actions, "list", _task_list, "every task: what was measured for it, and what only estimated")
    task = _verb(actions, "show", _task_show, "one task: its reports, its shares of calls, by which rule")
    task.add_argument("task", metavar="ID", help="id of the task")


def _beliefs_verbs(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", usage: argparse.ArgumentParser
) -> None:
    usage.add_argument("--as-of", metavar="SEQ|TIME", help="of the log up to then, by today's rules")
    what = "which totals are other than they were believed to be, by how much, and why"
    restatements = _verb(verbs, "restatements", _restatements, what)
    restatements.add_argument("--since", metavar="TIME", help="what was believed then (default: first of each day)")
    restatements.add_argument("--until", metavar="TIME", help="against what was believed then (default: now)")


def _list_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listed = _verb(verbs, "list", _list, "rows of a table as they are, in pages")
    listed.add_argument("what", metavar="WHAT", help="events, sessions, freshness, high-water-marks, ...: docs/api.md")
    listed.add_argument("--after", metavar="NEXT", help="behind the page before: its `next`")
    listed.add_argument("--limit", type=_count, metavar="N", help="how many rows (default: all)")
    listed.add_argument("--descending", action="store_true", help="the last ones first")
    only = "only rows that have this in a column; several times"
    listed.add_argument("--only", action="append", type=_pair, default=[], metavar="COLUMN=VALUE", help=only)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.listings import Page, show_listing

    page = Page(
        after=options.after,
        rows_max=options.limit,
        order="descending" if options.descending else "ascending",
        only=dict(options.only),
    )
    return show_listing(settings, options.what, page, as_json=options.json)


def _restatements(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.restatements import restatements

    return restatements(settings, options.since, options.until, as_json=options.json)


def _findings_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    findings = _verb(verbs, "findings", _findings, "what cannot be right in what was claimed and measured")
    findings.add_argument("--rule", metavar="R", help="only the findings of this rule, all of them")
    findings.add_argument("--id", metavar="ID", help="only this finding, and all that is known of it")
    findings.add_argument(
        "action", nargs="?", choices=("acknowledge",), metavar="acknowledge", help="say that a finding is known"
    )
    findings.add_argument("finding", nargs="?", metavar="ID", help="which: the id that is shown with it")
    findings.add_argument(
        "--reason", metavar="WORD", help="expected, known_defect, harmless, repaired_elsewhere or not_ours"
    )
    findings.add_argument("--ticket", metavar="T", help="id of a ticket")
    findings.add_argument(
        "--until", metavar="T", help="a day, a time, or a duration from now (30d); then it alarms again"
    )
    findings.add_argument("--withdraw", action="store_true", help="take the acknowledgement back")


def _repair_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    resolve = _verb(verbs, "resolve", _resolve, "print the one session that began between two times, or nothing")
    resolve.add_argument("--agent", default="gptme", metavar="A", help="whose session (default gptme)")
    resolve.add_argument("--run-type", metavar="R", help="its run type, as the name of a run of gptme bears it")
    resolve.add_argument(
        "--start", required=True, metavar="TIME", help="when it started: @EPOCH, or ISO 8601 with a zone"
    )
    resolve.add_argument("--end", metavar="TIME", help="when it ended (default now)")
    resolve.add_argument("--wait", default="0", metavar="SECONDS", help="how long to wait for it")
    resolve.add_argument("--path", action="store_true", help="print the path of its log instead")
    what = "put claims right that point at the wrong log: by plan, step by step, and back"
    parser = verbs.add_parser("repair", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    plan = _verb(actions, "plan", _repair_plan, "say what is to be done to which claim, and why; changes nothing")
    plan.add_argument("--out", metavar="FILE", help="write it there, for review and for apply")
    plan.add_argument(
        "--rule", action="append", default=[], metavar="R", help="only claims that this rule found; several times"
    )
    plan.add_argument(
        "--within", default="900", metavar="SECONDS", help="how long after its session a run may begin (default 900)"
    )
    apply = _verb(
        actions, "apply", _repair_apply, "apply a plan, run all rules again, and show every figure that moved"
    )
    apply.add_argument("plan", metavar="FILE", help="as plan --out wrote it")
    undo = _verb(actions, "undo", _repair_undo, "take a plan back")
    undo.add_argument("plan", metavar="PLAN", help="its file or its name")
    for each in (apply, undo):
        each.add_argument(
            "--step", action="append", type=_count, default=[], metavar="N", help="only this step; several times"
        )
        each.add_argument(
            "--wait", default="60", metavar="SECONDS", help="how long to wait for the daemon (default 60)"
        )
    taint = _verb(verbs, "taint", _taint, "what used bad rows: sessions, tasks, days, exports and registered consumers")
    taint.add_argument(
        "subject", nargs="?", metavar="ID", help="a finding, a claimed session or a plan (default: critical findings)"
    )
    taint.add_argument("--rule", metavar="R", help="only findings of this rule")
    what = "say who goes by these tables, so that it can be told what was wrong"
    parser = verbs.add_parser("consumer", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    add = _verb(actions, "add", _consumer_add, "register who reads a table, or took a copy of it")
    add.add_argument("consumer", metavar="NAME", help="who: a dashboard, a grader, a file")
    add.add_argument("--table", required=True, metavar="T", help="which table or view")
    add.add_argument("--export", action="store_true", help="a copy that was taken once (default: read again and again)")
    add.add_argument("--since", metavar="T", help="only rows from this day or time on")
    add.add_argument("--until", metavar="T", help="only rows before this day or time")
    add.add_argument("--up-to", metavar="SEQ", help="last event that was in it (default: what the tables hold now)")
    add.add_argument("--withdraw", action="store_true", help="take the registration back")
    _verb(actions, "list", _consumer_list, "every registration")


def _reconcile_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "disk, log and tables against each other: what is missing, and what can be mended; writes with --apply"
    reconcile = _verb(verbs, "reconcile", _reconcile, what)
    reconcile.add_argument("--since", metavar="T", help="only what happened from this day or time on, or 30d, 12h")
    reconcile.add_argument("--apply", action="store_true", help="read what can be read; without it nothing is")
    reconcile.add_argument(
        "--zero-superseded-fallbacks",
        action="store_true",
        help="also decide that fallbacks beside a measurement of the same session or task do not count",
    )
    reconcile.add_argument("--restore-fallbacks", action="store_true", help="take all those decisions back")
    reconcile.add_argument("--wait", metavar="SECONDS", help="how long a daemon may take to apply it (default 660)")
    scheduled = "a timer or cron runs it: from then on health tells when none does any more"
    reconcile.add_argument("--scheduled", action="store_true", help=scheduled)
    invariants = _verb(verbs, "invariants", _invariants, "is anything wrong? 0 no, 1 yes, 3 nobody can tell")
    invariants.add_argument("--context", action="store_true", help="the few lines that an agent's next session sees")


def _import_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "rows of an old token table: each classified, none promoted to measured without a source"
    table = _verb(verbs, "import", _import, what)
    table.add_argument("file", nargs="?", metavar="FILE", help="an export of it; docs/migration.md has the columns")
    table.add_argument("--format", metavar="F", help="csv, json or ndjson (default: by the file's suffix)")
    table.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a column of the file is one of ours; OLD= for none",
    )
    table.add_argument(
        "--note", action="append", default=[], metavar="CLASS=TEXT", help="notes that begin so are of this class"
    )
    table.add_argument("--table", metavar="NAME", help="its name (default token_events)")
    table.add_argument("--timezone", metavar="ZONE", help="zone of times that state none; else such a row is refused")
    table.add_argument("--dry-run", action="store_true", help="write nothing, show what would come of it")
    table.add_argument("--undo", action="store_true", help="take back the rows of the file, or all of --table")


def _repo(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "say which checkouts, remotes and names belong to a repository"
    parser = verbs.add_parser("repo", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    register = _verb(
        actions, "register", _repo_register, "register a checkout, or remotes, directories and commits, by a name"
    )
    place = "a checkout (default: here, unless --remote, --path or --root say what belongs to it)"
    register.add_argument("place", nargs="?", metavar="PATH", help=place)
    register.add_argument("--name", metavar="SLUG", help="its name (default: the path of its remote origin)")
    register.add_argument("--remote", action="append", default=[], metavar="URL", help="an address; several times")
    register.add_argument("--path", action="append", default=[], metavar="P", help="a directory; several times")
    register.add_argument("--root", action="append", default=[], metavar="COMMIT", help="a first commit; several times")
    register.add_argument("--withdraw", action="store_true", help="take back a registration of exactly this")
    alias = _verb(actions, "alias", _repo_alias, "register further names of a repository")
    alias.add_argument("slug", metavar="SLUG", help="the name under which it is shown")
    alias.add_argument("others", nargs="+", metavar="OTHER", help="a name that means the same")
    alias.add_argument("--withdraw", action="store_true", help="take the further names back")
    _verb(actions, "list", _repo_list, "every repository with its usage, and what belongs to none, and why")
    explain = _verb(actions, "explain", _repo_explain, "why a directory, or what, belongs to a repository or to none")
    explain.add_argument("what", metavar="WHAT", help="a repository, one of its names, or a directory")


def _api(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "tokens that no log of an agent has"
    token = verbs.add_parser("token", help=what, description=what, allow_abbrev=False)
    actions = token.add_subparsers(title="actions", required=True, metavar="ACTION")
    add = _verb(actions, "add", _token_add, "write one report of tokens, or a list of them; print their receipts")
    add.add_argument("file", metavar="FILE", help="JSON as POST /api/v1/token-events takes it; - for standard input")
    add.add_argument("--wait", metavar="SECONDS", help="wait for the outcome at most so long, and print it")
    serve = _verb(verbs, "serve", _serve, "the HTTP API: reads what was published, writes into the inbox", None)
    where = serve.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="PATH", help="unix socket (default: api.sock in the state directory)")
    where.add_argument("--port", type=_count, metavar="N", help="port of 127.0.0.1 instead, for who knows the token")


def _hook(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "what an agent calls at its events, and its place in the agent's settings"
    parser = verbs.add_parser("hook", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for name in ("claude-code", "codex"):
        run = _verb(actions, name, _run_hook, f"called by {name}: its JSON on stdin, or as an argument", None)
        run.add_argument("handed", nargs="?", metavar="JSON", help="what the agent hands over")
        run.set_defaults(hook=name)
    install = _verb(actions, "install", _hook_install, "put it into an agent's settings, and keep the rest of them")
    install.add_argument("--notify", action="store_true", help="for a Codex without hooks: as its `notify` instead")
    uninstall = _verb(actions, "uninstall", _hook_uninstall, "take it out of an agent's settings")
    for each in (install, uninstall):
        each.add_argument("hook", choices=("claude-code", "codex"), metavar="AGENT", help="claude-code or codex")
    status = _verb(actions, "status", _hook_status, "what the agents' settings say of it")
    status.add_argument("hook", nargs="?", choices=("claude-code", "codex"), metavar="AGENT", help="only this one")


def _expect_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "print the one log of exactly this name, or say that it is not there"
    expect = _verb(verbs, "expect", _expect, what)
    expect.add_argument("name", nargs="?", metavar="NAME", help="a conversation, session or path (default $GPTME_NAME)")
    expect.add_argument("--agent", default="gptme", metavar="A", help="whose log it is (default gptme)")
    expect.add_argument("--within", default="0", metavar="SECONDS", help="how long to wait for it")


def _export_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "a copy of usage or of a table, and the shapes of other tools"
    parser = verbs.add_parser("export", help=what, description=what, allow_abbrev=False)
    formats = parser.add_subparsers(title="formats", required=True, metavar="FORMAT")
    for name in ("csv", "json", "parquet"):
        copy = _verb(formats, name, _export, f"usage, or a table, as {name}", None)
        copy.set_defaults(format=name)
        copy.add_argument("--table", metavar="T", help="a whole table or view (default: usage)")
        copy.add_argument("--by", help="what usage is grouped by, as of `usage` (default day,agent,model)")
        copy.add_argument("--include", default="", help="further classes, as of `usage`")
        _windowed(copy)
        copy.add_argument("--out", metavar="FILE", help="write it there, whole or not at all (default: stdout)")
        _consumed(copy)

    what = "another program's figures of the same logs, and why they are others"
    crosscheck = _verb(verbs, "crosscheck", _crosscheck, what)
    crosscheck.add_argument("peer", choices=("ccusage",), metavar="PEER", help="ccusage")
    crosscheck.add_argument("--command", default="ccusage", metavar="C", help="how it is called (default ccusage)")
    metrics = _verb(verbs, "metrics", _metrics, "figures for Prometheus, on stdout or as a file of node_exporter", None)
    metrics.add_argument("--textfile", metavar="PATH", help="put them whole in the place of this file, *.prom")
    ccusage = _verb(formats, "ccusage", _export_ccusage, "measured usage of one agent in the JSON of ccusage", None)
    ccusage.add_argument("report", choices=("daily", "monthly", "session", "blocks"), metavar="REPORT", help="which")
    ccusage.add_argument("--agent", default="claude_code", metavar="A", help="claude_code (default) or codex")
    _windowed(ccusage)
    _consumed(ccusage)

    what = "one line for the foot of Claude Code, which hands over its JSON on stdin"
    _verb(verbs, "statusline", _statusline, what, None)
    completion = _verb(verbs, "completion", _completion, "a script that lets your shell complete these commands", None)
    completion.add_argument("shell", choices=("bash", "zsh"), metavar="SHELL", help="bash or zsh")


def _windowed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", help="from this day or time on, or a duration back from now (30d, 12h)")
    parser.add_argument("--until", help="before this day or time")
    parser.add_argument("--timezone", default="UTC", help="what a day is, as an IANA name (default UTC)")


def _consumed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--consumer", metavar="NAME", help="who takes it, for `taint` (default: the file's name)")
    parser.add_argument("--no-record", action="store_true", help="leave no evidence of it: `taint` cannot name it")


def _export(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.exports.copies import Wanted
    from daemon.exports.verbs import Taken, export

    by = "day,agent,model" if options.by is None and options.table is None else options.by or ""
    wanted = Wanted(options.table, _words(by), options.since, options.until, options.timezone, _words(options.include))
    return export(settings, options.format, wanted, Taken(options.out, options.consumer, not options.no_record))


def _export_ccusage(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.exports.verbs import CcusageQuestion, Taken, export_ccusage

    asked = CcusageQuestion(options.report, options.agent, options.since, options.until, options.timezone)
    return export_ccusage(settings, asked, Taken(None, options.consumer, not options.no_record))


def _metrics(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.metrics_verb import metrics

    return metrics(settings, options.textfile)


def _crosscheck(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.exports.crosscheck_verb import crosscheck

    return crosscheck(settings, options.command, as_json=options.json)


def _statusline(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - options of every verb
    from daemon.statusline import statusline

    return statusline(settings)


def _completion(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - of the parser alone
    from daemon.completion import completion

    return completion(_parser(), options.shell)


def _adapter_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "which agents can be read; checks for an adapter of your own"
    parser = verbs.add_parser("adapters", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    _verb(actions, "list", _list_adapters, "every adapter and plug-in, its roots here, and how many files it claims")
    check = _verb(
        actions, "check", _check_adapter, "what an adapter recognises in files, and whether it keeps its promises"
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="logs of an agent")
    check.add_argument("--adapter", metavar="NAME", help="this one, whatever else claims the file")
    check.add_argument("--module", metavar="PATH", help="a Python file that sets ADAPTER and is not installed")


def _service(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    what = "the daemon and its timers, of health and reconcile, as units of systemd"
    parser = verbs.add_parser("service", help=what, description=what, allow_abbrev=False)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for name, help_ in _SERVICE_ACTIONS.items():
        action = _verb(
            actions,
            name,
            _run_service,
            help_,
            "print one JSON document (tallystick.service/1)" if name == "status" else None,
        )
        action.add_argument("--system", metavar="USER", help="that user's instance of the template, run by the system")
        action.set_defaults(action=name)
        if name == "install":
            action.add_argument("--no-start", action="store_true", help="write the units, and leave systemd alone")


_SERVICE_ACTIONS = {
    "install": "write the units, enable and start them, and say what is missing",
    "show": "print what install would write, and where",
    "status": "what is installed, enabled and running, and the next step where something is missing",
    "start": "enable and start all that belongs to an installed service",
    "restart": "end the daemon and start it again",
    "reload": "let the daemon read its configuration again",
    "uninstall": "stop the service and remove its units; log and tables stay",
}


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


def _expect(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.expect import expect

    return expect(settings, options.name, options.agent, options.within, as_json=options.json)


def _demo(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - it brings its own home
    if options.serve:
        from daemon.demo_page import demo_page

        return demo_page(options.port)
    from daemon.demo import demo

    return demo(as_json=options.json)


def _quality(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.quality import quality

    return quality(settings, options.since, as_json=options.json)


def _ingest(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import ingest

    return ingest(_with_claims(settings, options), as_json=options.json)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.run import run

    return run(_with_claims(settings, options))


def _with_claims(settings: Settings, options: argparse.Namespace) -> Settings:
    """Return *settings* with the files of records that were named here: a path is taken from where it was typed."""
    return settings._replace(claims=tuple(os.path.abspath(path) for path in options.claims))  # noqa: PTH100 - links stay


def _usage(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.usage_verb import UsageQuestion, usage

    question = UsageQuestion(
        by=_words(options.by),
        since=options.since,
        until=options.until,
        timezone=options.timezone,
        include=_words(options.include),
        as_of=options.as_of,
        only={**dict(options.only), **({"repo": None} if options.unattributed else {})},
    )
    return usage(settings, question, as_json=options.json)


def _sessions(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import sessions

    return sessions(settings, options.session, as_json=options.json)


def _status(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import status

    return status(settings, as_json=options.json)


def _health(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.health.verb import health

    return health(settings, as_json=options.json)


def _doctor(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.doctor.page import doctor

    return doctor(settings, as_json=options.json)


def _tail(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.follow import tail

    return tail(settings, last=options.last, is_following=not options.no_follow, as_json=options.json)


def _explain(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.explain import Question
    from daemon.verbs import show_explanation

    return show_explanation(settings, Question(options.what, options.agent, options.timezone), as_json=options.json)


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import verify

    return verify(settings, with_sources=options.sources, as_json=options.json)


def _rebuild(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import rebuild

    return rebuild(settings, as_json=options.json)


def _list_adapters(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.adapter_verbs import list_adapters

    return list_adapters(settings, as_json=options.json)


def _check_adapter(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.adapter_verbs import check

    return check(settings, options.files, options.adapter, options.module, as_json=options.json)


def _sql(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import sql

    return sql(settings, options.query, as_json=options.json)


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


def _repo_list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_answers import list_repos

    return list_repos(settings, as_json=options.json)


def _repo_explain(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_answers import explain_repo

    return explain_repo(settings, options.what, as_json=options.json)


def _repo_alias(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repo_verbs import alias

    return alias(settings, options.slug, options.others, is_withdrawn=options.withdraw, as_json=options.json)


def _token_add(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.token_verbs import add

    return add(settings, options.file, options.wait, as_json=options.json)


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.web.serve import serve

    return serve(settings, options.socket, options.port, is_for_a_person=sys.stdout.isatty())


def _run_service(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.service import verbs

    asked = verbs.Asked(options.system, options.home, options.state_dir)
    if options.action == "install":
        return verbs.install(settings, asked, is_starting=not options.no_start)
    if options.action == "status":
        return verbs.status(settings, asked, as_json=options.json)
    return verbs.PLAIN[options.action](settings, asked)


def _findings(options: argparse.Namespace, settings: Settings) -> int:
    if options.action == "acknowledge":
        from daemon.acknowledge import Acknowledged, acknowledge

        wanted = Acknowledged(
            options.finding or "", options.reason, options.ticket, options.until, is_withdrawn=options.withdraw
        )
        return acknowledge(settings, wanted, as_json=options.json)
    from daemon.findings import findings

    return findings(settings, rule=options.rule, name=options.id, as_json=options.json)


def _resolve(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.resolve import Question, resolve

    question = Question(options.agent, options.run_type, options.start, options.end)
    return resolve(settings, question, options.wait, is_path=options.path, as_json=options.json)


def _repair_plan(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.verbs import show_plan

    return show_plan(settings, options.within, options.rule, options.out, as_json=options.json)


def _repair_apply(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.verbs import apply_plan

    return apply_plan(settings, options.plan, options.step, options.wait, as_json=options.json)


def _repair_undo(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.verbs import undo_plan

    return undo_plan(settings, options.plan, options.step, options.wait, as_json=options.json)


def _taint(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.taint import taint

    return taint(settings, options.subject, options.rule, as_json=options.json)


def _consumer_add(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.consumers import Use, add

    bounds = (options.since, options.until, options.up_to)
    use = Use(options.consumer, options.table, *bounds, is_export=options.export, is_withdrawn=options.withdraw)
    return add(settings, use, as_json=options.json)


def _consumer_list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.repair.consumers import list_all

    return list_all(settings, as_json=options.json)


def _reconcile(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.message_options import seconds
    from daemon.reconcile.backfill import WAIT_SECONDS
    from daemon.reconcile.verb import Asked, reconcile
    from daemon.window import moment_of

    asked = Asked(
        since=moment_of("--since", options.since),
        is_applied=options.apply,
        is_superseding=options.zero_superseded_fallbacks,
        is_restoring=options.restore_fallbacks,
        is_scheduled=options.scheduled,
        wait_seconds=WAIT_SECONDS if options.wait is None else seconds(options.wait),
    )
    return reconcile(settings, asked, as_json=options.json)


def _invariants(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.invariants import invariants

    return invariants(settings, is_context=options.context, as_json=options.json)


def _import(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.migration.verb import Asked, run_import

    asked = Asked(
        file=options.file,
        format=options.format,
        columns=options.map,
        notes=options.note,
        table=options.table,
        timezone=options.timezone,
        is_dry_run=options.dry_run,
        is_undo=options.undo,
    )
    return run_import(settings, asked, as_json=options.json)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not (name and value):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


if __name__ == "__main__":
    sys.exit(main())
