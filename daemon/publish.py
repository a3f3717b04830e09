"""`published.duckdb`, and the totals beside it, by rename: readers never meet the writer's lock or half a file."""

import os
import shutil
from pathlib import Path

import duckdb

from daemon.session_totals import write_session_totals
from projections.build import Projection, ProjectionUnusable
from state.paths import StatePaths


def publish(projection: Projection, paths: StatePaths) -> None:
    """
    Copy the projection aside, prove and sync it, and put it in the place of the last one. Open readers keep theirs.

    Raises:
        ProjectionUnusable: What lies on disk is not what the projection holds; what was published before stays.
        DiskFull, LogIoError, StateUnusable: The totals beside it could not be written.
    """
    projection.connection.execute("CHECKPOINT")
    copy = paths.temporary / "published.duckdb"
    try:
        shutil.copyfile(paths.projection, copy)
        _prove(copy, projection)
        _sync(copy)
        copy.replace(paths.published)
    except BaseException:
        copy.unlink(missing_ok=True)  # on a full disk the log needs the room
        raise
    _sync(paths.root)
    write_session_totals(projection.connection, paths)


def _prove(copy: Path, projection: Projection) -> None:
    """Open the copy, as its readers will: whoever writes over a database under us damages it without our notice."""
    connection, mark = projection.connection, projection.mark()
    name = str(copy).replace("'", "''")
    try:
        connection.execute(f"ATTACH '{name}' AS copy (READ_ONLY)")
        try:
            found = connection.execute("SELECT chain FROM copy.projection").fetchone()
        finally:
            connection.execute("DETACH copy")
    except duckdb.Error:
        raise ProjectionUnusable(kind="damaged") from None
    if found != (mark.chain if mark is not None else None,):
        raise ProjectionUnusable(kind="damaged")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
