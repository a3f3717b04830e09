"""
The evidence contract: every shape that is stored, once.

These models are what borders, documentation and tests are held to. The hot path writes the same shapes from msgspec
structs (`adapters/contract.py`, `daemon/provenance.py`); `tests/state/test_evidence.py` holds the two equal.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Literal, TypeVar, cast

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt

from state import vocabulary as words

Identifier = Annotated[str, Field(pattern=rf"^(?:{words.ID_PATTERN}|hash:[0-9a-f]{{32}})$")]
CallIdentifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,300}$")]
ModelName = Annotated[str, Field(pattern=rf"^{words.MODEL_PATTERN}$")]
VersionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+:-]{1,64}$")]
BranchName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/@+#=,~:-]{1,255}$")]
RemoteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:/_~+-]{1,4096}$")]
Word = Annotated[str, Field(pattern=rf"^{words.WORD_PATTERN}$")]
LineHash = Annotated[str, Field(pattern=rf"^{words.HASH_PATTERN}$")]
#: Longest that `PATH_PATTERN` allows. A bound of thousands within a pattern takes the validator 70 ms to compile.
_PATH_CHARS_MAX: Final = 4098
_PATH_PATTERN: Final = words.PATH_PATTERN.removesuffix("{0,4095}") + "*"
Directory = Annotated[str, Field(max_length=_PATH_CHARS_MAX, pattern=rf"^(?:{_PATH_PATTERN}|hash:[0-9a-f]{{32}})$")]
#: The same, or below the home of who wrote it: an adapter does not know where that is, its reader does.
ClaimedPath = Annotated[str, Field(max_length=_PATH_CHARS_MAX, pattern=rf"^(?:~?{_PATH_PATTERN}|hash:[0-9a-f]{{32}})$")]
StoredPath = Annotated[str, Field(max_length=_PATH_CHARS_MAX, pattern=rf"^{_PATH_PATTERN}$")]
Uri = Annotated[str, Field(pattern=rf"^{words.URI_PATTERN}$")]
ZoneName = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_+-]{1,64}$")]
RawName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,128}$")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")]
Receipt = Annotated[str, Field(pattern=rf"^{words.HASH_PATTERN}$")]
MessageField = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}(?:\.[a-z][a-z0-9_]{0,31})?$")]
Tokens = Annotated[int, Field(ge=0, le=words.TOKENS_MAX)]
Slug = Annotated[str, Field(pattern=rf"^{words.SLUG_PATTERN}$")]
ProviderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
CommitName = Annotated[str, Field(pattern=rf"^{words.COMMIT_PATTERN}$")]
RemoteLabel = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,128}$")]
TrailerName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
#: A regular expression of the operator's configuration; it is never made from what an agent wrote.
Pattern = Annotated[str, Field(pattern=r"^[ -~]{1,256}$")]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
BookName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
#: A model as a book names it.
BookEntry = Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]
#: Micro-dollars per million tokens; at most a thousand dollars for them.
Rate = Annotated[int, Field(ge=0, le=words.RATE_MAX)]
DaySeconds = Annotated[int, Field(ge=0, le=86_400)]
Permille = Annotated[int, Field(ge=0, le=1000)]
Revision = Annotated[int, Field(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, Field(ge=0, le=10**12)]


def _time_in_iso(value: object) -> object:
    """Read a time in ISO 8601 and in nothing else: of a bare number, seconds or milliseconds would be a guess."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("no time") from None  # Python's own text quotes the value


#: A time that a producer states; beyond these bounds it could not be told in UTC.
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_time_in_iso),
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(9999, 12, 30, tzinfo=UTC)),
]


def _as_tuple(value: object) -> object:
    """Take a list for a tuple: JSON has no other."""
    return tuple(value) if isinstance(value, list) else value


#: Several names, as JSON lists them.
Several = (BeforeValidator(_as_tuple), Field(max_length=100))
Trailers = Annotated[tuple[TrailerName, ...], *Several]
Identifiers = Annotated[tuple[Identifier, ...], *Several]
CommitNames = Annotated[tuple[CommitName, ...], *Several]
RemoteNames = Annotated[tuple[RemoteName, ...], *Several]
Directories = Annotated[tuple[Directory, ...], *Several]
Slugs = Annotated[tuple[Slug, ...], *Several]


class Frozen(BaseModel):
    """A stored shape: it is never changed, and has no field that is not named here."""

    # Built when first used: who sends one message needs two of these models, not all.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Provenance(Frozen):
    """
    Who read a source, where, when and with which parser; added by the reader, never by an adapter.

    One of ``source_path`` and ``source_uri`` names the source: the URI where the name has bytes that cannot be shown.
    """

    q: NonNegativeInt = Field(description="sequence number of the event in its log; (log id, q) is its key")
    v: Literal[1] = Field(description="version of this schema; older events are upcast on read")
    agent: Word = Field(description="agent whose log it is, as its adapter names it")
    source_class: Word = Field(description="kind of source")
    source_path: StoredPath | None = Field(None, description="absolute path as read; null when `source_uri` names it")
    source_uri: Uri | None = Field(None, description="`file://` URI of a name that cannot be shown; else null")
    source_generation: str = Field(
        pattern=r"^(?:\d+:\d+:\d+)?$",
        description="content of the file, not its path; of a document or database, that of the first reading; "
        "empty for a place that was never read",
    )
    source_role: words.Role | None = Field(None, description="what the file is to its session; null for a directory")
    source_session_id: Identifier | None = Field(
        None, description="session the file's place or first line names; null when neither does"
    )
    parser: Word = Field(description="adapter that read the line")
    parser_version: NonNegativeInt = Field(description="version of that adapter's meaning")
    ingested_at: AwareDatetime = Field(description="when the line was read, UTC")


