"""
A state directory to break, as the log's own tests have it, and a host with a daemon, as the daemon's have it.
"""

import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.daemon.conftest import host, small_disk
from tests.daemon.live import needs
from tests.faults.disks import Disk
from tests.state.conftest import box, killed_everywhere, new_box, quick, rolled, start_writer, strace

__all__ = ["box", "host", "killed_everywhere", "new_box", "quick", "rolled", "small_disk", "start_writer", "strace"]


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """
    Return a mounted disk.
    """
    needs("mkfs.ext4", "-V")
    disk = Disk(tmp_path)
    disk.format()
    needs("mount", *disk.mounting)
    yield disk
    with suppress(subprocess.CalledProcessError):
        disk.unmount()
