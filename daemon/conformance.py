"""
What every adapter promises, as checks that its author can run over files of his own: `tallystick adapters check`.

The same checks hold our own adapters (`tests/adapters/test_conformance.py`). A finding names the check and what was
broken; it never holds a word of the file.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import msgspec
from pydantic import TypeAdapter, ValidationError

from adapters.contract import (
    Adapter,
    Counted,
    Header,
    Item,
    LineRejected,
    Observation,
    Row,
    TurnUnmetered,
    Unrecognised,
    UsageStated,
)
from state.evidence import KINDS, VersionName

#: What an adapter reads at a time: a line, a whole document, or a row.
Piece = bytes | Row

#: Stand where a source holds somebody's words. The mark is looked for in what comes out.
MARK: Final = "7f3a"
WORDS: Final = f"correct horse, {MARK} battery staple"

#: What the reader adds to an observation; with it, an observation is an event.
PROVENANCE: Final[Mapping[str, Any]] = {
    "q": 0,
    "v": 1,
    "source_path": "/srv/log.jsonl",
    "source_generation": "1:2:3",
    "source_role": "main",
    "ingested_at": "2025-11-01T10:00:00Z",
    "offset_bytes": 0,
    "length_bytes": 1,
    "line_hash": "0" * 32,
}

_VERSION: Final[TypeAdapter[str | None]] = TypeAdapter(VersionName | None)

#: So many damaged copies are made of each piece.
_DAMAGED_COPIES: Final = 8
#: At most so many pieces of a file are damaged and filled with words: the first and the last ones.
_PIECES_MAX: Final = 60

#: Put in the place of every value.
_ODD_VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    -1,
    1.5,
    10**40,
    "",
    WORDS,
    "\ud83d",
    "/x\u202e",
    [],
    [WORDS],
    {},
    {WORDS: WORDS},
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was not kept; ``detail`` holds no content."""

    check: str
    detail: str


def observed(adapter: Adapter, piece: Piece, header: Header) -> tuple[Observation, ...]:
    """Return everything an adapter says of one piece."""
    if adapter.kind == "rows":
        return tuple(adapter.read_row(piece if isinstance(piece, Mapping) else {}, header))
    content = piece if isinstance(piece, bytes) else b""
    if adapter.kind == "lines":
        return tuple(adapter.read_line(content, header))
    read = adapter.read_document(content, header)
    return (read,) if isinstance(read, LineRejected) else tuple(said for item in read for said in item.observations)


def plain(observations: Iterable[Observation]) -> list[dict[str, Any]]:
    """Return observations as the log would hold them."""
    return [json.loads(msgspec.json.encode(each)) for each in observations]


def unsound(adapter: Adapter, observations: Iterable[Observation]) -> str | None:
    """Return the first field that is no evidence by the contract (`docs/evidence.md`); ``None`` when all are."""
    provenance = {
        **PROVENANCE,
        "agent": adapter.agent,
        "parser": adapter.parser,
        "parser_version": adapter.parser_version,
        "source_class": adapter.source_class,
    }
    for each in observations:
        if type(each) not in get_args(Observation):
            return "what is said is no observation (adapters/contract.py)"
        if isinstance(each, Counted):
            if not _is_version(getattr(each, "agent_version", None)):
                return "agent_version: no name of a version"
            continue
        event = json.loads(msgspec.json.encode(each))
        try:
            KINDS[event["k"]].model_validate(provenance | event)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            return f"{event['k']}.{'.'.join(map(str, first['loc']))}: {first['type']}"
    return None


def _is_version(name: object) -> bool:
    """Say whether *name* may be stored as a version, or is null: what is only counted is counted by version."""
    try:
        _VERSION.validate_python(name)
    except ValidationError:
        return False
    return True


# -- the checks ----------------------------------------------------------------------------------------------------


