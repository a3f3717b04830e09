"""
What a message document of OpenCode before 1.2 means.

Each message was a file of its own, rewritten while the answer streamed. The later database began as a copy of these
files and 1.2 wrote both, so what both hold has one identity and counts once.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Final

from adapters.contract import Header, Item, LineRejected, Root
from adapters.decode import context_id, identity
from adapters.opencode import Context, data_directory, decode, stated
from state.vocabulary import Agent, SourceClass


class OpenCodeStorage:
    """OpenCode's messages as files: ``storage/message/<session>/msg_*.json``, before that one storage per project."""

    kind: Final = "document"
    agent: Agent = "opencode"
    parser = "opencode_storage"
    source_class: SourceClass = "opencode_message"
    parser_version = 2
    #: Every place of a document from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "item_key": ("id",),
        "line_id": ("id",),
        "session_id": ("sessionID",),
        "model": ("modelID",),
        "model_provider": ("providerID",),
        "stop_reason": ("finish",),
        "cwd": ("path.cwd",),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the one storage of later versions and the storages per project of older ones."""
        data = data_directory(home, environment)
        return [Root(data / "storage" / "message"), Root(data / "project")]

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim a message below its session."""
        parts = relative.parts
        is_old = parts[1:-2] == ("storage", "session", "message")
        is_message = parts[-1:] != () and parts[-1].startswith("msg_") and parts[-1].endswith(".json")
        if not is_message or not (is_old or len(parts) == 2):
            return None
        return Header(f"{parts[-2]}/{relative.stem}", "main", context_id(parts[-2]))

    def read_document(self, content: bytes, header: Header) -> Iterable[Item] | LineRejected:
        """State the usage of the one message of the document."""
        read = decode(content)
        if isinstance(read, LineRejected):
            return read
        key = identity(read.id) or identity(header.name.rpartition("/")[2])
        context = Context(key, context_id(read.sessionID) or header.session_id)
        return (Item(key or "message", content, stated(read, context)),)


ADAPTER = OpenCodeStorage()