class LineProvenance(Provenance):
    """
    Where in the source a line stands; offsets and lengths count decompressed bytes, without the line end.

    An item of a document and a row of a database have a key of their own: they can change and stand elsewhere then.
    """

    offset_bytes: NonNegativeInt | None = Field(None, description="first byte of the line or item; null for a row")
    length_bytes: NonNegativeInt | None = Field(None, description="bytes of the line or item; null for a row")
    item_key: Identifier | None = Field(
        None, description="the row's or item's own id in the source, else its hash; null for a line"
    )
    line_hash: LineHash = Field(
        description="first 128 bits of the SHA-256 of exactly these bytes, or of a row's columns; salted for `rejected`"
    )


class Usage(LineProvenance):
    """One statement of tokens: about one call, or of a running total."""

    k: Literal["usage"]
    source_id: CallIdentifier | None = Field(
        None, description="identity of the call, from the provider's ids; null for a running total"
    )
    basis: words.Basis = Field(description="what the figures are of")
    witness: words.Witness = Field(description="kind of line that made the statement")
    confidence: words.Confidence = Field(description="how far the figure can be trusted")
    session_id: Identifier | None = Field(None, description="session as the line names it; null when it does not")
    parent_session_id: Identifier | None = Field(None, description="session that started this one; null when unknown")
    agent_id: Identifier | None = Field(None, description="subagent; null for the main agent")
    is_sidechain: bool | None = Field(
        None, description="whether the line says it is of a side conversation; null when it does not say"
    )
    line_id: Identifier | None = Field(None, description="the line's own id; null when it has none")
    request_id: Identifier | None = Field(None, description="the provider's request or response id; corroboration only")
    ordinal: int | None = Field(None, description="the line's own number; can be reused, never an identity")
    source_created_at: AwareDatetime | None = Field(
        None, description="time the line states, UTC; null when it states none or an impossible one"
    )
    assumed_zone: ZoneName | None = Field(
        None, description="zone that was assumed for a local time; null when the time had its own"
    )
    model: ModelName | None = Field(None, description="model as stated; null when unknown, never guessed")
    model_provider: Identifier | None = Field(None, description="provider of the model as stated; null when not said")
    service_tier: Identifier | None = Field(
        None, description="what makes the call's price another: tier, speed or region as stated; null when not said"
    )
    agent_version: VersionName | None = Field(None, description="version of the agent that wrote the line")
    cwd: Directory | None = Field(None, description="working directory, per line")
    git_branch: BranchName | None = Field(None, description="branch, per line")
    git_remote: RemoteName | None = Field(None, description="host/path of the remote, without user, password or token")
    stop_reason: Identifier | None = Field(
        None, description="why the answer ended; null on a line written before its end"
    )
    input_tokens: Tokens | None = Field(
        None, description="neither read from nor written to a cache; null when not stated"
    )
    cache_read_tokens: Tokens | None = Field(None, description="served from a cache")
    cache_write_tokens: Tokens | None = Field(None, description="written to a cache, whatever its lifetime")
    cache_write_5m_tokens: Tokens | None = Field(
        None, description="of which kept five minutes; null when the split is not stated or does not sum"
    )
    cache_write_1h_tokens: Tokens | None = Field(None, description="of which kept an hour; null like the above")
    output_tokens: Tokens | None = Field(None, description="written by the model, reasoning included")
    reasoning_tokens: Tokens | None = Field(None, description="of output: reasoning; null when not stated")
    provider_total_tokens: Tokens | None = Field(None, description="total as the source states it; not computed")
    stated_cost_usd_micros: NonNegativeInt | None = Field(
        None, description="cost the source states, in micro-dollars; kept, never summed"
    )
    flags: tuple[words.Flag, ...] = Field((), description="what is known to be imperfect about the statement")
    raw: Annotated[dict[RawName, Tokens], Field(max_length=64)] | None = Field(
        None, description="the numbers verbatim, under the source's own names"
    )


