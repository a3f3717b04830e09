"""What the API answers: documents with a schema name, and codes instead of sentences."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final, Literal, get_args

from pydantic import ConfigDict, Field
from starlette.responses import JSONResponse

from daemon.cursors import BadAfter
from daemon.explain import NothingToExplain
from daemon.findings import NoSuchRule
from daemon.inbox_client import Outcome
from daemon.owners import NoSuchOwner
from daemon.web.publication import QuestionTooLong
from daemon.window import BadTime, BadZone, EmptyWindow
from projections.read import NothingPublished, QuestionTooLarge, TablesUnusable
from state.errors import LogBroken, TallystickError
from state.evidence import Frozen, Receipt
from state.vocabulary import MessageCode

#: What goes wrong with a request itself; what goes wrong with a statement are the words of `MessageCode`.
RequestCode = Literal[
    "missing_host",  #: no `Host`, or several
    "foreign_host",  #: a name that is not ours: a page elsewhere may have pointed its own name at us
    "foreign_origin",  #: sent by a page that is not ours
    "needs_token",  #: no `Authorization: Bearer`, or not the right one
    "not_found",  #: there is nothing of this name
    "wrong_method",  #: `Allow` names those that are there
    "too_slow",  #: the body did not arrive in time
    "not_json",  #: the body is not said to be `application/json`, or it is compressed
    "busy",  #: too many requests at once; nothing was written
    "no_room",  #: the disk is full; nothing was written
    "not_durable",  #: the disk did not confirm; it may have been written all the same
    "unavailable",  #: the state directory, inbox or log cannot be used; nothing was written
    "internal",  #: a defect of ours; it may have been written all the same
]

#: What goes wrong with a statement; the other words of `MessageCode` are about files.
StatementCode = Literal[
    "invalid_json",
    "too_long",
    "too_deep",
    "missing_field",
    "unknown_field",
    "invalid_field",
    "out_of_range",
    "needs_key",
    "needs_provenance",
    "needs_target",
    "contradicts",
]

#: What goes wrong with a question: kinds of errors that the command line has too.
FAILURES: Final[Mapping[type[TallystickError], str]] = {
    kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    for kind in (
        NothingPublished,
        TablesUnusable,
        QuestionTooLong,
        QuestionTooLarge,
        LogBroken,
        NothingToExplain,
        NoSuchOwner,
        NoSuchRule,
        BadTime,
        BadZone,
        EmptyWindow,
        BadAfter,
    )
}

STATUS: Final[Mapping[str, int]] = {
    "missing_host": 400,
    "foreign_host": 403,
    "foreign_origin": 403,
    "needs_token": 401,
    "not_found": 404,
    "wrong_method": 405,
    "too_slow": 408,
    "not_json": 415,
    "busy": 503,
    "no_room": 507,
    "not_durable": 503,
    "unavailable": 503,
    "internal": 500,
}
#: What to do, as a person reads it: title and next step.
_TOLD: Final[Mapping[str, tuple[str, str]]] = {
    "missing_host": ("There is no Host, or there are several.", "Send one."),
    "foreign_host": ("This is not our name.", "Use 127.0.0.1 or localhost, with the port that the server printed."),
    "foreign_origin": ("A page that is not ours asks.", "Open the page that this server itself serves."),
    "needs_token": (
        "The token is missing, or another one.",
        "Send `Authorization: Bearer` with what the file `api-token` in the state directory holds.",
    ),
    "not_found": ("There is nothing of this name.", "`GET /openapi.json` says what there is."),
    "wrong_method": ("This is not done so.", "`Allow` names what can be done here."),
    "too_slow": ("The body did not arrive in time.", "Send it again."),
    "not_json": ("The body is not said to be JSON, or it is compressed.", "Send `application/json` as it is."),
    "busy": ("Too many requests at once.", "Ask again in a second."),
    "no_room": ("The disk is full; nothing was written.", "Free some space, and send it again."),
    "not_durable": ("The disk did not confirm.", "Look for device errors in the kernel's log, and send it again."),
    "unavailable": ("The state directory cannot be used.", "`tallystick doctor` says what is wrong with it."),
    "internal": ("A defect of ours.", "Please report this bug: the server's log has its place."),
}
_OF_FIELDS: Final = ("A field or parameter cannot be taken.", "`GET /openapi.json` says what it can be.")

#: Of a statement; 422 for all others.
_OF_STATEMENT: Final[Mapping[str, int]] = {"invalid_json": 400, "too_deep": 400, "too_long": 413}

#: Whatever the answer, it is for the caller only, and nothing of it runs in a browser.
HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

State = Literal[
    "pending",  #: its file waits: no daemon has taken it yet
    "stored",  #: it is event `seq`
    "duplicate",  #: the very message was there before; it is event `seq`, and nothing was added
    "superseded",  #: it is event `seq`, and event `by_seq` holds in its place
    "rejected",  #: it was no message to the daemon that took it: `code` says why, `field` where
    "unknown",  #: it was accepted, and the log cannot be asked what became of it
]


#: Every code of a refusal.
CODES: Final = (*get_args(RequestCode), *get_args(StatementCode), *FAILURES.values())


class _Answer(Frozen):
    """A document of ours: every field is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Fate(_Answer):
    """What became of one statement."""

    receipt: Receipt = Field(description="its receipt")
    state: State = Field(description="what became of it")
    seq: int | None = Field(None, description="its event in the log")
    by_seq: int | None = Field(None, description="the event that holds in its place")
    code: str | None = Field(None, description="why it was rejected")
    field: str | None = Field(None, description="where, as the inbox names it")


