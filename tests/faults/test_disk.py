"""
The disk has no room, fails, may not be written, or is another.
"""

import itertools
import os
import resource
import shutil
import subprocess
import sys

import pytest

from state.errors import DiskFull, LogCut, StateUnusable
from state.head import recall
from state.paths import StatePaths
from state.verify import verify
from tests.daemon.conftest import Host, claude_line, gptme_lines
from tests.daemon.live import QUICK, Daemon, append, daemon, fill, needs, until
from tests.daemon.test_live import changes
from tests.faults.disks import Disk
from tests.faults.injected import failing


def ended_by(error: str, when: int, box, start_writer, strace) -> bytes:
    """
    Run a writer whose kernel reports *error* for its n-th sync, and check what it leaves; return what it told.
    """
    faults = ("-e", "trace=fdatasync", "-e", f"inject=fdatasync:error={error}:when={when}")
    with start_writer(box, 1, *strace, *faults, batches=20) as writer:
        output, errors = writer.communicate(timeout=60)
    acknowledged = int((output.split() or [b"0"])[-1])

    assert writer.returncode == 1
    with box.open() as log:
        assert log.head.seq + 1 >= acknowledged
        assert dict(log.cursors) == {"a": log.head.seq + 1}
    assert box.verify().ok
    return bytes(errors)


@pytest.mark.parametrize("when", [2, 5])
def test_device_error_on_sync(box, start_writer, strace, when):
    """
    The batch is not acknowledged, the process ends without a second try, and the next start goes on.
    """
    errors = ended_by("EIO", when, box, start_writer, strace)

    assert b"state.errors.LogIoError" in errors
    assert b"reason=EIO" in errors


def test_no_space_on_sync(box, start_writer, strace):
    """
    Some file systems find out only now: nobody knows what was kept, so it is no full disk that can be waited for.
    """
    errors = ended_by("ENOSPC", 3, box, start_writer, strace)

    assert b"state.errors.LogIoError" in errors
    assert b"reason=ENOSPC" in errors


def unreadable(run: Daemon) -> list[str | None]:
    """
    Return what the heartbeat says cannot be read.
    """
    return [each["unreadable_path"] for each in run.health()["sources"].values() if each["unreadable"]]


@pytest.mark.parametrize(
    ("calls", "error"),
    [pytest.param("read,pread64", "EIO", id="read"), pytest.param("openat,openat2", "EIO", id="open")],
)
def test_device_error_on_reading_a_source(host: Host, calls: str, error: str) -> None:
    """
    One file of two cannot be read: it is told, the other goes on, and once the disk answers nothing of it is missing.
    """
    bad, good = host.claude(), host.claude("22222222-2222-4222-8222-222222222222")
    append(bad, claude_line("msg_a", 5))
    append(good, claude_line("msg_b", 5, second=1))
    with daemon(host) as run:
        run.has_read(bad, good)
        with failing(run, bad, calls, error):
            append(bad, claude_line("msg_c", 6, second=2))
            append(good, claude_line("msg_d", 6, second=3))
            until(lambda: run.is_dead or unreadable(run) == [str(bad)], "it is told")
            run.has_read(good)

        run.has_read(bad)
        run.has_published(4, 62)

        assert changes(host) == ["opened", "opened", "unreadable", "readable"]
        assert 0 == run.stop()


def test_no_descriptor_left(host: Host) -> None:
    """
    A hundred files need no more than one; without a single one it ends and says why, and the next start misses nothing.
    """
    logs = [host.claude(f"11111111-1111-4111-8111-{number:012}") for number in range(100)]
    for number, log in enumerate(logs):
        append(log, claude_line(f"msg_{number}", 5))
    with daemon(host, wrapper=("sh", "-c", 'ulimit -S -n 32; exec "$0" "$@"')) as run:
        run.has_read(*logs)
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, 3))
        append(logs[0], claude_line("msg_last", 5, second=1))

        assert 3 == run.ended()
        assert "reason=EMFILE" in run.told()
        assert "Traceback" not in run.told()

        run.start().ready()
        run.has_read(*logs)
        run.has_published(101, 101 * 15)


