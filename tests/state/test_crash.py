"""
A crash at any instant keeps what was acknowledged, once, and needs nobody to repair it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from state.errors import TallystickError


def test_batch_that_was_written_whole_is_kept(box):
    """
    It was not acknowledged, but nothing of it is missing: its events and cursors are there together.
    """
    box.fill(1)
    box.tear(10_000)

    with box.open() as log:
        assert log.recovery is None
        assert (dict(log.cursors), log.head.seq) == ({"a": 3}, 2)


def test_torn_end_of_zeroes_is_cut_off(box):
    """
    After a power cut a file may be longer than what was written to it.
    """
    box.fill(1)
    with box.files()[-1].open("ab") as file:
        file.write(bytes(10_000))

    with box.open() as log:
        assert log.recovery.quarantined.read_bytes() == bytes(10_000)
    assert box.verify().unfinished_bytes == 0


def test_quarantined_copy_says_where_it_was(box):
    """
    The name is segment, offset, time.
    """
    box.fill(1)
    size = box.files()[-1].stat().st_size
    box.tear(50)

    with box.open() as log:
        name = log.recovery.quarantined.name

    assert re.fullmatch(rf"0{{20}}\.ndjson\.{size}\.\d{{8}}T\d{{6}}\.\d{{6}}Z", name)


def test_clean_log_is_synced_too(box, monkeypatch):
    """
    What was read back after a crash may never have reached the disk, and must not vanish in the next (KAFKA-10101).
    """
    box.fill(1)
    synced = []
    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, lambda number: synced.append(Path(f"/proc/self/fd/{number}").readlink()))

    box.open().close()

    assert synced == [box.files()[0], box.paths.log_directory]


def test_sealed_segment_without_a_next_is_followed_by_one(box):
    """
    A crash between the two: nothing is ever written behind a seal.
    """
    box.fill(1, 1, segment_bytes_max=1)
    box.files()[1].unlink()
    box.forget_head()
    sealed = box.files()[0].read_bytes()

    box.fill(1)

    assert box.files()[0].read_bytes() == sealed
    assert len(box.files()) == 2
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


def test_one_write_and_one_sync_reach_the_kernel_per_batch(box, strace, tmp_path):
    """
    As the kernel sees it, also for a batch of 1,000 events.
    """
    code = """
import pathlib, sys
from state.log import Log
from state.paths import StatePaths
log = Log.open(StatePaths(pathlib.Path(sys.argv[1])), int)
for _ in range(5):
    log.append([b'{"k":"usage"}'] * 1000, {"a": 1})
"""
    command = [*strace, "-y", "-e", "trace=write,fdatasync,ftruncate", sys.executable, "-c", code, str(box.paths.root)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    subprocess.run(command, check=True, env=environment)

    trace = (tmp_path / "trace").read_text()
    assert re.findall(r"(\w+)\(\d+<[^>]*/log/[^>]*>", trace) == ["write", "fdatasync"] * 5


def test_error_of_ours_is_the_only_one(box):
    """
    Whatever a crash leaves, opening says it in our words.
    """
    box.fill(1)
    box.files()[0].write_bytes(b"")

    with pytest.raises(TallystickError):
        box.open()
