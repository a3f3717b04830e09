"""What happens to a count when files grow, move, shrink, are rewritten, compressed or deleted between two passes."""

import os
import shutil
from pathlib import Path

import pytest
import zstandard

from adapters.claude_code import ADAPTER as CLAUDE
from adapters.contract import Header
from daemon.bootstrap import open_log, roots, seen_files
from daemon.discover import Found, look_at
from daemon.identity import Unsteady, continuity
from daemon.ingest import Ingest
from daemon.reading import Reading
from daemon.reconcile.disk import look
from daemon.tail import SourceFile
from state.cursors import Cursor
from state.read import commits
from state.verify import verify
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines, gptme_lines, later


def compress(path: Path) -> Path:
    """Compress *path* as Codex does with cold rollouts: the plain file goes away."""
    packed = path.with_name(path.name + ".zst")
    packed.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()
    return packed


def test_a_grown_file_is_read_from_where_reading_ended(host: Host) -> None:
    """
    The second pass reads the new bytes only.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5))
    host.ingest()
    with log.open("ab") as more:
        more.write(claude_line("msg_b", 7, second=1))

    second = host.ingest()

    assert (2, 32) == host.totals()
    assert len(claude_line("msg_b", 7, second=1)) == second.read.bytes_read


def test_an_unchanged_home_adds_nothing(host: Host) -> None:
    """
    A pass over files that did not change appends no event and reads no byte.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.codex().write_bytes(codex_lines([100, 250]))
    host.ingest()
    before = host.hashes()

    again = host.ingest()

    assert (0, 0, 0) == (again.read.events, again.read.bytes_read, again.read.files_read)
    assert before == host.hashes()


