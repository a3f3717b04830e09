"""
What an adapter is, and what it may say about one line, one item of a document or one row of a database.

An adapter is pure: bytes in, observations out. It neither opens files nor knows where something came from; the reader
adds that (`daemon/ingest.py`, `documents.py`, `databases.py`). So an adapter cannot attribute a line to the wrong file:
the bug of the first seed has no place to live.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Final, Literal, Protocol

import msgspec

from state.vocabulary import (
    Agent,
    Basis,
    ClaimTime,
    Confidence,
    Flag,
    ModelState,
    RejectCode,
    Role,
    SourceClass,
    TaskStatus,
    Witness,
)


class Observed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="k", kw_only=True):
    """
    Something a line says; encoded, it is the payload of an evidence event.

    ``None`` means the line did not say, and is left out of the log. ``0`` means it said zero.
    """


class UsageStated(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="usage"):
    """
    One statement of tokens: about one call, or of a running total.

    Tokens are whole numbers and do not overlap: ``input_tokens`` were neither read from nor written to a cache.
    For ``basis == "counter"`` the token fields are null and ``raw`` holds the totals as stated: a total is not usage.
    """

    source_id: str | None = None
    basis: Basis
    witness: Witness
    confidence: Confidence
    session_id: str | None = None
    parent_session_id: str | None = None
    agent_id: str | None = None
    is_sidechain: bool | None = None
    line_id: str | None = None
    request_id: str | None = None
    ordinal: int | None = None
    source_created_at: str | None = None
    assumed_zone: str | None = None
    model: str | None = None
    model_provider: str | None = None
    service_tier: str | None = None
    agent_version: str | None = None
    cwd: str | None = None
    git_branch: str | None = None
    git_remote: str | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    provider_total_tokens: int | None = None
    stated_cost_usd_micros: int | None = None
    flags: tuple[Flag, ...] = ()
    raw: dict[str, int] | None = None


class SessionStated(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="session"):
    """
    A session's header: who it is, where it runs, and whose history it may carry.

    ``stated_session_id`` is the id in this header. It differs from ``session_id`` where a copied history begins.
    """

    session_id: str | None = None
    stated_session_id: str | None = None
    parent_session_id: str | None = None
    forked_from_id: str | None = None
    history_base_id: str | None = None
    history_end_ordinal: int | None = None
    ordinal: int | None = None
    source_created_at: str | None = None
    agent_version: str | None = None
    originator: str | None = None
    model_provider: str | None = None
    cwd: str | None = None
    git_branch: str | None = None
    git_remote: str | None = None
    git_commit: str | None = None


class TurnStated(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="turn"):
    """The model and directory in force for the statements that follow in the same file."""

    session_id: str | None = None
    ordinal: int | None = None
    source_created_at: str | None = None
    model: str | None = None
    cwd: str | None = None
    turn_id: str | None = None


class HiddenCall(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="hidden_call"):
    """A call that the agent shows but for which it wrote no usage; ``line_id`` is its identity."""

    line_id: str | None = None
    session_id: str | None = None
    source_created_at: str | None = None
    agent_version: str | None = None
    cwd: str | None = None
    git_branch: str | None = None


class TaskNamed(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="task_named"):
    """A tool call that names a task or workstream of a tracker: ids only; copies of it share ``tool_call_id``."""

    session_id: str | None = None
    parent_session_id: str | None = None
    source_created_at: str | None = None
    tool_name: str
    tool_call_id: str | None = None
    task_id: str | None = None
    workstream_id: str | None = None
    task_status: TaskStatus | None = None


class SessionNamed(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="session_named"):
    """A session of which its agent keeps no more than the name here: that there was one, and when it was asked last."""

    session_id: str
    source_created_at: str | None = None


class SentinelStated(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="sentinel"):
    """A call that the daemon planted, to see that it comes out again: nobody's usage, and no adapter's to say."""

    session_id: str | None = None
    line_id: str | None = None
    source_created_at: str | None = None


class ClaimFacts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a harness says of one of its sessions."""

    session_id: str
    agent: str | None = None
    harness: str | None = None
    run_type: str | None = None
    category: str | None = None
    model: str | None = None
    model_state: ModelState
    recorded_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    assumed_zone: str | None = None
    noon_times: tuple[ClaimTime, ...] = ()
    is_noon: bool | None = None
    duration_seconds: int | None = None
    token_count: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    trajectory_path: str | None = None


class ClaimStated(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="claim"):
    """
    A harness's record of a session: which log is its own, and how many tokens it took. Never usage.

    ``trajectory_path`` may begin with ``~/``; the reader, who knows the home, makes it absolute.
    """

    body: ClaimFacts


class LineRejected(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="rejected"):
    """A line that cannot be read; no byte of it is kept."""

    code: RejectCode
    field: str | None = None


class Unrecognised(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="unrecognised"):
    """A well-formed line of a type this adapter does not know; counted per file, not logged."""

    agent_version: str | None = None


class TurnUnmetered(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="unmetered"):
    """
    An answer of the model that carries no usage, or none that can be counted; counted per file, not logged.

    Beside `UsageStated` it says that what the line states is not enough to count the call. ``is_open``: the answer is
    still being written, and its usage may yet come.
    """

    agent_version: str | None = None
    is_open: bool = False


class AnswerSeen(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="answer"):
    """A piece of the model's answer whose usage stands in a line of its own, soon after; counted, not logged."""