class Session(LineProvenance):
    """A session's header: who it is, where it runs, and whose history it may carry."""

    k: Literal["session"]
    session_id: Identifier | None = Field(None, description="session of the file")
    stated_session_id: Identifier | None = Field(
        None, description="id in this header; another one where copied history begins"
    )
    parent_session_id: Identifier | None = Field(None, description="session that spawned this one")
    forked_from_id: Identifier | None = Field(None, description="session this one was forked from")
    history_base_id: Identifier | None = Field(None, description="thread on whose history this one builds")
    history_end_ordinal: int | None = Field(None, description="ordinals below it are copied history")
    ordinal: int | None = Field(None, description="the line's own number")
    source_created_at: AwareDatetime | None = Field(None, description="time the line states, UTC")
    agent_version: VersionName | None = Field(None, description="version of the agent")
    originator: Identifier | None = Field(None, description="program that started the session")
    model_provider: Identifier | None = Field(None, description="provider of the model")
    cwd: Directory | None = Field(None, description="working directory")
    git_branch: BranchName | None = Field(None, description="branch")
    git_remote: RemoteName | None = Field(None, description="host/path of the remote, without secrets")
    git_commit: Identifier | None = Field(None, description="commit that was checked out")


class Turn(LineProvenance):
    """The model and directory in force for the statements that follow in the same file."""

    k: Literal["turn"]
    session_id: Identifier | None = Field(None, description="session of the file")
    ordinal: int | None = Field(None, description="the line's own number")
    source_created_at: AwareDatetime | None = Field(None, description="time the line states, UTC")
    model: ModelName | None = Field(None, description="model in force from here on")
    cwd: Directory | None = Field(None, description="directory in force from here on")
    turn_id: Identifier | None = Field(None, description="the turn's own id")


class HiddenCall(LineProvenance):
    """A call that the agent shows but for which it wrote no usage."""

    k: Literal["hidden_call"]
    line_id: Identifier | None = Field(None, description="the line's own id: the identity of the call")
    session_id: Identifier | None = Field(None, description="session as the line names it")
    source_created_at: AwareDatetime | None = Field(None, description="time the line states, UTC")
    agent_version: VersionName | None = Field(None, description="version of the agent")
    cwd: Directory | None = Field(None, description="working directory")
    git_branch: BranchName | None = Field(None, description="branch")


class SessionNamed(LineProvenance):
    """An agent's own list names a session: that there was one, whether its log is still there or not."""

    k: Literal["session_named"]
    session_id: Identifier = Field(description="session")
    source_created_at: AwareDatetime | None = Field(None, description="when it was asked something, UTC")


class TaskNamed(LineProvenance):
    """A tool call that names a task or workstream of a tracker: its ids, and nothing else of the call."""

    k: Literal["task_named"]
    session_id: Identifier | None = Field(None, description="session as the line names it")
    parent_session_id: Identifier | None = Field(None, description="session that started this one")
    source_created_at: AwareDatetime | None = Field(None, description="time the line states, UTC")
    tool_name: Identifier = Field(description="name of the tool")
    tool_call_id: Identifier | None = Field(None, description="id of the call of the tool: copies of a line share it")
    task_id: Identifier | None = Field(None, description="task that is named; null when only a workstream is")
    workstream_id: Identifier | None = Field(None, description="workstream that is named")
    task_status: words.TaskStatus | None = Field(
        None, description="status that the call gives the task; null when it gives none that we know"
    )


class Sentinel(LineProvenance):
    """A call that the daemon planted in a log of its own was read; it is in no total."""

    k: Literal["sentinel"]
    session_id: Identifier | None = Field(None, description="planted session, one for each day")
    line_id: Identifier | None = Field(None, description="planted call")
    source_created_at: AwareDatetime | None = Field(None, description="when it was planted, UTC")


class Rejected(LineProvenance):
    """A line that could not be read: reason, place, length and salted hash, and no byte of it."""

    k: Literal["rejected"]
    code: words.RejectCode = Field(description="why")
    field: FieldName | None = Field(None, description="counted field that is impossible; null when the line is no JSON")


class ClaimFacts(Frozen):
    """What a harness says of one of its sessions; nothing of it was measured."""

    session_id: Identifier = Field(description="id of the session, as the harness names it")
    agent: Word | None = Field(None, description="agent that the harness says it ran, as our adapters name it")
    harness: Identifier | None = Field(None, description="the same in its own words")
    run_type: Identifier | None = Field(None, description="kind of run, as the harness names it")
    category: Identifier | None = Field(None, description="kind of work, as the harness names it")
    model: ModelName | None = Field(
        None, description="model, as the harness names it; null for none and for a sentinel"
    )
    model_state: words.ModelState = Field(description="whether that is a model's name")
    recorded_at: AwareDatetime | None = Field(None, description="when the record was written, as it says; UTC")
    started_at: AwareDatetime | None = Field(None, description="when the session began, as the record says; UTC")
    ended_at: AwareDatetime | None = Field(None, description="when it ended, as the record says; UTC")
    assumed_zone: ZoneName | None = Field(None, description="zone that was assumed for these times; null when stated")
    noon_times: tuple[words.ClaimTime, ...] = Field(
        (), description="which of its times read exactly 12:00:00 in their own zones"
    )
    is_noon: bool | None = Field(
        None, description="whether one of them does, nobody knows which: readings of version 1; null in newer ones"
    )
    duration_seconds: NonNegativeInt | None = Field(None, description="how long it took, as the record says")
    token_count: Tokens | None = Field(None, description="total, as the record says")
    input_tokens: Tokens | None = Field(None, description="as the record says; whether a cache is in it, it does not")
    output_tokens: Tokens | None = Field(None, description="as the record says")
    cache_read_tokens: Tokens | None = Field(None, description="as the record says")
    cache_write_tokens: Tokens | None = Field(None, description="as the record says")
    trajectory_path: ClaimedPath | None = Field(
        None, description="the log that the record points at: absolute, or the hash of what is no such path"
    )


