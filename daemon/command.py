"""
The command `tallystick`: hands on to the parser of `daemon/cli.py`.

Neither a monitoring system nor an agent that calls its hook or its status line must pay for that parser's imports.
"""

import sys
from collections.abc import Sequence


def main() -> int:
    """Run one verb and return its exit code."""
    # Whatever is no verb of ours is an agent: argparse would refuse it with 2, which blocks who called.
    if sys.argv[1:2] == ["hook"] and sys.argv[2:3] not in (
        [],
        *(["install"], ["uninstall"], ["status"], ["-h"], ["--help"]),
    ):
        from daemon.hooks.command import main as run_hook

        return run_hook(sys.argv[2:])
    quick = _quick_options(sys.argv[1:])
    if quick is None:
        from daemon.cli import main as parsed

        return parsed()
    if sys.argv[1] == "statusline":
        from daemon.statusline import main as line

        return line(quick.get("--home"), quick.get("--state-dir"))
    from daemon.health.verb import main as asked

    return asked(quick.get("--home"), quick.get("--state-dir"), as_json="--json" in quick)


def _quick_options(arguments: Sequence[str]) -> dict[str, str] | None:
    """
    Return the options of `health` or `statusline`.

    ``None`` for another verb, for help, and for what only the parser can refuse.
    """
    if not arguments or arguments[0] not in ("health", "statusline"):
        return None
    found: dict[str, str] = {}
    rest = iter(arguments[1:])
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument == "--json" and arguments[0] == "health":
            found[name] = ""
        elif name in ("--home", "--state-dir"):
            given = value if equals else next(rest, None)
            if given is None or (not equals and given.startswith("-")):
                return None
            found[name] = given
        else:
            return None
    return found


if __name__ == "__main__":
    sys.exit(main())
