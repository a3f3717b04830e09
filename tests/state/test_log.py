"""
Appending: what is acknowledged is kept, in order, with its cursors.
"""

import errno
import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from state.errors import DiskFull, EventRefused, LogBroken, LogIoError, LogLocked, StateUnusable
from state.log import Log
from state.paths import StatePaths


class Place(msgspec.Struct):
    """
    A cursor with a name that is not ASCII.
    """

    name: str
    offset_bytes: int


def test_log_is_what_its_format_says(box):
    """
    Header, events with their sequence number in front, a commit line behind each batch: greppable and shippable.
    """
    clock = datetime(2026, 11, 22, 11, 0, tzinfo=timezone(timedelta(hours=1)))

    with box.open(clock=lambda: clock) as log:
        log.append([b'{"k":"usage","id":"a"}', b'{"k":"usage","id":"b"}'], {"file": 77})

    header, opening, first, second, commit = map(json.loads, box.files()[0].read_text("ascii").splitlines())
    assert box.files()[0].name == "00000000000000000000.ndjson"
    assert list(header) == ["k", "fmt", "log", "host", "base", "prev", "t"]
    assert [*header.values()][:2] == ["hdr", 1]
    assert (header["log"], header["host"], header["base"], header["prev"]) == (log.log_id, "test", 0, "0" * 64)
    assert (opening["s"], opening["n"], opening["cur"]) == (0, 0, {})
    assert [first, second] == [{"q": 0, "k": "usage", "id": "a"}, {"q": 1, "k": "usage", "id": "b"}]
    assert list(commit) == ["k", "s", "n", "cur", "t", "m", "boot", "h"]
    assert (commit["s"], commit["n"], commit["cur"], commit["t"]) == (0, 2, {"file": 77}, "2026-11-22T10:00:00.000000Z")
    assert commit["h"] == log.head.chain


def test_commit_says_what_was_committed(box):
    """
    The caller learns the numbers, the hash to export, and the time.
    """
    with box.open(clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)) as log:
        log.append([box.event(0)], {})
        commit = log.append([box.event(1), box.event(2)], {})

        assert (commit.first_seq, commit.count, commit.at) == (1, 2, datetime(2026, 11, 22, tzinfo=UTC))
        assert commit.head_hash == log.head.chain
        assert log.head.seq == 2


def test_log_knows_when_it_was_begun(box):
    """
    The time of the oldest segment's header, whatever is appended later; null where that header cannot be read.
    """
    begun_at = datetime(2026, 11, 22, 11, 0, tzinfo=timezone(timedelta(hours=1)))
    with box.open(clock=lambda: begun_at, segment_bytes_max=1) as log:
        log.append([box.event(0)], {})
        assert (begun_at, UTC) == (log.begun_at, log.begun_at.tzinfo)

    with box.open(clock=lambda: begun_at + timedelta(days=9), segment_bytes_max=1) as log:
        log.append([box.event(1)], {})
        assert begun_at == log.begun_at

    first, *others = box.files()
    first.write_bytes(first.read_bytes().replace(b'"k":"hdr"', b'"k":"xxx"', 1))
    with box.open() as log:
        assert log.begun_at is None
    assert others


def test_restart_goes_on_where_it_ended(box):
    """
    Sequence numbers, cursors and identity survive.
    """
    with box.open() as log:
        log.append([box.event(0), box.event(1)], {"a": 10, "b": 5})
        log.append([], {"a": 20})
        before = (log.log_id, log.head)

    with box.open() as log:
        assert (log.log_id, log.head) == before
        assert dict(log.cursors) == {"a": 20, "b": 5}
        assert log.recovery is None
        assert log.append([box.event(2)], {}).first_seq == 2
    assert box.usage() == box.numbered(range(3))


def test_cursor_of_any_type_and_name_survives(box):
    """
    Paths hold any character; the log stays ASCII.
    """
    cursors = {"gptme:/home/zoë/\u2028": Place("日本\U0001f600", 7)}

    with Log.open(box.paths, Place) as log:
        log.append([], cursors)

    with Log.open(box.paths, Place) as log:
        assert dict(log.cursors) == cursors
    assert box.files()[0].read_bytes().isascii()