def test_a_partial_line_that_becomes_final_replaces_itself(host: Host) -> None:
    """
    A row is measured while the call is still being written; its final line supersedes it.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 1, stop=None))
    host.ingest()
    assert (1, 11) == host.totals()
    with log.open("ab") as more:
        more.write(claude_line("msg_a", 300, second=2))

    host.ingest()

    assert (1, 310) == host.totals()
    assert [("poorer", 300)] == [
        (row["reason"], row["winner"])
        for row in host.rows(
            "SELECT s.reason, e.output_tokens AS winner FROM superseded AS s INNER JOIN events AS e ON s.by_seq = e.seq"
        )
    ]


def test_a_half_written_line_waits_for_its_newline(host: Host) -> None:
    """
    An agent flushes in mid-line; nothing is counted until the rest is there, and then once.
    """
    log, line = host.claude(), claude_line("msg_a", 5)
    log.write_bytes(line[:60])
    host.ingest()
    assert (0, None) == host.totals()
    log.write_bytes(line)

    host.ingest()

    assert (1, 15) == host.totals()
    assert 0 == host.usage()["rejected_lines"]


def test_a_complete_last_line_without_newline_counts_once(host: Host) -> None:
    """
    It counts at the end of a pass with the mark still before it, and not again: neither in the next pass, nor when its
    newline comes.
    """
    log, line = host.claude(), claude_line("msg_a", 5)
    log.write_bytes(line.rstrip(b"\n"))
    host.ingest()
    later(log)
    second = host.ingest()
    marks = [
        row["offset_bytes"]
        for row in host.rows("SELECT offset_bytes FROM high_water_marks WHERE lines >= 0 AND source_name IS NOT NULL")
    ]
    log.write_bytes(line)

    host.ingest()

    assert [0] == marks
    assert 0 == second.read.events
    assert (1, 15) == host.totals()


def test_a_moved_rollout_goes_on_at_its_new_place(host: Host) -> None:
    """
    What is appended after the move continues the same running total.
    """
    host.codex().write_bytes(codex_lines([100, 250]))
    host.ingest()
    host.codex().rename(host.codex(archived=True))
    host.ingest()
    host.codex(archived=True).write_bytes(codex_lines([100, 250, 400]))

    host.ingest()

    assert (3, 400) == host.totals()
    assert not host.rows("SELECT * FROM reconciliation WHERE residual_tokens <> 0")


def test_a_rollout_that_comes_back_from_the_archive_is_read_on_from_its_mark(host: Host) -> None:
    """
    What was appended in the archive was read there: no line of it is read twice, or supersedes itself.
    """
    live, archived = host.codex(), host.codex(archived=True)
    live.write_bytes(codex_lines([100, 250]))
    host.ingest()
    live.rename(archived)
    host.ingest()
    archived.write_bytes(codex_lines([100, 250, 400]))
    host.ingest()
    archived.rename(live)

    back = host.ingest()

    assert 0 == back.read.bytes_read
    assert (3, 400) == host.totals()
    assert [] == host.rows("SELECT * FROM superseded")
    assert ["opened", "moved", "moved"] == host.changes()


def test_a_compressed_rollout_counts_once_also_when_it_comes_back(host: Host) -> None:
    """
    Plain, compressed, and plain again with more in it: one running total.
    """
    log = host.codex()
    log.write_bytes(codex_lines([100, 250]))
    host.ingest()
    packed = compress(log)
    host.ingest()
    assert (2, 250) == host.totals()
    packed.unlink()
    log.write_bytes(codex_lines([100, 250, 400]))

    host.ingest()

    assert (3, 400) == host.totals()
    assert 0 == host.rows("SELECT count_if(is_conflict) AS n FROM usage_measured")[0]["n"]


def test_plain_and_compressed_side_by_side_count_once(host: Host) -> None:
    """
    Both exist for a moment while Codex compresses.
    """
    log = host.codex()
    log.write_bytes(codex_lines([100, 250]))
    compress(log)
    log.write_bytes(codex_lines([100, 250, 300]))

    host.ingest()

    assert (3, 300) == host.totals()


@pytest.mark.parametrize("write", [codex_lines, gptme_lines], ids=["codex", "gptme"])
def test_a_shrunk_file_keeps_its_history(host: Host, write: object) -> None:
    """
    Undone turns were spent; a truncated file takes no token back.
    """
    log = host.codex() if write is codex_lines else host.gptme()
    log.write_bytes(write([100, 250, 300]))  # type: ignore[operator]
    host.ingest()
    before = host.totals()
    log.write_bytes(write([100]))  # type: ignore[operator]

    host.ingest()

    assert before == host.totals()
    assert "truncated" in host.changes()


def test_a_rollout_whose_numbers_were_rewritten_counts_once(host: Host) -> None:
    """
    A tool rewrote the totals: what the file says now counts, what it said is superseded and can be seen.
    """
    host.codex().write_bytes(codex_lines([100, 250]))
    host.ingest()
    host.codex().write_bytes(codex_lines([90, 180, 190]))

    host.ingest()

    assert (3, 190) == host.totals()
    assert [2] == [row["n"] for row in host.rows("SELECT count(*) AS n FROM superseded WHERE reason = 'rewritten'")]


def test_a_shrunk_rollout_that_goes_on_differently_is_flagged(host: Host) -> None:
    """
    What was cut off had been spent, and so is what came after; that two contents of one file disagree is visible.
    """
    host.codex().write_bytes(codex_lines([100, 250, 300, 400]))
    host.ingest()
    host.codex().write_bytes(codex_lines([100, 180, 190]))

    host.ingest()

    assert (6, 400 + 80 + 10) == host.totals()
    assert 2 == host.usage()["rows"][0]["quality"]["conflict"]


def test_a_rewritten_file_counts_once(host: Host) -> None:
    """
    A tool that rewrites line 1 and keeps the rest adds nothing.
    """
    log = host.codex()
    log.write_bytes(codex_lines([100, 250]))
    host.ingest()
    log.write_bytes(codex_lines([100, 250]).replace(b'"0.150.0"', b'"0.151.1"'))
    later(log)

    host.ingest()

    assert (2, 250) == host.totals()
    assert "replaced" in host.changes()
    assert 0 == host.usage()["rows"][0]["quality"]["conflict"]


def test_a_rewrite_that_sets_the_time_back_is_noticed(host: Host) -> None:
    """
    Same size and same time of modification: the time of change tells.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 50))
    before = log.stat()
    host.ingest()
    log.write_bytes(claude_line("msg_a", 90))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))

    host.ingest()

    assert (1, 100) == host.totals()


def test_a_block_of_lines_written_twice_counts_once(host: Host) -> None:
    """
    The same bytes in one rollout, their time included, are the same statements: no reset of the counter.
    """
    host.codex().write_bytes(codex_lines([100, 250]) * 2)

    host.ingest()

    assert (2, 250) == host.totals()


def test_a_conversation_rewritten_at_every_message_is_read_once(host: Host) -> None:
    """
    Gptme before 0.34 rewrote its whole file; the prefix is the same, so reading goes on.
    """
    log = host.gptme()
    for n in range(1, 5):
        log.write_bytes(gptme_lines(list(range(1, n + 1))))
        host.ingest()

    assert (4, 4 * 5 + 1 + 2 + 3 + 4) == host.totals()
    assert ["opened"] == [each for each in host.changes() if each != "readable"]


def test_an_emptied_file_is_no_loss(host: Host) -> None:
    """
    Size 0 is what a reader sees in the middle of a rewrite.
    """
    log = host.gptme()
    log.write_bytes(gptme_lines([1, 2]))
    host.ingest()
    log.write_bytes(b"")
    host.ingest()
    assert (2, 13) == host.totals()
    log.write_bytes(gptme_lines([1, 2, 3]))

    host.ingest()

    assert (3, 21) == host.totals()


