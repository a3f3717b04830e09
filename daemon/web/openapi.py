"""What the API is, as OpenAPI 3.1: made of the models that it checks with."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, get_args

from pydantic.json_schema import models_json_schema

from daemon.metrics import CONTENT_TYPE
from daemon.posts import POSTS_MAX, SPELLINGS, OldTokens, Sending, Spelling
from daemon.web.answers import FAILURES, Error, Fates, RequestCode, StatementCode, status_of, status_of_failure
from daemon.web.bodies import WAIT_SECONDS_MAX
from daemon.web.parameters import Parameter, Text
from daemon.web.questions import QUESTIONS, Question
from daemon.web.reads import METRICS_PATH, PREFIX
from daemon.web.shapes import rows, shape_of
from daemon.web.writes import RECEIPT, WRITES
from state.evidence import MESSAGES

Schema = dict[str, Any]

_NAMES: Final[Mapping[str, str]] = {
    "token_event": "TokenEvent",
    "task": "TaskEvent",
    "activity": "Activity",
    "repo": "Repo",
    "allocation": "Allocation",
}

#: Fields that take more from a caller than a message may say; `daemon/posts.py` brings them to that.
_SPELT: Final[Mapping[str, Schema]] = {
    "git_remote": {"type": ["string", "null"], "maxLength": 4096},
    "remotes": {
        "type": ["array", "null"],
        "items": {"type": "string", "minLength": 1, "maxLength": 4096},
        "maxItems": 100,
    },
    "raw_usage": {"type": ["object", "null"]},
}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_FREE: Final[Schema] = {"type": ["string", "null"]}

#: What a request may be refused for, whatever it states.
_REFUSED_WRITE: Final = tuple(code for code in get_args(RequestCode) if code not in ("not_found", "wrong_method"))
_REFUSED_READ: Final = tuple(code for code in _REFUSED_WRITE if code not in ("too_slow", "not_json", "not_durable"))
#: What a parameter may be refused for.
_REFUSED_QUESTION: Final = ("unknown_field", "invalid_field", "out_of_range", "contradicts")


def document() -> Schema:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "tallystick", "version": version("tallystick"), "description": _DESCRIPTION},
        "paths": _paths(),
        "components": {
            "schemas": {
                **{_NAMES[kind]: statement(spelling) for kind, spelling in SPELLINGS.items()},
                **models_json_schema(
                    [(Fates, "serialization"), (Error, "serialization")], by_alias=True, ref_template=_REFERENCE
                )[1]["$defs"],
                **rows(),
                **{component_of(each): _document(each) for each in QUESTIONS},
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> Schema:
    paths: dict[str, Schema] = {path: {"post": _write(path, kind)} for path, kind in WRITES.items()}
    for question in QUESTIONS:
        paths.setdefault(path_of(question), {})["get"] = _read(question)
    return paths | {
        RECEIPT: {"get": _receipt()},
        METRICS_PATH: {"get": _metrics()},
        "/openapi.json": {"get": _itself()},
    }


_DESCRIPTION: Final = (
    "Reads of what was published, each the document that a command prints with --json; docs/api.md has them. "
    "Writes of token events, task events, activity, repositories and allocations. On a unix socket its mode decides "
    "who may ask; on a loopback port a token does. docs/http.md says what becomes of a write."
)
_REFERENCE: Final = "#/components/schemas/{model}"


def statement(spelling: Spelling) -> Schema:
    """Return the schema of one statement: its body, however it may be spelt, and what may be said beside it."""
    body = MESSAGES[spelling.kind]
    schema = body.model_json_schema()
    old = OldTokens.model_json_schema()["properties"] if spelling.has_old_fields else {}
    fields = {**schema["properties"], **Sending.model_json_schema()["properties"], **old}
    required = [name for name in schema.get("required", ()) if name not in ("measurement", "source_class")]
    return {
        "title": _NAMES[spelling.kind],
        "description": " ".join((body.__doc__ or "").split()),
        "type": "object",
        "properties": {name: _field(name, field, spelling, name in required) for name, field in fields.items()},
        "required": required,
        "additionalProperties": False,
    }


def _field(name: str, field: Schema, spelling: Spelling, is_required: bool) -> Schema:
    described = {"description": field.get("description", "")}
    if name in _SPELT:
        return {**_SPELT[name], **described}
    if name in ("note", "notes"):
        return {**_FREE, **described}
    options = [each for each in field.get("anyOf", [_of(field)]) if each.get("type") != "null"]
    if name in spelling.words:
        options = [{"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,31}$"}]
    if name in spelling.numbered or name == "repo_id":
        options = [*(each for each in options if each.get("type") != "integer"), _NUMBER]
    if not is_required:
        options = [*options, {"type": "null"}]
    return {**(options[0] if len(options) == 1 else {"anyOf": options}), **described}


def _of(field: Schema) -> Schema:
    return {name: value for name, value in field.items() if name not in ("default", "description", "title")}


def _write(path: str, kind: str) -> Schema:
    one = {"$ref": f"#/components/schemas/{_NAMES[kind]}"}
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": POSTS_MAX}
    old = {} if path.startswith("/api/") else {"deprecated": True}
    return {
        "operationId": "write" + path.replace("/", "_").replace("-", "_"),
        "summary": f"write one {kind.replace('_', ' ')}, or a list of them: all or none",
        "parameters": [_WAIT, _KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"anyOf": [one, several]}}}},
        "responses": {**_told(), **_refusals((*_REFUSED_WRITE, *get_args(StatementCode)))},
        **old,
    }


def _receipt() -> Schema:
    receipt = {"name": "receipt", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "receipt",
        "summary": "what became of a statement",
        "parameters": [receipt, _WAIT],
        "responses": {**_told(), **_refusals((*_REFUSED_READ, "not_found", "invalid_field", "out_of_range"))},
    }


def path_of(question: Question) -> str:
    """Return where a question is asked."""
    return PREFIX + re.sub(r"{(\w+):path}", r"{\1}", question.path)


def component_of(question: Question) -> str:
    """Return how the schema of its document is called."""
    return "_".join(re.findall(r"[a-z]+", path_of(question).removeprefix(PREFIX)))


def _document(question: Question) -> Schema:
    shape = shape_of(question.path)
    named = {"schema": {"const": question.schema}}
    return {"description": question.what, **shape, "properties": {**shape["properties"], **named}}


def _read(question: Question) -> Schema:
    named = re.findall(r"{(\w+):path}", question.path)
    places = [_parameter(Text(name, "its name"), "path") for name in named]
    told = {"$ref": _REFERENCE.format(model=component_of(question))}
    answer = {"description": question.what, "content": {"application/json": {"schema": told}}}
    known = {} if question.depends == "moment" else {"304": {"description": "the answer of that `ETag` still holds"}}
    return {
        "operationId": f"read_{component_of(question)}",
        "summary": question.what,
        "description": f"What `tallystick {question.command} --json` prints.",
        "parameters": [
            *places,
            *(_parameter(each, "query") for each in question.parameters),
            *([_TAG] if known else []),
        ],
        "responses": {"200": answer, **known, **_refusals((*_REFUSED_READ, *_REFUSED_QUESTION, *FAILURES.values()))},
    }


def _parameter(parameter: Parameter, place: str) -> Schema:
    return {
        "name": parameter.name,
        "in": place,
        "description": parameter.what,
        "schema": parameter.schema,
        **({"required": True} if place == "path" else {}),
    }


def _metrics() -> Schema:
    answer = {
        "description": "text exposition format 0.0.4; docs/exports.md has each name",
        "content": {CONTENT_TYPE: {"schema": {"type": "string"}}},
    }
    return {
        "operationId": "metrics",
        "summary": "figures for Prometheus",
        "description": "What `tallystick metrics` prints.",
        "responses": {"200": answer, **_refusals((*_REFUSED_READ, *FAILURES.values()))},
    }


def _itself() -> Schema:
    answer = {"description": "this document", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "operationId": "openapi",
        "summary": "this document",
        "responses": {"200": answer, **_refusals(_REFUSED_READ)},
    }


_WAIT: Final[Schema] = {
    "name": "wait",
    "in": "query",
    "description": "how long to wait for the outcome, in seconds; without it nobody waits",
    "schema": {"type": "number", "minimum": 0, "maximum": WAIT_SECONDS_MAX},
}
_TAG: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "`ETag` of an answer that the caller has",
    "schema": {"type": "string"},
}
_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "like `idempotency_key`; of a list, the place is added to it",
    "schema": {"type": "string"},
}


def _told() -> Schema:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Fates"}}}
    return {
        "200": {"description": "what became of all of it", "content": content},
        "202": {"description": "it is on the disk, and at least one statement is not taken yet", "content": content},
    }


def _refusals(codes: tuple[Any, ...]) -> Schema:
    failures = {code: status_of_failure(kind) for kind, code in FAILURES.items()}
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(failures.get(code) or status_of(code)), []).append(code)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        status: {"description": "refused: " + ", ".join(named), "content": content}
        for status, named in sorted(by_status.items())
    }
