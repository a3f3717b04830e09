"""
How a command is declared: its name, the verb that it calls, and the options that several of them share.

Whatever a verb needs is imported in the verb: all commands are declared for each one that is typed.
"""

import argparse
from collections.abc import Callable
from typing import TypeAlias

from daemon.settings import Settings

#: What a command calls; its answer is the exit code.
Verb: TypeAlias = Callable[[argparse.Namespace, Settings], int]

#: Where commands are declared: those of the program, or the actions of one of them.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no other name for it


def command(
    commands: Commands, name: str, verb: Verb, what: str, json_is: str | None = "print one JSON document"
) -> argparse.ArgumentParser:
    """
    Add one command, and return its parser for the options of its own.

    ``json_is`` is what `--json` does; null where there is no such option.
    """
    parser = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument("--home", help="the home whose agent logs are read (default: yours)")
    parser.add_argument("--state-dir", help="where log and tables are kept")
    if json_is is not None:
        parser.add_argument("--json", action="store_true", help=json_is)
    parser.set_defaults(verb=verb)
    return parser


def group(commands: Commands, name: str, what: str, called: tuple[str, str] = ("actions", "ACTION")) -> Commands:
    """Add a command that does nothing without a further word, and return where those words are declared."""
    title, metavar = called
    parser = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    return parser.add_subparsers(title=title, required=True, metavar=metavar)


def windowed(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a window of time."""
    parser.add_argument("--since", help="from this day or time on, or a duration back from now (30d, 12h)")
    parser.add_argument("--until", help="before this day or time")
    parser.add_argument("--timezone", default="UTC", help="what a day is, as an IANA name (default UTC)")


def choosing(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose rows of usage, and up to when the log counts; `chosen` reads them."""
    only = "only what has this agent, source, provider, model, session, repo, branch, task or workstream; several times"
    parser.add_argument("--only", action="append", type=pair, default=[], metavar="NAME=VALUE", help=only)
    parser.add_argument("--unattributed", action="store_true", help="only what belongs to no repository")
    parser.add_argument("--as-of", metavar="SEQ|TIME", help="of the log up to then, by today's rules")


def chosen(options: argparse.Namespace) -> dict[str, str | None]:
    """Return what rows have to be, by dimension; null for what belongs to none."""
    return {**dict(options.only), **({"repo": None} if options.unattributed else {})}


def count(text: str) -> int:
    """
    Return *text* as a whole number.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """
    Return what stands on both sides of the first equals sign.

    Raises:
        argparse.ArgumentTypeError: There is none, or nothing on one side.
    """
    name, _, value = text.partition("=")
    if not (name and value):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def words(text: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
