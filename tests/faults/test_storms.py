"""
Many faults at random moments, one after the other: nothing is lost, doubled, or taken for what it is not.

The long forms (`make storm`) print what they came to; `docs/reliability.md` has the figures. A seed makes a run again.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from state.errors import TallystickError
from tests.faults.test_power_cut import lost_in_cuts
from tests.state.conftest import Box, flipped

SEED = int(os.environ.get("STORM_SEED", "20261123"))

#: How many in the long run.
KILLS = int(os.environ.get("STORM_KILLS", "10000"))
CUTS = int(os.environ.get("STORM_CUTS", "500"))
CORRUPTIONS = int(os.environ.get("STORM_CORRUPTIONS", "20000"))
#: So many cuts under a writer that does not wait for the disk: a test that sees no loss there sees none anywhere.
CONTROLS = 40


def long(count: int):
    """
    Mark a parameter as one of a long run, without a limit of time.
    """
    return pytest.param(count, marks=[pytest.mark.slow, pytest.mark.timeout(0)])


def told(figures: str) -> None:
    """
    Print what a storm came to, where it is not captured.
    """
    sys.stdout.write(f"\nstorm, seed {SEED}: {figures}\n")


@pytest.mark.parametrize("cycles", [long(KILLS)])
def test_storm_of_kills(box, start_writer, cycles):
    """
    A writer is killed at random moments; each start goes on by itself, and what was acknowledged is there once.
    """
    dice = random.Random(SEED)
    acknowledged = torn = 0
    for cycle in range(cycles):
        with start_writer(box, seed=cycle) as writer:
            assert writer.stdout
            for _ in range(dice.randint(1, 30)):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        with box.open() as log:
            assert log.head.seq + 1 >= acknowledged, cycle
            assert dict(log.cursors) == {"a": log.head.seq + 1}, cycle
            assert log.recovery is None or log.recovery.damaged == (), cycle
            torn += log.recovery is not None
    assert box.usage() == box.numbered(range(len(box.usage())))
    assert box.verify().ok
    told(f"{cycles:,} kill -9, {len(box.usage()):,} events, {torn:,} torn ends healed; 0 lost, 0 doubled, 0 by hand")


@pytest.mark.parametrize("cycles", [long(CUTS)])
def test_storm_of_power_cuts(disk, new_box, start_writer, cycles):
    """
    The plug is pulled under a writer; beside it stands a control that does not wait for the disk, and loses.
    """
    lost = lost_in_cuts(disk, new_box(disk.mountpoint / "patient"), start_writer, cycles, is_patient=True)
    control = lost_in_cuts(disk, new_box(disk.mountpoint / "impatient"), start_writer, CONTROLS, is_patient=False)

    told(
        f"{cycles:,} power cuts: {lost} lost, 0 doubled; without waiting for the disk {control} of {CONTROLS} cuts lost"
    )
    assert lost == 0
    assert control > CONTROLS * 0.9


# -- corruption ------------------------------------------------------------------------------------------------------

Corruption = Callable[[random.Random, bytes], bytes]


def one_bit(dice: random.Random, content: bytes) -> bytes:
    """Flip a bit."""
    return flipped(content, dice.randrange(len(content)))


def some_bits(dice: random.Random, content: bytes) -> bytes:
    """Flip several bits, anywhere."""
    for _ in range(dice.randint(2, 9)):
        content = one_bit(dice, content)
    return content


def zeroes(dice: random.Random, content: bytes) -> bytes:
    """Zero a part."""
    start = dice.randrange(len(content))
    length = min(dice.randint(1, 512), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def noise(dice: random.Random, content: bytes) -> bytes:
    """Put foreign bytes somewhere."""
    start = dice.randrange(len(content) + 1)
    return content[:start] + dice.randbytes(dice.randint(1, 64)) + content[start:]


def hole(dice: random.Random, content: bytes) -> bytes:
    """Take bytes out."""
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.randint(1, 300) :]


def cut(dice: random.Random, content: bytes) -> bytes:
    """Cut the end off."""
    return content[: dice.randrange(len(content))]


def cut_at_a_line(dice: random.Random, content: bytes) -> bytes:
    """Cut the end off behind a whole line: a commit, now and then."""
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: dice.randrange(len(lines))])


def line_dropped(dice: random.Random, content: bytes) -> bytes:
    """Drop a line."""
    lines = content.splitlines(keepends=True)
    del lines[dice.randrange(len(lines))]
    return b"".join(lines)


def line_doubled(dice: random.Random, content: bytes) -> bytes:
    """Write a line twice, the second time anywhere."""
    lines = content.splitlines(keepends=True)
    lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    return b"".join(lines)


def lines_swapped(dice: random.Random, content: bytes) -> bytes:
    """Swap two lines."""
    lines = content.splitlines(keepends=True)
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


CORRUPTIONS_KNOWN: tuple[Corruption, ...] = (
    one_bit,
    some_bits,
    zeroes,
    noise,
    hole,
    cut,
    cut_at_a_line,
    line_dropped,
    line_doubled,
    lines_swapped,
)


def several_segments(box: Box) -> Box:
    """
    Return a log of sealed segments, the first compressed, and one that is written to.
    """
    box.fill(2, 1, 3, 1, 2, 2, segment_bytes_max=900)
    assert box.compress()
    box.fill(1, 2, 1, segment_bytes_max=900)
    assert len(box.files()) > 2
    for path in box.files():
        path.chmod(0o600)
    return box


def batches_of(content: bytes) -> list[bytes]:
    """
    Cut plain lines into what was written at once; the last piece may be without its commit.
    """
    pieces, piece = [], b""
    for line in content.splitlines(keepends=True):
        piece += line
        if line.startswith(b'{"k":"commit"'):
            pieces.append(piece)
            piece = b""
    return pieces


def everything_below(root: Path) -> list[bytes]:
    """
    Read every file of a state directory.
    """
    return [path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()]


@pytest.mark.parametrize("count", [150, long(CORRUPTIONS)])
@pytest.mark.usefixtures("quick")
def test_storm_of_corruption(box, count):
    """
    Whatever becomes of the bytes: it is told, no event is read that was not written, or twice, and what a start takes
    out of the log lies in quarantine. A cut behind a whole batch is told by the remembered head.
    """
    whole = several_segments(box)
    written = set(whole.usage())
    pristine = whole.copy("pristine")
    dice = random.Random(SEED)
    done = refused = 0
    for number in range(count):
        box.become(pristine)
        path, corrupt = dice.choice(box.files()), dice.choice(CORRUPTIONS_KNOWN)
        before = path.read_bytes()
        after = corrupt(dice, before)
        if after == before:
            continue
        path.write_bytes(after)
        where = (SEED, number, corrupt.__name__, path.name)
        done += 1
        assert not verified(box), where
        refused += not goes_on(box, written, [] if path.suffix == ".zst" else kept(before, after), where)
    told(f"{done:,} corruptions: 0 undetected, 0 uncaught, 0 valid bytes deleted; {refused:,} starts refused")


def kept(before: bytes, after: bytes) -> list[bytes]:
    """
    Return the batches that a corruption has left as they were.
    """
    return [batch for batch in batches_of(before) if batch in after]


def verified(box: Box) -> bool:
    """
    Say whether a log is told to be whole; what stands behind the last commit is told apart, as any crash leaves it.
    """
    try:
        found = box.verify()
        return found.ok and not found.unfinished_bytes
    except TallystickError:
        return False


def goes_on(box: Box, written: set[tuple[object, object]], batches: list[bytes], where: object) -> bool:
    """
    Start over a damaged log, hold what it gives against what was written, and say whether it started.
    """
    try:
        box.open().close()
        is_started = True
    except TallystickError:
        is_started = False
    content = everything_below(box.paths.root)
    for batch in batches:
        assert any(batch in each for each in content), where
    if is_started:
        try:
            found = box.usage()
        except TallystickError:
            return False
        assert len(found) == len(set(found)), where
        assert set(found) <= written, where
    return is_started
