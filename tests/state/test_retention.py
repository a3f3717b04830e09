"""
What was retired is gone, what remains is proven to follow it, and its totals are still known.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from state.errors import DiskFull, LogBroken, LogCut, NotRetirable, TallystickError
from state.read import holds, slices
from state.retention import Limit, boundaries, remove_leftovers, retire
from state.tombstones import RETIRED_CLASSES, Total, last_tombstone, tombstones

#: Noon of the first day; segment n of the fixture is closed n days later.
START = datetime(2026, 1, 1, 12, tzinfo=UTC)

#: Later than anything.
FOREVER = datetime.max.replace(tzinfo=UTC)

TOTALS = (
    Total(
        agent="claude_code",
        day=date(2026, 1, 1),
        model="m-1",
        calls=2,
        incomplete_calls=1,
        tokens=dict.fromkeys(RETIRED_CLASSES) | {"input_tokens": 0, "output_tokens": 7},
    ),
    Total(agent="codex", day=None, model=None, calls=1, incomplete_calls=0, tokens=dict.fromkeys(RETIRED_CLASSES, 3)),
)

#: Retires two segments, in a process of its own.
RETIRE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from state.head import recall
from state.paths import StatePaths
from state.retention import Limit, retire
paths = StatePaths(Path(sys.argv[1]))
limit = Limit(datetime(2027, 1, 1, tzinfo=UTC), (recall(paths.head),))
retire(paths, 4, limit, (), lambda: datetime.now(UTC))
"""


#: Appends, seals, compresses and retires without end, and tells how many events are acknowledged.
KEEPER = """
import random, sys
from datetime import UTC, datetime
from pathlib import Path
from state.log import Log
from state.paths import StatePaths
from state.retention import Limit, boundaries, retire
from state.sealing import compress
paths, dice = StatePaths(Path(sys.argv[1])), random.Random(int(sys.argv[2]))
with Log.open(paths, int) as log:
    while True:
        first = log.head.seq + 1
        log.append([b'{"k":"usage","id":"%d"}' % seq for seq in range(first, first + 3)], {"a": first + 3})
        print(first + 3, flush=True)
        if dice.random() < 0.5:
            log.roll()
        if dice.random() < 0.3:
            list(compress(paths.log_directory))
        if dice.random() < 0.2:
            limit = Limit(datetime.max.replace(tzinfo=UTC), (log.head,))
            found = boundaries(paths.log_directory, limit)
            if len(found) > 3:
                retire(paths, dice.choice(found[:3]), limit, (), lambda: datetime.now(UTC))
"""


def day(number: float) -> datetime:
    """
    Name a time by days since the first.
    """
    return START + timedelta(days=number)


@pytest.fixture
def log_of_days(box):
    """
    Return a log of five days, two events each; the first three segments are compressed, the last one is open.
    """
    now = [START]
    with box.open(clock=lambda: now[0]) as log:
        for number in range(5):
            first = 2 * number
            log.append([box.event(first), box.event(first + 1)], {"a": first + 2, f"day-{number}": 1})
            now[0] += timedelta(days=1)
            if number < 4:
                log.roll()
            if number == 3:
                box.compress()
    os.truncate(box.paths.lock, 0)
    return box


def limit_of(box, closed_before: datetime = FOREVER) -> Limit:
    """
    Say that everything was read into all tables.
    """
    with box.open() as log:
        return Limit(closed_before, (log.head,))


def retired(box, first_kept_seq: int, totals=TOTALS):
    """
    Retire all before a sequence number.
    """
    return retire(box.paths, first_kept_seq, limit_of(box), totals, lambda: day(50))


def rows(box) -> list[int]:
    """
    List the sequence numbers that a reader is given.
    """
    return [number for number, _ in box.usage()]


