"""
From what a caller writes to a message of the inbox: one canonical form for old callers and new ones.

Pure but for the clock that is handed in. Nothing is guessed: what is filled in follows from what was written, by the
rules in `docs/http.md`. A refusal names a field as the caller spelt it, and never a value.
"""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field

from adapters.decode import model_name, remote_name
from adapters.provider_usage import UsageUnclear, flattened, normalised
from daemon.inbox_client import Letter, Sealed, sealed
from daemon.message_keys import allocation_key, registration_key, task_key, token_key
from daemon.message_rules import Refused
from state.evidence import MESSAGES, Frozen, Identifier, Moment, Revision, Slug, Tokens, Word
from state.vocabulary import ID, STANDARD_TIERS, STATED_TOTAL, TOKEN_CLASSES, MessageCode

#: Statements of one list, and bytes of all of them.
POSTS_MAX: Final = 1_000
POSTED_BYTES_MAX: Final = 4 * 1024 * 1024


class Sending(Frozen):
    """What every statement may say beside itself."""

    idempotency_key: Identifier | None = Field(
        None, description="names the statement where nothing in it does; sent again under it, it is the same statement"
    )
    revision: Revision | None = Field(
        None, description="order among the statements about the same; the greatest holds, whatever comes last"
    )
    created_at: Moment | None = Field(
        None, description="when the caller wrote it; becomes `at` where that is not given"
    )
    producer: Word | None = Field(None, description="program that writes it; `http` or `operator` when null")


class OldTokens(Frozen):
    """What callers of an older API write about tokens."""

    tokens_in: Tokens | None = Field(None, description="becomes `input_tokens`; only without any other token field")
    tokens_out: Tokens | None = Field(None, description="becomes `output_tokens`; as above")
    repo_id: Slug | int | None = Field(None, description="a number or a name; becomes `repo` where that is not given")
    note: str | None = Field(None, description="free text: taken, and dropped unread")
    notes: str | None = Field(None, description="as above")


@dataclass(frozen=True, slots=True)
class Spelling:
    """How statements of one kind are written, where that is more than their body in `docs/inbox.md`."""

    kind: str
    #: Fields that may be whole numbers: ids that are text everywhere else.
    numbered: frozenset[str] = frozenset()
    #: Fields that other programs spell with capitals and dashes.
    words: frozenset[str] = frozenset({"agent"})
    #: Whether there are fields of an older API.
    has_old_fields: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """Every field that may be written."""
        old = OldTokens.model_fields if self.has_old_fields else {}
        return frozenset({*MESSAGES[self.kind].model_fields, *Sending.model_fields, *old})


_NUMBERED: Final = frozenset({"task_id", "workstream_id"})

SPELLINGS: Final[Mapping[str, Spelling]] = {
    each.kind: each
    for each in (
        Spelling("token_event", _NUMBERED, has_old_fields=True),
        Spelling("task", _NUMBERED),
        Spelling("activity"),
        Spelling("repo"),
        Spelling("allocation", _NUMBERED),
    )
}

_CANONICAL_TOKENS: Final = (*TOKEN_CLASSES, STATED_TOTAL)
_OLD_TOKENS: Final = {"tokens_in": "input_tokens", "tokens_out": "output_tokens"}
_PROVENANCE: Final = ("provider", "source_id", "raw_usage")


