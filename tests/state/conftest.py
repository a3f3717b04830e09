"""
A state directory to break, and processes that die in the middle of writing it.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from state.head import recall
from state.log import Log
from state.paths import StatePaths
from state.read import commits, slices
from state.sealing import compress
from state.segment import open_segment
from state.verify import Verification, verify
from state.walk import segments

#: System calls that change what is on disk, or make it last.
DISK_CALLS = ("open", "write", "pwrite", "fdatasync", "fsync", "ftruncate", "rename", "mkdir", "unlink")


#: Appends batches of 1 to 20 events, and tells how many are acknowledged; the cursor is their number, too.
WRITER = """
import os, pathlib, random, sys
from state.log import Log
from state.paths import StatePaths
root, seed, left, is_patient = sys.argv[1], *map(int, sys.argv[2:])
if not is_patient:
    os.fsync = os.fdatasync = lambda descriptor: None
dice = random.Random(seed)
with Log.open(StatePaths(pathlib.Path(root)), int, segment_bytes_max=20_000) as log:
    while left:
        left -= 1
        first = log.head.seq + 1
        count = dice.randint(1, 20)
        events = [b'{"k":"usage","id":"%d","pad":"%b"}' % (seq, b"x" * 300) for seq in range(first, first + count)]
        log.append(events, {"a": first + count})
        print(first + count, flush=True)
