"""
A sealed segment is compressed, and nobody who reads or writes the log notices, whatever happens meanwhile.
"""

import errno
import io
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace

import pytest
import zstandard

from state.archive import FRAME_BYTES
from state.errors import DiskFull, LogBroken, LogCut, LogIoError
from state.read import commits, holds, slices
from state.sealing import compress
from state.segment import open_segment
from state.verify import verify
from state.walk import segments, walk

#: Compresses one log, in a process of its own.
COMPRESS = """
import sys
from pathlib import Path
from state.sealing import compress
for done in compress(Path(sys.argv[1])):
    print(done.base, flush=True)
"""


def big(box) -> None:
    """
    Fill *box* with a sealed segment of several frames, and an open one.
    """
    pad = random.Random(1)
    with box.open() as log:
        for number in range(40):
            event = b'{"k":"usage","id":"%d","pad":"%b"}' % (number, pad.randbytes(15_000).hex().encode())
            log.append([event], {"a": number + 1})
        log.roll()
        log.append([box.event(40)], {"a": 41})


def test_roll_seals_what_there_is_and_goes_on_in_a_new_segment(box):
    """
    Once a day, also when there is little; the next event has the next number, and cursors stay.
    """
    with box.open() as log:
        log.append([box.event(0)], {"a": 1})
        assert log.roll()
        log.append([box.event(1)], {"a": 2})

    assert box.names() == ["0.ndjson", "1.ndjson"]
    assert box.files()[0].read_bytes().splitlines()[-1].startswith(b'{"k":"seal","n":1,')
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok
    with box.open() as log:
        assert dict(log.cursors) == {"a": 2}


def test_segment_without_events_is_not_sealed(box):
    """
    It would leave its name to the next.
    """
    with box.open() as log:
        assert not log.roll()
        log.append([], {"a": 1})
        assert not log.roll()
        log.append([box.event(0)], {})
        assert log.roll()
        assert not log.roll()

    assert box.names() == ["0.ndjson", "1.ndjson"]


def test_sealed_segment_is_write_protected_and_the_last_is_not(box):
    """
    A slip of the hand changes nothing; the one that is written can be opened by its owner.
    """
    with box.open(segment_bytes_max=1) as log:
        log.append([box.event(0)], {})
        log.roll()
        log.append([box.event(1)], {})
        log.append([box.event(2)], {})
    assert [path.stat().st_mode & 0o777 for path in box.files()] == [0o400, 0o400, 0o600]

    box.compress()

    assert [path.stat().st_mode & 0o777 for path in box.files()] == [0o400, 0o400, 0o600]


def test_head_after_a_roll_is_remembered(box):
    """
    A segment that was begun and is gone again is noticed.
    """
    with box.open() as log:
        log.append([box.event(0)], {})
        log.roll()
    box.files()[1].unlink()

    with pytest.raises(LogCut):
        box.open()


def test_closed_log_is_not_rolled(box):
    """
    Nor is one whose disk has failed.
    """
    log = box.open()
    log.append([box.event(0)], {})
    log.close()

    with pytest.raises(LogIoError, match="failed_before"):
        log.roll()


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_full_disk_during_a_roll_is_waited_for(box, monkeypatch, writes):
    """
    The seal may be written and the next segment not: then the next call goes on from there.
    """
    left, os_write = [writes], os.write

    def write(descriptor, content):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "full")
        return os_write(descriptor, content)

    with box.open() as log:
        log.append([box.event(0)], {"a": 1})
        with monkeypatch.context() as full:
            full.setattr(os, "write", write)
            with pytest.raises(DiskFull):
                log.roll()
        assert box.verify().ok
        assert log.roll()
        log.append([box.event(1)], {"a": 2})

    assert box.names() == ["0.ndjson", "1.ndjson"]
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


def test_roll_can_be_killed_anywhere(box, killed_everywhere):
    """
    The segment is sealed or not, and the next start goes on either way.
    """
    box.fill(2)
    original = box.copy("original")
    seen = set()

    def roll():
        with box.open() as log:
            log.roll()

    def fresh():
        box.become(original)
        return roll

    for _ in killed_everywhere(fresh):
        is_sealed = b'{"k":"seal"' in box.files()[0].read_bytes()
        seen.add((is_sealed, len(box.files())))
        assert box.usage() == box.numbered(range(2))
        with box.open() as log:
            assert dict(log.cursors) == {"a": 2}
            log.append([box.event(2)], {"a": 3})
        assert box.usage() == box.numbered(range(3))
        assert box.verify().ok
    assert seen == {(False, 1), (True, 1), (True, 2)}


