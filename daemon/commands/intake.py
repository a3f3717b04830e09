"""How evidence comes in: `demo`, `ingest`, `run`, `import`, `rebuild`."""

import argparse
import os

from daemon.commands.declared import Commands, command, count
from daemon.settings import Settings


def demo(commands: Commands) -> None:
    """Declare `demo`: logs of our own."""
    parser = command(
        commands, "demo", _demo, "bundled synthetic logs -> totals, freshness, findings; checks its own numbers"
    )
    parser.add_argument("--serve", action="store_true", help="answer with the dashboard over them, until it is ended")
    parser.add_argument("--port", type=count, default=0, metavar="N", help="where (default: any that is free)")


def _demo(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - it brings its own home
    if options.serve:
        from daemon.demo_page import demo_page

        return demo_page(options.port)
    from daemon.demo import demo

    return demo(as_json=options.json)


def ingest(commands: Commands) -> None:
    """Declare `ingest`: one pass over the logs."""
    parser = command(commands, "ingest", _ingest, "one catch-up pass over every agent's logs, then exit")
    _records(parser)


def _ingest(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import ingest

    return ingest(_with_claims(settings, options), as_json=options.json)


def run(commands: Commands) -> None:
    """Declare `run`: the daemon."""
    parser = command(commands, "run", _run, "the daemon: watches the logs until it is told to stop", None)
    _records(parser)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.run import run

    return run(_with_claims(settings, options))


def _records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claims", action="append", default=[], metavar="PATH", help="a harness's file of records; several times"
    )


def _with_claims(settings: Settings, options: argparse.Namespace) -> Settings:
    """Return *settings* with the files of records that were named here: a path is taken from where it was typed."""
    return settings._replace(claims=tuple(os.path.abspath(path) for path in options.claims))  # noqa: PTH100 - links stay


def import_(commands: Commands) -> None:
    """Declare `import`: the token table of another tool."""
    what = "rows of an old token table: each classified, none promoted to measured without a source"
    parser = command(commands, "import", _import, what)
    parser.add_argument("file", nargs="?", metavar="FILE", help="an export of it; docs/migration.md has the columns")
    parser.add_argument("--format", metavar="F", help="csv, json or ndjson (default: by the file's suffix)")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a column of the file is one of ours; OLD= for none",
    )
    parser.add_argument(
        "--note", action="append", default=[], metavar="CLASS=TEXT", help="notes that begin so are of this class"
    )
    parser.add_argument("--table", metavar="NAME", help="its name (default token_events)")
    parser.add_argument("--timezone", metavar="ZONE", help="zone of times that state none; else such a row is refused")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, show what would come of it")
    parser.add_argument("--undo", action="store_true", help="take back the rows of the file, or all of --table")


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


def rebuild(commands: Commands) -> None:
    """Declare `rebuild`: the tables, anew."""
    command(commands, "rebuild", _rebuild, "make the tables anew from the log")


def _rebuild(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import rebuild

    return rebuild(settings, as_json=options.json)
