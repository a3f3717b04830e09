"""
What rows of an old table came to in the tables: what counts, as what, and what does not, and why.

Asked of the published tables after an import; before one, of a copy of them to which its messages were added.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from daemon.inbox_client import Sealed
from daemon.settings import Settings
from daemon.what_if import add
from projections.build import Projection
from state.paths import StatePaths

#: What becomes of a row that counts; the rest are reasons of usage_superseded.
COUNTED: Final = ("measured", "estimated")

_FATES: Final = """
    SELECT
        r.legacy_class,
        coalesce(s.reason, r.set_aside, r.measurement) AS fate,
        count(*) AS rows,
        CAST(sum(r.input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(r.cache_read_tokens) AS BIGINT) AS cache_read_tokens,
        CAST(sum(r.output_tokens) AS BIGINT) AS output_tokens
    FROM token_reports AS r
    INNER JOIN inbox AS i ON r.seq = i.seq
    LEFT JOIN usage_superseded AS s ON r.seq = s.seq
    WHERE r.legacy_class IS NOT NULL AND r.message_key IN (SELECT unnest($keys))
    GROUP BY ALL
    ORDER BY ALL
"""

_MEASURED: Final = """
    SELECT count(*) AS calls, CAST(coalesce(sum(total_tokens), 0) AS BIGINT) AS total_tokens FROM usage_measured
"""


def fates(connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return what became of the rows under *keys*: a line for each class and fate, with rows and tokens."""
    return _rows(connection.execute(_FATES, {"keys": list(keys)}))


def measured(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return calls and tokens of everything that counts as measured."""
    return _rows(connection.execute(_MEASURED))[0]


@contextmanager
def as_if(settings: Settings, messages: Sequence[Sealed]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give the tables as they would be with *messages* in the log, in a directory of their own."""
    with TemporaryDirectory(prefix="tallystick-import-") as directory:
        copy = _copy(settings, Path(directory))
        with duckdb.connect(str(copy)) as connection:
            add(connection, map(_event, messages), Path(directory) / "events.ndjson")
            yield connection


def _copy(settings: Settings, directory: Path) -> Path:
    copy = directory / "as-if.duckdb"
    if settings.state.published.exists():
        shutil.copyfile(settings.state.published, copy)
        return copy
    empty = StatePaths(directory / "empty")
    empty.create()
    Projection.open(empty).close()
    return empty.projection


def _event(message: Sealed) -> bytes:
    """Return a message as the log would hold it, as far as tables of messages ask."""
    stated = json.loads(message.content)
    event = {name: stated.get(name) for name in ("producer", "key", "revision", "body")}
    event |= {"k": stated["kind"], "receipt": message.receipt, "content_hash": message.content_hash}
    return json.dumps(event).encode("ascii")


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