def test_all_but_the_last_are_compressed_and_a_second_call_does_nothing(rolled):
    """
    The last one is being written.
    """
    assert rolled.compress() == [0, 2]
    assert rolled.names() == ["0.ndjson.zst", "2.ndjson.zst", "3.ndjson"]
    assert rolled.compress() == []


def test_one_step_compresses_one_segment(rolled):
    """
    The daemon goes on with other work in between.
    """
    done = next(compress(rolled.paths.log_directory))

    assert rolled.names() == ["0.ndjson.zst", "2.ndjson", "3.ndjson"]
    assert done.stored_bytes == rolled.files()[0].stat().st_size
    with open_segment(rolled.files()[0]) as file:
        assert done.content_bytes == len(file.read())


def test_nobody_reads_anything_else_than_before(rolled):
    """
    Slices, commits, events and the verdict are the same.
    """
    before = rolled.everything()

    rolled.compress()

    assert rolled.everything() == before
    rolled.fill(1)
    assert rolled.usage() == rolled.numbered(range(7))


def test_segment_of_many_frames_reads_the_same(box):
    """
    From anywhere, in any order, and up to anywhere.
    """
    big(box)
    content = box.files()[0].read_bytes()
    before = box.everything()
    box.compress()
    dice = random.Random(4)

    assert len(content) > 4 * FRAME_BYTES
    assert box.everything() == before
    with open_segment(box.files()[0]) as file:
        assert file.seek(0, os.SEEK_END) == len(content)
        assert file.read(1) == b""
        for _ in range(200):
            start, length = dice.randrange(len(content)), dice.randrange(2 * FRAME_BYTES)
            file.seek(start)
            assert file.read(length) == content[start : start + length]
            assert file.tell() == min(start + length, len(content))


@pytest.mark.skipif(not shutil.which("zstd"), reason="zstd is not installed")
def test_zstd_restores_a_segment_byte_for_byte(box):
    """
    The log outlives this program: its own index is nothing to other tools.
    """
    big(box)
    content = box.files()[0].read_bytes()
    box.compress()
    path = box.files()[0]

    restored = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout

    assert restored == content
    assert zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read() == content


def test_mark_in_a_compressed_segment_still_holds(box):
    """
    Tables may have been read up to anywhere in it.
    """
    big(box)
    marks = [replace(part.mark, seq=part.mark.seq) for part in slices(box.paths.log_directory)]
    with box.open() as log:
        marks.append(log.head)
    middle = next(batch for batch in commits(box.paths.log_directory) if batch.last_seq == 20)
    marks.append(replace(marks[0], seq=20, chain=middle.chain, end_offset_bytes=middle.end_offset_bytes))
    box.compress()

    for mark in marks:
        assert holds(box.paths.log_directory, mark)
        found = slices(box.paths.log_directory, mark.seq, mark)
        assert sum(part.last_seq - part.first_seq + 1 for part in found) == 40 - mark.seq
    assert not holds(box.paths.log_directory, replace(marks[-1], end_offset_bytes=marks[-1].end_offset_bytes - 1))


def test_start_reads_first_and_last_frame_of_old_segments_only(box):
    """
    A year of history costs a start next to nothing: what stands in the middle of it may even be unreadable.
    """
    big(box)
    box.compress()
    path = box.files()[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    os.chmod(path, 0o600)  # noqa: PTH101 - as the next line
    path.write_bytes(content)

    with box.open() as log:
        assert log.recovery is None
        assert dict(log.cursors) == {"a": 41}
    assert not box.verify().ok


def test_reader_that_knows_the_old_name_finds_the_segment(rolled):
    """
    The plain file goes away between the listing and the reading, or in the middle of a walk.
    """
    found, parts = segments(rolled.paths.log_directory), slices(rolled.paths.log_directory)
    expected = list(walk(found))
    begun = walk(found)
    first = next(begun)

    rolled.compress()

    assert [first, *begun] == expected
    assert list(walk(found)) == expected
    for part in parts:
        with open_segment(part.path) as file:
            file.seek(part.end_offset_bytes - 67)
            assert file.read(64).decode() == part.chain


def test_damaged_segment_stays_plain(rolled):
    """
    What is wrong with it is not wrapped up: it can still be looked at, and repaired from a copy.
    """
    path = rolled.files()[0]
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content.replace(b'"id":"1"', b'"id":"9"'))

    assert rolled.compress() == [2]
    assert rolled.names() == ["0.ndjson", "2.ndjson.zst", "3.ndjson"]

    path.write_bytes(content)
    assert rolled.compress() == [0]
    assert rolled.verify().ok


