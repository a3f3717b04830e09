"""
Damaged logs: noticed always, cut never, and read around.
"""

import json
import random
import shutil

import pytest

from state.errors import LogBroken, LogCut, TallystickError
from state.read import slices
from state.segment import chained
from tests.state.conftest import flipped


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_flipped_bit_in_any_byte_costs_its_own_batch_only(box, every):
    """
    Opening keeps every other batch on disk and readable, or changes nothing and says why; and it says it once.
    """
    box.fill(2, 0, 3, 1)
    box.forget_head()
    batches = box.batches()
    content = b"".join(batches)
    ends = [len(b"".join(batches[: index + 1])) for index in range(len(batches))]

    for offset in range(0, len(content), every):
        struck = next(index for index, end in enumerate(ends) if offset < end)
        hurt = box.copy("hurt")
        hurt.files()[0].write_bytes(flipped(content, offset))
        before = hurt.snapshot()
        try:
            with hurt.open() as log:
                assert log.recovery is not None
        except TallystickError:
            assert hurt.snapshot() == before
            continue
        after = b"".join(hurt.snapshot().values())
        assert all(batch in after for index, batch in enumerate(batches) if index != struck), offset
        numbers = {1: range(2), 3: range(2, 5), 4: range(5, 6)}.get(struck, range(0))
        assert hurt.usage() == box.numbered(sorted(set(range(6)) - set(numbers))), offset
        segments = len(hurt.files())
        if offset % (8 * every) == 0:
            hurt.fill(1)
        assert len(hurt.files()) == segments


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_flipped_bit_in_an_old_segment_never_stops_or_shortens_the_rest(box, every):
    """
    A byte of a sealed segment is damaged: every other batch is still read, and nothing is written there.
    """
    box.fill(2, 0, 1, 2, 1, segment_bytes_max=700)
    path = box.files()[0]
    content = path.read_bytes()
    later = [line["q"] for line in box.lines() if line["q"] >= int(box.files()[1].stem)]

    for offset in range(0, len(content), every):
        hurt = box.copy("hurt")
        hurt.files()[0].write_bytes(flipped(content, offset))

        with hurt.open(full=True) as log:
            assert log.recovery is not None
            assert len(log.recovery.damaged) == 1
        assert hurt.files()[0].read_bytes() == flipped(content, offset)
        assert {number for number, _ in hurt.usage()} >= set(later)


def test_sources_are_read_again_from_before_the_damage(box):
    """
    The cursors go back to the last good commit before the damage, and stay there until something is appended.
    """
    with box.open() as log:
        log.append([box.event(0)], {"a": 1, "b": 1})
        log.append([box.event(1)], {"a": 2})
        log.append([box.event(2)], {"a": 3, "b": 2, "new": 1})
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], 10), batches[3]])

    for _ in range(3):
        with box.open() as log:
            assert dict(log.cursors) == {"a": 1, "b": 1}
            assert log.head.seq == 3
    assert len(box.files()) == 2


def test_damage_is_told_at_every_check_and_recovered_once(box):
    """
    `verify` goes on failing, so that nobody forgets; the log does not grow a segment at each start.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], 10), batches[3]])
    box.open().close()
    recovered = box.snapshot()

    for full in (False, True):
        with box.open(full=full) as log:
            assert (log.recovery is None) == (not full)
    check = box.verify()

    assert box.snapshot() == recovered
    assert not check.ok
    assert not check.cut
    assert [(d.first_missing_seq, d.last_missing_seq) for d in check.damaged] == [(1, 1)]


def test_damage_and_a_torn_end_are_two_things(box):
    """
    The end is cut off, the middle is not.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    box.files()[0].write_bytes(b"".join([*batches[:2], flipped(batches[2], 10), batches[3], batches[3][:30]]))

    with box.open() as log:
        assert log.recovery.quarantined.read_bytes() == batches[3][:30]
        assert len(log.recovery.damaged) == 1
    assert box.files()[0].read_bytes() == b"".join([*batches[:2], flipped(batches[2], 10), batches[3]])


