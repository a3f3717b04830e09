"""
A power cut on ext4: everything the disk was not told to keep is gone.
"""

import random
import threading
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from state.errors import TallystickError
from state.files import publish
from state.head import recall
from state.retention import Limit, boundaries, retire
from state.sealing import compress
from tests.faults.disks import Disk


def lost_in_cuts(disk: Disk, box, start_writer, cycles: int, *, is_patient: bool) -> int:
    """
    Pull the plug again and again under a writer, and count the cuts after which an acknowledged event was missing.
    """
    dice = random.Random(3)
    acknowledged = lost = 0
    for cycle in range(cycles):
        with start_writer(box, cycle, is_patient=is_patient) as writer:
            assert writer.stdout
            for _ in range(dice.randint(1, 40)):
                acknowledged = int(writer.stdout.readline())
            disk.pull_the_plug()
            writer.kill()
        disk.restart()
        if not is_patient:
            box.forget_head()  # so that a loss is counted, not refused
        with box.open() as log:
            lost += log.head.seq + 1 < acknowledged
            assert dict(log.cursors).get("a", 0) == log.head.seq + 1
        assert box.usage() == box.numbered(range(log.head.seq + 1))
        assert box.verify().ok
    return lost


@pytest.mark.parametrize("cycles", [5, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_power_cut(disk, new_box, start_writer, cycles):
    """
    What was acknowledged before the plug was pulled is there after the restart, once.
    """
    box = new_box(disk.mountpoint / "state")

    assert lost_in_cuts(disk, box, start_writer, cycles, is_patient=True) == 0


@pytest.mark.parametrize("is_named", [True, False], ids=["acknowledged", "between"])
def test_power_cut_after_a_rename(disk, monkeypatch, is_named):
    """
    Once it is acknowledged, the new file stands there; before that the old one or the new one, whole.
    """
    target = disk.mountpoint / "file"
    publish(disk.mountpoint / "temporary", target, [b"old" * 1000])
    if not is_named:
        monkeypatch.setattr("state.files.sync_directory", lambda _: disk.pull_the_plug())

    publish(disk.mountpoint / "temporary", target, [b"new" * 1000])
    if is_named:
        disk.pull_the_plug()
    disk.restart()

    assert target.read_bytes() in {b"new" * 1000, *([] if is_named else [b"old" * 1000])}


def test_power_cut_after_a_cut(disk, new_box):
    """
    The torn end that a start has cut off stays off, whatever is cut next.
    """
    box = new_box(disk.mountpoint / "state")
    box.fill(1, 1)
    content = box.files()[0].read_bytes()
    box.tear(100)
    disk.run("sync", "--file-system", disk.mountpoint)

    with box.open() as log:
        assert log.recovery is not None
        disk.pull_the_plug()
    disk.restart()

    assert box.files()[0].read_bytes() == content


def tidy(box, dice: random.Random, is_over: threading.Event) -> None:
    """
    Compress what is sealed, and now and then retire some of it, until the plug is pulled.
    """
    while not is_over.is_set():
        with suppress(TallystickError):
            for _ in compress(box.paths.log_directory):
                if is_over.is_set():
                    return
            limit = Limit(datetime.max.replace(tzinfo=UTC), tuple(filter(None, [recall(box.paths.head)])))
            if (found := boundaries(box.paths.log_directory, limit)) and dice.random() < 0.3:
                retire(box.paths, dice.choice(found), limit, (), lambda: datetime.now(UTC))


@pytest.mark.parametrize("cycles", [5, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_compression_and_retirement_survive_power_cuts(disk, new_box, start_writer, cycles):
    """
    Every acknowledged event stands in exactly one segment, or in a tombstone; nothing has to be repaired.
    """
    box = new_box(disk.mountpoint / "state")
    dice = random.Random(4)
    compressed = 0
    for cycle in range(cycles):
        is_over = threading.Event()
        with start_writer(box, cycle) as writer:
            assert writer.stdout
            acknowledged = int(writer.stdout.readline())
            tidier = threading.Thread(target=tidy, args=(box, random.Random(cycle), is_over))
            tidier.start()
            for _ in range(dice.randint(1, 60)):
                acknowledged = int(writer.stdout.readline())
            disk.pull_the_plug()
            is_over.set()
            writer.kill()
            tidier.join()
        disk.restart()
        checked = box.verify()
        assert checked.ok
        with box.open(full=True) as log:
            assert log.recovery is None or not log.recovery.damaged
            assert log.head.seq + 1 >= acknowledged
            assert dict(log.cursors).get("a", 0) == log.head.seq + 1
        assert box.usage() == box.numbered(range(checked.retired_events, log.head.seq + 1))
        compressed += len([path for path in box.files() if path.suffix == ".zst"]) + checked.retired_events
    assert compressed > 0


@pytest.mark.slow
def test_writer_that_does_not_wait_for_the_disk_loses(disk, new_box, start_writer):
    """
    The check of the check: without sync nearly every cut loses events, so the test above can see a loss.
    """
    box = new_box(disk.mountpoint / "state")

    assert lost_in_cuts(disk, box, start_writer, 20, is_patient=False) >= 15
