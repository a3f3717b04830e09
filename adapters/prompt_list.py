"""What the lists of prompts of several agents have in common: one file of many sessions, and nobody's log."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePath, PurePosixPath
from typing import Final

from adapters.contract import Header, Root
from adapters.decode import utc_time
from state.vocabulary import SourceClass


class PromptList:
    """A file `history.jsonl` among what is an agent's own."""

    kind: Final = "lines"
    source_class: SourceClass = "prompt_history"
    parser_version = 1

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim the file that the root is."""
        return Header(root.path.name, "record") if relative == PurePosixPath() else None

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Keep the header: the file is of many sessions."""
        del line
        return header


def lists(directories: Iterable[PurePath]) -> list[Root]:
    """Return the list in each of *directories*, as a root of its own."""
    return [Root(each / "history.jsonl", "record", is_file=True) for each in directories]


def moment(stated: int | None, per_second: int) -> str | None:
    """Return a number of *per_second* parts since 1970 as a time; null for one that none can have."""
    try:
        return None if stated is None else utc_time(datetime.fromtimestamp(stated / per_second, UTC).isoformat())
    except (OverflowError, ValueError, OSError):
        return None