class Claim(LineProvenance):
    """A harness's record of one of its sessions: held against what was measured, and never part of it."""

    k: Literal["claim"]
    body: ClaimFacts = Field(description="the record")


class TrajectoryFacts(Frozen):
    """What stood where a claim points."""

    path: Directory = Field(description="where the claim points")
    state: words.TrajectoryState = Field(description="what stood there")
    real_path: Directory | None = Field(None, description="where its links lead; null when it has none")
    size_bytes: NonNegativeInt | None = Field(None, description="size of the file; null when there is none")
    modified_at: Moment | None = Field(None, description="when it was written last; null when there is none")


class Trajectory(Frozen):
    """A file that a claim points at was looked at, when the claim was read."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["trajectory"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when it was looked at, UTC")
    body: TrajectoryFacts = Field(description="what was seen")


class BelievedTotals(Frozen):
    """What was believed of one agent's day."""

    day: Day | None = Field(None, description="the day, in UTC; null for calls whose time cannot be trusted")
    agent: Word | None = Field(None, description="the agent; null for none")
    measurement: words.Measurement = Field(description="class of the tokens")
    calls: NonNegativeInt = Field(
        description="calls, estimates, or shares of calls; zero where there are none any more"
    )
    input_tokens: NonNegativeInt | None = Field(None, description="null when nothing was stated")
    cache_read_tokens: NonNegativeInt | None = Field(None, description="null when nothing was stated")
    cache_write_tokens: NonNegativeInt | None = Field(None, description="null when nothing was stated")
    output_tokens: NonNegativeInt | None = Field(None, description="null when nothing was stated")
    total_tokens: NonNegativeInt | None = Field(None, description="null when nothing was stated")
    cost_usd_micros: NonNegativeInt | None = Field(
        None, description="of what was priced then, in micro-dollars; null when nothing was"
    )


class Belief(Frozen):
    """
    Totals of days that had ended, as far as they differ from what was believed before.

    Several events state one belief when there are more totals; they are committed together.
    """

    up_to_seq: NonNegativeInt = Field(description="last event that was in the tables")
    ended_before: Day = Field(
        description="the first day, in UTC, that had not ended: of it and later ones nothing is said"
    )
    rules: Receipt = Field(description="hash that names the rules of the tables by which it was counted")
    totals: Annotated[tuple[BelievedTotals, ...], BeforeValidator(_as_tuple), Field(max_length=words.TOTALS_MAX)] = (
        Field(description="what is new or other than in the belief before; a day without calls any more has zero")
    )


class Published(Frozen):
    """Once a day: the totals as they were believed then."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["published"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when, UTC")
    body: Belief = Field(description="the totals")


class RateWindow(Frozen):
    """
    What a million tokens cost within one time and one length of context, in micro-dollars: prices have six decimals.

    Windows of one event exclude each other. A rate is null where the book names none.
    """

    since: Day | None = Field(None, description="only calls of this day (UTC) and later; null for no bound")
    until: Day | None = Field(None, description="only calls before this day; null for no bound")
    daily_from_seconds: DaySeconds | None = Field(
        None, description="only from this second of the day (UTC) on; null for all day"
    )
    daily_until_seconds: DaySeconds | None = Field(None, description="only before this second of the day")
    above_input_tokens: Tokens | None = Field(
        None, description="only calls with more input than this, cached input included; null for no bound"
    )
    up_to_input_tokens: Tokens | None = Field(None, description="only calls with at most this input; null for no bound")
    input: Rate | None = Field(None, description="input neither read from nor written to a cache")
    cache_read: Rate | None = Field(None, description="read from a cache")
    cache_write: Rate | None = Field(None, description="written to a cache for a time that is not stated")
    cache_write_5m: Rate | None = Field(None, description="written to a cache for five minutes")
    cache_write_1h: Rate | None = Field(None, description="written to a cache for an hour")
    output: Rate | None = Field(None, description="output, reasoning included")


class RateFacts(Frozen):
    """What a price book says of a model; the newest for a provider and model holds."""

    book: BookName = Field(description="name of the price book: a package, or `config` for the operator's own prices")
    book_version: VersionName = Field(description="its version; of the operator's prices a hash of them")
    model_provider: Identifier | None = Field(None, description="provider as calls state it; null when they do not")
    model: ModelName = Field(description="model as calls state it")
    matched_provider: Identifier | None = Field(
        None, description="provider in the book under which the model was found; null when it is not known"
    )
    matched_model: BookEntry | None = Field(
        None, description="model in the book that was taken for it; null when the book knows none"
    )
    windows: Annotated[tuple[RateWindow, ...], BeforeValidator(_as_tuple), Field(max_length=words.RATE_WINDOWS_MAX)] = (
        Field((), description="its rates; none where the book knows no model, or prices it by more than tokens")
    )


class Rates(Frozen):
    """The rates by which a model is priced: a cost is no evidence, what it was made with is."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["rates"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when they were looked up, UTC")
    body: RateFacts = Field(description="the rates")