def test_a_deleted_file_keeps_its_evidence(host: Host) -> None:
    """
    Claude Code deletes transcripts after 30 days; what was measured stays, and that the file is gone is told once.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5))
    host.ingest()
    log.unlink()
    host.ingest()
    host.ingest()

    assert (1, 15) == host.totals()
    assert 1 == host.changes().count("gone")
    assert 1 == host.rows("SELECT gone_files FROM freshness WHERE agent = 'claude_code'")[0]["gone_files"]


def test_a_deleted_project_directory_is_told_for_each_of_its_files(host: Host) -> None:
    """
    The folder went with the files; the root is still there, so this is a deletion and no unmounted disk.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    shutil.rmtree(host.claude().parent)
    (host.home / ".claude/projects").mkdir(exist_ok=True)

    host.ingest()

    assert "gone" in host.changes()
    assert (1, 15) == host.totals()


def test_a_file_that_comes_back_counts_once(host: Host) -> None:
    """
    Restored from a backup: known calls stay one, new ones are added.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5))
    host.ingest()
    log.unlink()
    host.ingest()
    log.write_bytes(claude_line("msg_a", 5) + claude_line("msg_b", 5))

    host.ingest()

    assert (2, 30) == host.totals()


def test_a_whole_directory_may_move(host: Host) -> None:
    """
    A renamed project directory is the same files.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5))
    host.ingest()
    shutil.move(log.parent, log.parent.with_name("-srv-other"))

    second = host.ingest()

    assert (1, 15) == host.totals()
    assert 0 == second.read.bytes_read


def test_a_parent_seen_later_corrects_its_child(host: Host) -> None:
    """
    A fork counts as its own what it replays, until the parent is there to compare with.
    """
    child = "019a0000-0002-7000-8000-000000000002"
    replay = codex_lines([100, 250, 300], thread=child, start=30).replace(
        b'"payload": {"id": "%s"' % child.encode(),
        b'"payload": {"forked_from_id": "%s", "id": "%s"' % (THREAD.encode(), child.encode()),
    )
    host.codex(child).write_bytes(replay)
    host.ingest()
    assert (3, 300) == host.totals()
    assert 3 == host.usage()["rows"][0]["quality"]["inheritance_unknown"]
    host.codex().write_bytes(codex_lines([100, 250]))

    host.ingest()

    assert (3, 300) == host.totals()
    assert {THREAD: 250, child: 50} == {row["session"]: row["total_tokens"] for row in host.usage("session")["rows"]}
    assert 0 == host.usage()["rows"][0]["quality"]["inheritance_unknown"]


def test_a_vanished_home_keeps_everything(host: Host) -> None:
    """
    An unmounted home is an alarm, not a zero.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    shutil.rmtree(host.home / ".claude")
    host.ingest()

    assert (1, 15) == host.totals()
    assert "missing" in [row["change"] for row in host.rows("SELECT change FROM events WHERE kind = 'source'")]
    assert "gone" not in host.changes()


def test_an_unreadable_file_is_told_and_read_once_it_is_readable(host: Host) -> None:
    """
    Permission denied is evidence with a reason; the file is retried.
    """
    readable, denied = host.claude(), host.claude("22222222-2222-4222-8222-222222222222")
    readable.write_bytes(claude_line("msg_a", 5))
    denied.mkdir()  # a directory where a log should be cannot be read by anyone
    host.ingest()
    assert (1, 15) == host.totals()
    denied.rmdir()
    denied.symlink_to(readable)
    told = host.ingest()
    assert ["symlink"] == [each.code for each in told.read.denied]
    denied.unlink()
    denied.write_bytes(claude_line("msg_b", 5, session="22222222-2222-4222-8222-222222222222"))

    host.ingest()

    assert (2, 30) == host.totals()
    assert SESSION in {row["session"] for row in host.usage("session")["rows"]}


def test_what_one_look_states_is_committed_with_its_mark(host: Host) -> None:
    """
    Also where a stretch of short lines holds thousands of calls: a kill leaves no call behind whose mark is lost.
    """
    host.gptme().write_bytes(gptme_lines(list(range(60))) * 60)
    host.ingest()

    batches = list(commits(host.state.log_directory))

    assert 3_600 < sum(batch.count for batch in batches)
    # A pass ends with a word on what it has read, and with the rates of a model that is new.
    *read, tallies, rates = [batch for batch in batches if batch.count]
    assert b"{}" == bytes(rates.commit.cur)
    assert all(bytes(batch.commit.cur) != b"{}" for batch in read)
    assert 1 == tallies.count


def test_a_line_that_never_ends_is_no_news_at_every_look(host: Host) -> None:
    """
    It is looked at again in each pass, for it may be complete some day; nothing is written of that.
    """
    host.claude().write_bytes(claude_line("msg_a", 5) + b'{"type": "assistant", "mess')
    host.ingest()
    before = verify(host.state.log_directory, None).head

    host.ingest()

    assert before == verify(host.state.log_directory, None).head


@pytest.mark.parametrize("meanwhile", ["emptied", "rewritten", "lines changed"])
def test_what_is_rewritten_while_it_is_read_is_not_taken_as_read(host: Host, meanwhile: str) -> None:
    """
    Between reading lines and proving them the file became another: nothing of it is believed, it is looked at again.
    """
    log = host.claude()
    first, second = claude_line("msg_a", 5), claude_line("msg_b", 6, second=1)
    log.write_bytes(first + second)
    header = Header(SESSION, "main", SESSION)
    with SourceFile(str(log)) as source:
        start = Cursor("claude_code", str(log), "1:1:1", 1, len(first), continuity=continuity(source, len(first)))
        reading = Reading(CLAUDE, header, source, start, "salt", set())
        (chunk,) = source.chunks(len(first))
        reading.events(chunk, host.now)
        assert len(first + second) == reading.proven(chunk).offset_bytes
        then = {
            "emptied": b"",
            "rewritten": claude_line("msg_c", 7) + second,
            "lines changed": first + claude_line("msg_b", 9, second=1),
        }
        with log.open("r+b") as file:
            file.truncate(0)
            file.write(then[meanwhile])

        with pytest.raises(Unsteady):
            reading.proven(chunk)


def test_what_is_appended_while_it_is_read_disproves_nothing(host: Host) -> None:
    """
    Agents write while we read; that is the usual case.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5))
    with SourceFile(str(log)) as source:
        reading = Reading(
            CLAUDE, Header(SESSION, "main", SESSION), source, Cursor("claude_code", str(log), "1:1:1", 1), "s", set()
        )
        (chunk,) = source.chunks(0)
        reading.events(chunk, host.now)
        with log.open("ab") as more:
            more.write(claude_line("msg_b", 6, second=1))

        assert len(claude_line("msg_a", 5)) == reading.proven(chunk).offset_bytes