def test_cursors_of_another_version_are_refused(box):
    """
    After a downgrade the log is not overwritten with what the old program makes of it.
    """
    with Log.open(box.paths, Place) as log:
        log.append([], {"a": Place("a", 1)})
    before = box.snapshot()

    with pytest.raises(LogBroken, match="reason=cursors"):
        box.open()

    assert box.snapshot() == before


def test_cursors_are_changed_by_commits_only(box):
    """
    Nobody can move a cursor without a commit.
    """
    with box.open() as log, pytest.raises(TypeError):
        log.cursors["a"] = 1


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b'{"a":"\n"}', "not_an_event"),
        (b'{"a":"\r"}', "not_an_event"),
        ('{"a":"é"}'.encode(), "not_an_event"),
        (b'{"a":1}\n', "not_an_event"),
        (b"{}", "not_an_event"),
        (b"", "not_an_event"),
        (b"[1]", "not_an_event"),
        (b'{"a":1', "not_an_event"),
        (b'{"q":1,"a":1}', "not_an_event"),
        (b'{"a":"' + b"x" * 65536 + b'"}', "too_long"),
    ],
)
def test_what_is_not_an_event_is_refused(box, event, reason):
    """
    The whole batch is refused before anything is written; its content is in no message.
    """
    with box.open() as log:
        before = box.snapshot()

        with pytest.raises(EventRefused) as refused:
            log.append([box.event(0), event], {"a": 1})

        assert refused.value.facts["index"] == 1
        assert refused.value.facts["reason"] == reason
        assert "x" * 9 not in str(refused.value)
        assert isinstance(refused.value, ValueError)
        assert (box.snapshot(), dict(log.cursors)) == (before, {})
        assert log.append([box.event(0)], {}).first_seq == 0


def test_longest_event_is_kept(box):
    """
    64 KiB with its number; one byte more is refused.
    """
    room = 65536 - len(b'{"q":0,') - len(b'"a":""}\n')

    with box.open() as log:
        with pytest.raises(EventRefused):
            log.append([b'{"a":"' + b"x" * (room + 1) + b'"}'], {})
        log.append([b'{"a":"' + b"x" * room + b'"}'], {})

    assert box.verify().ok


def test_batch_too_large_to_be_read_again_is_refused(box, monkeypatch):
    """
    What a reader has to hold in memory is bounded when it is written.
    """
    monkeypatch.setattr("state.segment.BATCH_BYTES_MAX", 10_000)

    with box.open() as log:
        with pytest.raises(EventRefused, match="reason=batch_too_large"):
            log.append([box.event(number) for number in range(300)], {})
        log.append([box.event(0)], {})

    assert box.usage() == box.numbered([0])


def test_full_segment_is_sealed_and_the_next_goes_on(box):
    """
    The chain runs through: the next header states the hash of the seal.
    """
    box.fill(*[2] * 12, segment_bytes_max=1000)

    names = [int(path.stem) for path in box.files()]
    seals = [json.loads(path.read_bytes().splitlines()[-1]) for path in box.files()[:-1]]
    headers = [json.loads(path.read_bytes().splitlines()[0]) for path in box.files()]
    assert len(names) >= 3
    assert [seal["k"] for seal in seals] == ["seal"] * len(seals)
    assert [seal["n"] for seal in seals] == [after - base for base, after in itertools.pairwise(names)]
    assert [header["prev"] for header in headers] == ["0" * 64, *(seal["h"] for seal in seals)]
    assert [header["base"] for header in headers] == names
    assert box.usage() == box.numbered(range(24))
    assert box.verify().ok


def test_each_segment_opens_with_all_cursors(box):
    """
    A restart reads the last segment only, however long the history is.
    """
    with box.open(segment_bytes_max=1) as log:
        log.append([box.event(0)], {"a": 1, "b": 1})
        log.append([box.event(1)], {"a": 2})
        log.append([box.event(2)], {"c": 3})
    opening = json.loads(box.files()[-1].read_bytes().splitlines()[1])

    with box.open() as log:
        assert opening["cur"] == {"a": 2, "b": 1}
        assert dict(log.cursors) == {"a": 2, "b": 1, "c": 3}