"""


def flipped(content: bytes, offset: int) -> bytes:
    """
    Flip one bit of the byte at *offset*.
    """
    return content[:offset] + bytes([content[offset] ^ 1 << offset % 8]) + content[offset + 1 :]


class Box:
    """
    A state directory whose cursors are plain numbers, as its tests see it.
    """

    def __init__(self, root: Path) -> None:
        self.paths = StatePaths(root)

    @staticmethod
    def event(number: int) -> bytes:
        """
        Make an event that can be told from all others.
        """
        return b'{"k":"usage","id":"%d"}' % number

    @staticmethod
    def numbered(numbers: Iterable[int]) -> list[tuple[int, str]]:
        """
        Say what `usage` returns for the events that `fill` has made with these sequence numbers.
        """
        return [(number, str(number)) for number in numbers]

    def open(self, **options) -> Log[int]:
        return Log.open(self.paths, int, host="test", **options)

    def fill(self, *counts: int, segment_bytes_max: int = 1 << 20) -> None:
        """
        Append one batch per count; the cursor "a" is the number of events so far. Sealed segments can be damaged.
        """
        with self.open(segment_bytes_max=segment_bytes_max) as log:
            for count in counts:
                first = log.head.seq + 1
                log.append([self.event(first + index) for index in range(count)], {"a": first + count})
        for path in self.files():
            path.chmod(0o600)

    def compress(self) -> list[int]:
        """
        Compress what can be, and say which segments that were.
        """
        return [done.base for done in compress(self.paths.log_directory)]

    def names(self) -> list[str]:
        """
        List the files of the log, without leading zeros.
        """
        return sorted(re.sub(r"0*(\d)", r"\1", path.name) for path in self.paths.log_directory.iterdir())

    def files(self) -> list[Path]:
        """
        List the segments' files in order.
        """
        return [segment.path for segment in segments(self.paths.log_directory)]

    def batches(self) -> list[bytes]:
        """
        Cut the last segment into what was written at once: header with the opening commit, then batch by batch.
        """
        pieces, piece = [], b""
        for line in self.files()[-1].read_bytes().splitlines(keepends=True):
            piece += line
            if line.startswith((b'{"k":"commit"', b'{"k":"seal"')):
                pieces.append(piece)
                piece = b""
        return pieces

    def put(self, batches: Iterable[bytes]) -> None:
        """
        Replace the content of the last segment.
        """
        self.files()[-1].write_bytes(b"".join(batches))

    def tear(self, kept_bytes: int) -> bytes:
        """
        Do what a crash in an append of two events leaves: so many bytes of the batch are on disk; return it whole.
        """
        before = self.copy("before")
        self.fill(2)
        batch = self.batches()[-1]
        self.become(before)
        with self.files()[-1].open("ab") as file:
            file.write(batch[:kept_bytes])
        return batch

    def lines(self, after_seq: int = -1) -> list[dict[str, object]]:
        """
        Read every event that a reader is given.
        """
        found = []
        for part in slices(self.paths.log_directory, after_seq):
            with open_segment(part.path) as file:
                content = file.read()[part.start_offset_bytes : part.end_offset_bytes]
            found += [json.loads(line) for line in content.splitlines() if line.startswith(b'{"q":')]
        return found

    def usage(self) -> list[tuple[object, object]]:
        """
        Read sequence number and id of every event that we appended.
        """
        return [(line["q"], line["id"]) for line in self.lines() if line["k"] == "usage"]

    def verify(self) -> Verification:
        return verify(self.paths.log_directory, recall(self.paths.head))

    def everything(self) -> object:
        """
        Say all that a reader is told of the log, but for the names of files.
        """
        parts = [replace(part, path=self.paths.root) for part in slices(self.paths.log_directory)]
        return parts, list(commits(self.paths.log_directory)), self.lines(), self.verify()

    def forget_head(self) -> None:
        """
        Delete the remembered head, as an operator does to accept a loss.
        """
        self.paths.head.unlink(missing_ok=True)

    def copy(self, name: str) -> "Box":
        """
        Copy every file to a sibling, and remove what else is there.
        """
        target = Box(self.paths.root.with_name(name))
        target.become(self)
        return target

    def become(self, other: "Box") -> None:
        """
        Hold the files that *other* holds, and nothing else.
        """
        self.paths.create()
        for path in self._all_files():
            if not (other.paths.root / path.relative_to(self.paths.root)).exists():
                path.unlink()
        for path in other._all_files():
            target = self.paths.root / path.relative_to(other.paths.root)
            target.unlink(missing_ok=True)  # a sealed segment cannot be written
            shutil.copy(path, target)

    def _all_files(self) -> list[Path]:
        return [path for path in self.paths.root.rglob("*") if path.is_file()]

    def snapshot(self) -> dict[Path, bytes]:
        """
        Read every file of the log.
        """
        return {path: path.read_bytes() for path in self.files()}


@pytest.fixture
def box(tmp_path) -> Box:
    """
    Return an empty state directory.
    """
    return Box(tmp_path / "state")


@pytest.fixture
def rolled(box: Box) -> Box:
    """
    Return a log of three segments, the last of which is open.
    """
    box.fill(2, 0, 1, 3, segment_bytes_max=1)
    assert box.names() == ["0.ndjson", "2.ndjson", "3.ndjson"]
    return box


@pytest.fixture(scope="session")
def new_box() -> Callable[[Path], Box]:
    """
    Return what makes an empty state directory, for tests that need many.
    """
    return Box


@pytest.fixture
def quick(monkeypatch) -> None:
    """
    Do not wait for the disk: for tests that open thousands of logs and cut no power.
    """
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _: None)


def _die_at(call_number: int) -> None:
    """
    End this process, as by kill -9, at its n-th system call that changes the disk: a write is half done by then.
    """
    left = [call_number]
    os_write = os.write

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments, **options) -> object:
            left[0] -= 1
            if not left[0]:
                if real is os_write:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os._exit(137)
            return real(*arguments, **options)

        return call

    for name in DISK_CALLS:
        setattr(os, name, dying(getattr(os, name)))


def _in_child(task: Callable[[], None], call_number: int) -> bool:
    """
    Run *task* in a child that dies at the given system call; say whether it lived.
    """
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            _die_at(call_number)
            task()
            os._exit(0)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, 137}, "the task failed before it could be killed"
    return status == 0


@pytest.fixture
def killed_everywhere() -> Callable[[Callable[[], Callable[[], None]]], Iterable[int]]:
    """
    Return a loop that runs a fresh task over and over, killed at its first, second, ... system call, until it lives.
    """

    def loop(fresh: Callable[[], Callable[[], None]]) -> Iterable[int]:
        for call_number in itertools.count(1):
            has_lived = _in_child(fresh(), call_number)
            yield call_number
            if has_lived:
                return

    return loop


@pytest.fixture
def start_writer() -> Callable[..., subprocess.Popen[bytes]]:
    """
    Return what starts a writer on a box, in a process of its own.
    """

    def start(
        box: Box, seed: int, *wrapper: str, batches: int = -1, is_patient: bool = True
    ) -> subprocess.Popen[bytes]:
        """
        Start it; a negative number of batches never ends, and an impatient writer does not wait for the disk.
        """
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        arguments = [str(box.paths.root), str(seed), str(batches), str(int(is_patient))]
        command = [*wrapper, sys.executable, "-c", WRITER, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)

    return start


@pytest.fixture
def strace(tmp_path):
    """
    Return the command that injects faults into a process.
    """
    probe = ["strace", "-o", tmp_path / "probe", "-e", "inject=fdatasync:error=EIO", "true"]
    if not shutil.which("strace") or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("strace is not installed, or not allowed to trace")
    return ("strace", "-f", "-o", str(tmp_path / "trace"))