def test_segment_that_was_left_unsealed_stays_plain(box):
    """
    Damage has ended it, not a seal.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    hurt = [*batches[:2], batches[2].replace(b'"id":"1"', b'"id":"9"'), batches[3]]
    box.files()[0].write_bytes(b"".join(hurt))
    box.open().close()

    assert len(box.files()) == 2
    assert box.compress() == []


def test_compressed_form_wins_over_the_plain_one(rolled):
    """
    A crash has left both: one truth, and the next call removes the plain one.
    """
    before = rolled.everything()
    plain = rolled.files()[0]
    content = plain.read_bytes()
    rolled.compress()
    plain.write_bytes(content)

    assert rolled.files()[0].name == plain.name + ".zst"
    assert rolled.everything() == before
    assert rolled.compress() == [0]
    assert rolled.names() == ["0.ndjson.zst", "2.ndjson.zst", "3.ndjson"]


def test_damaged_compressed_form_is_written_again_from_the_plain_one(rolled):
    """
    Once the operator has put the plain one back.
    """
    plain = rolled.files()[0]
    content = plain.read_bytes()
    rolled.compress()
    stored = rolled.files()[0]
    good = stored.read_bytes()
    stored.chmod(0o600)
    stored.write_bytes(good[:-100])
    assert not rolled.verify().ok
    plain.write_bytes(content)

    assert rolled.compress() == [0]
    assert stored.read_bytes() == good
    assert rolled.verify().ok


def test_of_two_proven_segments_of_one_name_neither_is_removed(rolled, new_box):
    """
    One of them is of another log, and it is not for us to say which.
    """
    rolled.compress()
    other = new_box(rolled.paths.root.with_name("other"))
    other.fill(2, 1, segment_bytes_max=1)
    shutil.copy(other.files()[0], rolled.paths.log_directory)

    assert rolled.compress() == []
    assert rolled.names() == ["0.ndjson", "0.ndjson.zst", "2.ndjson.zst", "3.ndjson"]
    assert rolled.verify().ok


def test_name_of_a_compressed_segment_is_taken(rolled):
    """
    A new segment never gets it, whatever else was lost.
    """
    with rolled.open() as log:
        shutil.copy(rolled.files()[0], rolled.paths.log_directory / f"{6:020d}.ndjson.zst")
        with pytest.raises(LogBroken, match="name_taken"):
            log.roll()


def test_log_whose_last_segment_is_lost_goes_on_behind_a_compressed_one(rolled):
    """
    When the operator accepts the loss: the compressed one is neither written nor cut.
    """
    rolled.compress()
    rolled.files()[-1].unlink()
    before = rolled.files()[-1].read_bytes()
    with pytest.raises(LogCut):
        rolled.open()
    rolled.forget_head()

    rolled.fill(1)

    assert rolled.files()[1].read_bytes() == before
    assert rolled.usage() == rolled.numbered(range(4))
    assert rolled.verify().ok


@pytest.mark.parametrize("kept_bytes", [0, 1, 60, -200, -60, -1])
def test_log_that_ends_in_a_damaged_compressed_segment_is_not_written(rolled, kept_bytes):
    """
    What came behind it is missing too; nothing is changed.
    """
    rolled.compress()
    rolled.files()[-1].unlink()
    rolled.forget_head()
    path = rolled.files()[-1]
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[:kept_bytes])

    with suppress(LogBroken):
        rolled.open().close()
        assert rolled.usage() == rolled.numbered(range(3))
    assert path.read_bytes() == content[:kept_bytes]
    assert not rolled.verify().ok


def compressing(box, *wrapper: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*wrapper, sys.executable, "-c", COMPRESS, str(box.paths.log_directory)]
    return subprocess.run(command, check=False, capture_output=True, env=environment)


@pytest.mark.parametrize("call", ["fsync", "rename", "unlink", "flock", "write", "fsync,rename,unlink"])
def test_compression_can_be_killed_at_any_system_call(rolled, strace, call):
    """
    As the kernel sees it.
    """
    original = rolled.copy("original")
    before = rolled.everything()

    for number in range(1, 30):
        rolled.become(original)
        fault = f"inject={call}:signal=KILL:when={number}"
        done = compressing(rolled, *strace, "-e", f"trace={call}", "-e", fault)
        assert rolled.everything() == before
        rolled.compress()
        assert rolled.names() == ["0.ndjson.zst", "2.ndjson.zst", "3.ndjson"]
        assert rolled.everything() == before
        if not done.returncode:
            break
    assert number > 1
    assert done.stdout == b"0\n2\n"


def test_order_of_system_calls_survives_a_power_cut(rolled, strace, tmp_path):
    """
    Content, then name, then the directory, and only then the plain file goes, and the directory again.
    """
    done = compressing(rolled, *strace, "-y", "-e", "trace=fsync,rename,unlink")

    trace = (tmp_path / "trace").read_text()
    calls = [line.split(maxsplit=1)[1] for line in trace.splitlines() if "/log" in line and "ENOENT" not in line]
    assert done.returncode == 0
    assert len(calls) == 10
    for index, pattern in enumerate([".tmp>", ".tmp", "/log>", ".ndjson", "/log>"] * 2):
        assert pattern in calls[index], (index, calls)
    assert [call.split("(")[0] for call in calls] == ["fsync", "rename", "fsync", "unlink", "fsync"] * 2


def test_full_disk_keeps_the_plain_segment(rolled, strace):
    """
    Nothing is left of the attempt, and the next one succeeds.
    """
    before, names = rolled.everything(), rolled.names()

    done = compressing(rolled, *strace, "-e", "trace=write", "-e", "inject=write:error=ENOSPC")

    assert b"state.errors.DiskFull" in done.stderr or done.returncode
    assert rolled.names() == names
    assert rolled.everything() == before
    assert rolled.compress() == [0, 2]


def test_limit_on_the_size_of_files_is_a_full_disk(box):
    """
    In the middle of a segment of many frames.
    """
    big(box)
    before = box.everything()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(DiskFull, match="EFBIG"):
            box.compress()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert box.names() == ["0.ndjson", "40.ndjson"]
    assert box.everything() == before


def test_device_error_keeps_the_plain_segment(rolled, strace):
    """
    A sync that fails may report success the next time, so what was written is not believed.
    """
    done = compressing(rolled, *strace, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1")

    assert b"state.errors.LogIoError" in done.stderr
    assert [name for name in rolled.names() if not name.endswith(".tmp")] == ["0.ndjson", "2.ndjson", "3.ndjson"]
    assert rolled.verify().ok


def test_compression_beside_a_writer_and_readers(box, start_writer):
    """
    The writer seals segment after segment; what was acknowledged is always there, in every reader's view.
    """
    with start_writer(box, 1, is_patient=False, batches=60) as writer:
        acknowledged = int(writer.stdout.readline())
        done, problems = threading.Event(), []

        def read() -> None:
            while not done.is_set():
                before = len(box.usage())
                checked = verify(box.paths.log_directory, None)
                if not checked.ok or checked.events < before:
                    problems.append(checked)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            while line := writer.stdout.readline():
                acknowledged = int(line)
                box.compress()
                assert len(box.usage()) >= acknowledged
        finally:
            done.set()
            reader.join()
        assert writer.wait() == 0

    assert problems == []
    assert len([name for name in box.names() if name.endswith(".zst")]) > 5
    assert box.usage() == box.numbered(range(acknowledged))
    with box.open(full=True) as log:
        assert log.recovery is None


def test_two_compressors_wait_for_each_other(rolled):
    """
    Neither writes into the other's file.
    """
    before = rolled.everything()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(rolled.compress())) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [0, 2]
    assert rolled.everything() == before


def test_empty_stream_is_compressed_to_an_index(box):
    """
    The format has no smallest content.
    """
    from state.archive import Archive, compressed

    box.paths.create()
    path = box.paths.temporary / "empty.zst"
    path.write_bytes(b"".join(compressed(io.BytesIO())))

    with Archive(path) as found:
        assert found.is_indexed
        assert found.read() == b""
