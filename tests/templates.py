"""
What is the same at the beginning of a thousand tests, made once for each process.
"""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from projections.build import Projection
from state.paths import StatePaths


@cache
def empty_tables() -> Path:
    """
    Return the tables of a log without events: binding every view costs more than reading the logs of most tests.
    """
    directory = Path(mkdtemp(prefix="tallystick-tests-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    paths = StatePaths(directory)
    paths.create()
    Projection.open(paths).close()
    return paths.projection


def begin_with_empty_tables(paths: StatePaths) -> None:
    """
    Give a state directory the tables that its first use would make; one with a log is left as it is.
    """
    if not paths.projection.exists() and not any(paths.log_directory.glob("*")):
        paths.create()
        shutil.copy(empty_tables(), paths.projection)
