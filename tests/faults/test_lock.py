"""
One writer per state directory, whatever stands in the file and wherever it lies.
"""

import os

from state.boot import boot_id
from state.lock import Lock


def test_stale_or_reused_pid(tmp_path):
    """
    The kernel decides, not what stands in the file: pids are reused.
    """
    (tmp_path / "lock").write_text("1 some-boot" + "x" * 99)

    lock = Lock.take(tmp_path / "lock")

    assert (tmp_path / "lock").read_text() == f"{os.getpid()} {boot_id()}\n"
    lock.release()