class Fates(_Answer):
    """What became of what was written: one for each statement, in order."""

    version: Literal["tallystick.receipts/1"] = Field(
        "tallystick.receipts/1", alias="schema", description="this document"
    )
    receipts: tuple[Fate, ...] = Field(description="one for each statement, in order")


class Problem(_Answer):
    """Why a request was refused; no value of it is repeated."""

    code: str = Field(description="why", json_schema_extra={"enum": [*CODES]})
    field: str | None = Field(
        None, description="field or parameter that is wrong, as it was written; null when it is none of ours"
    )
    index: int | None = Field(None, description="place in the list, from 0; null when no list was written")


class Error(_Answer):
    """A request was refused, and nothing of it was written; problem details of RFC 9457."""

    version: Literal["tallystick.error/1"] = Field("tallystick.error/1", alias="schema", description="this document")
    type: Literal["about:blank"] = Field("about:blank", description="RFC 9457: `kind` says more")
    title: str = Field(description="what happened, in a sentence of ours")
    status: int = Field(description="status of the answer")
    kind: str = Field(description="the same as `error.code`")
    next: str = Field(description="what to do about it")
    error: Problem = Field(description="why")


def told(found: Sequence[Outcome]) -> JSONResponse:
    """Answer with what became of statements: 202 while one of them is not taken yet, else 200."""
    is_open = any(each.state in ("pending", "unknown") for each in found)
    fates = tuple(Fate.model_validate(asdict(each)) for each in found)
    return JSONResponse(Fates(receipts=fates).model_dump(by_alias=True), 202 if is_open else 200)


def refused(
    code: RequestCode | MessageCode,
    field: str | None = None,
    index: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Answer that a request was refused."""
    return _refusal(
        code, status_of(code), _TOLD.get(code, _OF_FIELDS), Problem(code=code, field=field, index=index), headers
    )


def failed(error: TallystickError) -> JSONResponse:
    """Answer that a question cannot be answered, with the words of its kind: its facts may be the caller's."""
    code = FAILURES.get(type(error))
    if code is None:
        return refused("unavailable")
    headers = {"retry-after": "1"} if isinstance(error, NothingPublished | TablesUnusable | QuestionTooLong) else None
    return _refusal(code, status_of_failure(type(error)), words(type(error)), Problem(code=code), headers)


def _refusal(
    code: str, status: int, told: tuple[str, str], problem: Problem, headers: Mapping[str, str] | None
) -> JSONResponse:
    title, next_ = told
    document = Error(title=title, status=status, kind=code, next=next_, error=problem)
    return JSONResponse(document.model_dump(by_alias=True), status, headers, "application/problem+json")


def words(kind: type[TallystickError]) -> tuple[str, str]:
    """Return what happened and what to do: the first sentence of the docstring, and the rest of its paragraph."""
    text = " ".join((inspect.getdoc(kind) or f"{kind.__name__}.").split("\n\n", maxsplit=1)[0].split())
    title, _, rest = text.partition(". ")
    return title.rstrip(".") + ".", rest or "`tallystick doctor` says how it is."


def status_of(code: RequestCode | MessageCode) -> int:
    """Return the status of an answer that says *code*."""
    return STATUS.get(code) or _OF_STATEMENT.get(code, 422)


def status_of_failure(kind: type[TallystickError]) -> int:
    """Return the status of an answer to a question that failed so: as it decides the exit code of a command."""
    return {1: 404, 2: 422}.get(kind.exit_code, 503)
