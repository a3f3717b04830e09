"""
One writer per state directory, whatever stands in the file and wherever it lies.
"""

import os
import signal
import subprocess
import sys

import pytest

from state.boot import boot_id
from state.errors import StateOnNetwork
from state.lock import Lock
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append, daemon

#: Takes the lock and starts a program that keeps whatever may be kept; tells its process id.
PARENT = """
import sys, pathlib, subprocess
from state.lock import Lock
Lock.take(pathlib.Path(sys.argv[1]))
print(subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL).pid, flush=True)
sys.stdin.read()
"""


def test_stale_or_reused_pid(tmp_path):
    """
    The kernel decides, not what stands in the file: pids are reused.
    """
    (tmp_path / "lock").write_text("1 some-boot" + "x" * 99)

    lock = Lock.take(tmp_path / "lock")

    assert (tmp_path / "lock").read_text() == f"{os.getpid()} {boot_id()}\n"
    lock.release()


def test_two_daemons(host: Host) -> None:
    """
    A second daemon, or `ingest` beside it, exits 3 and names the process; the first is not disturbed.
    """
    with daemon(host) as run:
        for verb in ("run", "ingest"):
            second = subprocess.run(
                [sys.executable, "-m", "daemon.cli", verb, "--home", host.home, "--state-dir", host.state.root],
                check=False,
                capture_output=True,
                text=True,
                timeout=90,
            )
            assert 3 == second.returncode
            assert f"pid={run.pid}" in second.stderr
        append(host.claude(), claude_line("msg_a", 5))
        run.has_read(host.claude())


def test_child_that_outlives_the_daemon(tmp_path):
    """
    A program that was started while the lock was held lives on, and keeps the next daemon out no more than a stranger.
    """
    command = [sys.executable, "-c", PARENT, str(tmp_path / "lock")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    try:
        Lock.take(tmp_path / "lock").release()
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["nfs4", "9p", "cifs", "fuse.sshfs"])
def test_lock_on_a_network_file_system(tmp_path, monkeypatch, kind):
    """
    Two hosts there may each be given the lock. The kernel's list of mounts says what it is; here a list of our own.
    """
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        f"30 27 {os.major(device)}:{os.minor(device)} / {tmp_path} rw,relatime shared:1 - {kind} server:/home rw\n"
    )
    monkeypatch.setattr("state.mounts.MOUNTS", mounts)

    with pytest.raises(StateOnNetwork, match=rf"file_system={kind}\b"):
        Lock.take(tmp_path / "lock")


@pytest.mark.parametrize(
    "line",
    ["", "garbage", "30 27 0:0 / /home rw - nfs4 server:/home rw", "30 27 {} / / rw - 9p none rw"],
    ids=["nothing", "garbage", "elsewhere", "root"],
)
def test_lock_on_a_file_system_of_this_host_alone(tmp_path, monkeypatch, line):
    """
    Not refused: another mount, the host's own root, and what the kernel does not tell.
    """
    device = tmp_path.stat().st_dev
    (tmp_path / "mountinfo").write_text(line.format(f"{os.major(device)}:{os.minor(device)}") + "\n")
    monkeypatch.setattr("state.mounts.MOUNTS", tmp_path / "mountinfo")

    Lock.take(tmp_path / "lock").release()
