"""`published.duckdb`, by rename: readers never meet the writer's lock and never see half a file."""

import os
import shutil
from pathlib import Path

from projections.build import Projection
from state.paths import StatePaths


def publish(projection: Projection, paths: StatePaths) -> None:
    """Copy the projection aside, sync it and put it in the place of the last one. Open readers keep theirs."""
    projection.connection.execute("CHECKPOINT")
    copy = paths.temporary / "published.duckdb"
    shutil.copyfile(paths.projection, copy)
    _sync(copy)
    copy.replace(paths.published)
    _sync(paths.root)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