def test_limit_on_file_size(box):
    """
    `ulimit -f`: the kernel writes half, then says EFBIG; a raised limit heals it.
    """
    code = """
import resource, sys, pathlib
from state.errors import DiskFull
from state.log import Log
from state.paths import StatePaths
log = Log.open(StatePaths(pathlib.Path(sys.argv[1])), int)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
number = 0
try:
    while True:
        log.append([b'{"k":"usage","id":"%d"}' % number], {"a": number})
        number += 1
except DiskFull:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.append([b'{"k":"usage","id":"%d"}' % number], {"a": number})
print(number + 1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(
        [sys.executable, "-c", code, box.paths.root], env=environment, capture_output=True, check=True
    )

    assert int(child.stdout) > 5
    assert box.usage() == box.numbered(range(int(child.stdout)))
    assert box.verify().ok


def appended_until_full(box, log) -> int:
    """
    Append events one by one until there is no room, and count them.
    """
    for number in itertools.count():
        try:
            log.append([box.event(number)], {"a": number})
        except DiskFull:
            return number
    raise AssertionError


def test_full_filesystem_is_waited_for(tmp_path, box):
    """
    The same on a real filesystem of 256 KiB that grows later.
    """
    box.paths.root.mkdir()
    needs("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(box.paths.root))
    try:
        with box.open() as log:
            number = appended_until_full(box, log)
            subprocess.run(["mount", "-o", "remount,size=1m", box.paths.root], check=True)
            log.append([box.event(number)], {"a": number})
        assert box.usage() == box.numbered(range(number + 1))
        assert box.verify().ok
    finally:
        subprocess.run(["umount", "-l", box.paths.root], check=True)


def test_no_space_on_write(small_disk: Host) -> None:
    """
    Nothing more is read, `health.json` says so, and once there is room everything is made up for.
    """
    host = small_disk
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace={**QUICK, "retry_first": 0.2, "retry_max": 0.5}) as run:
        run.has_published(1, 15)
        fill(host.state.root / "ballast")
        append(host.gptme(), gptme_lines(list(range(1, 400))))
        until(lambda: run.health()["state"] == "paused", "the daemon says that it is paused")
        append(host.claude(), claude_line("msg_b", 5, second=1))
        subprocess.run(["mount", "-o", "remount,size=64m", host.state.root], check=True)

        run.has_read(host.claude(), host.gptme())
        run.has_published(2 + 399, 30 + 5 * 399 + 399 * 400 // 2)

        until(lambda: run.is_running, "the daemon says that it runs")
        assert 0 == run.stop()
    assert 1 <= run.told().count("disk_full")
    assert verify(host.state.log_directory, recall(host.state.head)).ok


def test_file_system_turns_read_only(host: Host, disk: Disk) -> None:
    """
    The kernel found it damaged. A daemon ends, a new one is refused, both say why; once it is repaired, all is read.
    """
    host.state = StatePaths(disk.mountpoint / "state")
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host) as run:
        run.has_published(1, 15)
        disk.turn_read_only()
        append(host.claude(), claude_line("msg_b", 6, second=1))

        assert 3 == run.ended()
        assert 3 == run.start().ended()

        assert 2 == run.told().count("reason=EROFS")
        assert "Traceback" not in run.told()
        disk.restart()
        run.start().ready()
        run.has_published(2, 31)
        assert 0 == run.stop()


@pytest.mark.parametrize("attribute", ["i", "a"])
@pytest.mark.parametrize("is_torn", [False, True], ids=["whole", "torn"])
def test_log_that_may_not_be_changed(box, attribute, is_torn):
    """
    Somebody made the newest segment immutable, or one that can only grow: we say so and write nowhere else.
    """
    box.fill(1, 1)
    if is_torn:
        box.tear(100)
    (segment,) = box.files()
    before = segment.read_bytes()
    needs("chattr", f"+{attribute}", str(segment))
    try:
        with pytest.raises(StateUnusable, match=rf"path={segment}, reason=EPERM"):
            box.open()
    finally:
        subprocess.run(["chattr", f"-{attribute}", segment], check=True)

    assert box.snapshot() == {segment: before}
    box.fill(1)
    assert box.usage() == box.numbered(range(3))
    assert box.verify().ok


@pytest.mark.parametrize("is_replaced", [False, True], ids=["deleted", "replaced"])
def test_state_directory_deleted(host: Host, is_replaced: bool) -> None:
    """
    Nobody would read what it writes: it ends with 3, and what stands in its place is not touched.
    """
    with daemon(host, pace={**QUICK, "in_place": 0.3}) as run:
        host.state.root.rename(host.state.root.with_name("old"))
        if is_replaced:
            host.state.create()

        assert 3 == run.ended()

    assert "Traceback" not in run.told()
    assert not host.state.published.exists()
    assert not list(host.state.root.glob("log/*"))


def test_state_directory_of_an_old_backup(box):
    """
    An older, valid log in place of the newer one is no smaller log: it is an alarm, and nothing is written.
    """
    box.fill(1, 1)
    old = box.copy("old")
    box.fill(1)
    shutil.copytree(old.paths.log_directory, box.paths.log_directory, dirs_exist_ok=True)
    before = box.snapshot()

    with pytest.raises(LogCut, match=r"seq=1, remembered_seq=2\)"):
        box.open()

    assert box.verify().cut
    assert not box.verify().ok
    assert box.snapshot() == before