class Silent(LineProvenance):
    """A row or item that states nothing now, by a newer parser or since it was deleted: what it said is retired."""

    k: Literal["silent"]


class Source(Provenance):
    """Something happened to a source itself."""

    k: Literal["source"]
    change: words.SourceChange = Field(description="what happened")
    code: words.DenyCode | None = Field(None, description="why it cannot be read; null when it can")
    previous_path: StoredPath | Uri | None = Field(None, description="where it was before it moved")
    size_bytes: NonNegativeInt | None = Field(None, description="size when it was opened or replaced")


class Daemon(Frozen):
    """The daemon itself began or ended: a log that grows without these was written by single passes."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["daemon"]
    v: Literal[1] = Field(description="version of this schema")
    change: words.DaemonChange = Field(description="what happened")
    program_version: VersionName = Field(description="version of tallystick")
    ingested_at: AwareDatetime = Field(description="when, UTC")


class Recovery(Frozen):
    """The log itself was damaged; what stood there is read from the sources again."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["recovery"]
    v: Literal[1] = Field(1, description="version of this schema")
    segment: NonNegativeInt | None = Field(None, description="first sequence number of the damaged segment")
    start_offset_bytes: NonNegativeInt | None = Field(None, description="first damaged byte")
    end_offset_bytes: NonNegativeInt | None = Field(None, description="end of the damage")
    first_missing_seq: int | None = Field(None, description="first event that cannot be served")
    last_missing_seq: int | None = Field(None, description="last event that cannot be served")


class CheckoutFacts(Frozen):
    """What git says of a directory, read from its files; remotes are without user, password and token."""

    cwd: Directory = Field(description="the directory, as logs name it")
    state: words.CheckoutState = Field(description="what it was")
    checkout_kind: words.CheckoutKind | None = Field(None, description="kind of checkout; null when there is none")
    top_path: Directory | None = Field(None, description="top of the working tree; null for a bare repository")
    main_path: Directory | None = Field(
        None, description="top of the repository's main working tree: for a worktree another one than its own"
    )
    git_path: Directory | None = Field(None, description="the git directory that all working trees share")
    root_commit: CommitName | None = Field(
        None, description="first commit behind HEAD, by first parents; null where history is cut off or not begun"
    )
    head_commit: CommitName | None = Field(None, description="commit that is checked out")
    git_branch: BranchName | None = Field(None, description="branch that is checked out; null when it is none")
    is_shallow: bool | None = Field(None, description="whether history is cut off; null when there is no checkout")
    is_foreign: bool | None = Field(None, description="whether the git directory belongs to another user")
    remotes: dict[RemoteLabel, RemoteName] = Field({}, description="host/path of each remote, by its name")


class Checkout(Frozen):
    """A directory of a log was looked at; recorded when it is new or changed, as checkouts vanish."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["checkout"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when it was looked at, UTC")
    body: CheckoutFacts = Field(description="what was seen")


class CommitFacts(Frozen):
    """A commit of a checkout in which an agent worked, and the tasks that its trailers name; no word of its message."""

    top_path: Directory = Field(description="top of the working tree in which it was seen")
    git_path: Directory = Field(description="the git directory")
    commit: CommitName = Field(description="the commit")
    committed_at: Moment = Field(description="when it was committed, as it says; UTC")
    git_branch: BranchName | None = Field(None, description="branch that was checked out when it was seen")
    task_ids: Identifiers = Field((), description="tasks that its trailers name")
    workstream_ids: Identifiers = Field((), description="workstreams that its trailers name")


class GitCommit(Frozen):
    """A commit was seen in a checkout in which an agent worked."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["git_commit"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when it was seen, UTC")
    body: CommitFacts = Field(description="what was seen")


class RuleSet(Frozen):
    """How tasks are named in branches and commits: the operator's configuration, as evidence."""

    branch_pattern: Pattern | None = Field(
        None, description="regular expression whose first group is the task in a branch's name; null for none"
    )
    workstream_branch_pattern: Pattern | None = Field(None, description="the same for the workstream")
    task_trailers: Trailers = Field((), description="trailers of a commit that name a task")
    workstream_trailers: Trailers = Field((), description="trailers that name a workstream")


