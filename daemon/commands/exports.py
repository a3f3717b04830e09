"""What leaves for people and programs: `serve`, `export`, `crosscheck`, `metrics`, `statusline`."""

import argparse
import sys

from daemon.commands.declared import Commands, choosing, chosen, command, count, group, windowed, words
from daemon.settings import Settings


def serve(commands: Commands) -> None:
    """Declare `serve`: the HTTP API and the dashboard."""
    parser = command(commands, "serve", _serve, "the HTTP API: reads what was published, writes into the inbox", None)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="PATH", help="unix socket (default: api.sock in the state directory)")
    where.add_argument("--port", type=count, metavar="N", help="port of 127.0.0.1 instead, for who knows the token")


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.web.serve import serve

    return serve(settings, options.socket, options.port, is_for_a_person=sys.stdout.isatty())


def export(commands: Commands) -> None:
    """Declare `export`: copies."""
    what = "a copy of usage or of a table, and the shapes of other tools"
    formats = group(commands, "export", what, ("formats", "FORMAT"))
    for name in ("csv", "json", "parquet"):
        copy = command(formats, name, _export, f"usage, or a table, as {name}", None)
        copy.set_defaults(format=name)
        copy.add_argument("--table", metavar="T", help="a whole table or view (default: usage)")
        copy.add_argument("--by", help="what usage is grouped by, as of `usage` (default day,agent,model)")
        copy.add_argument("--include", default="", help="further classes, as of `usage`")
        windowed(copy)
        choosing(copy)
        copy.add_argument("--out", metavar="FILE", help="write it there, whole or not at all (default: stdout)")
        _consumed(copy)
    ccusage = command(formats, "ccusage", _export_ccusage, "measured usage of one agent in the JSON of ccusage", None)
    ccusage.add_argument("report", choices=("daily", "monthly", "session", "blocks"), metavar="REPORT", help="which")
    ccusage.add_argument("--agent", default="claude_code", metavar="A", help="claude_code (default) or codex")
    windowed(ccusage)
    _consumed(ccusage)


def _export(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.exports.copies import Wanted
    from daemon.exports.verbs import Taken, export

    by = "day,agent,model" if options.by is None and options.table is None else options.by or ""
    window = (options.since, options.until, options.timezone)
    wanted = Wanted(options.table, words(by), *window, words(options.include), options.as_of, chosen(options))
    return export(settings, options.format, wanted, Taken(options.out, options.consumer, not options.no_record))


def _export_ccusage(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.exports.verbs import CcusageQuestion, Taken, export_ccusage

    asked = CcusageQuestion(options.report, options.agent, options.since, options.until, options.timezone)
    return export_ccusage(settings, asked, Taken(None, options.consumer, not options.no_record))


def _consumed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--consumer", metavar="NAME", help="who takes it, for `taint` (default: the file's name)")
    parser.add_argument("--no-record", action="store_true", help="leave no evidence of it: `taint` cannot name it")


def crosscheck(commands: Commands) -> None:
    """Declare `crosscheck`: figures of another program."""
    what = "another program's figures of the same logs, and why they are others"
    parser = command(commands, "crosscheck", _crosscheck, what)
    parser.add_argument("peer", choices=("ccusage",), metavar="PEER", help="ccusage")
    parser.add_argument("--command", default="ccusage", metavar="C", help="how it is called (default ccusage)")


def _crosscheck(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.exports.crosscheck_verb import crosscheck

    return crosscheck(settings, options.command, as_json=options.json)


def metrics(commands: Commands) -> None:
    """Declare `metrics`: figures for Prometheus."""
    parser = command(
        commands, "metrics", _metrics, "figures for Prometheus, on stdout or as a file of node_exporter", None
    )
    parser.add_argument("--textfile", metavar="PATH", help="put them whole in the place of this file, *.prom")


def _metrics(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.metrics_verb import metrics

    return metrics(settings, options.textfile)


def statusline(commands: Commands) -> None:
    """Declare `statusline`: a line for Claude Code."""
    what = "one line for the foot of Claude Code, which hands over its JSON on stdin"
    command(commands, "statusline", _statusline, what, None)


def _statusline(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - options of every verb
    from daemon.statusline import statusline

    return statusline(settings)