def test_segment_without_events_goes_on_growing(box):
    """
    A segment is named by its first event; without one, the next would take its name.
    """
    with box.open(segment_bytes_max=1) as log:
        for offset in range(5):
            log.append([], {"a": offset})
        log.append([box.event(0)], {})
        log.append([box.event(1)], {})

    assert [int(path.stem) for path in box.files()] == [0, 1]
    assert box.verify().ok


def test_second_log_is_refused(box):
    """
    Two writers would tear each other's batches.
    """
    with box.open(), pytest.raises(LogLocked, match=f"pid={os.getpid()}"):
        box.open()
    box.open().close()


def test_failed_opening_lets_go_of_the_lock(box):
    """
    After the operator's repair nothing needs to be killed.
    """
    box.fill(1, 1, 1, segment_bytes_max=1)
    kept = box.copy("kept")
    box.files()[1].unlink()

    with pytest.raises(LogBroken):
        box.open()

    shutil.copytree(kept.paths.log_directory, box.paths.log_directory, dirs_exist_ok=True)
    box.open().close()


def test_files_are_for_their_owner_only(box):
    """
    Nobody else reads which client's repository was worked on when.
    """
    umask = os.umask(0)
    try:
        box.fill(1)
    finally:
        os.umask(umask)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in box.paths.root.rglob("*")}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert stat.S_IMODE(box.paths.root.stat().st_mode) == 0o700


def test_nothing_is_left_in_temporary(box):
    """
    Segments are born there and moved.
    """
    box.fill(1, 1, 1, segment_bytes_max=1)

    assert list(box.paths.temporary.iterdir()) == []


def test_state_directory_that_cannot_be_made_is_named(tmp_path):
    """
    The message names the directory and the system's reason.
    """
    (tmp_path / "file").touch()

    with pytest.raises(StateUnusable, match=r"path=.*/file/state, reason=ENOTDIR"):
        Log.open(StatePaths(tmp_path / "file" / "state"), int)


def test_batch_is_one_write_and_one_sync(box, monkeypatch):
    """
    One commit costs one wait for the disk, however many events it has.
    """
    calls: list[str] = []

    def noted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments: calls.append(name) or real(*arguments)  # type: ignore[func-returns-value]

    for name in ("write", "fdatasync"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))

    with box.open() as log:
        calls.clear()
        log.append([box.event(number) for number in range(1000)], {"a": 1})
        log.append([box.event(1000)], {"a": 2})

    assert calls == ["write", "fdatasync"] * 2