class Rules(Frozen):
    """The rules by which tasks are found changed; the last one holds for everything."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["rules"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when they were read, UTC")
    body: RuleSet = Field(description="the rules")


class TallyFacts(Frozen):
    """What was read of one agent and version since the last tally, and how much of it was usage."""

    agent: Word = Field(description="agent whose logs were read")
    agent_version: VersionName | None = Field(None, description="version that wrote them; null when none was told")
    is_history: bool = Field(description="whether it was written long before it was read, and is no sign of work now")
    since: Moment = Field(description="when the first of it was read, UTC")
    bytes: NonNegativeInt = Field(description="bytes that were read, decompressed")
    lines: NonNegativeInt = Field(description="lines, items or rows")
    recognised_lines: NonNegativeInt = Field(description="of which the adapter knew the type")
    rejected_lines: NonNegativeInt = Field(description="of which could not be read")
    usage_statements: NonNegativeInt = Field(description="statements of usage that can be counted")
    turns_without_usage: NonNegativeInt = Field(description="answers or turns of the model without such a statement")
    sources: Annotated[tuple[StoredPath | Uri, ...], *Several] = Field(
        (), description="up to three of the files that had something to count and stated no usage"
    )


class Tally(Frozen):
    """What was read of one agent and version: a format that changed shows here."""

    q: NonNegativeInt = Field(description="sequence number")
    k: Literal["tally"]
    v: Literal[1] = Field(description="version of this schema")
    ingested_at: AwareDatetime = Field(description="when it was told, UTC")
    body: TallyFacts = Field(description="the tally")


class HookRun(Frozen):
    """One run of a hook."""

    hook: Identifier = Field(description="name of the hook")
    outcome: words.HookOutcome = Field(description="how it ended")
    agent: Word | None = Field(None, description="agent that called it; null when none did")
    session_id: Identifier | None = Field(None, description="session in which it ran; null when unknown")
    event: words.HookEvent | None = Field(None, description="what happened in the agent; null when not said")
    source_id: Identifier | None = Field(
        None, description="the agent's id of what the hook processed: a tool call, a turn; null when it has none"
    )
    effect: words.HookEffect | None = Field(None, description="what the run left behind; null when not said")
    skip: words.HookSkip | None = Field(None, description="why no task was reported; null when one was, or none can be")
    duration_ms: Milliseconds | None = Field(None, description="how long it ran, in milliseconds")
    at: Moment | None = Field(None, description="when it ended; null when the producer did not say")


class TaskReport(Frozen):
    """What a task has come to."""

    task_id: Identifier = Field(description="id of the task, as its tracker names it")
    status: words.TaskStatus = Field(description="what it has come to")
    agent: Word | None = Field(None, description="agent that worked on it; null when unknown")
    session_id: Identifier | None = Field(None, description="session that worked on it; null when unknown")
    workstream_id: Identifier | None = Field(None, description="workstream to which it belongs; null when unknown")
    repo: Slug | None = Field(None, description="repository in which it is worked on; null when unknown")
    origin: Identifier | None = Field(
        None, description="what made the report (`operator`, `hook`, `agent`, `bulk_import`, ...); null when unknown"
    )
    estimated_input_tokens: Tokens | None = Field(None, description="the producer's own guess; null when it has none")
    estimated_output_tokens: Tokens | None = Field(None, description="the same for output")
    at: Moment | None = Field(None, description="since when; null when the producer did not say")


class TokenReport(Frozen):
    """
    Tokens that another program reports.

    ``measured`` needs ``provider``, ``source_id`` and ``raw_usage``; all else is ``estimated``. Reports with the same
    provider and source id are one, the greatest revision holds; a report without a revision has its total as one.
    """

    measurement: Literal["measured", "estimated"] = Field(description="whether the provider itself stated the tokens")
    source_class: words.ReportClass = Field(description="kind of source")
    scope: words.ReportScope = Field("call", description="of what the tokens are")
    provider: ProviderName | None = Field(
        None, description="who answered the call, in small letters; null when unknown"
    )
    source_id: CallIdentifier | None = Field(None, description="the provider's id of the call, or the session's id")
    agent: Word | None = Field(None, description="agent that used them; null when unknown")
    session_id: Identifier | None = Field(None, description="session that used them; null when unknown")
    parent_session_id: Identifier | None = Field(None, description="session that started that one")
    model: ModelName | None = Field(None, description="model as stated; null when unknown, never guessed")
    service_tier: Identifier | None = Field(
        None, description="tier of the call as the provider states it; null for the usual one, or when not said"
    )
    cwd: Directory | None = Field(None, description="working directory")
    git_branch: BranchName | None = Field(None, description="branch")
    git_remote: RemoteName | None = Field(None, description="host/path of the remote, without secrets")
    repo: Slug | None = Field(None, description="repository; null when unknown")
    task_id: Identifier | None = Field(None, description="task for which they were used")
    workstream_id: Identifier | None = Field(None, description="workstream for which they were used")
    at: Moment | None = Field(None, description="when they were used; null when the producer did not say")
    input_tokens: Tokens | None = Field(None, description="neither read from nor written to a cache")
    cache_read_tokens: Tokens | None = Field(None, description="served from a cache")
    cache_write_tokens: Tokens | None = Field(None, description="written to a cache")
    cache_write_5m_tokens: Tokens | None = Field(None, description="of which kept five minutes")
    cache_write_1h_tokens: Tokens | None = Field(None, description="of which kept an hour")
    output_tokens: Tokens | None = Field(None, description="written by the model, reasoning included")
    reasoning_tokens: Tokens | None = Field(None, description="of output: reasoning")
    provider_total_tokens: Tokens | None = Field(None, description="total as the provider states it; not computed")
    raw_usage: dict[RawName, Tokens] | None = Field(
        None, description="the provider's numbers verbatim, names inside names joined by a point"
    )
    legacy_class: words.LegacyClass | None = Field(
        None, description="what the row of an old token table was that this is; null for any other report"
    )
    is_withdrawn: bool | None = Field(None, description="whether such a row is taken back; null when not")


class Allocation(Frozen):
    """
    An operator's declaration: tokens of a session or call belong to a task or workstream, or to none.

    Declarations about the same tokens share them: each its thousandths, those without a number what the others leave.
    """

    session_id: Identifier | None = Field(None, description="session whose calls are meant; null when a call is")
    source_id: CallIdentifier | None = Field(None, description="the one call that is meant; null for a session")
    agent: Word | None = Field(None, description="agent of that session or call; null for any")
    since: Moment | None = Field(None, description="only calls from then on; null for no bound")
    until: Moment | None = Field(None, description="only calls before then; null for no bound")
    task_id: Identifier | None = Field(None, description="task to which they belong")
    workstream_id: Identifier | None = Field(None, description="workstream to which they belong")
    permille: Permille | None = Field(None, description="thousandths of the tokens; null for an equal part of the rest")
    is_withdrawn: bool = Field(False, description="whether this declaration is taken back")


class RepoFacts(Frozen):
    """What belongs to a repository, as an operator registers it; several registrations of one repository add up."""

    repo: Slug = Field(description="name of the repository")
    root_commits: CommitNames = Field((), description="commits without parents")
    remotes: RemoteNames = Field((), description="host/path, without user, password and token")
    paths: Directories = Field((), description="directories in which it is checked out")
    aliases: Slugs = Field((), description="other names under which it is registered or reported")
    is_withdrawn: bool = Field(False, description="whether this registration is taken back")


class Activity(Frozen):
    """What an agent does, without saying on what."""

    agent: Word = Field(description="the agent")
    what: words.ActivityKind = Field(description="what it does")
    session_id: Identifier | None = Field(None, description="its session; null when unknown")
    at: Moment | None = Field(None, description="when; null when the producer did not say")


Body = TypeVar("Body", bound=Frozen)


class Expectation(Frozen):
    """Whether a log that a harness expects under an exact name is there; the newest of agent and name holds."""

    agent: Word = Field(description="agent whose log it is")
    name: Identifier = Field(description="name of the conversation or session, or a hash of what is no id")
    is_found: bool = Field(description="whether exactly this one was there")
    at: Moment | None = Field(None, description="when it was looked for; null when the producer did not say")


class Acknowledgement(Frozen):
    """An operator knows of a finding: it is shown apart and alarms nobody, until it expires or changes."""

    finding_id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] = Field(description="id of the finding")
    rule: Word = Field(description="its rule")
    reason: words.AcknowledgeReason = Field(description="why it is no alarm")
    ticket: Identifier | None = Field(None, description="id of a ticket; null for none")
    until: Moment | None = Field(None, description="when it is an alarm again; null for never")
    is_withdrawn: bool = Field(False, description="whether the acknowledgement is taken back")


class Repair(Frozen):
    """One step of a repair: which log a claim points at from now on. Undone, the claim says what it said."""

    plan_id: Identifier = Field(description="the reviewed plan")
    step: NonNegativeInt = Field(description="number of the step in it")
    claim_source: StoredPath | Uri = Field(description="file of the claim")
    claim_key: Identifier = Field(description="the claim in that file")
    claimed_path: Directory | None = Field(
        None, description="where the claim points: the step holds only while it does; null for nowhere"
    )
    started_at: Moment | None = Field(
        None,
        description="when the claimed session began: the step holds for that one alone; null when nobody says",
    )
    action: words.RepairAction = Field(description="what is done")
    trajectory_path: Directory | None = Field(None, description="the log that is attached; null when it is cleared")
    session_id: Identifier | None = Field(None, description="session of that log; null when it is cleared")
    agent: Word | None = Field(None, description="its agent; null when it is cleared")
    is_undone: bool = Field(False, description="whether the step was taken back")


class Supersession(Frozen):
    """An operator's decision: a fallback whose task or session was measured does not count."""

    receipt: Receipt = Field(description="receipt of the message that is superseded")
    content_hash: Receipt = Field(description="its content")
    by_source_id: CallIdentifier | None = Field(None, description="what counts in its place; null when not one call")
    is_withdrawn: bool = Field(False, description="whether the decision is taken back")


