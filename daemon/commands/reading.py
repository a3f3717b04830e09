"""What is asked: `usage`, `sessions`, `tail`, `explain`, `verify`, `restatements`, `list`, `quality`, `sql`."""

import argparse

from daemon.commands.declared import Commands, choosing, chosen, command, count, pair, windowed, words
from daemon.settings import Settings


def usage(commands: Commands) -> None:
    """Declare `usage`: tokens, grouped."""
    parser = command(commands, "usage", _usage, "tokens, grouped; each row names its class")
    parser.add_argument(
        "--by",
        default="agent",
        help="day,agent,source,provider,model,session,repo,branch,task,workstream,host (default agent)",
    )
    windowed(parser)
    parser.add_argument(
        "--include", default="", help="estimated,allocated,superseded: further classes, never summed with measured"
    )
    choosing(parser)


def _usage(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.usage_verb import UsageQuestion, usage

    question = UsageQuestion(
        by=words(options.by),
        since=options.since,
        until=options.until,
        timezone=options.timezone,
        include=words(options.include),
        as_of=options.as_of,
        only=chosen(options),
    )
    return usage(settings, question, as_json=options.json)


def sessions(commands: Commands) -> None:
    """Declare `sessions`: sessions and their calls."""
    parser = command(commands, "sessions", _sessions, "sessions, also those that state no usage")
    parser.add_argument("session", nargs="?", metavar="ID", help="one session's calls")


def _sessions(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import sessions

    return sessions(settings, options.session, as_json=options.json)


def tail(commands: Commands) -> None:
    """Declare `tail`: evidence as it is appended."""
    json_is = "print events as they stand in the log, a line each"
    parser = command(commands, "tail", _tail, "evidence as it is appended", json_is)
    parser.add_argument("-n", "--last", type=count, default=10, metavar="N", help="begin with the last N (default 10)")
    parser.add_argument("--no-follow", action="store_true", help="do not wait for more")


def _tail(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.follow import tail

    return tail(settings, last=options.last, is_following=not options.no_follow, as_json=options.json)


def explain(commands: Commands) -> None:
    """Declare `explain`: from a total back to bytes."""
    parser = command(commands, "explain", _explain, "from a total back to files and byte ranges")
    parser.add_argument(
        "what", metavar="WHAT", help="a day, session, call, event (#123), task, workstream or repository"
    )
    parser.add_argument("--agent", help="only this agent's calls")
    parser.add_argument("--timezone", default="UTC", help="what a day is (default UTC)")


def _explain(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.explain import Question
    from daemon.verbs import show_explanation

    return show_explanation(settings, Question(options.what, options.agent, options.timezone), as_json=options.json)


def verify(commands: Commands) -> None:
    """Declare `verify`: is the log what it was?"""
    parser = command(commands, "verify", _verify, "is the log what was once committed?")
    parser.add_argument("--sources", action="store_true", help="reopen surviving files and compare line hashes")


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import verify

    return verify(settings, with_sources=options.sources, as_json=options.json)


def restatements(commands: Commands) -> None:
    """Declare `restatements`: which totals are other than they were believed to be."""
    what = "which totals are other than they were believed to be, by how much, and why"
    parser = command(commands, "restatements", _restatements, what)
    parser.add_argument("--since", metavar="TIME", help="what was believed then (default: first of each day)")
    parser.add_argument("--until", metavar="TIME", help="against what was believed then (default: now)")


def _restatements(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.restatements import restatements

    return restatements(settings, options.since, options.until, as_json=options.json)


def list_(commands: Commands) -> None:
    """Declare `list`: rows of a table as they are."""
    parser = command(commands, "list", _list, "rows of a table as they are, in pages")
    parser.add_argument("what", metavar="WHAT", help="events, sessions, freshness, high-water-marks, ...: docs/api.md")
    parser.add_argument("--after", metavar="NEXT", help="behind the page before: its `next`")
    parser.add_argument("--limit", type=count, metavar="N", help="how many rows (default: all)")
    parser.add_argument("--descending", action="store_true", help="the last ones first")
    only = "only rows that have this in a column; several times"
    parser.add_argument("--only", action="append", type=pair, default=[], metavar="COLUMN=VALUE", help=only)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.listings import Page, show_listing

    page = Page(
        after=options.after,
        rows_max=options.limit,
        order="descending" if options.descending else "ascending",
        only=dict(options.only),
    )
    return show_listing(settings, options.what, page, as_json=options.json)


def quality(commands: Commands) -> None:
    """Declare `quality`: what is not as good as a measured call."""
    parser = command(commands, "quality", _quality, "what is not as good as a measured call of a known repository")
    parser.add_argument("--since", metavar="TIME", help="only what happened from then on")


def _quality(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.quality import quality

    return quality(settings, options.since, as_json=options.json)


def sql(commands: Commands) -> None:
    """Declare `sql`: a query of the published tables."""
    parser = command(commands, "sql", _sql, "query the published tables")
    parser.add_argument("query", metavar="QUERY")


def _sql(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.verbs import sql

    return sql(settings, options.query, as_json=options.json)
