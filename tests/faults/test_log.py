"""
Bytes of the log are not what was written: told always, and nothing valid is cut off.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from state.errors import LogBroken, LogIoError, TallystickError
from state.read import slices
from tests.state.conftest import flipped


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_flipped_bit(box, every):
    """
    Header, events, commit lines, seal: there is no byte that nobody watches.
    """
    box.fill(2, 0, 1, 2, 1, segment_bytes_max=900)
    assert len(box.files()) > 1
    assert box.verify().ok

    for path in box.files():
        content = path.read_bytes()
        for offset in range(0, len(content), every):
            path.write_bytes(flipped(content, offset))
            assert not box.verify().ok, (path.name, offset)
        path.write_bytes(content)


def test_damage_before_valid_batches(box):
    """
    One flipped bit in the middle: the old file stays as it is, a new one tells what is missing.
    """
    box.fill(1, 2, 1)
    batches = box.batches()
    hurt = [*batches[:2], batches[2].replace(b'"id":"1"', b'"id":"9"'), *batches[3:]]
    box.put(hurt)
    start, end = len(b"".join(batches[:2])), len(b"".join(batches[:3]))

    with box.open() as log:
        assert [(d.segment, d.start_offset_bytes, d.end_offset_bytes) for d in log.recovery.damaged] == [
            (0, start, end)
        ]
        assert log.recovery.read_again == log.recovery.damaged
        assert log.recovery.quarantined is None

    assert box.files()[0].read_bytes() == b"".join(hurt)
    assert [path.stem for path in box.files()] == ["0" * 20, "4".zfill(20)]
    assert box.lines()[-1] == {
        "q": 4,
        "k": "recovery",
        "segment": 0,
        "start_offset_bytes": start,
        "end_offset_bytes": end,
        "first_missing_seq": 1,
        "last_missing_seq": 2,
    }
    assert box.usage() == box.numbered([0, 3])


def with_dropped(batches: list[bytes]) -> list[bytes]:
    """Drop a batch."""
    return batches[:2] + batches[3:]


def with_swapped(batches: list[bytes]) -> list[bytes]:
    """Swap two batches."""
    return [*batches[:2], batches[3], batches[2], *batches[4:]]


def with_doubled(batches: list[bytes]) -> list[bytes]:
    """Write a batch twice."""
    return batches[:3] + batches[2:]


def with_doubled_pair(batches: list[bytes]) -> list[bytes]:
    """Write two batches twice."""
    return batches[:4] + batches[2:]


def with_dropped_line(batches: list[bytes]) -> list[bytes]:
    """Drop an event."""
    return [*batches[:2], b"".join(batches[2].splitlines(keepends=True)[1:]), *batches[3:]]


def with_swapped_lines(batches: list[bytes]) -> list[bytes]:
    """Swap two events in the middle of a batch, where no number is looked at."""
    first, second, third, *rest = batches[2].splitlines(keepends=True)
    return [*batches[:2], b"".join([first, third, second, *rest]), *batches[3:]]


def with_doubled_line(batches: list[bytes]) -> list[bytes]:
    """Write an event twice."""
    first, *rest = batches[2].splitlines(keepends=True)
    return [*batches[:2], b"".join([first, first, *rest]), *batches[3:]]


def with_dropped_commit(batches: list[bytes]) -> list[bytes]:
    """Drop a commit line, so that two batches look like one."""
    return [*batches[:2], b"".join(batches[2].splitlines(keepends=True)[:-1]), *batches[3:]]


def with_inserted(batches: list[bytes]) -> list[bytes]:
    """Insert foreign bytes between two batches."""
    return [*batches[:2], b"\xff\x00\n{[[[[", *batches[2:]]


def with_zeroed(batches: list[bytes]) -> list[bytes]:
    """Overwrite the middle of a batch with zeroes."""
    return [*batches[:2], batches[2][:40] + bytes(100) + batches[2][140:], *batches[3:]]


def with_zeroed_end(batches: list[bytes]) -> list[bytes]:
    """Overwrite the end of a batch with zeroes."""
    return [*batches[:2], batches[2][:-100] + bytes(100), *batches[3:]]


CHANGES = [value for name, value in sorted(globals().items()) if name.startswith("with_")]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.removeprefix("with_"))
def test_dropped_swapped_or_doubled_lines(box, change: Callable[[list[bytes]], list[bytes]]):
    """
    Batches or lines dropped, swapped, doubled, zeroed: seen; what follows is read; no event is read twice or changed.
    """
    box.fill(1, 4, 1, 1, 1, 1)
    box.put(change(box.batches()))
    before = box.files()[0].read_bytes()

    assert not box.verify().ok
    assert not box.verify().cut
    for _ in range(2):
        with box.open() as log:
            assert log.head.seq >= 8
        assert box.files()[0].read_bytes() == before
        usage = box.usage()
        assert usage == box.numbered(sorted(number for number, _ in usage))
        assert len(set(usage)) == len(usage) >= 4
        assert usage[-1] == (8, "8")
    assert len(box.files()) <= 2


@pytest.mark.usefixtures("quick")
def test_zeroed_page(box):
    """
    A disk loses 512 bytes at a time, which may all be in the middle of one event.
    """
    with box.open() as log:
        for number in range(6):
            log.append([b'{"k":"usage","id":"%d","pad":"%b"}' % (number, b"x" * 2000)], {"a": number + 1})
    content = box.files()[0].read_bytes()

    for offset in range(0, len(content), 512):
        zeroed = content[:offset] + bytes(len(content[offset : offset + 512])) + content[offset + 512 :]
        hurt = box.copy("hurt")
        hurt.files()[0].write_bytes(zeroed)
        assert not hurt.verify().ok
        try:
            hurt.open().close()
        except TallystickError:
            assert hurt.files()[0].read_bytes() == zeroed
        assert hurt.files()[0].read_bytes() == zeroed


def without(index: int) -> Callable[[list[Path]], None]:
    """
    Return what removes the segment at *index*.
    """
    return lambda files: files[index].unlink()


def copied(files: list[Path]) -> None:
    """
    Put a copy of a segment between it and the next: its events would count twice.
    """
    shutil.copy(files[1], files[1].with_name(f"{4:020d}.ndjson"))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("change", [without(0), without(1), without(2), copied], ids=["0", "1", "2", "copied"])
def test_missing_or_extra_segment(box, change, full):
    """
    No number may vanish or count twice in silence: neither writer nor reader accepts the log, and nothing is changed.
    """
    box.fill(3, 3, 3, 3, segment_bytes_max=1)
    change(box.files())
    before = box.snapshot()

    with pytest.raises(LogBroken):
        box.open(full=full)
    with pytest.raises(LogBroken):
        slices(box.paths.log_directory)

    assert "link" in [damage.reason for damage in box.verify().damaged]
    assert box.snapshot() == before


def test_crash_during_seal_or_compression(rolled, killed_everywhere):
    """
    Killed at any system call: the log is the same, and the next call brings it to its end.
    """
    original = rolled.copy("original")
    before = rolled.everything()
    seen = set()

    def fresh():
        rolled.become(original)
        return rolled.compress

    for _ in killed_everywhere(fresh):
        seen.add(tuple(rolled.names()))
        assert rolled.everything() == before
        with rolled.open() as log:
            assert log.recovery is None
            assert log.head.seq == 5
        rolled.compress()
        assert rolled.names() == ["0.ndjson.zst", "2.ndjson.zst", "3.ndjson"]
        assert rolled.everything() == before
    assert {("0.ndjson", "0.ndjson.zst", "2.ndjson", "3.ndjson"), tuple(rolled.names())} <= seen
    assert any("0.ndjson.zst.tmp" in names for names in seen)


def test_damaged_archive(rolled, monkeypatch):
    """
    What was written is read back and compared before the plain segment goes.
    """
    os_write = os.write

    def flipping(descriptor, content):
        return os_write(descriptor, bytes([content[0] ^ 1]) + bytes(content[1:]))

    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(os, "write", flipping)
        with pytest.raises(LogIoError, match="reason=compare"):
            rolled.compress()

    assert rolled.names() == ["0.ndjson", "2.ndjson", "3.ndjson"]
    assert rolled.verify().ok
