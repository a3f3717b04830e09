"""
Readers get committed and proven bytes, each once, without the lock.
"""

from dataclasses import replace

import pytest

from state.errors import StateUnusable
from state.read import commits, holds, slices
from state.segment import open_segment


def numbers(found) -> list[tuple[int, int]]:
    """
    Say which sequence numbers the slices hold.
    """
    return [(part.first_seq, part.last_seq) for part in found]


def test_no_log_holds_nothing(box):
    """
    A reader may come before the first start of the daemon.
    """
    assert slices(box.paths.log_directory) == []
    assert list(commits(box.paths.log_directory)) == []
    assert box.verify().ok
    assert box.verify().head is None


def test_new_log_holds_a_commit_without_events(box):
    """
    Whoever shows cursors reads the commits without events, too.
    """
    box.open().close()

    assert numbers(slices(box.paths.log_directory)) == [(0, -1)]
    assert [batch.count for batch in commits(box.paths.log_directory)] == [0]


def test_neighbouring_batches_are_one_slice_per_segment(box):
    """
    As few ranges as possible, for a reader that starts a query per range.
    """
    box.fill(1, 2, 0, 1)
    box.fill(3, 1, segment_bytes_max=1)
    box.fill(0)

    found = slices(box.paths.log_directory)

    assert numbers(found) == [(0, 3), (4, 6), (7, 7)]
    assert [part.path for part in found] == box.files()
    assert [part.segment for part in found] == [0, 4, 7]
    assert box.usage() == box.numbered(range(8))


def test_slice_begins_behind_the_header_and_ends_behind_a_commit(box):
    """
    Its bytes are lines: events, and one commit behind each batch; the opening commit has none.
    """
    box.fill(2, 1)

    (part,) = slices(box.paths.log_directory)

    content = part.path.read_bytes()[part.start_offset_bytes : part.end_offset_bytes]
    assert [line[:6] for line in content.splitlines()] == [
        *(b'{"k":"', b'{"q":0', b'{"q":1', b'{"k":"', b'{"q":2', b'{"k":"')
    ]
    assert content.endswith(part.chain.encode() + b'"}\n')


@pytest.mark.parametrize("after", range(-1, 9))
def test_reading_on_gives_what_is_new(box, after):
    """
    From any number, also from within a batch: then its whole batch comes again.
    """
    box.fill(2, 3, segment_bytes_max=400)
    box.fill(1, 2, 1, segment_bytes_max=400)

    found = {line["q"] for line in box.lines(after)}

    assert found >= set(range(after + 1, 9))
    assert min(found, default=9) > after - 3


def test_hint_lists_exactly_what_is_behind_it(box):
    """
    Also commits without events; without a hint those right behind the number come again.
    """
    box.fill(1, 0)
    (first,) = slices(box.paths.log_directory)
    box.fill(0, 1)

    (rest,) = slices(box.paths.log_directory, first.mark.seq, first.mark)
    (again,) = slices(box.paths.log_directory, first.mark.seq)

    assert (rest.start_offset_bytes, rest.first_seq, rest.last_seq) == (first.end_offset_bytes, 1, 1)
    assert again.start_offset_bytes < rest.start_offset_bytes


def test_hint_skips_everything_before_it(box):
    """
    A refresh costs what is new, not what is there: what stands before the hint may even be unreadable.
    """
    box.fill(500, 1)
    with box.open() as log:
        hint = log.head
    box.fill(2)
    content = bytearray(box.files()[0].read_bytes())
    content[1000:10_000] = bytes(9_000)
    box.files()[0].write_bytes(content)

    found = slices(box.paths.log_directory, hint.seq, hint)

    assert numbers(found) == [(501, 502)]
    assert found[0].start_offset_bytes == hint.end_offset_bytes


def test_mark_of_a_slice_is_where_reading_goes_on(box):
    """
    Slice by slice, nothing is read twice and nothing is left out.
    """
    seen: list[int] = []
    mark = None
    for _ in range(5):
        box.fill(2, 0, 1, segment_bytes_max=500)
        for part in slices(box.paths.log_directory, mark.seq if mark else -1, mark):
            seen += range(part.first_seq, part.last_seq + 1)
            mark = part.mark

    assert seen == list(range(15))
    assert mark
    assert holds(box.paths.log_directory, mark)


def test_head_of_the_writer_is_a_hint_too(box):
    """
    Writer and reader mean the same by a mark.
    """
    box.fill(2, 1)
    with box.open() as log:
        head = log.head

    assert slices(box.paths.log_directory, head.seq, head) == []
    assert slices(box.paths.log_directory)[-1].mark == head
    assert box.verify().head == head


def test_hint_of_another_log_is_not_believed(box):
    """
    A wrong hint costs time, never events.
    """
    box.fill(1, 1, 1)
    mark = slices(box.paths.log_directory)[-1].mark
    wrong = [
        replace(mark, chain="0" * 64),
        replace(mark, segment=7),
        replace(mark, end_offset_bytes=mark.end_offset_bytes - 1),
        replace(mark, end_offset_bytes=mark.end_offset_bytes + 1000),
        replace(mark, end_offset_bytes=3),
    ]

    for hint in wrong:
        assert not holds(box.paths.log_directory, hint)
        assert numbers(slices(box.paths.log_directory, 0, hint)) == [(1, 2)]


def test_reader_works_while_the_log_is_written(box):
    """
    It never sees a batch before its commit.
    """
    with box.open() as log:
        log.append([box.event(0)], {})
        assert box.usage() == box.numbered([0])
        log.append([box.event(1)], {})
        assert box.usage() == box.numbered([0, 1])
        with box.files()[-1].open("ab") as file:
            file.write(b'{"q":2,"k":"usage","id":"2"}\n')

        assert box.usage() == box.numbered([0, 1])
        assert box.verify().ok
        assert box.verify().unfinished_bytes == 29


def test_commits_tell_where_each_batch_stands(box):
    """
    With its time, its cursors and the hash after it.
    """
    box.fill(2, 0, 1)

    batches = list(commits(box.paths.log_directory))

    assert [(batch.first_seq, batch.count, batch.last_seq) for batch in batches] == [
        (0, 0, -1),
        (0, 2, 1),
        (2, 0, 1),
        (2, 1, 2),
    ]
    assert [bytes(batch.commit.cur) for batch in batches] == [b"{}", b'{"a":2}', b'{"a":2}', b'{"a":3}']
    assert [batch.start_offset_bytes for batch in batches[1:]] == [batch.end_offset_bytes for batch in batches[:-1]]
    assert [batch.first_seq for batch in commits(box.paths.log_directory, 1)] == [2, 2]


def test_verify_counts_what_there_is(box):
    """
    Events, commits, segments, and the hash to note down elsewhere.
    """
    box.fill(2, 3, 0, segment_bytes_max=1)

    found = box.verify()

    assert (found.events, found.segments, found.ok, found.unfinished_bytes) == (5, 3, True, 0)
    assert found.commits == 6
    with box.open() as log:
        assert found.head_hash == log.head.chain


def test_planted_link_is_not_read(box, tmp_path):
    """
    A segment is a file of ours.
    """
    box.fill(1)
    box.files()[0].rename(tmp_path / "elsewhere")
    (box.paths.log_directory / f"{0:020d}.ndjson").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateUnusable, match="reason=ELOOP"):
        open_segment(box.files()[0])