def read_by_us() -> int:
    """Return the bytes that this process has read so far."""
    return int(Path("/proc/self/io").read_text(encoding="utf-8").split()[1])


def test_a_line_without_end_is_not_read_again_at_every_look(host: Host) -> None:
    """
    What is known to be too long is passed over once; when its end comes, its length is told and the next line counts.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5) + b"x" * (20 << 20))
    with open_log(host.settings) as held:
        ingest = Ingest(held, lambda: host.now, is_live=True)
        places = roots(host.settings)

        def look() -> list[int]:
            found, read = look_at(places, str(log), "UTC"), []
            assert isinstance(found, Found)
            has_more = True
            while has_more:
                before = read_by_us()
                has_more = ingest.look(found)
                read.append(read_by_us() - before)
            return read

        first = look()
        with log.open("ab") as more:
            more.write(b"x" * 1000)
        again = look()
        with log.open("ab") as more:
            more.write(b"\n" + claude_line("msg_b", 6, second=1))
        look()
        ingest.commit()
    host.ingest()

    assert 2 < len(first)
    assert max(first) < 14 << 20  # others have their turn in between
    assert sum(first) < 22 << 20
    assert sum(again) < 1 << 20
    assert (2, 31) == host.totals()
    assert [{"code": "too_long", "length_bytes": (20 << 20) + 1000}] == host.rows(
        "SELECT code, length_bytes FROM rejected"
    )


def test_an_archive_that_is_one_line_without_end_is_passed_over_with_signs_of_life(host: Host) -> None:
    """
    A few kilobytes may unfold to gigabytes: whoever waits is told again and again that reading goes on.
    """
    log = host.claude()
    log.write_bytes(b"x" * (32 << 20))
    compress(log)
    told: list[int] = []
    with open_log(host.settings) as held:
        Ingest(held, lambda: host.now, told.append).run(seen_files(host.settings))

    assert 32 < len(told)


def test_a_log_that_begins_with_blank_lines_is_read_and_one_of_nothing_else_is_settled(host: Host) -> None:
    """
    Whose session a subagent's file is stands in its first line, which is the first that says something.
    """
    log, blank = (host.claude().with_name(f"agent-{name}.jsonl") for name in ("a1", "a2"))
    log.write_bytes(b"\n \n" + claude_line("msg_a", 5))
    blank.write_bytes(b"\n")

    host.ingest()

    assert (1, 15) == host.totals()
    assert [SESSION] == [row["session_id"] for row in host.rows("SELECT session_id FROM usage_measured")]
    assert [] == look(host.settings).gaps

    with blank.open("ab") as more:
        more.write(claude_line("msg_b", 7, session="other"))
    host.ingest()

    assert (2, 32) == host.totals()
    assert {SESSION, "other"} == {row["session_id"] for row in host.rows("SELECT session_id FROM usage_measured")}
