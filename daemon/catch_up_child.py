"""
A large step of the tables, made by a process of its own: it takes the memory that a daemon should not keep.

Run by `daemon/projector.py`, which waits for it and does not touch the database meanwhile. It ends with the daemon,
however that ends: the next one would find the database held by a process that nobody waits for.
"""

import os
import sys
from pathlib import Path

from daemon.child import end_with
from projections.build import Projection
from state.errors import TallystickError
from state.paths import StatePaths


def main() -> int:
    """Bring the tables of the state directory named on the command line up to its log."""
    os.umask(0o077)
    if not end_with(int(sys.argv[2])):
        return TallystickError.exit_code
    paths = StatePaths(Path(sys.argv[1]))
    try:
        with Projection.open(paths) as projection:
            projection.refresh(paths.log_directory)
    except TallystickError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
