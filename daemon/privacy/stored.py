"""
Which strings may be stored, and by which pattern: of the models what each field takes, of a source which places.

Two lists that are read from the code, so that a reviewer and a test read the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from adapters.contract import Adapter, stored
from state.evidence import KINDS

#: Kinds of event that adapters state.
_STATED: Final = ("usage", "session", "turn", "hidden_call", "task_named", "session_named", "claim")

#: How pydantic checks a string that has no pattern of its own.
_FORMATS: Final[Mapping[str, str]] = {"date-time": "a time in ISO 8601", "date": "a day in ISO 8601"}


@dataclass(frozen=True, slots=True)
class StoredString:
    """
    One place of a stored shape where a string can stand.

    ``pattern`` is the regular expression that holds it, or how else it is bounded; null for free text. A name of a
    mapping is a string too: its place ends in ``{}``.
    """

    place: str
    pattern: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """A place of a source from which a string may get into the log, what it becomes, and by which pattern."""

    place: str
    field: str
    pattern: str


def strings_of(model: type[BaseModel]) -> Iterator[StoredString]:
    """Yield every string that *model* stores, its inner models' too."""
    schema = model.model_json_schema()
    yield from _strings(schema, schema.get("$defs", {}), "")


def positions_of(adapter: Adapter) -> Iterator[Position]:
    """
    Yield every position from which *adapter* takes a string, in the order of its own list.

    Raises:
        KeyError: It names a field that no kind of event has.
    """
    patterns = _patterns()
    for field, places in stored(adapter).items():
        yield from (Position(place, field, patterns[field]) for place in places)


def listed(adapter: Adapter) -> frozenset[str]:
    """Return the positions of *adapter* by their names alone."""
    return frozenset(place for places in stored(adapter).values() for place in places)


@cache
def _patterns() -> Mapping[str, str]:
    """Return the pattern of each field that an adapter states; one name has one meaning in all kinds."""
    found = (each for kind in _STATED for each in strings_of(KINDS[kind]))
    return {each.place.removeprefix("body."): each.pattern for each in found if each.pattern is not None}


def _strings(schema: Mapping[str, Any], inner: Mapping[str, Any], place: str) -> Iterator[StoredString]:
    """Yield the strings of one node of a JSON schema; null has none, and neither has a number."""
    if "$ref" in schema:
        schema = inner[schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        yield from _strings(choice, inner, place)
    if schema.get("type") == "string" or not schema.keys() & {"type", "anyOf"}:
        yield StoredString(place, _bound(schema))
    if "items" in schema:
        yield from _strings(schema["items"], inner, f"{place}[]")
    for name, each in schema.get("properties", {}).items():
        yield from _strings(each, inner, f"{place}.{name}".removeprefix("."))
    yield from _names(schema, inner, place)


def _names(schema: Mapping[str, Any], inner: Mapping[str, Any], place: str) -> Iterator[StoredString]:
    """Yield the names of a mapping and the strings in it."""
    for pattern, each in schema.get("patternProperties", {}).items():
        yield StoredString(f"{place}{{}}", pattern)
        yield from _strings(each, inner, f"{place}{{}}")
    if schema.get("type") == "object" and not schema.keys() & {"properties", "patternProperties"}:
        yield StoredString(f"{place}{{}}", None)


def _bound(schema: Mapping[str, Any]) -> str | None:
    """Return what bounds a string: a pattern, a list of words, a format; null for nothing."""
    if "const" in schema or "enum" in schema:
        words = schema.get("enum", [schema.get("const")])
        return "one of " + ", ".join(str(word) for word in words)
    pattern: str | None = schema.get("pattern")
    return pattern or _FORMATS.get(str(schema.get("format")))
