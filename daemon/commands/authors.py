"""For whoever writes an adapter: `adapters`."""

import argparse

from daemon.commands.declared import Commands, command, group
from daemon.settings import Settings


def adapters(commands: Commands) -> None:
    """Declare `adapters`: which agents can be read."""
    what = "which agents can be read; checks for an adapter of your own"
    actions = group(commands, "adapters", what)
    command(actions, "list", _list_adapters, "every adapter and plug-in, its roots here, and how many files it claims")
    check = command(
        actions, "check", _check_adapter, "what an adapter recognises in files, and whether it keeps its promises"
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="logs of an agent")
    check.add_argument("--adapter", metavar="NAME", help="this one, whatever else claims the file")
    check.add_argument("--module", metavar="PATH", help="a Python file that sets ADAPTER and is not installed")


def _list_adapters(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.adapter_verbs import list_adapters

    return list_adapters(settings, as_json=options.json)


def _check_adapter(options: argparse.Namespace, settings: Settings) -> int:
    from daemon.adapter_verbs import check

    return check(settings, options.files, options.adapter, options.module, as_json=options.json)