def test_damage_without_events_needs_no_new_segment(box):
    """
    Only a cursor was lost: it stands a little further back, and its source is read from there.
    """
    with box.open() as log:
        log.append([box.event(0)], {"a": 1})
        log.append([], {"a": 2, "b": 1})
        log.append([], {"b": 2})
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], 20), batches[3]])

    for _ in range(2):
        with box.open() as log:
            assert dict(log.cursors) == {"a": 1, "b": 2}
            assert log.recovery.read_again == ()
            assert len(log.recovery.damaged) == 1
    assert len(box.files()) == 1
    assert not box.verify().ok


def test_commit_whose_line_hangs_on_a_damaged_one_is_found(box):
    """
    The newline between two commit lines is damaged: the second one, the last of the log, is proven all the same.
    """
    box.fill(1, 1, 0)
    box.forget_head()
    batches = box.batches()
    box.put([*batches[:2], batches[2][:-1] + b"x", batches[3]])
    before = box.files()[0].read_bytes()

    with box.open() as log:
        assert log.recovery.quarantined is None
        assert [damage.first_missing_seq for damage in log.recovery.read_again] == [1]
    assert box.files()[0].read_bytes() == before


def test_lost_opening_commit_is_made_up_from_the_segment_before(box):
    """
    The statement of all cursors is damaged: they are folded from the whole log instead.
    """
    box.fill(1, 1, segment_bytes_max=1)
    box.fill(1, 1)
    batches = box.batches()
    box.put([flipped(batches[0], len(batches[0]) - 100), *batches[1:]])

    with box.open() as log:
        assert dict(log.cursors) == {"a": 4}
        assert log.recovery.read_again == ()


def test_loss_in_a_sealed_segment_is_read_again_after_a_full_check(box):
    """
    A start looks at the last segment only; a full one finds old losses, tells each once, and goes back to before.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    box.fill(1, 1, segment_bytes_max=1)
    path = box.files()[0]
    path.write_bytes(path.read_bytes().replace(batches[2], flipped(batches[2], 10)))

    with box.open() as log:
        assert log.recovery is None
        assert dict(log.cursors) == {"a": 5}
    with box.open(full=True) as log:
        assert len(log.recovery.read_again) == 1
        assert dict(log.cursors) == {"a": 1}
    with box.open(full=True) as log:
        assert log.recovery.read_again == ()
        assert dict(log.cursors) == {"a": 1}
    assert [line["first_missing_seq"] for line in box.lines() if line["k"] == "recovery"] == [1]


def test_old_loss_is_told_even_if_the_last_segment_has_no_event(box):
    """
    The next segment would take the name of the last: that one gets the event first.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    box.fill(1, 1, segment_bytes_max=1)
    last = box.files()[-1]
    last.write_bytes(b"".join(box.batches()[:1]))
    box.forget_head()
    path = box.files()[0]
    path.write_bytes(path.read_bytes().replace(batches[2], flipped(batches[2], 10)))

    for _ in range(3):
        with box.open(full=True) as log:
            assert dict(log.cursors) == {"a": 1}
    assert len({line["first_missing_seq"] for line in box.lines() if line["k"] == "recovery"}) == 1
    assert len(box.files()) == 4


