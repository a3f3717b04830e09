"""
One writer per state directory.
"""

import errno
import os
import subprocess
import sys

import pytest

from state.errors import LogLocked, StateUnusable
from state.lock import Lock

HOLD = """
import sys, pathlib
from state.lock import Lock
Lock.take(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """
    Return a process that holds the lock `tmp_path / "lock"`.
    """
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_second_process_is_refused_with_the_pid_of_the_first(tmp_path, holder):
    """
    The message names the process to stop.
    """
    with pytest.raises(LogLocked, match=rf"pid={holder.pid}\b"):
        Lock.take(tmp_path / "lock")


def test_lock_ends_with_its_process(tmp_path, holder):
    """
    After kill -9 nobody has to delete anything.
    """
    holder.kill()
    holder.wait()

    Lock.take(tmp_path / "lock").release()


def test_lock_stays_when_it_is_released(tmp_path):
    """
    An unlinked lock lets two processes hold two files of one name.
    """
    Lock.take(tmp_path / "lock").release()

    assert (tmp_path / "lock").exists()


def test_replaced_state_directory_is_noticed(tmp_path):
    """
    A daemon whose directory was deleted or swapped writes for nobody.
    """
    lock = Lock.take(tmp_path / "lock")
    was_in_place = lock.is_in_place()
    (tmp_path / "lock").rename(tmp_path / "old")
    is_in_place_when_gone = lock.is_in_place()
    (tmp_path / "lock").touch()

    assert was_in_place
    assert not is_in_place_when_gone
    assert not lock.is_in_place()
    lock.release()


def test_planted_link_is_not_followed(tmp_path):
    """
    Who could make us write through a link could have us overwrite any file of ours.
    """
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateUnusable, match="reason=ELOOP"):
        Lock.take(tmp_path / "lock")

    assert not (tmp_path / "elsewhere").exists()


def test_filesystem_that_cannot_lock_is_refused(tmp_path, monkeypatch):
    """
    Some network filesystems cannot; two writers there would not notice each other.
    """

    def fail(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", fail)

    with pytest.raises(StateUnusable, match="reason=ENOLCK"):
        Lock.take(tmp_path / "lock")
