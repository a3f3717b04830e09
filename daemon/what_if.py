"""What a declaration would change: tried on a copy of the tables, and nothing is written."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from daemon.settings import Settings
from projections.read import Tables

_ALLOCATED: Final = """
    SELECT task_id, workstream_id, rule, count(*) AS calls, CAST(sum(total_tokens) AS BIGINT) AS total_tokens
    FROM usage_allocated GROUP BY ALL
    UNION ALL BY NAME
    SELECT CAST(sum(calls) AS BIGINT) AS calls, CAST(sum(total_tokens) AS BIGINT) AS total_tokens FROM usage_unallocated
    ORDER BY task_id, workstream_id, rule
"""


def what_would_change(settings: Settings, event: bytes) -> list[dict[str, Any]]:
    """
    Return what the tables would say if *event*, as the log would hold it, were in them; nothing is written.

    A row per task, workstream and rule whose tokens would be others, with ``total_tokens`` before and after; all three
    are null for what belongs to none.

    Raises:
        NothingPublished: There are no tables to try it on.
    """
    with Tables(settings.state.published) as tables:
        before = tables.rows(_ALLOCATED)
    with tried(settings, [event]) as tables:
        after = tables.rows(_ALLOCATED)
    return _differences(before, after)


@contextmanager
def tried(settings: Settings, events: Iterable[bytes]) -> Iterator[Tables]:
    """
    Give a copy of the published tables in which messages are, as the log would hold them; it is gone after the block.

    Raises:
        NothingPublished: There are no tables to try it on.
    """
    with changed(settings, lambda copy, beside: add(copy, events, beside / "events.ndjson")) as tables:
        yield tables


@contextmanager
def changed(settings: Settings, change: Callable[[duckdb.DuckDBPyConnection, Path], None]) -> Iterator[Tables]:
    """
    Give a copy of the published tables after *change*, which may write in a folder; both are gone after the block.

    Raises:
        NothingPublished: There are no tables to try it on.
    """
    with Tables(settings.state.published):
        pass  # they are there, and of this version
    settings.state.create()
    with TemporaryDirectory(dir=settings.state.temporary) as directory:
        copy = Path(directory) / "what-if.duckdb"
        shutil.copyfile(settings.state.published, copy)
        with duckdb.connect(str(copy)) as connection:
            change(connection, Path(directory))
        with Tables(copy) as tables:
            yield tables


def add(connection: duckdb.DuckDBPyConnection, events: Iterable[bytes], file: Path) -> None:
    """Put messages, as the log would hold them, behind all events of a copy; *file* holds them on their way."""
    with file.open("wb") as lines:
        lines.writelines(b'{"place":%d,%b\n' % (place, event[1:]) for place, event in enumerate(events, start=1))
    connection.execute(_ADDED, {"file": str(file)})


_ADDED: Final = """
    INSERT INTO events BY NAME
    SELECT
        (SELECT log_id FROM projection) AS log_id,
        (SELECT coalesce(max(seq), -1) FROM events) + place AS seq,
        k AS kind,
        producer,
        key AS message_key,
        revision,
        receipt,
        content_hash,
        body
    FROM read_json(
        $file,
        format = 'newline_delimited',
        columns = {
            'place': 'BIGINT', 'k': 'VARCHAR', 'producer': 'VARCHAR', 'key': 'VARCHAR', 'revision': 'BIGINT',
            'receipt': 'VARCHAR', 'content_hash': 'VARCHAR', 'body': 'JSON'
        }
    )
"""


_OWNER: Final = ("task_id", "workstream_id", "rule")
_COUNTED: Final = ("calls", "total_tokens")


def _differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the owners had before and after, of those that have something else now."""
    old, new = _by_owner(before), _by_owner(after)
    nothing = (0,) * len(_COUNTED)
    return [
        dict(zip(_OWNER, owner, strict=True))
        | {f"{name}_before": count for name, count in zip(_COUNTED, old.get(owner, nothing), strict=True)}
        | {f"{name}_after": count for name, count in zip(_COUNTED, new.get(owner, nothing), strict=True)}
        for owner in sorted({*old, *new}, key=str)
        if old.get(owner, nothing) != new.get(owner, nothing)
    ]


def _by_owner(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return {tuple(row[name] for name in _OWNER): tuple(row[name] or 0 for name in _COUNTED) for row in rows}
