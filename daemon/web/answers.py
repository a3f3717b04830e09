"""What the API answers: documents with a schema name, and codes instead of sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final, Literal, get_args

from pydantic import ConfigDict, Field
from starlette.responses import JSONResponse

from daemon.inbox_client import Outcome
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

    code: str = Field(description="why", json_schema_extra={"enum": [*get_args(RequestCode), *get_args(StatementCode)]})
    field: str | None = Field(None, description="field that is wrong, as it was written; null when it is none of ours")
    index: int | None = Field(None, description="place in the list, from 0; null when no list was written")


class Error(_Answer):
    """A request was refused, and nothing of it was written."""

    version: Literal["tallystick.error/1"] = Field("tallystick.error/1", alias="schema", description="this document")
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
    document = Error(error=Problem(code=code, field=field, index=index)).model_dump(by_alias=True)
    return JSONResponse(document, status_of(code), headers)


def status_of(code: RequestCode | MessageCode) -> int:
    """Return the status of an answer that says *code*."""
    return STATUS.get(code) or _OF_STATEMENT.get(code, 422)
