"""
Damaged compressed segments: noticed always, and read around.
"""

import random
import subprocess
import sys
import tracemalloc

import pytest

from state.errors import LogBroken, TallystickError
from state.read import slices
from tests.state.conftest import flipped


def hurt(path, content: bytes) -> None:
    """
    Put other bytes in place of a compressed segment's.
    """
    path.chmod(0o600)
    path.write_bytes(content)


def outcome(box):
    """
    Say which events a reader is given; None when he is told that the log cannot be served.
    """
    try:
        return box.usage()
    except TallystickError:
        return None


@pytest.fixture
def small(box):
    """
    Return a log of two compressed segments of one frame, and an open one.
    """
    with box.open() as log:
        log.append([box.event(0), box.event(1)], {"a": 2})
        log.append([box.event(2)], {"a": 3})
        log.roll()
        log.append([box.event(3), box.event(4)], {"a": 5})
        log.roll()
        log.append([box.event(5)], {"a": 6})
    assert box.compress() == [0, 3]
    return box


@pytest.fixture(scope="module")
def large(tmp_path_factory, new_box):
    """
    Return a log with a compressed segment of about eight frames, four events each, between two of one frame.
    """
    box = new_box(tmp_path_factory.mktemp("large") / "state")
    pad = random.Random(1)
    with box.open() as log:
        log.append([box.event(0)], {"a": 1})
        log.roll()
        for number in range(1, 33):
            event = b'{"k":"usage","id":"%d","pad":"%b"}' % (number, pad.randbytes(31_000).hex().encode())
            log.append([event], {"a": number + 1})
        log.roll()
        log.append([box.event(33)], {"a": 34})
        log.roll()
        log.append([box.event(34)], {"a": 35})
    assert box.compress() == [0, 1, 33]
    return box


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_verify_sees_a_flipped_bit_in_any_byte(small, every):
    """
    Frames, index, trailer: there is no byte that nobody watches, and none that stops what is proven elsewhere.
    """
    path = small.files()[0]
    content = path.read_bytes()
    elsewhere = {number for number, _ in small.usage() if number >= 3}

    for offset in range(0, len(content), every):
        hurt(path, flipped(content, offset))
        found = small.verify()
        assert not found.ok, offset
        assert {damage.segment for damage in found.damaged} == {0}
        served = outcome(small)
        assert served is not None
        assert {number for number, _ in served} >= elsewhere


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_verify_sees_a_file_that_was_cut_at_any_byte(small, every):
    """
    Or has bytes behind its end; an empty one, too.
    """
    path = small.files()[1]
    content = path.read_bytes()
    whole = small.usage()

    for end in range(0, len(content), every):
        hurt(path, content[:end])
        found = small.verify()
        assert not found.ok, end
        assert all(damage.segment == 3 for damage in found.damaged)
        served = outcome(small)
        assert served is not None
        assert {number for number, _ in whole} - {number for number, _ in served} <= {3, 4}
    for more in (b"\0", b"x" * 1000, content):
        hurt(path, content + more)
        assert not small.verify().ok
        assert outcome(small) == whole


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_log_with_a_damaged_archive_is_opened_and_says_so_or_is_refused(small, every):
    """
    A start never ends in an error that is none of ours, and never changes the damaged file.
    """
    content = small.files()[0].read_bytes()
    kept = {number for number, _ in small.usage() if number >= 3}

    for offset in range(0, len(content), 3 * every):
        broken = small.copy("broken")
        path = broken.files()[0]
        hurt(path, flipped(content, offset))
        with broken.open(full=True) as log:
            assert log.recovery is not None
            assert log.recovery.damaged
        assert path.read_bytes() == flipped(content, offset)
        assert {number for number, _ in broken.usage()} >= kept
        broken.fill(1)
        assert not broken.verify().ok


def test_damaged_frame_costs_its_own_batches_only(large):
    """
    What stands before and behind it in the same segment is served.
    """
    path = large.files()[1]
    content = path.read_bytes()
    dice = random.Random(5)

    lost = []
    for offset in [dice.randrange(len(content) - 2000) for _ in range(40)]:
        hurt(path, flipped(content, offset))
        numbers = {number for number, _ in large.usage()}
        lost.append(set(range(35)) - numbers)
        assert not large.verify().ok
    hurt(path, content)

    assert all(1 <= len(each) <= 6 for each in lost)
    assert len(set().union(*lost)) > 20
    assert large.verify().ok


