"""Values drawn out of a JSON schema, and answers held against one: as much of it as our own document uses."""

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

Schema = dict[str, Any]

#: Whatever JSON can say.
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


def values(schema: Schema, document: Schema) -> st.SearchStrategy[Any]:
    """Return what *schema* takes."""
    if "$ref" in schema:
        return values(resolved(schema, document), document)
    if "anyOf" in schema:
        return st.one_of(*(values(each, document) for each in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of(*(_of_type(kind, schema, document) for kind in kinds))


def _of_type(kind: str, schema: Schema, document: Schema) -> st.SearchStrategy[Any]:
    if kind == "object":
        return _objects(schema, document)
    if kind == "array":
        items = values(schema["items"], document)
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=min(schema.get("maxItems", 3), 3))
    if kind == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if kind == "string":
        return _strings(schema)
    return {"null": st.none(), "boolean": st.booleans()}[kind]


def _objects(schema: Schema, document: Schema) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        return st.dictionaries(st.text(min_size=1, max_size=10), anything, max_size=4)
    fields = {name: values(each, document) for name, each in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema["required"]}
    chosen = st.sets(st.sampled_from(sorted(fields)), max_size=6)
    return chosen.flatmap(lambda names: st.fixed_dictionaries(required | {name: fields[name] for name in names}))


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        # In JSON schema `$` is the end; in Python a line's end may follow. What may be long is drawn short.
        pattern = re.sub(r"(\{\d+,)\d{3,}\}", r"\g<1>30}", schema["pattern"].replace("$", r"\Z"))
        return st.from_regex(re.compile(pattern))
    if schema.get("format") == "date-time":
        times = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 29), timezones=st.just(UTC))  # noqa: DTZ001
        return times.map(datetime.isoformat)
    return st.text(min_size=schema.get("minLength", 0), max_size=30)


def resolved(schema: Schema, document: Schema) -> Schema:
    """Return what a reference points at."""
    for part in schema.get("$ref", "").split("/")[1:]:
        document = document[part]
    return document if "$ref" in schema else schema


def faults(value: Any, schema: Schema, document: Schema) -> list[str]:
    """Return what is wrong with *value*; *schema* may point into *document*."""
    registry: Registry[Any] = Registry().with_resource("urn:document", Resource.opaque(document))
    pointing = {"$ref": f"urn:document{schema['$ref']}"} if "$ref" in schema else schema
    return [error.message for error in Draft202012Validator(pointing, registry=registry).iter_errors(value)]
