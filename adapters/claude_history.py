"""
Claude Code's own list of prompts: which sessions there were, also those whose transcripts it has deleted since.

Of a line its session and time are read. Of the prompt one character is looked at: a session in which nothing
but commands were typed (`/exit`) asked no model and has no transcript.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

import msgspec

from adapters.claude_code import config_directories
from adapters.contract import NOTHING, UNRECOGNISED, Header, LineRejected, Observation, Root, SessionNamed
from adapters.decode import identity
from adapters.decoder import Decoder
from adapters.prompt_list import PromptList, lists, moment
from state.vocabulary import Agent

_COMMAND: Final = b'"/'


class Prompt(msgspec.Struct):
    """One line of the list, as far as it is read."""

    display: msgspec.Raw = msgspec.Raw()
    timestamp: int | None = None
    sessionId: str | None = None


_decode = Decoder(Prompt).decode


class ClaudeHistory(PromptList):
    """`history.jsonl` beside the transcripts."""

    agent: Agent = "claude_code"
    parser = "claude_history"
    #: Every place of a line from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "session_id": ("sessionId",),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the one file in every directory of the agent's configuration."""
        return lists(config_directories(home, environment))

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """Name the session in which something was asked; old lines name none."""
        del header
        read = _decode(line)
        if isinstance(read, LineRejected):
            return (read,)
        if read.timestamp is None and not bytes(read.display):
            return UNRECOGNISED
        session_id = identity(read.sessionId)
        if session_id is None or bytes(read.display).startswith(_COMMAND):
            return NOTHING
        return (SessionNamed(session_id=session_id, source_created_at=moment(read.timestamp, 1000)),)


ADAPTER = ClaudeHistory()