class PostRefused(Exception):
    """What a caller wrote cannot be taken, and nothing of it was; ``index`` is its place in a list, or null."""

    def __init__(self, code: MessageCode, field: str | None = None, index: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.index = index


def sealed_posts(
    kind: str, written: object, producer: str, now: datetime, idempotency_key: str | None = None
) -> list[Sealed]:
    """
    Return the messages that one statement or a list of them comes to; nothing is written.

    Args:
        kind: What is stated.
        written: The decoded JSON.
        producer: Program that writes it, where it does not say so itself.
        now: When it came, aware.
        idempotency_key: Name of a statement that has no other; in a list its place is added.

    Raises:
        PostRefused: One of them cannot be taken, with its first field that is wrong.
    """
    if isinstance(written, Mapping):
        return [_sealed_post(kind, written, producer, now, idempotency_key, None)]
    if not isinstance(written, list):
        raise PostRefused("invalid_json")
    if not written:
        raise PostRefused("missing_field")
    if len(written) > POSTS_MAX:
        raise PostRefused("too_long")
    keys = [None if idempotency_key is None else f"{idempotency_key}:{index}" for index in range(len(written))]
    # What stands later in a list was written later.
    times = [now + timedelta(microseconds=index) for index in range(len(written))]
    return [_sealed_post(kind, each, producer, times[index], keys[index], index) for index, each in enumerate(written)]


def _sealed_post(
    kind: str, written: object, producer: str, now: datetime, idempotency_key: str | None, index: int | None
) -> Sealed:
    if not isinstance(written, Mapping):
        raise PostRefused("invalid_field", None, index)
    post = _Post(SPELLINGS[kind], written, producer, now, idempotency_key)
    try:
        return sealed(post.letter(), now)
    except Refused as refused:
        raise PostRefused(refused.code, post.spelt(refused.field), index) from None


class _Post:
    """One statement on its way to its message."""

    def __init__(
        self,
        spelling: Spelling,
        written: Mapping[str, Any],
        producer: str,
        now: datetime,
        idempotency_key: str | None,
    ) -> None:
        self._spelling = spelling
        self._now = now
        self._sending: dict[str, Any] = {"producer": producer, "idempotency_key": idempotency_key}
        self._body: dict[str, Any] = {}
        self._from: dict[str, str] = {}
        for name, value in written.items():
            if value is None and name in spelling.fields:
                continue
            (self._sending if name in Sending.model_fields else self._body)[name] = value

    def letter(self) -> Letter:
        """
        Return the statement as a message.

        Raises:
            Refused: It contradicts itself; what else is wrong with it is found when it is sealed.
        """
        self._respell()
        if self._spelling.kind == "token_event":
            _complete_tokens(self._body)
        stated = self._sending
        key, revision = _NAMES[self._spelling.kind](self._body, stated, self._now)
        return Letter(
            self._spelling.kind, self._body, stated["producer"], key, revision, created_at=stated.get("created_at")
        )

    def spelt(self, field: str | None) -> str | None:
        """Return a field of the message as the caller wrote it; null where the caller wrote none of ours."""
        if field in (None, "kind", "body"):
            return None
        name = field.removeprefix("body.") if field else ""
        return self._from.get(name, "idempotency_key" if name == "key" else name)

    # -- the same fields, however they are spelt -----------------------------------------------------------------

    def _respell(self) -> None:
        body = self._body
        if self._spelling.has_old_fields:
            self._rename_old_fields()
        for name in self._spelling.numbered & body.keys():
            body[name] = _as_text(body[name])
        for name in self._spelling.words & body.keys():
            body[name] = body[name].lower().replace("-", "_") if isinstance(body[name], str) else body[name]
        if isinstance(body.get("git_remote"), str):
            body["git_remote"] = remote_name(body["git_remote"])
        if "://" in str(body.get("model")):
            body["model"] = model_name(str(body["model"]))  # an address may hold a password
        if isinstance(body.get("provider"), str):
            body["provider"] = body["provider"].lower()
        if isinstance(body.get("paths"), list):
            body["paths"] = [posixpath.normpath(each) if _is_absolute(each) else each for each in body["paths"]]
        if isinstance(body.get("remotes"), list):
            body["remotes"] = [remote_name(each) if isinstance(each, str) else each for each in body["remotes"]]
        if "at" in MESSAGES[self._spelling.kind].model_fields:
            self._move("created_at", "at", self._sending)

    def _rename_old_fields(self) -> None:
        body = self._body
        for name in ("note", "notes"):
            body.pop(name, None)
        if "repo_id" in body:
            body["repo_id"] = _as_text(body["repo_id"])
        self._move("repo_id", "repo", body)
        body.pop("repo_id", None)
        written = [name for name in _OLD_TOKENS if name in body]
        if written and any(name in body for name in (*_CANONICAL_TOKENS, "raw_usage")):
            raise Refused("contradicts", f"body.{written[0]}")
        for name in written:
            self._move(name, _OLD_TOKENS[name], body)
            del body[name]
        if written:
            body.setdefault("source_class", "legacy_post")

    def _move(self, old: str, new: str, place: Mapping[str, Any]) -> None:
        """Let *new* say what *old* says, where it says nothing itself."""
        if old in place and new not in self._body:
            self._body[new] = place[old]
            self._from[new] = old


# -- what follows from what was written ----------------------------------------------------------------------------


def _complete_tokens(body: dict[str, Any]) -> None:
    """Add what raw usage says, and of which class the tokens are."""
    if isinstance(body.get("raw_usage"), Mapping):
        _read_raw_usage(body)
    is_proven = all(body.get(name) for name in _PROVENANCE)
    body.setdefault("measurement", "measured" if is_proven else "estimated")
    body.setdefault("source_class", "llm_connect" if body["measurement"] == "measured" else "manual")


def _read_raw_usage(body: dict[str, Any]) -> None:
    stated = body.pop("raw_usage")
    tier = stated.get("service_tier")
    if isinstance(tier, str) and tier not in STANDARD_TIERS and ID.fullmatch(tier):
        body.setdefault("service_tier", tier)  # the only word among the numbers that changes what they cost
    try:
        raw = flattened(stated)
    except UsageUnclear:
        raise Refused("contradicts", "body.raw_usage") from None
    if raw:
        body["raw_usage"] = raw
    meant = normalised(raw)
    for name, tokens in asdict(meant).items() if meant is not None else ():
        if tokens is not None:
            body.setdefault(name, tokens)


# -- what a statement is about -------------------------------------------------------------------------------------

Stated = Mapping[str, Any]
Name = tuple[str | None, int | None]


def _token_name(body: Stated, sending: Stated, _: datetime) -> Name:
    """Name a report of tokens: by the provider's name of what is reported, where there is one."""
    provider, source_id = body.get("provider"), body.get("source_id")
    if isinstance(source_id, str):
        is_measured = body.get("measurement") == "measured"
        key = token_key(provider if isinstance(provider, str) else None, source_id, is_measured=is_measured)
        return key, sending.get("revision")
    return _given_name(body, sending, _)


def _task_name(body: Stated, sending: Stated, _: datetime) -> Name:
    """Reports about a task are a row each; only who orders them by revisions says that one replaces another."""
    key, revision = _given_name(body, sending, _)
    if key is None and revision is not None and isinstance(body.get("task_id"), str):
        key = task_key(body["task_id"])
    return key, revision


def _given_name(_: Stated, sending: Stated, __: datetime) -> Name:
    return sending["idempotency_key"], sending.get("revision")


def _allocation_name(body: Stated, sending: Stated, now: datetime) -> Name:
    return allocation_key(body), _revision_or_time(sending, now)


def _repo_name(body: Stated, sending: Stated, now: datetime) -> Name:
    return registration_key(body), _revision_or_time(sending, now)


def _revision_or_time(sending: Stated, now: datetime) -> int:
    """What an operator declares later holds: the time it was written orders it, where nothing else does."""
    stated = sending.get("revision")
    return _microseconds(sending, now) if stated is None else stated


_NAMES: Final[Mapping[str, Callable[[Stated, Stated, datetime], Name]]] = {
    "token_event": _token_name,
    "task": _task_name,
    "activity": _given_name,
    "allocation": _allocation_name,
    "repo": _repo_name,
}


def _is_absolute(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _as_text(value: Any) -> Any:  # noqa: ANN401 - decoded JSON
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _microseconds(sending: Mapping[str, Any], now: datetime) -> int:
    """Return when a statement was written; now where it does not say so, or not in a way that will be taken."""
    try:
        written = datetime.fromisoformat(sending.get("created_at", ""))
    except (TypeError, ValueError):
        written = now
    moment = written if written.tzinfo is not None else now
    return max(0, int(moment.timestamp() * 1_000_000))