def test_segments_go_and_a_tombstone_stays(log_of_days):
    """
    The log is as it was from there on: readable, sound, with all its cursors.
    """
    box = log_of_days
    before = dict(box.usage())

    tombstone = retired(box, 4)

    assert box.names() == ["0-3.tombstone.json", "4.ndjson.zst", "6.ndjson.zst", "8.ndjson"]
    assert dict(box.usage()) == {number: before[number] for number in range(4, 10)}
    assert box.verify().ok
    assert (box.verify().events, box.verify().retired_events) == (6, 4)
    assert (tombstone.first_seq, tombstone.last_seq, tombstone.segments, tombstone.events) == (0, 3, 2, 4)
    assert tombstone.totals == TOTALS
    assert tombstone.t == "2026-02-20T12:00:00.000000Z"
    for full in (False, True):
        with box.open(full=full) as log:
            assert log.recovery is None
            assert dict(log.cursors) == {"a": 10} | {f"day-{number}": 1 for number in range(5)}
    box.fill(1)
    assert rows(box) == list(range(4, 11))


def test_tombstone_states_what_its_segments_were(log_of_days):
    """
    Bytes as the segments' lines, however they were stored; the hash that the next segment states; its own.
    """
    box = log_of_days
    content_bytes = sum(part.end_offset_bytes for part in slices(box.paths.log_directory)[:2])

    tombstone = retired(box, 4)

    path = box.paths.log_directory / tombstone.name
    document = json.loads(path.read_bytes())
    assert path.stat().st_mode & 0o777 == 0o400
    assert document["k"] == "tombstone"
    assert document["totals"][0]["tokens"]["output_tokens"] == 7
    assert document["totals"][0]["tokens"]["input_tokens"] == 0
    assert document["totals"][0]["tokens"]["reasoning_tokens"] is None
    assert document["totals"][1]["day"] is None
    # The slices end behind the last commit; each segment has its seal behind that.
    assert content_bytes < tombstone.content_bytes < content_bytes + 2 * 200
    with box.open() as log:
        assert document["log"] == log.log_id
    assert path.read_bytes().endswith(tombstone.h.encode() + b'"}\n')


def test_nothing_goes_unless_it_is_asked_for(log_of_days):
    """
    Opening, appending, rolling and compressing keep everything, however old it is.
    """
    box = log_of_days
    with box.open(clock=lambda: day(10_000)) as log:
        log.append([box.event(10)], {})
        log.roll()
    box.compress()

    assert rows(box) == list(range(11))
    assert tombstones(box.paths.log_directory) == []


@pytest.mark.parametrize(
    ("closed_before", "expected"),
    [
        (day(0.9), []),
        (day(1), [2]),
        (day(1.9), [2]),
        (day(3), [2, 4, 6]),
        (day(100), [2, 4, 6, 8]),
    ],
)
def test_only_what_was_closed_by_then_may_go(log_of_days, closed_before, expected):
    """
    A segment counts as old as its last event, and the last segment never goes.
    """
    assert boundaries(log_of_days.paths.log_directory, limit_of(log_of_days, closed_before)) == expected


def test_only_what_all_tables_have_read_may_go(log_of_days):
    """
    The slowest of them decides; no mark at all is no permission.
    """
    directory = log_of_days.paths.log_directory
    marks = [part.mark for part in slices(directory)]
    head = limit_of(log_of_days).marks[0]

    assert boundaries(directory, Limit(day(100), (head, marks[1]))) == [2]
    assert boundaries(directory, Limit(day(100), (marks[0], head))) == []
    assert boundaries(directory, Limit(day(100), ())) == []
    assert holds(directory, marks[1])


@pytest.mark.parametrize("first_kept_seq", [0, 1, 3, 9, 10, 11])
def test_log_begins_with_a_segment(log_of_days, first_kept_seq):
    """
    Not within one, not behind the last; nothing is changed.
    """
    before = log_of_days.names()

    with pytest.raises(NotRetirable, match=f"first_kept_seq={first_kept_seq}"):
        retired(log_of_days, first_kept_seq)
    assert log_of_days.names() == before


def test_too_young_segment_is_not_retired(log_of_days):
    """
    Even when the caller names it.
    """
    limit = limit_of(log_of_days, day(1.5))

    with pytest.raises(NotRetirable):
        retire(log_of_days.paths, 4, limit, TOTALS, lambda: day(50))
    assert rows(log_of_days) == list(range(10))