def test_second_loss_does_not_hide_the_first(box):
    """
    The very event that told of a loss is lost: its sources are still read again from before the first loss.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], 10), batches[3]])
    box.open().close()
    box.fill(1, 1)
    batches = box.batches()
    box.put([flipped(batches[0], len(batches[0]) - 100), *batches[1:]])

    with box.open() as log:
        assert dict(log.cursors) == {"a": 1}
        assert len(log.recovery.read_again) == 2
    with box.open(full=True) as log:
        assert log.recovery.read_again == ()


def test_cut_of_cursors_alone_is_noticed(box):
    """
    No event is missing, but a cursor has gone back.
    """
    box.fill(1, 0)
    batches = box.batches()
    box.put(batches[:-1])

    with pytest.raises(LogCut):
        box.open()


@pytest.mark.parametrize("offset", [0, 50, -1])
def test_damaged_last_batch_is_no_torn_one(box, offset):
    """
    It had been acknowledged: we remember it, and do not cut it off.
    """
    box.fill(1, 1)
    batches = box.batches()
    box.put([*batches[:-1], flipped(batches[-1], offset % len(batches[-1]))])
    before = box.snapshot()

    with pytest.raises(LogCut):
        box.open()

    assert box.verify().cut
    assert box.snapshot() == before


def test_loss_can_be_accepted(box):
    """
    Without the remembered head, the damaged end goes to quarantine and the sources are read again from before it.
    """
    box.fill(1, 1)
    batches = box.batches()
    box.put([*batches[:-1], flipped(batches[-1], 5)])
    box.forget_head()

    with box.open() as log:
        assert dict(log.cursors) == {"a": 1}
        assert log.recovery.quarantined.read_bytes() == flipped(batches[-1], 5)
    box.fill(1)
    assert box.usage() == box.numbered(range(2))
    assert box.verify().ok


def test_another_log_in_its_place_is_noticed(box, tmp_path):
    """
    However long it is: its commits are not those we remember.
    """
    box.fill(1)
    other = type(box)(tmp_path / "other")
    other.fill(1, 1, 1)
    shutil.rmtree(box.paths.log_directory)
    shutil.copytree(other.paths.log_directory, box.paths.log_directory)

    with pytest.raises(LogCut):
        box.open()

    assert box.verify().cut


def test_log_that_went_astray_is_no_new_log(box):
    """
    An unmounted log/ must not be begun again from nothing.
    """
    box.fill(1)
    shutil.rmtree(box.paths.log_directory)

    with pytest.raises(LogCut):
        box.open()

    assert box.files() == []
    assert box.verify().cut


@pytest.mark.parametrize("memory", [b"", b"\x00" * 300, b"nonsense\n", None])
def test_lost_memory_is_no_alarm(box, memory):
    """
    The head is not synced: after a power cut it may be old, torn or gone.
    """
    box.fill(1)
    record = bytearray(box.paths.head.read_bytes())
    record[70] ^= 1
    box.paths.head.write_bytes(bytes(record) if memory is None else memory)

    assert box.verify().ok
    box.fill(1)
    assert box.usage() == box.numbered(range(2))


def test_memory_that_lags_is_no_alarm(box):
    """
    A crash between commit and memory: the log is ahead.
    """
    box.fill(1, 1, segment_bytes_max=1)
    old = box.paths.head.read_bytes()
    box.fill(1, 1, 1, segment_bytes_max=1)
    box.paths.head.write_bytes(old)

    assert box.verify().ok
    box.open().close()


def test_foreign_segment_is_refused(box, tmp_path):
    """
    The same numbers, but from another log.
    """
    box.fill(1, 1, 1, segment_bytes_max=1)
    other = type(box)(tmp_path / "other")
    other.fill(1, 1, 1, segment_bytes_max=1)
    shutil.copy(other.files()[1], box.files()[1])

    with pytest.raises(LogBroken):
        box.open()

    assert "link" in {damage.reason for damage in box.verify().damaged}


def test_other_files_in_the_log_directory_are_let_be(box):
    """
    A listing, an editor's backup, a half-made archive.
    """
    box.fill(1)
    (box.paths.log_directory / "README").write_text("hello")
    (box.paths.log_directory / "00000000000000000000.ndjson~").write_text("hello")

    box.fill(1)

    assert box.verify().ok


def test_empty_last_segment_is_refused(box):
    """
    Segments are born whole; one without a proven byte was damaged, and is not cut down to nothing.
    """
    box.fill(1)
    for content in (b"", bytes(1000), b"{}\n"):
        box.files()[0].write_bytes(content)
        box.forget_head()
        with pytest.raises(LogBroken):
            box.open()
        assert box.files()[0].read_bytes() == content
        assert not box.verify().ok


@pytest.mark.parametrize("kept_lines", [0, 1])
def test_last_segment_without_a_proven_batch_is_refused(box, kept_lines):
    """
    It is not cut down to nothing, with or without a header, even if others stand before it.
    """
    for segment_bytes_max in (1 << 20, 1):
        box.fill(1, 1, segment_bytes_max=segment_bytes_max)
        lines = box.files()[-1].read_bytes().splitlines(keepends=True)
        hurt = box.copy("hurt")
        hurt.files()[-1].write_bytes(b"".join(lines[:kept_lines]) + bytes(500))
        hurt.forget_head()
        before = hurt.snapshot()

        with pytest.raises(LogBroken):
            hurt.open()

        assert hurt.snapshot() == before
        assert not hurt.verify().ok


def test_remembered_commit_that_is_damaged_is_no_cut(box):
    """
    We remember an older commit, whose hash is damaged: the log behind it is there.
    """
    box.fill(1, 1)
    old = box.paths.head.read_bytes()
    box.fill(1, 1)
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], len(batches[2]) - 20), *batches[3:]])
    box.paths.head.write_bytes(old)

    assert not box.verify().cut
    with box.open() as log:
        assert len(log.recovery.read_again) == 1


def test_damaged_name_of_the_log_is_outvoted(box):
    """
    A flipped bit in a header does not make another log of it: readers and new segments name it as all others do.
    """
    box.fill(1, 1, 1, 1, segment_bytes_max=1)
    with box.open() as log:
        name = log.log_id
    hurt = name.replace(name[0], "0" if name[0] != "0" else "1", 1)

    for index in (0, 1, 3):
        path = box.files()[index]
        content = path.read_bytes()
        path.write_bytes(content.replace(name.encode(), hurt.encode(), 1))
        assert {part.log_id for part in slices(box.paths.log_directory)} == {name}
        path.write_bytes(content)


def test_damaged_name_of_a_single_segment_is_made_up_from_memory(box):
    """
    The remembered commit is there, so it is the log we remember.
    """
    box.fill(1, 1)
    with box.open() as log:
        name = log.log_id
    content = box.files()[0].read_bytes()
    box.files()[0].write_bytes(content.replace(name[:4].encode(), b"0000", 1))

    with box.open() as log:
        assert log.log_id == name


def test_overlap_behind_a_damaged_end_is_refused(box):
    """
    A damaged end may explain what is missing, but not what is there twice.
    """
    box.fill(3, 1, segment_bytes_max=1)
    first, second = box.files()
    with first.open("ab") as file:
        file.write(b"junk")
    second.rename(box.paths.log_directory / f"{2:020d}.ndjson")

    with pytest.raises(LogBroken):
        box.open()

    assert "link" in {damage.reason for damage in box.verify().damaged}


def test_renamed_segment_is_refused(box):
    """
    Its name is the number of its first event.
    """
    box.fill(3, 3, 3, segment_bytes_max=1)
    box.files()[1].rename(box.paths.log_directory / f"{4:020d}.ndjson")

    with pytest.raises(LogBroken):
        box.open()


def test_endless_garbage_is_not_read_into_memory(box, monkeypatch):
    """
    A reader holds no more than the largest batch.
    """
    monkeypatch.setattr("state.scan.BATCH_BYTES_MAX", 100_000)
    monkeypatch.setattr("state.scan._CHUNK_BYTES", 10_000)
    box.fill(1)
    with box.files()[0].open("ab") as file:
        file.write(b"x" * 1_000_000)

    with pytest.raises(LogBroken):
        box.verify()
    with pytest.raises(LogBroken):
        box.open()


def test_small_reads_prove_the_same(box, monkeypatch):
    """
    Where the chunks end makes no difference.
    """
    box.fill(1, 5, 0, 2)
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], 30), *batches[3:]])
    found = box.verify()

    for chunk_bytes in (1, 7, 64, 1000):
        monkeypatch.setattr("state.scan._CHUNK_BYTES", chunk_bytes)
        assert box.verify() == found


def test_no_content_is_in_a_message(box):
    """
    Damage is told by place and number.
    """
    with box.open() as log:
        log.append([b'{"k":"usage","id":"CANARY"}'], {"a": 1})
        log.append([b'{"k":"usage","id":"CANARY"}'], {"a": 2})
    batches = box.batches()
    box.put([flipped(batches[0], 3), batches[1][:-5]])

    with pytest.raises(TallystickError) as error:
        box.open()

    assert "CANARY" not in str(error.value)
    assert "CANARY" not in repr(box.verify())


def campaign(box, cycles: int) -> None:
    """
    Mutate a log of several segments at random: flips, cuts, insertions, moved and zeroed ranges.
    """
    dice = random.Random(11)
    box.fill(*[dice.randint(0, 4) for _ in range(25)], segment_bytes_max=2000)
    original = {path.name: path.read_bytes() for path in box.files()}
    events = set(box.usage())
    for cycle in range(cycles):
        hurt = box.copy("hurt")
        path = dice.choice(hurt.files())
        content = path.read_bytes()
        start, end = sorted(dice.sample(range(len(content)), 2))
        end = min(end, start + dice.choice([1, 16, 512]))
        mutated = dice.choice(
            [
                flipped(content, start),
                content[:start] + content[end:],
                content[:start] + bytes(end - start) + content[end:],
                content[:end] + content[start:],
                content[:start] + dice.randbytes(end - start) + content[end:],
            ]
        )
        path.write_bytes(mutated)
        assert mutated == content or not hurt.verify().ok, cycle
        before = hurt.snapshot()
        try:
            hurt.open(full=dice.random() < 0.5).close()
        except TallystickError:
            assert hurt.snapshot() == before, cycle
            continue
        assert all(hurt.snapshot()[old] == now for old, now in before.items()), cycle
        usage = hurt.usage()
        assert set(usage) <= events, cycle
        assert len(set(usage)) == len(usage), cycle
    assert original == {path.name: path.read_bytes() for path in box.files()}


@pytest.mark.usefixtures("quick")
def test_random_damage_is_never_missed_nor_made_worse(box):
    """
    Undetected: 0. Uncaught: 0. Valid later bytes deleted: 0. Events made up or doubled: 0.
    """
    campaign(box, cycles=100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("quick")
def test_twenty_thousand_random_damages_are_never_missed_nor_made_worse(box):
    """
    The same, as often as the release asks for.
    """
    campaign(box, cycles=20_000)


def test_recovery_event_is_json_of_our_own(box):
    """
    It is read by the projections like any other event.
    """
    box.fill(1, 1, 1)
    batches = box.batches()
    box.put([*batches[:2], flipped(batches[2], 10), batches[3]])
    box.open().close()

    lines = box.files()[-1].read_bytes().splitlines()

    assert json.loads(lines[1])["k"] == "recovery"
    assert json.loads(lines[2])["n"] == 1


@pytest.mark.parametrize(
    ("first_seq", "count", "lines"),
    [
        (1, 1, b'{"q":2,"id":"2"}\n'),
        (1, 2, b'{"q":1,"id":"1"}\n{"q":3,"id":"3"}\n'),
        (1, 1, b'{"id":"1"}\n'),
        (1, 1, b'{"q":1,"id":"1"}\n\n'),
        (1, 2, b'{"q":1,"id":"1"}\n{}\n{"q":2,"id":"2"}\n'),
        (1, 0, b'{"q":1,"id":"1"}\n'),
        (2, 1, b'{"q":1,"id":"1"}\n'),
        (2, 1, b'{"q":2,"id":"2"}\n'),
        (0, 1, b'{"q":0,"id":"0"}\n'),
    ],
)
def test_wrong_numbers_are_noticed_although_the_hash_is_right(box, first_seq, count, lines):
    """
    A hash proves what was written, not that it was right to write it.
    """
    box.fill(1)
    with box.open() as log:
        chain = log.head.chain
    line = b'{"k":"commit","s":%d,"n":%d,"cur":{},"t":"","m":0,"boot":"","h":"' % (first_seq, count)
    ending = chained(chain, lines + line).encode() + b'"}\n'
    with box.files()[0].open("ab") as file:
        file.write(lines + line + ending)

    assert box.verify().unfinished_bytes == len(lines + line + ending)
    assert len(box.usage()) == 1
