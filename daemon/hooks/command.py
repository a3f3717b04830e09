"""
`tallystick hook AGENT`: reads what an agent hands its hook, and leaves evidence of it in the inbox.

It has milliseconds, so it imports nothing that it does not need and no daemon needs to be alive. An agent is never
disturbed: nothing is written to stdout, which it might read as an order, and the exit code is never 2, which blocks it.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from daemon import inbox_directory
from daemon.hooks.agents import AGENTS
from daemon.hooks.letters import Run
from daemon.hooks.seen import INPUT_BYTES_MAX, read
from state.vocabulary import HookSkip

DONE, FAILED = 0, 1

#: How much is read at once, in bytes.
_PIECE_BYTES: Final = 64 * 1024


class Asked(NamedTuple):
    """The command line; ``handed`` is the JSON that an agent gives as an argument, null where it is on stdin."""

    hook: str
    state_directory: str | None
    home: str | None
    handed: str | None


def main(arguments: Sequence[str]) -> int:
    """Run one hook: 0 when its evidence is durable, else 1 and one line on stderr."""
    begun_at = time.monotonic()
    os.umask(0o077)
    try:
        return _run(_asked(arguments), begun_at)
    except Exception as error:  # noqa: BLE001 - whatever it is, an agent goes on; its text may quote what was read
        from state.errors import TallystickError

        return _told(str(error) if isinstance(error, TallystickError) else f"the hook failed ({type(error).__name__})")


def _run(asked: Asked, begun_at: float) -> int:
    content = os.fsencode(asked.handed) if asked.handed is not None else _stdin()
    run = Run(asked.hook, AGENTS[asked.hook], datetime.now(UTC).isoformat(timespec="milliseconds"))
    seen = read(content) if len(content) <= INPUT_BYTES_MAX else None
    duration_ms = round((time.monotonic() - begun_at) * 1000)
    if seen is None:
        skip: HookSkip = "too_long" if len(content) > INPUT_BYTES_MAX else "unreadable"
        _put(asked, run.failed(skip, duration_ms))
        return _told(f"what the agent handed over is {skip.replace('_', ' ')}; the run is recorded, and nothing else")
    _put(asked, run.saw(seen, duration_ms))
    return DONE


def _put(asked: Asked, messages: Mapping[str, bytes]) -> None:
    root = asked.state_directory
    if root is None:
        from daemon.settings import load  # `hook install` names the directory, so that no hook has to look for it

        root = str(load(asked.home, None).state.root)
    inbox = Path(root).absolute() / "inbox"
    if not inbox.is_dir():
        from state.paths import StatePaths

        StatePaths(Path(root).absolute()).create()
    inbox_directory.put(inbox, messages)


def _stdin() -> bytes:
    """Return what is on stdin, at most a byte more than is taken; nothing where a person sits at it."""
    if sys.stdin is None or os.isatty(0):
        return b""
    pieces, left = [], INPUT_BYTES_MAX + 1
    while left and (piece := os.read(0, min(left, _PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _asked(arguments: Sequence[str]) -> Asked:
    """Read the command line by hand: argparse alone would take as long as all the rest, and would exit with 2."""
    given: dict[str, str] = {}
    handed = None
    words = iter(arguments[1:])
    for word in words:
        name, is_joined, value = word.partition("=")
        if name in ("--state-dir", "--home"):
            given[name] = value if is_joined else next(words, "")
        else:
            handed = word
    return Asked(arguments[0], given.get("--state-dir") or None, given.get("--home") or None, handed)


def _told(text: str) -> int:
    clean = "".join(char if char.isprintable() else "?" for char in text)
    if sys.stderr is not None:
        sys.stderr.write(f"tallystick: {clean}\n")
    return FAILED
