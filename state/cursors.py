"""How far each source file has been read: what a commit line carries beside its events."""

from typing import Literal

import msgspec

CursorState = Literal["present", "gone", "moved", "unreadable", "missing"]


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    The place in one source file up to which its lines are evidence, and the counts of what was read so far.

    ``offset_bytes`` is the end of the last complete line: the high-water mark. It counts decompressed bytes.
    ``generation`` names the file's content, not its path: it follows a move and changes with a replacement.
    ``continuity`` is a hash over samples of what stands before the offset; only it says whether the offset holds.
    ``tail_hash`` is the hash of a last line without newline that was already stated, so that it is not stated twice.
    ``is_reparsed``: an older parser has read this content before, and this reading retires its own.
    ``agent_version`` is the one in force at the offset. ``answer_pieces`` before it wait for their usage;
    ``is_turn_metered``: some usage of their turn was stated already.
    Counts are since the generation began, so that they do not depend on how reading was split; of a document they are
    of its last reading. The generation of a document or a database is that of its first reading: both are rewritten.

    ``content_hash`` is the hash of a document as it was read last, ``broken_hash`` that of one that could not be read
    at the last look. ``revision`` and ``inserted`` are the greatest ones of a database's rows that were read;
    ``rows`` are the hashes of the newest rows, by ``inserted``: they may change again. ``beside`` says which file it
    was, and the size and time of the write-ahead log beside it. Lines write none of these.
    """

    agent: str
    source_path: str
    generation: str
    parser_version: int
    offset_bytes: int = 0
    size_bytes: int = 0
    modified_ns: int = 0
    changed_ns: int = 0
    continuity: str = ""
    tail_hash: str | None = None
    session_id: str | None = None
    name: str | None = None
    role: str | None = None
    state: CursorState = "present"
    lines: int = 0
    usage_lines: int = 0
    rejected_lines: int = 0
    unrecognised_lines: int = 0
    unmetered_turns: int = 0
    agent_version: str | None = None
    answer_pieces: int = 0
    is_turn_metered: bool = False
    is_reparsed: bool = False
    content_hash: str = ""
    broken_hash: str = ""
    beside: str = ""
    revision: int | None = None
    inserted: int | None = None
    rows: dict[str, str] | None = None
