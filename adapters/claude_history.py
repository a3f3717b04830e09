"""
Claude Code's own list of prompts: which sessions there were, also those whose transcripts it has deleted since.

Of a line its session, time and directory are read. Of the prompt one character is looked at: a session in which nothing
but commands were typed (`/exit`) asked no model and has no transcript.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.claude_code import config_directories
from adapters.contract import NOTHING, UNRECOGNISED, Header, LineRejected, Observation, Root, SessionNamed
from adapters.decode import identity, utc_time
from adapters.decoder import Decoder
from state.vocabulary import Agent, SourceClass

_COMMAND: Final = b'"/'


class Prompt(msgspec.Struct):
    """One line of the list, as far as it is read."""

    display: msgspec.Raw = msgspec.Raw()
    timestamp: int | None = None
    sessionId: str | None = None


_decode = Decoder(Prompt).decode


class ClaudeHistory:
    """`history.jsonl` beside the transcripts."""

    kind: Final = "lines"
    agent: Agent = "claude_code"
    parser = "claude_history"
    source_class: SourceClass = "prompt_history"
    parser_version = 1

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the one file in every directory of the agent's configuration."""
        return [Root(base / "history.jsonl", "record", is_file=True) for base in config_directories(home, environment)]

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim the file that the root is."""
        return Header(root.path.name, "record") if relative == PurePosixPath() else None

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Keep the header: the file is of many sessions."""
        del line
        return header

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


def moment(stated: int | None, per_second: int) -> str | None:
    """Return a number of *per_second* parts since 1970 as a time; null for one that none can have."""
    try:
        return None if stated is None else utc_time(datetime.fromtimestamp(stated / per_second, UTC).isoformat())
    except (OverflowError, ValueError, OSError):
        return None


ADAPTER = ClaudeHistory()
