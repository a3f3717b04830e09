"""
Codex's own list of prompts: which sessions there were, also those whose rollouts were deleted since.

Of a line its session and time are read; the prompt is skipped undecoded.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

import msgspec

from adapters.codex import codex_home
from adapters.contract import UNRECOGNISED, Header, LineRejected, Observation, Root, SessionNamed
from adapters.decode import identity
from adapters.decoder import Decoder
from adapters.prompt_list import PromptList, lists, moment
from state.vocabulary import Agent


class Prompt(msgspec.Struct):
    """One line of the list, as far as it is read."""

    session_id: str | None = None
    ts: int | None = None


_decode = Decoder(Prompt).decode


class CodexHistory(PromptList):
    """`history.jsonl` beside the rollouts."""

    agent: Agent = "codex"
    parser = "codex_history"
    #: Every place of a line from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "session_id": ("session_id",),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the one file."""
        return lists([codex_home(home, environment)])

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """Name the session in which something was asked."""
        del header
        read = _decode(line)
        if isinstance(read, LineRejected):
            return (read,)
        session_id = identity(read.session_id)
        if session_id is None:
            return UNRECOGNISED
        return (SessionNamed(session_id=session_id.lower(), source_created_at=moment(read.ts, 1)),)


ADAPTER = CodexHistory()