def test_tombstones_chain(log_of_days):
    """
    Each goes on where the one before it ended, and states its hash.
    """
    box = log_of_days
    first, second, third = retired(box, 2), retired(box, 6, ()), retired(box, 8)

    assert [(each.first_seq, each.last_seq) for each in (first, second, third)] == [(0, 1), (2, 5), (6, 7)]
    assert [second.prev, third.prev] == [first.h, second.h]
    assert tombstones(box.paths.log_directory) == [first, second, third]
    assert last_tombstone(box.paths.log_directory) == third
    assert rows(box) == [8, 9]
    assert box.verify().ok
    assert box.verify().retired_events == 8
    with box.open(full=True) as log:
        assert log.recovery is None


def test_log_that_begins_late_without_a_tombstone_is_refused(log_of_days):
    """
    Somebody has removed segments: nobody knows which, and what they came to.
    """
    box = log_of_days
    for path in box.files()[:2]:
        path.unlink()

    with pytest.raises(LogBroken, match="link"):
        box.open()
    with pytest.raises(LogBroken, match="link"):
        slices(box.paths.log_directory)
    assert [damage.reason for damage in box.verify().damaged] == ["link"]


def test_segment_that_is_missing_behind_a_tombstone_is_noticed(log_of_days):
    """
    A tombstone stands for what it names and for nothing more.
    """
    box = log_of_days
    retired(box, 4)
    box.files()[0].unlink()

    with pytest.raises(LogBroken, match="link"):
        box.open()
    assert not box.verify().ok


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_flipped_bit_in_any_byte_of_a_tombstone_is_told(log_of_days, every):
    """
    And the log is not served behind it: where it begins is not known any more.
    """
    box = log_of_days
    path = box.paths.log_directory / retired(box, 4).name
    content = path.read_bytes()
    path.chmod(0o600)

    for offset in range(0, len(content), every):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1 << offset % 8]) + content[offset + 1 :])
        found = box.verify()
        assert "tombstone" in {damage.reason for damage in found.damaged}, offset
        with pytest.raises(LogBroken):
            tombstones(box.paths.log_directory)
        with pytest.raises(LogBroken):
            last_tombstone(box.paths.log_directory)
        if offset % (10 * every) == 0:
            with pytest.raises(LogBroken):
                slices(box.paths.log_directory)
            with pytest.raises(LogBroken):
                box.open()
    for end in range(0, len(content), 7 * every):
        path.write_bytes(content[:end])
        assert not box.verify().ok
    path.write_bytes(content)
    assert box.verify().ok


def test_damaged_older_tombstone_takes_its_totals_along_and_nothing_else(log_of_days):
    """
    What remains is proven to follow the last one; that the totals are not known is told.
    """
    box = log_of_days
    first, second = retired(box, 2), retired(box, 4)
    path = box.paths.log_directory / first.name
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"calls":2', b'"calls":3'))

    assert [(damage.reason, damage.segment) for damage in box.verify().damaged] == [("tombstone", 0)]
    assert rows(box) == list(range(4, 10))
    with box.open() as log:
        assert log.recovery is None
    with pytest.raises(LogBroken, match="reason=tombstone"):
        tombstones(box.paths.log_directory)
    assert last_tombstone(box.paths.log_directory) == second


@pytest.mark.parametrize("index", [0, 1])
def test_missing_older_tombstone_is_told(log_of_days, index):
    """
    The one behind it says that there was one.
    """
    box = log_of_days
    names = [retired(box, seq).name for seq in (2, 4, 6)]
    (box.paths.log_directory / names[index]).unlink()

    assert [damage.reason for damage in box.verify().damaged] == ["tombstone"]
    with pytest.raises(LogBroken, match="reason=tombstone"):
        tombstones(box.paths.log_directory)
    with pytest.raises(LogBroken, match="reason=tombstone"):
        retired(box, 8)


def test_tombstone_of_another_log_is_not_believed(log_of_days, new_box, tmp_path):
    """
    The first segment does not follow it.
    """
    box, other = log_of_days, new_box(tmp_path / "other")
    other.fill(4, 1, 1, segment_bytes_max=1)
    foreign = retired(other, 4)
    ours = retired(box, 4)
    assert foreign.name == ours.name
    (box.paths.log_directory / ours.name).unlink()
    shutil.copy(other.paths.log_directory / foreign.name, box.paths.log_directory)

    assert not box.verify().ok
    with pytest.raises(LogBroken, match="link"):
        box.open()


