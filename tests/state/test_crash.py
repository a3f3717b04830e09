"""
A crash at any instant keeps what was acknowledged, once, and needs nobody to repair it.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from state.errors import TallystickError


def torn(box, kept_bytes: int):
    """
    Put *box* where a crash in its last append leaves it, with so many bytes of the batch on disk.
    """
    before = box.copy("before")
    box.fill(2)
    batch = box.batches()[-1]
    box.become(before)
    with box.files()[-1].open("ab") as file:
        file.write(batch[:kept_bytes])
    return batch


@pytest.mark.usefixtures("quick")
def test_batch_torn_at_any_byte_is_quarantined_and_cut_off(box):
    """
    However much of the last batch reached the disk: what was acknowledged before it stays, and the log goes on.
    """
    box.fill(1, 3)
    intact = box.copy("intact")
    batch = torn(box, 0)
    content = intact.files()[-1].read_bytes()

    for kept_bytes in range(1, len(batch)):
        crashed = intact.copy("crashed")
        with crashed.files()[-1].open("ab") as file:
            file.write(batch[:kept_bytes])

        with crashed.open() as log:
            assert log.recovery is not None
            assert log.recovery.quarantined is not None
            assert log.recovery.quarantined.read_bytes() == batch[:kept_bytes]
            assert (log.recovery.damaged, log.recovery.read_again) == ((), ())
            assert (dict(log.cursors), log.head.seq) == ({"a": 4}, 3)
            assert crashed.files()[-1].read_bytes() == content
        crashed.fill(1)
        assert crashed.usage() == box.numbered(range(5))
        assert crashed.verify().ok


def test_batch_that_was_written_whole_is_kept(box):
    """
    It was not acknowledged, but nothing of it is missing: its events and cursors are there together.
    """
    box.fill(1)
    torn(box, 10_000)

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
    torn(box, 50)

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


def appending(box):
    """
    Return a task that appends three batches, with a new segment in between.
    """

    def task() -> None:
        box.fill(2, 2, 2, segment_bytes_max=600)

    return task


def opening(box):
    """
    Return a task that only opens.
    """
    return lambda: box.open().close()


def test_new_log_is_made_at_once_or_not_at_all(box, killed_everywhere):
    """
    Killed anywhere in its first start, the daemon starts at the next.
    """

    def fresh():
        shutil.rmtree(box.paths.root, ignore_errors=True)
        return appending(box)

    for _ in killed_everywhere(fresh):
        with box.open() as log:
            assert len(box.usage()) == log.head.seq + 1 == dict(log.cursors).get("a", 0)
        assert box.verify().ok


def test_append_and_roll_can_be_killed_anywhere(box, killed_everywhere):
    """
    Killed at any system call: whole batches, none doubled, and cursors that fit the events.
    """
    box.fill(1, segment_bytes_max=600)
    original = box.copy("original")

    def fresh():
        box.become(original)
        return appending(box)

    ends = set()
    for _ in killed_everywhere(fresh):
        with box.open(segment_bytes_max=600) as log:
            assert dict(log.cursors) == {"a": log.head.seq + 1}
            ends.add(log.head.seq)
        assert box.usage() == box.numbered(range(log.head.seq + 1))
        box.fill(1, segment_bytes_max=600)
        assert box.usage() == box.numbered(range(log.head.seq + 2))
        assert box.verify().ok
    assert ends == {0, 2, 4, 6}


def test_recovery_of_a_torn_end_can_be_killed_anywhere(box, killed_everywhere):
    """
    A second crash while the first is being repaired changes nothing.
    """
    box.fill(1, 3)
    torn(box, 100)
    original = box.copy("original")

    def fresh():
        box.become(original)
        return opening(box)

    for _ in killed_everywhere(fresh):
        with box.open() as log:
            assert dict(log.cursors) == {"a": 4}
        assert len(list(box.paths.quarantine.iterdir())) >= 1
        assert box.usage() == box.numbered(range(4))
        assert box.verify().ok


def test_recovery_of_damage_can_be_killed_anywhere(box, killed_everywhere):
    """
    However often it is interrupted, there is one new segment with one recovery event.
    """
    box.fill(1, 1, 1, 1)
    content = box.files()[0].read_bytes()
    box.files()[0].write_bytes(content.replace(b'"id":"1"', b'"id":"7"') + b'{"q":torn')
    original = box.copy("original")

    def fresh():
        box.become(original)
        return opening(box)

    for _ in killed_everywhere(fresh):
        with box.open() as log:
            assert dict(log.cursors) == {"a": 1}
        assert len(box.files()) == 2
        assert [line["q"] for line in box.lines() if line["k"] == "recovery"] == [4]
        assert box.usage() == box.numbered([0, 2, 3])


def storm(box, start_writer, cycles: int) -> None:
    """
    Kill a writer again and again at random moments, and check after each what it had said before.
    """
    dice = random.Random(7)
    acknowledged = 0
    for cycle in range(cycles):
        with start_writer(box, seed=cycle) as writer:
            assert writer.stdout
            for _ in range(dice.randint(1, 60)):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        with box.open() as log:
            assert log.head.seq + 1 >= acknowledged
            assert dict(log.cursors) == {"a": log.head.seq + 1}
            assert log.recovery is None or log.recovery.damaged == ()
    assert box.usage() == box.numbered(range(len(box.usage())))
    assert len(box.usage()) >= acknowledged
    assert box.verify().ok


def test_acknowledged_events_survive_kill_9(box, start_writer):
    """
    What a writer had acknowledged before it was killed is there, once.
    """
    storm(box, start_writer, cycles=10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_acknowledged_events_survive_a_thousand_times_kill_9(box, start_writer):
    """
    The same, a thousand times on one log.
    """
    storm(box, start_writer, cycles=1000)


@pytest.mark.parametrize("when", [2, 5])
def test_device_error_ends_the_writer_and_the_next_start_goes_on(box, start_writer, strace, when):
    """
    The kernel itself reports EIO for a sync: the batch is not acknowledged, nothing before it is lost.
    """
    with start_writer(
        box, 1, *strace, "-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={when}"
    ) as writer:
        output, errors = writer.communicate(timeout=60)
    acknowledged = int((output.split() or [b"0"])[-1])

    with box.open() as log:
        assert b"state.errors.LogIoError" in errors
        assert b"reason=EIO" in errors
        assert log.head.seq + 1 >= acknowledged
        assert dict(log.cursors) == {"a": log.head.seq + 1}
    assert box.verify().ok


@pytest.mark.parametrize("when", range(1, 7))
def test_kill_between_write_and_sync_never_tears_a_batch(box, start_writer, strace, when):
    """
    The batch is there or not, with its cursor: a killed process takes no page cache along.
    """
    fault = f"inject=fdatasync:signal=KILL:when={when}"
    with start_writer(box, 1, *strace, "-e", "trace=fdatasync", "-e", fault) as writer:
        output, _ = writer.communicate(timeout=60)
    acknowledged = int((output.split() or [b"0"])[-1])

    with box.open() as log:
        assert log.head.seq + 1 >= acknowledged
        assert dict(log.cursors).get("a", 0) == log.head.seq + 1
    assert box.usage() == box.numbered(range(len(box.usage())))


def test_interrupted_write_is_repeated(box, start_writer, strace, tmp_path):
    """
    EINTR is no error.
    """
    faults = ("-e", "trace=write", "-e", "inject=write:error=EINTR:when=2..40+3")
    with start_writer(box, 1, *strace, *faults, batches=30) as writer:
        output, _ = writer.communicate(timeout=60)

    with box.open() as log:
        assert log.head.seq + 1 == int(output.split()[-1])
    assert box.verify().ok
    assert "EINTR" in (tmp_path / "trace").read_text()


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