def test_lost_frame_is_read_again_from_the_sources(large):
    """
    As with any other damage: the cursors go back to before it, and a new segment tells of it.
    """
    broken = large.copy("again")
    path = broken.files()[1]
    hurt(path, flipped(path.read_bytes(), len(path.read_bytes()) // 2))

    with broken.open(full=True) as log:
        (damage,) = log.recovery.read_again
        assert dict(log.cursors) == {"a": damage.first_missing_seq}
    assert [line["first_missing_seq"] for line in broken.lines() if line["k"] == "recovery"] == [
        damage.first_missing_seq
    ]
    assert 1 < damage.first_missing_seq <= damage.last_missing_seq < 33


def test_segment_without_its_index_is_read_all_the_same(large):
    """
    The index is damaged, and no event: nothing is lost but the index, and that is told.
    """
    path = large.files()[1]
    content = path.read_bytes()
    whole = large.usage()

    hurt(path, flipped(content, len(content) - 20))
    found, served = large.verify(), large.usage()
    hurt(path, content)

    assert [(damage.segment, damage.reason, damage.first_missing_seq) for damage in found.damaged] == [
        (1, "index", None)
    ]
    assert served == whole


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_truncated_segment_is_served_up_to_its_end(large, share):
    """
    And the segments behind it are served as before.
    """
    path = large.files()[1]
    content = path.read_bytes()

    hurt(path, content[: int(len(content) * share)])
    found, numbers = large.verify(), [number for number, _ in large.usage()]
    hurt(path, content)

    left = [number for number in numbers if 1 <= number < 33]
    assert [damage.reason for damage in found.damaged] == ["index", "bytes"]
    assert left == list(range(1, 1 + len(left)))
    assert int(32 * share) - 6 <= len(left) <= int(32 * share)
    assert (found.damaged[1].first_missing_seq, found.damaged[1].last_missing_seq) == (1 + len(left), 32)
    assert {0, 33, 34} <= set(numbers)


def test_missing_archive_is_refused(large):
    """
    As any other segment of the log.
    """
    broken = large.copy("missing")
    broken.files()[1].unlink()

    with pytest.raises(LogBroken, match="link"):
        slices(broken.paths.log_directory)
    with pytest.raises(LogBroken, match="link"):
        broken.open()
    assert not broken.verify().ok


def test_archive_of_another_log_is_refused(large, new_box, tmp_path):
    """
    It is proven by itself, and follows nothing.
    """
    other = new_box(tmp_path / "other")
    other.fill(1, 1, segment_bytes_max=1)
    other.compress()
    broken = large.copy("foreign")
    hurt(broken.files()[0], other.files()[0].read_bytes())

    assert not broken.verify().ok
    with pytest.raises(LogBroken, match="link"):
        broken.open(full=True)


@pytest.mark.parametrize("cycles", [60, pytest.param(1_000, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("quick")
def test_random_damage_is_told_and_never_an_error_of_python(small, cycles):
    """
    Bytes overwritten, cut out, put in, or zeroed, in any file of the log.
    """
    dice = random.Random(11)
    original = small.copy("original")

    for _ in range(cycles):
        small.become(original)
        path = dice.choice(small.files()[:2])
        content = path.read_bytes()
        start = dice.randrange(len(content))
        length = dice.randrange(1, 60)
        put = dice.choice((b"", bytes(length), dice.randbytes(length), content[start : start + length] * 2))
        changed = content[:start] + put + content[start + length :]
        if changed == content:
            continue
        hurt(path, changed)
        assert not small.verify().ok
        outcome(small)
        try:
            small.open(full=True).close()
        except TallystickError:
            pass
        else:
            assert {number for number, _ in small.usage()} >= {5}


def test_frame_that_claims_to_be_huge_is_not_unpacked(small):
    """
    A damaged index leaves the frames to speak for themselves; none is larger than ours are.
    """
    bomb = "import zstandard; print(zstandard.ZstdCompressor().compress(bytes(1 << 30)).hex())"
    content = bytes.fromhex(
        subprocess.run([sys.executable, "-c", bomb], check=True, capture_output=True).stdout.decode()
    )
    path = small.files()[0]
    hurt(path, content)
    tracemalloc.start()
    try:
        assert not small.verify().ok
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert {number for number, _ in small.usage()} == {3, 4, 5}
