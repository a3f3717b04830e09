"""Which models were counted, and by which price book each is priced now."""

from dataclasses import dataclass
from typing import Final

import duckdb


@dataclass(frozen=True, slots=True, order=True)
class CountedModel:
    """A model as calls state it; ``provider`` is empty where they state none."""

    model: str
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """A price book: a package and its version, or the operator's own prices for one model and their hash."""

    name: str
    version: str


def counted_models(connection: duckdb.DuckDBPyConnection) -> set[CountedModel]:
    """Return every model that agents' logs counted."""
    return {CountedModel(*row) for row in connection.execute(_COUNTED).fetchall()}


def reported_models(connection: duckdb.DuckDBPyConnection, after_seq: int) -> set[CountedModel]:
    """Return every model that programs reported later than event *after_seq*."""
    return {CountedModel(*row) for row in connection.execute(_REPORTED, {"after_seq": after_seq}).fetchall()}


def books(connection: duckdb.DuckDBPyConnection) -> dict[CountedModel, Book]:
    """Return the book by which each model is priced now."""
    return {
        CountedModel(model, provider): Book(name, version)
        for model, provider, name, version in connection.execute(_BOOKS).fetchall()
    }


_COUNTED: Final = """
    SELECT DISTINCT model, coalesce(model_provider, '') FROM calls WHERE model IS NOT NULL
    UNION
    SELECT DISTINCT model, coalesce(model_provider, '') FROM thread_calls WHERE model IS NOT NULL
"""

_REPORTED: Final = """
    SELECT DISTINCT body ->> '$.model' AS model, coalesce(body ->> '$.provider', '')
    FROM events
    WHERE
        kind = 'token_event'
        AND seq > $after_seq
        AND (body ->> '$.measurement') = 'measured'
        AND (body ->> '$.model') IS NOT NULL
"""

_BOOKS: Final = "SELECT DISTINCT model, coalesce(model_provider, ''), book, book_version FROM prices"