class Consumption(Frozen):
    """Somebody has read our tables and goes by them: an export, a dashboard, a grader."""

    consumer: Identifier = Field(description="who")
    how: words.ConsumptionKind = Field("reader", description="whether it reads again and again, or took a copy")
    table: Word = Field(description="which table was read")
    up_to_seq: NonNegativeInt = Field(description="last event that was in it; for a reader, when it began to read")
    since: Moment | None = Field(None, description="only rows from then on; null for no bound")
    until: Moment | None = Field(None, description="only rows before then; null for no bound")
    at: Moment | None = Field(None, description="when it was read; null when the producer did not say")
    is_withdrawn: bool = Field(False, description="whether the registration is taken back")


class Reconciliation(Frozen):
    """
    What a reconcile came to, in numbers; the report itself is a file of the state directory.

    Null is a number that only tables can tell, where there were none.
    """

    run_by: words.RunBy = Field(description="who ran it")
    is_applied: bool = Field(description="whether it wrote what could be mended safely")
    is_clean: bool = Field(description="whether nothing of it alarms")
    since: Moment | None = Field(None, description="only what happened from then on; null for everything")
    sessions_on_disk: NonNegativeInt = Field(description="session logs that were found")
    sessions_ingested: NonNegativeInt = Field(description="of which are read to their end")
    sessions_stale: NonNegativeInt = Field(description="of which changed since they were read, or were never read")
    duplicate_source_ids: NonNegativeInt | None = Field(
        None, description="source ids under which reports disagree, or that count twice"
    )
    fallback_events: NonNegativeInt | None = Field(
        None, description="estimates that completed tasks or old callers left, superseded ones too"
    )
    leaked_fallbacks: NonNegativeInt | None = Field(
        None, description="of which count beside a measurement of the same session or task, undecided"
    )
    superseded_rows: NonNegativeInt | None = Field(None, description="statements that do not count")
    unattributed_sessions: NonNegativeInt | None = Field(None, description="sessions that belong to no repository")
    rows_without_provenance: NonNegativeInt | None = Field(None, description="reports that name no source")
    flatline_days: NonNegativeInt | None = Field(None, description="days with signs of work and without a token")
    recoverable_gaps: NonNegativeInt = Field(description="files that can still be read, and are not")
    lost_gaps: NonNegativeInt = Field(description="files that went before they were read to their end")
    unreadable: NonNegativeInt = Field(description="places that cannot be read")
    recovered: NonNegativeInt = Field(description="files that this very run has brought into the log")
    findings: NonNegativeInt | None = Field(None, description="findings that alarm and that nobody has acknowledged")
    at: Moment = Field(description="when it ended")