class TurnEnded(Observed, frozen=True, omit_defaults=True, kw_only=True, tag="turn_ended"):
    """The end of a turn: the usage of its answers has been stated, or will not be; counted, not logged."""


Observation = (
    UsageStated
    | SessionStated
    | TurnStated
    | HiddenCall
    | TaskNamed
    | SessionNamed
    | LineRejected
    | Unrecognised
    | TurnUnmetered
    | AnswerSeen
    | TurnEnded
    | SentinelStated
    | ClaimStated
)

#: What a line may say that is counted and never logged.
Counted = Unrecognised | TurnUnmetered | AnswerSeen | TurnEnded

#: Said in the name of an adapter that raised; what it raised quotes what it could not read, and goes nowhere.
FAILED: "tuple[Observation, ...]" = (LineRejected(code="adapter_failed"),)

#: Said of a line that holds nothing to count.
NOTHING: tuple[Observation, ...] = ()
UNRECOGNISED: tuple[Observation, ...] = (Unrecognised(),)
UNMETERED: tuple[Observation, ...] = (TurnUnmetered(),)
#: Said of a line that should hold usage, by all that can be seen of it, and where none is found.
USAGE_LOST: tuple[Observation, ...] = (Unrecognised(), TurnUnmetered())
ANSWER: tuple[Observation, ...] = (AnswerSeen(),)
TURN_ENDED: tuple[Observation, ...] = (TurnEnded(),)


@dataclass(frozen=True, slots=True)
class Root:
    """
    A directory in which an agent may keep logs; ``role`` is that of its files unless their path says otherwise.

    ``is_flat``: its folders are not entered. A root may also be a file that the operator named; the path relative to it
    is then empty. ``is_file``: it is never anything else, so that a directory there is told as one.
    """

    path: PurePath
    role: Role = "main"
    is_flat: bool = False
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """
    What a file's place and first line say about all its lines.

    ``name`` is the same for a file, its compressed form and its archived copy. ``zone`` is assumed for local times.
    """

    name: str
    role: Role
    session_id: str | None = None
    parent_session_id: str | None = None
    zone: str = "UTC"


#: What a source is to its reader: lines that are appended, one document that is rewritten whole, rows of a database.
Kind = Literal["lines", "document", "rows"]

#: A value of a row as SQLite holds it; text comes as its bytes, so that a decoder can leave most of it undecoded.
Value = bytes | int | float | None
Row = Mapping[str, Value]

#: Columns that every query of a `RowAdapter` names; all others are the adapter's own.
ROW_COLUMNS: Final = ("item_key", "revision", "inserted")


@dataclass(frozen=True, slots=True)
class Item:
    """
    One part of a document that has an id of its own, and what it says.

    ``key`` is that id: unique in the document and the same after every rewrite. ``content`` are the bytes of the item
    as they stand in the document; what they say may depend on nothing else.
    """

    key: str
    content: bytes
    observations: tuple[Observation, ...]


class Source(Protocol):
    """What every adapter says of its agent's files. `docs/evidence.md` says what each observation promises."""

    @property
    def agent(self) -> Agent:
        """Name of the agent, as operators see it."""

    @property
    def parser(self) -> str:
        """Name of this adapter: the agent's, unless a second adapter reads another source of the same agent."""

    @property
    def source_class(self) -> SourceClass:
        """Class of source the agent's files are."""

    @property
    def parser_version(self) -> int:
        """Raised with every change of meaning; files are then read again and the new reading supersedes."""

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name the directories to search, whether they exist or not."""

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Say whether a file below *root* is a source of this adapter; ``None`` when it is not."""


class LineAdapter(Source, Protocol):
    """Meaning of a line of a file to which lines are appended."""

    @property
    def kind(self) -> Literal["lines"]:
        """``lines``."""

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Complete *header* from the file's first line; most adapters return it as it is."""

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """Read one complete line, without its line end; never raises on bad input."""


class DocumentAdapter(Source, Protocol):
    """Meaning of a document that its agent rewrites whole."""

    @property
    def kind(self) -> Literal["document"]:
        """``document``."""

    def read_document(self, content: bytes, header: Header) -> Iterable[Item] | LineRejected:
        """Read a whole document item by item; `LineRejected` when it is none as a whole. Never raises on bad input."""


class RowAdapter(Source, Protocol):
    """Meaning of a row of an SQLite database."""

    @property
    def kind(self) -> Literal["rows"]:
        """``rows``."""

    @property
    def query(self) -> str:
        """
        One SELECT, without WHERE on what is new, ORDER BY and LIMIT: the reader wraps it.

        It names `ROW_COLUMNS`: ``item_key``, the row's id in its table; ``revision``, a whole number that is set to a
        later one whenever the row changes (a time of update); ``inserted``, a whole number that is greater for rows
        that were inserted later (``rowid``). Then the columns that `read_row` needs, and no others.
        """

    def read_row(self, row: Row, header: Header) -> Iterable[Observation]:
        """Read one row, by column name; never raises on bad input."""


Adapter = LineAdapter | DocumentAdapter | RowAdapter


def stored(adapter: Adapter) -> Mapping[str, tuple[str, ...]]:
    """
    Return every position of a source from which a string may get into the log, by the field that it becomes.

    A position is the names on the way to a value, joined by points, and `[]` for any element of a list; a string that
    holds JSON is gone into. An adapter that does not say lists none.
    """
    listed: Mapping[str, tuple[str, ...]] = getattr(adapter, "stored", {})
    return listed
