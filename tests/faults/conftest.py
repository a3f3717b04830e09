"""
A state directory to break, as the log's own tests have it, and a host with a daemon, as the daemon's have it.
"""

from tests.daemon.conftest import host, small_disk
from tests.state.conftest import box, killed_everywhere, new_box, quick, rolled, start_writer, strace

__all__ = ["box", "host", "killed_everywhere", "new_box", "quick", "rolled", "small_disk", "start_writer", "strace"]