def test_tombstone_without_a_log_is_no_new_log(log_of_days):
    """
    Whoever removes the segments behind it does not get an empty log without a word.
    """
    box = log_of_days
    retired(box, 4)
    for path in box.files():
        path.unlink()

    with pytest.raises(LogCut):
        box.open()
    box.forget_head()
    with pytest.raises(LogBroken, match="nothing_behind_tombstone"):
        box.open()
    assert not box.verify().ok


def test_what_a_crash_has_left_is_no_evidence_and_goes_with_the_next_call(log_of_days):
    """
    One truth from the first instant of the tombstone on.
    """
    box = log_of_days
    before = box.copy("before")
    retired(box, 6)
    for path in before.files()[:3]:
        shutil.copy(path, box.paths.log_directory)
    shutil.copy(before.files()[0], box.paths.log_directory / f"{0:020d}.ndjson.zst.tmp")

    assert rows(box) == [6, 7, 8, 9]
    assert box.verify().ok
    with box.open(full=True) as log:
        assert log.recovery is None
    assert remove_leftovers(box.paths.log_directory) == 4
    assert box.names() == ["0-5.tombstone.json", "6.ndjson.zst", "8.ndjson"]
    assert remove_leftovers(box.paths.log_directory) == 0


def test_damaged_segment_is_retired_with_what_it_could_still_say(log_of_days):
    """
    The tombstone names fewer events than its range has.
    """
    box = log_of_days
    path = box.files()[0]
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    assert not box.verify().ok

    tombstone = retired(box, 4)

    assert (tombstone.first_seq, tombstone.last_seq, tombstone.events) == (0, 3, 2)
    assert box.verify().ok
    assert rows(box) == list(range(4, 10))


def test_segment_that_does_not_join_is_not_retired(log_of_days):
    """
    First it is to be found out what is missing.
    """
    box = log_of_days
    limit = limit_of(box)
    box.files()[1].unlink()

    with pytest.raises(LogBroken, match="link"):
        retire(box.paths, 6, limit, (), lambda: day(50))
    assert tombstones(box.paths.log_directory) == []


def test_retirement_can_be_killed_anywhere(log_of_days, killed_everywhere):
    """
    Before the tombstone is there nothing has happened; from then on everything has.
    """
    box = log_of_days
    limit = limit_of(box)
    original = box.copy("original")
    outcomes = set()

    def fresh():
        box.become(original)
        return lambda: retire(box.paths, 4, limit, TOTALS, lambda: day(50))

    for _ in killed_everywhere(fresh):
        is_done = bool(tombstones(box.paths.log_directory))
        outcomes.add((is_done, len([name for name in box.names() if "ndjson" in name])))
        assert rows(box) == list(range(4 if is_done else 0, 10))
        assert box.verify().ok
        with box.open() as log:
            assert log.recovery is None
            assert log.head.seq == 9
        if is_done:
            remove_leftovers(box.paths.log_directory)
        else:
            retired(box, 4)
        assert box.names() == ["0-3.tombstone.json", "4.ndjson.zst", "6.ndjson.zst", "8.ndjson"]
    assert outcomes == {(False, 5), (True, 5), (True, 4), (True, 3)}


@pytest.mark.parametrize("call", ["fsync", "rename", "unlink", "write"])
def test_retirement_can_be_killed_at_any_system_call(log_of_days, strace, call):
    """
    As the kernel sees it.
    """
    box = log_of_days
    original = box.copy("original")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    for number in range(1, 20):
        box.become(original)
        faults = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
        command = [*strace, *faults, sys.executable, "-c", RETIRE, str(box.paths.root)]
        done = subprocess.run(command, check=False, capture_output=True, env=environment)
        is_done = bool(tombstones(box.paths.log_directory))
        assert rows(box) == list(range(4 if is_done else 0, 10))
        assert box.verify().ok
        if not done.returncode:
            break
    assert number > 1
    assert box.names() == ["0-3.tombstone.json", "4.ndjson.zst", "6.ndjson.zst", "8.ndjson"]