class Message(Frozen, Generic[Body]):
    """
    What a producer put into the inbox: who says so, under which key, and its receipt.

    Messages with the same receipt and content hash are one message, however often they stand in the log. Of the
    messages of one key the one with the greatest revision holds, then the one with the greatest content hash.
    """

    q: NonNegativeInt = Field(description="sequence number of the event in its log; (log id, q) is its key")
    v: Literal[1] = Field(description="version of this schema; older events are upcast on read")
    k: Word = Field(description="kind of message")
    producer: Word = Field(description="program that sent it")
    key: Identifier | None = Field(None, description="what it is about; null when it stands for itself")
    revision: Revision | None = Field(None, description="order among the messages of its key; null is before 0")
    receipt: Receipt = Field(description="name of the message: a hash of it when it has a key, else random")
    content_hash: Receipt = Field(description="hash of kind, producer and body, as they were written")
    source_created_at: AwareDatetime | None = Field(None, description="when the producer wrote it, as it says; UTC")
    ingested_at: AwareDatetime = Field(description="when the file was read, UTC")
    body: Body = Field(description="the statement")


class MessageRejected(Frozen):
    """A message that could not be taken: reason, field and length, and no byte of it."""

    q: NonNegativeInt = Field(description="sequence number")
    v: Literal[1] = Field(description="version of this schema")
    k: Literal["message_rejected"]
    receipt: Receipt = Field(description="its receipt; for a name that is none, a salted hash of that name")
    code: words.MessageCode = Field(description="why")
    field: MessageField | None = Field(
        None, description="field that is wrong; null when none is, or it is no name of ours"
    )
    length_bytes: NonNegativeInt = Field(description="length of the file")
    ingested_at: AwareDatetime = Field(description="when the file was read, UTC")


#: Every kind of event, by the word in ``k``.
KINDS: dict[str, type[Frozen]] = {
    "usage": Usage,
    "session": Session,
    "turn": Turn,
    "hidden_call": HiddenCall,
    "task_named": TaskNamed,
    "session_named": SessionNamed,
    "sentinel": Sentinel,
    "rejected": Rejected,
    "silent": Silent,
    "source": Source,
    "daemon": Daemon,
    "recovery": Recovery,
    "checkout": Checkout,
    "git_commit": GitCommit,
    "rules": Rules,
    "tally": Tally,
    "hook_run": Message[HookRun],
    "task": Message[TaskReport],
    "activity": Message[Activity],
    "token_event": Message[TokenReport],
    "allocation": Message[Allocation],
    "repo": Message[RepoFacts],
    "expectation": Message[Expectation],
    "claim": Claim,
    "trajectory": Trajectory,
    "acknowledgement": Message[Acknowledgement],
    "repair": Message[Repair],
    "supersession": Message[Supersession],
    "consumption": Message[Consumption],
    "reconciliation": Message[Reconciliation],
    "published": Published,
    "rates": Rates,
    "message_rejected": MessageRejected,
}

#: What the inbox takes, by kind: the body of each message among the events.
MESSAGES: Final[dict[str, type[Frozen]]] = {
    kind: cast("type[Frozen]", event.model_fields["body"].annotation)
    for kind, event in KINDS.items()
    if issubclass(event, Message)
}
