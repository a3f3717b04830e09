"""
Any history of appends, restarts and crashes against a model: a list of batches.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from state.log import Log

#: Events of a batch, and the cursors that move with it.
BATCH = st.tuples(st.integers(0, 5), st.dictionaries(st.sampled_from("abcé"), st.integers(0, 99), max_size=3))
HISTORY = st.lists(BATCH, min_size=1, max_size=12)


@contextlib.contextmanager
def quick_box(new_box) -> Iterator[Any]:
    """
    Make a state directory for one example, on a disk that need not be waited for.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.multiple(os, fsync=lambda _: None, fdatasync=lambda _: None),
    ):
        yield new_box(Path(directory) / "state")


def write(log: Log[int], history: list[tuple[int, dict[str, int]]], box) -> None:
    """
    Append *history*, numbering its events through.
    """
    for count, cursors in history:
        first = log.head.seq + 1
        log.append([box.event(first + index) for index in range(count)], cursors)


def folded(history: list[tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
    """
    Say what a log with this history holds: number of events, cursors.
    """
    cursors: dict[str, int] = {}
    for _, moved in history:
        cursors |= moved
    return sum(count for count, _ in history), cursors


@given(
    history=HISTORY, segment_bytes_max=st.sampled_from([1, 700, 2000, 1 << 20]), restarts=st.sets(st.integers(0, 11))
)
def test_log_holds_its_history_however_it_is_cut_into_segments_and_runs(new_box, history, segment_bytes_max, restarts):
    """
    Events in order, each once; cursors as last committed; whatever the size of segments and the number of restarts.
    """
    with quick_box(new_box) as box:
        runs = [index for index in sorted(restarts) if index < len(history)]
        for start, end in zip([0, *runs], [*runs, len(history)], strict=True):
            with box.open(segment_bytes_max=segment_bytes_max) as log:
                write(log, history[start:end], box)

        count, cursors = folded(history)
        with box.open() as log:
            assert (log.head.seq + 1, dict(log.cursors), log.recovery) == (count, cursors, None)
        assert box.usage() == box.numbered(range(count))
        assert box.verify().ok
        assert box.verify().events == count


@given(history=HISTORY, kept=st.floats(0, 1), junk=st.binary(max_size=50))
def test_log_cut_anywhere_is_a_prefix_of_its_history(new_box, history, kept, junk):
    """
    A file cut at any byte, with any bytes behind it, holds the batches before the cut, events and cursors together.
    """
    with quick_box(new_box) as box:
        with box.open() as log:
            born = log.head.end_offset_bytes
            write(log, history, box)
        content = box.files()[0].read_bytes()
        box.files()[0].write_bytes(content[: born + int((len(content) - born) * kept)] + junk)
        box.forget_head()

        with box.open() as log:
            prefixes = [folded(history[:length]) for length in range(len(history) + 1)]
            assert (log.head.seq + 1, dict(log.cursors)) in prefixes
            write(log, history, box)
        assert box.usage() == box.numbered(range(log.head.seq + 1))
        assert box.verify().ok