@pytest.mark.parametrize("cycles", [12, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_acknowledged_events_stand_in_one_place_however_often_their_keeper_is_killed(box, cycles):
    """
    Each is in a segment or behind a tombstone, once, and nothing has to be repaired but a torn end.
    """
    dice = random.Random(8)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    forms = set()
    for cycle in range(cycles):
        command = [sys.executable, "-c", KEEPER, str(box.paths.root), str(cycle)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as keeper:
            assert keeper.stdout
            for _ in range(dice.randint(1, 60)):
                acknowledged = int(keeper.stdout.readline())
            keeper.kill()
        checked = box.verify()
        assert checked.ok
        with box.open(full=True) as log:
            assert log.recovery is None or not log.recovery.damaged
            assert log.head.seq + 1 >= acknowledged
            assert dict(log.cursors) == {"a": log.head.seq + 1}
        assert rows(box) == list(range(checked.retired_events, log.head.seq + 1))
        assert checked.retired_events == sum(each.events for each in tombstones(box.paths.log_directory))
        forms |= {path.suffix for path in box.files()}
    assert checked.retired_events > 0
    assert forms == {".zst", ".ndjson"}


def test_order_of_system_calls_survives_a_power_cut(log_of_days, strace, tmp_path):
    """
    The tombstone and its name are on disk before the first segment goes.
    """
    box = log_of_days
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*strace, "-y", "-e", "trace=fsync,rename,unlink", sys.executable, "-c", RETIRE, str(box.paths.root)]

    subprocess.run(command, check=True, env=environment)

    lines = (tmp_path / "trace").read_text().splitlines()
    calls = [line.split(maxsplit=1)[1] for line in lines if str(box.paths.root) in line and "ENOENT" not in line]
    assert [call.split("(")[0] for call in calls] == ["fsync", "rename", "fsync", "unlink", "unlink", "fsync"]
    assert "/log>" in calls[2]
    assert "/log>" in calls[5]


def test_full_disk_changes_nothing(log_of_days, monkeypatch):
    """
    No tombstone, no retirement.
    """
    box = log_of_days
    limit, names = limit_of(box), box.names()

    def full(*_):
        raise OSError(28, "full")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        with pytest.raises(DiskFull):
            retire(box.paths, 4, limit, TOTALS, lambda: day(50))

    assert box.names() == names
    assert rows(box) == list(range(10))


def test_writer_goes_on_meanwhile(log_of_days):
    """
    Retirement needs no lock of the writer.
    """
    box = log_of_days
    with box.open() as log:
        retire(box.paths, 8, Limit(day(100), (log.head,)), TOTALS, lambda: day(50))
        log.append([box.event(10)], {"a": 11})
        log.roll()
        log.append([box.event(11)], {"a": 12})
        retire(box.paths, 11, Limit(FOREVER, (log.head,)), (), lambda: day(60))

    assert rows(box) == [11]
    assert box.verify().ok


def test_mark_of_a_retired_segment_does_not_hold(log_of_days):
    """
    Tables of before are made anew.
    """
    box = log_of_days
    mark = slices(box.paths.log_directory)[0].mark
    retired(box, 4)

    assert not holds(box.paths.log_directory, mark)
    assert not holds(box.paths.log_directory, replace(mark, segment=4))


@pytest.mark.usefixtures("quick")
def test_random_damage_of_a_retired_log_is_told(log_of_days):
    """
    Any file of it: never an error of Python, and never silence.
    """
    box = log_of_days
    retired(box, 2)
    retired(box, 4)
    original = box.copy("original")
    dice = random.Random(3)

    for _ in range(200):
        box.become(original)
        path = dice.choice(sorted(box.paths.log_directory.iterdir())[:-1])
        content = path.read_bytes()
        start, length = dice.randrange(len(content)), dice.randrange(1, 40)
        changed = (
            content[:start] + dice.choice((b"", bytes(length), dice.randbytes(length))) + content[start + length :]
        )
        if changed == content:
            continue
        path.chmod(0o600)
        path.write_bytes(changed)
        assert not box.verify().ok
        for question in (lambda: rows(box), lambda: box.open().close()):
            with contextlib.suppress(TallystickError):
                question()