def findings(adapter: Adapter, header: Header, pieces: Iterable[Piece]) -> Iterator[Finding]:
    """Yield every promise that an adapter breaks over the pieces of one file; one finding for each check."""
    read = list(pieces)
    some = read if len(read) <= _PIECES_MAX else read[: _PIECES_MAX // 2] + read[-_PIECES_MAX // 2 :]
    for check, detail in (
        ("pure", _impure(adapter, header, read)),
        ("sound", _first(unsound(adapter, _safely(adapter, each, header)) for each in read)),
        ("keys", _keys(adapter, header, read)),
        ("session", _no_session(adapter, header, read)),
        ("no_exception", _first(_ends(adapter, header, each) for each in (*read, *_damaged_ones(some)))),
        ("no_words", _first(_words_out(adapter, header, each) for each in some)),
    ):
        if detail is not None:
            yield Finding(check, detail)


CHECKS: Final = ("pure", "sound", "keys", "session", "no_exception", "no_words", "incremental")


def _first(details: Iterable[str | None]) -> str | None:
    return next((detail for detail in details if detail is not None), None)


def _safely(adapter: Adapter, piece: Piece, header: Header) -> tuple[Observation, ...]:
    """Return what an adapter says; nothing where it raises, since another check tells that."""
    try:
        return observed(adapter, piece, header)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a stranger's adapter raises
        return ()


def _impure(adapter: Adapter, header: Header, pieces: list[Piece]) -> str | None:
    """Read everything twice, the second time backwards: what was read before must not matter."""
    first = [_safely(adapter, piece, header) for piece in pieces]
    second = [_safely(adapter, piece, header) for piece in reversed(pieces)][::-1]
    for number, (once, again) in enumerate(zip(first, second, strict=True), 1):
        if once != again:
            return f"number {number} says something else when it is read again"
    return None


def _keys(adapter: Adapter, header: Header, pieces: list[Piece]) -> str | None:
    """Hold that each item of a document has a key of its own, and that its bytes stand in the document."""
    if adapter.kind != "document":
        return None
    for piece in pieces:
        read = adapter.read_document(piece, header) if isinstance(piece, bytes) else ()
        items: tuple[Item, ...] = () if isinstance(read, LineRejected) else tuple(read)
        if len({item.key for item in items}) < len(items):
            return "two items of a document have one key"
        if not all(item.key for item in items):
            return "an item has no key"
        if isinstance(piece, bytes) and not all(item.content in piece for item in items):
            return "the content of an item does not stand in its document"
    return None


def _no_session(adapter: Adapter, header: Header, pieces: list[Piece]) -> str | None:
    """Hold that usage belongs to a session: named by the file's place, its first line, or the statement itself."""
    if header.session_id is not None:
        return None
    for piece in pieces:
        for seen in _safely(adapter, piece, header):
            if isinstance(seen, UsageStated) and seen.session_id is None:
                return "a statement of usage names no session, and neither does its file"
    return None


def _ends(adapter: Adapter, header: Header, piece: Piece) -> str | None:
    try:
        said = observed(adapter, piece, header)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - this is what is looked for
        return f"odd input raises {type(error).__name__}"
    field = unsound(adapter, said)
    return f"odd input gets out as {field}" if field is not None else None


def _damaged_ones(pieces: Iterable[Piece]) -> Iterator[Piece]:
    return (damaged for piece in pieces for damaged in _damaged(piece))


def _damaged(piece: Piece) -> Iterator[Piece]:
    """Yield copies with something cut, overwritten, or of another type; the same ones on every run."""
    if isinstance(piece, Mapping):
        for name, value in piece.items():
            for odd in (None, 0, -(2**63), 1.5, b"", b"\xff\xfe", WORDS.encode()):
                yield {**piece, name: odd}
            if isinstance(value, bytes):
                yield from ({**piece, name: each} for each in _damaged(value) if isinstance(each, bytes))
        yield {}
        return
    content = bytes(piece) if isinstance(piece, bytes) else b""
    chance = random.Random(len(content))  # noqa: S311 - damage, not secrets
    for _ in range(_DAMAGED_COPIES):
        start = chance.randrange(len(content) + 1)
        end = chance.randrange(start, len(content) + 1)
        yield content[:start] + chance.randbytes(chance.randrange(4)) + content[end:]
    for value, path in _places(content):
        yield json.dumps(changed(value, path, chance.choice(_ODD_VALUES))).encode()


def _words_out(adapter: Adapter, header: Header, piece: Piece) -> str | None:
    """Put words in the place of every value and every name: they must not come out."""
    for filled, where in _filled(piece):
        said = _safely(adapter, filled, header)
        if MARK in json.dumps(plain(said)):
            return f"words in {where} come out"
        if adapter.kind == "document" and isinstance(filled, bytes):
            read = adapter.read_document(filled, header)
            if not isinstance(read, LineRejected) and any(WORDS in item.key for item in read):
                return f"words in {where} come out as a key"
    return None


def _filled(piece: Piece) -> Iterator[tuple[Piece, str]]:
    if isinstance(piece, Mapping):
        for name, value in piece.items():
            if isinstance(value, bytes):
                yield {**piece, name: WORDS.encode()}, name
                yield from (({**piece, name: each}, f"{name}: {where}") for each, where in _filled_json(value))
        return
    yield from _filled_json(piece)


def _filled_json(content: bytes) -> Iterator[tuple[bytes, str]]:
    for value, path in _places(content):
        yield json.dumps(changed(value, path, WORDS)).encode(), named(path)
        if isinstance(path[-1], str):
            yield json.dumps(changed(value, path, WORDS, is_key=True)).encode(), f"a name at {named(path)}"


# -- JSON, place by place ------------------------------------------------------------------------------------------


def _places(content: bytes) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the value of a JSON object with the path to each place in it; nothing when it is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return
    for path in positions(value) if isinstance(value, dict | list) else ():
        yield value, path


def positions(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON
    """Yield the path to everything inside *value*: members, elements and the values themselves."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from positions(child, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: object, *, is_key: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """Return a copy of *value* in which *new* stands at *path*: as the value there, or as its name."""
    copy = json.loads(json.dumps(value))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if is_key:
        place[new] = place.pop(path[-1])
    else:
        place[path[-1]] = new
    return copy


def named(path: tuple[Any, ...]) -> str:
    """Write a path as `stored.json` does: names joined by dots, an element of a list as `[]`."""
    return ".".join("[]" if isinstance(key, int) else str(key) for key in path)


# -- a file as a whole ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recognised:
    """What an adapter saw in one file; tokens per model are of its statements, before any is superseded."""

    pieces: int = 0
    usage_statements: int = 0
    rejected: int = 0
    unrecognised: int = 0
    unmetered: int = 0
    models: tuple[tuple[str | None, int, int], ...] = ()


def recognised(adapter: Adapter, header: Header, pieces: Iterable[Piece]) -> Recognised:
    """Count what an adapter says of a file; per model: name, statements, tokens that are no running totals."""
    seen = Recognised()
    models: dict[str | None, tuple[int, int]] = {}
    for piece in pieces:
        said = _safely(adapter, piece, header)
        usage = [each for each in said if isinstance(each, UsageStated)]
        seen = replace(
            seen,
            pieces=seen.pieces + 1,
            usage_statements=seen.usage_statements + len(usage),
            rejected=seen.rejected + sum(isinstance(each, LineRejected) for each in said),
            unrecognised=seen.unrecognised + sum(isinstance(each, Unrecognised) for each in said),
            unmetered=seen.unmetered + sum(isinstance(each, TurnUnmetered) for each in said),
        )
        for each in usage:
            calls, tokens = models.get(each.model, (0, 0))
            models[each.model] = (calls + 1, tokens + _tokens(each))
    rows = ((model, *models[model]) for model in sorted(models, key=lambda name: name or ""))
    return replace(seen, models=tuple(rows))


def _tokens(usage: UsageStated) -> int:
    parts = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens)
    return sum(part for part in parts if part is not None)