def test_segment_is_on_disk_before_it_has_a_name_and_its_name_before_it_is_used(box, monkeypatch):
    """
    In any other order a power cut leaves an empty segment, or none.
    """
    calls: list[tuple[str, Path]] = []

    def noted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(first: int | Path, *rest: object) -> object:
            path = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(first)
            calls.append((name, path))
            return real(first, *rest)

        return call

    for name in ("fsync", "rename", "pwrite"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))

    box.open().close()

    born = box.paths.temporary / box.files()[0].name
    assert [call for call in calls if call[1] != box.paths.lock] == [
        ("fsync", box.paths.root),
        ("fsync", born),
        ("rename", born),
        ("fsync", box.paths.log_directory),
        ("pwrite", box.paths.head),
    ]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_takes_nothing_and_loses_nothing(box, monkeypatch, code):
    """
    Half a batch fits: it is cut off again, and the same call succeeds once there is room.
    """
    write = os.write

    def fill_up(descriptor: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(code, "full")
        return write(descriptor, content[: len(content) // 2])

    with box.open() as log:
        log.append([box.event(0)], {"a": 1})
        before = box.snapshot()
        monkeypatch.setattr(os, "write", fill_up)
        for _ in range(3):
            with pytest.raises(DiskFull):
                log.append([box.event(1)], {"a": 2})
        monkeypatch.undo()

        assert (box.snapshot(), dict(log.cursors), log.head.seq) == (before, {"a": 1}, 0)
        assert log.append([box.event(1)], {"a": 2}).first_seq == 1
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


def test_disk_that_is_full_between_two_segments_is_waited_for(box, monkeypatch):
    """
    The old segment is sealed, the next does not fit: the next call makes it.
    """
    write = os.write
    calls = []

    def full_after_the_seal(descriptor: int, content: bytes) -> int:
        calls.append(bytes(content[:10]))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, content)

    with box.open(segment_bytes_max=1) as log:
        log.append([box.event(0)], {})
        monkeypatch.setattr(os, "write", full_after_the_seal)
        for _ in range(2):
            with pytest.raises(DiskFull):
                log.append([box.event(1)], {})
            assert list(box.paths.temporary.iterdir()) == []
        monkeypatch.undo()
        log.append([box.event(1)], {})

    assert box.files()[0].read_bytes().count(b'{"k":"seal"') == 1
    assert calls[0].startswith(b'{"k":"seal')
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_unconfirmed_write_ends_the_process(box, monkeypatch, code):
    """
    A second fsync may report success for pages that were dropped after the first: nobody tries again.
    """

    def fail(descriptor: int) -> None:
        raise OSError(code, "not confirmed")

    with box.open() as log:
        log.append([box.event(0)], {"a": 1})
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail)
            with pytest.raises(LogIoError, match=errno.errorcode[code]):
                log.append([box.event(1)], {"a": 2})
        before = box.snapshot()
        with pytest.raises(LogIoError, match="failed_before"):
            log.append([box.event(2)], {"a": 3})

        assert (box.snapshot(), dict(log.cursors), log.head.seq) == (before, {"a": 1}, 0)
    with box.open() as log:
        assert len(box.usage()) == dict(log.cursors)["a"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "device"), KeyboardInterrupt()])
def test_log_is_not_written_after_a_write_of_unknown_outcome(box, monkeypatch, error):
    """
    A batch behind half a batch would be lost; only a restart finds out where the file ends.
    """
    write = os.write

    def fail(descriptor: int, content: bytes) -> int:
        write(descriptor, content[:20])
        raise error

    log = box.open()
    log.append([box.event(0)], {})
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises((LogIoError, KeyboardInterrupt)):
            log.append([box.event(1)], {})
    with pytest.raises(LogIoError, match="failed_before"):
        log.append([box.event(1)], {})
    log.close()

    box.fill(1)
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


def test_closed_log_is_not_written(box):
    """
    Another process may hold the lock by now.
    """
    log = box.open()
    log.close()

    with pytest.raises(LogIoError):
        log.append([box.event(0)], {})


def test_closing_twice_does_nothing(box):
    """
    The descriptor's number may be somebody else's by then.
    """
    with box.open() as log:
        log.close()
        with box.open():
            log.close()

            assert log.is_in_place()


def test_write_that_takes_nothing_is_an_error(box, monkeypatch):
    """
    Not an endless loop.
    """
    with box.open() as log:
        monkeypatch.setattr(os, "write", lambda *_: 0)

        with pytest.raises(LogIoError, match="reason=EIO"):
            log.append([box.event(0)], {})


def test_repair_that_the_disk_does_not_confirm_lets_go_of_everything(box, monkeypatch):
    """
    The next start can repair it.
    """
    box.fill(1)
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "not confirmed")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(LogIoError, match="reason=EIO"):
            box.open()

    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208 - a count
    box.open().close()


def test_segment_never_replaces_a_file(box):
    """
    Whoever put it there, it is no longer ours to write.
    """
    with box.open(segment_bytes_max=1) as log:
        log.append([box.event(0)], {})
        (box.paths.log_directory / f"{1:020d}.ndjson").write_bytes(b"mine")

        with pytest.raises(LogBroken, match="reason=name_taken"):
            log.append([box.event(1)], {})

    assert (box.paths.log_directory / f"{1:020d}.ndjson").read_bytes() == b"mine"
