"""
The command `tallystick`: what may be typed, in the order of its help; stdout is data, stderr is log.

What one command takes and calls stands with those like it, in `daemon/commands/`.
"""

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Final

from daemon.commands import authors, claims, exports, intake, messages, reading, upkeep
from daemon.commands.declared import Commands, Verb, command
from daemon.identity import NAMES
from daemon.settings import Settings, load
from daemon.veil import veil_of
from state.errors import OutOfMemory, TallystickError

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
        NAMES.veil = veil_of(settings.state)
        verb: Verb = options.verb
        code = verb(options, settings)
        if sys.stdout is not None:
            sys.stdout.flush()
    except TallystickError as error:
        return _said(str(error), error.exit_code)
    except MemoryError:
        return _said(str(OutOfMemory()), OutOfMemory.exit_code)
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
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for declare in _COMMANDS:
        declare(commands)
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


def _completion_command(commands: Commands) -> None:
    what = "a script that lets your shell complete these commands"
    parser = command(commands, "completion", _completion, what, None)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def _completion(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 - of the parser alone
    from daemon.completion import completion

    return completion(_parser(), options.shell)


#: As `--help` shows them.
_COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (
    intake.demo,
    intake.ingest,
    intake.run,
    reading.usage,
    reading.sessions,
    upkeep.health,
    upkeep.doctor,
    upkeep.status,
    reading.tail,
    reading.explain,
    reading.verify,
    messages.inbox,
    messages.task,
    messages.repo,
    messages.token,
    exports.serve,
    messages.hook,
    claims.expect,
    claims.findings,
    claims.resolve,
    claims.repair,
    claims.taint,
    claims.consumer,
    reading.restatements,
    reading.list_,
    upkeep.reconcile,
    upkeep.invariants,
    reading.quality,
    intake.import_,
    intake.rebuild,
    authors.adapters,
    exports.export,
    exports.crosscheck,
    exports.metrics,
    exports.statusline,
    _completion_command,
    upkeep.service,
    upkeep.privacy,
    reading.sql,
)


if __name__ == "__main__":
    sys.exit(main())
