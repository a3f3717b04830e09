"""
The process ends, or a call of it is cut short, at any instant.
"""

import os
import random
import shutil
import signal

import pytest

from state.head import recall
from state.verify import verify
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append, daemon


@pytest.mark.parametrize("cycles", [10, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_kill_at_a_random_time(box, start_writer, cycles):
    """
    A writer is killed again and again at random moments: what it had acknowledged before is there, once.
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


@pytest.mark.usefixtures("quick")
def test_kill_inside_a_write(box):
    """
    However much of the last batch reached the disk: what was acknowledged before it stays, and the log goes on.
    """
    box.fill(1, 3)
    intact = box.copy("intact")
    batch = box.tear(0)
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


@pytest.mark.parametrize("when", range(1, 7))
def test_kill_between_write_and_sync(box, start_writer, strace, when):
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


def appending(box):
    """
    Return a task that appends three batches, with a new segment in between.
    """

    def task() -> None:
        box.fill(2, 2, 2, segment_bytes_max=600)

    return task


def test_kill_at_every_system_call(box, killed_everywhere):
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


def opening(box):
    """
    Return a task that only opens, and proves every segment.
    """
    return lambda: box.open(full=True).close()


def test_second_crash_during_recovery(box, killed_everywhere):
    """
    However often it is interrupted: one new segment, one recovery event, and the torn end kept aside.
    """
    box.fill(1, 1, 1, 1)
    content = box.files()[0].read_bytes()
    box.files()[0].write_bytes(content.replace(b'"id":"1"', b'"id":"7"') + b'{"q":torn')
    original = box.copy("original")

    def fresh():
        box.become(original)
        return opening(box)

    for _ in killed_everywhere(fresh):
        with box.open(full=True) as log:
            assert dict(log.cursors) == {"a": 1}
        assert len(box.files()) == 2
        assert b'{"q":torn' in [copy.read_bytes() for copy in box.paths.quarantine.iterdir()]
        assert [line["q"] for line in box.lines() if line["k"] == "recovery"] == [4]
        assert box.usage() == box.numbered([0, 2, 3])


def test_recovery_of_a_torn_end_can_be_killed_anywhere(box, killed_everywhere):
    """
    A second crash while the first is being repaired changes nothing.
    """
    box.fill(1, 3)
    box.tear(100)
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


def test_short_write(box, monkeypatch):
    """
    The system may take fewer bytes than it was given, at any time.
    """
    write = os.write
    with box.open() as log:
        monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
        log.append([box.event(0), box.event(1)], {"a": 1})
        monkeypatch.undo()

    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


def test_interrupted_call(box, start_writer, strace, tmp_path):
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


def test_no_memory_left(host: Host) -> None:
    """
    It may use no more than it has, and a line comes that needs some: it ends and says why, and the next start reads it.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace=None) as run:
        run.has_read(host.claude())
        run.may_use_no_more_memory()
        append(host.claude(), claude_line("msg_b", 6, second=1, note="x" * (7 << 20)))

        assert 3 == run.ended()
        assert "not enough memory" in run.told()
        assert "Traceback" not in run.told()

        run.start().ready()
        run.has_published(2, 31)
        assert 0 == run.stop()
    assert verify(host.state.log_directory, recall(host.state.head)).ok
