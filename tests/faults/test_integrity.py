"""
Numbers that cannot be right, histories that stand in two files, and files that are read again.
"""

from adapters.claude_code import ClaudeCode
from adapters.codex import Codex
from daemon.bootstrap import open_log, refresh_and_publish
from daemon.findings import found
from projections.read import Tables
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines
from tests.daemon.live import append

#: Of sessions beside the first.
OTHERS = [f"{n}2222222-2222-4222-8222-222222222222" for n in range(4)]


def test_identical_totals_across_sessions(host: Host) -> None:
    """
    Three sessions of different calls that come to the same four counts; of one that comes to others nothing is said.
    """
    for n, session in enumerate(OTHERS):
        append(host.claude(session), claude_line(f"msg_{n}", 2_000 if n else 3_000, second=n, session=session))

    host.ingest()

    with Tables(host.state.published) as tables:
        rows = [row for row in found(tables, host.now) if row["rule"] == "teletype"]
    assert [OTHERS[1:]] == [row["sessions"] for row in rows]


def test_copied_history(host: Host) -> None:
    """
    A resumed session begins with the lines of the one before, and a fork with its parent's totals: each call is the
    first one's, and its copy is told as superseded.
    """
    child, fork = OTHERS[3], THREAD[:-1] + "2"
    append(host.claude(), claude_line("msg_a", 5) + claude_line("msg_b", 6, second=1))
    resumed = [claude_line(f"msg_{each}", n, second=n - 5, session=child) for n, each in enumerate("abc", start=5)]
    append(host.claude(child), b"".join(resumed))
    parent = codex_lines([100, 250])
    stated = b'"payload": {"forked_from_id": "%s", "id": "%s"' % (THREAD.encode(), fork.encode())
    replay = codex_lines([100, 250, 300], thread=fork, start=30)
    append(host.codex(), parent)
    append(host.codex(fork), replay.replace(b'"payload": {"id": "%s"' % fork.encode(), stated))

    host.ingest()

    assert (3 + 3, 15 + 16 + 17 + 300) == host.totals()
    sessions = {row["session"]: row["total_tokens"] for row in host.usage("session")["rows"]}
    assert {SESSION: 31, child: 17, THREAD: 250, fork: 50} == sessions
    copies = host.rows("SELECT reason, count(*) AS n FROM superseded GROUP BY reason ORDER BY reason")
    assert [{"reason": "copy", "n": 2}, {"reason": "inherited", "n": 2}] == copies


class NextClaude(ClaudeCode):
    """A parser that was rewritten, and reads what the one before read."""

    parser_version = ClaudeCode.parser_version + 1


class NextCodex(Codex):
    """The same of another agent."""

    parser_version = Codex.parser_version + 1


def test_newer_parser_reads_all_again(host: Host) -> None:
    """
    Every statement of the old parser gives way to one of the new, and nobody has spent a token more or less.
    """
    append(host.claude(), claude_line("msg_a", 5) + claude_line("msg_b", 900, second=1))
    append(host.codex(), codex_lines([100, 250, 9000]))
    host.ingest_with(ClaudeCode(), Codex())
    before = host.totals()

    host.ingest_with(NextClaude(), NextCodex())

    assert (5, 15 + 910 + 9000) == before == host.totals()
    assert 2 == host.changes().count("reparsed")
    assert [{"reason": "reparsed", "n": 5}] == host.rows("SELECT reason, count(*) AS n FROM superseded GROUP BY reason")
    incremental = host.hashes()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.hashes()
