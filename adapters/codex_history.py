"""
Codex's own list of prompts: which sessions there were, also those whose rollouts were deleted since.

Of a line its session and time are read; the prompt is skipped undecoded.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.claude_history import moment
from adapters.codex import codex_home
from adapters.contract import UNRECOGNISED, Header, LineRejected, Observation, Root, SessionNamed
from adapters.decode import identity
from adapters.decoder import Decoder
from state.vocabulary import Agent, SourceClass


class Prompt(msgspec.Struct):
    """One line of the list, as far as it is read."""

    session_id: str | None = None
    ts: int | None = None


_decode = Decoder(Prompt).decode


class CodexHistory:
    """`history.jsonl` beside the rollouts."""

    kind: Final = "lines"
    agent: Agent = "codex"
    parser = "codex_history"
    source_class: SourceClass = "prompt_history"
    parser_version = 1

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the one file."""
        return [Root(codex_home(home, environment) / "history.jsonl", "record", is_file=True)]

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim the file that the root is."""
        return Header(root.path.name, "record") if relative == PurePosixPath() else None

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Keep the header: the file is of many sessions."""
        del line
        return header

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
