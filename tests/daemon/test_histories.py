"""Agents' own lists of prompts: they name sessions whose logs were deleted before anybody read them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.claude_history import ADAPTER as CLAUDE
from adapters.codex_history import ADAPTER as CODEX
from adapters.contract import Header, LineRejected, SessionNamed
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines
from tests.daemon.live import append

LOST = "99999999-0000-4000-8000-000000000001"
TEXT = "the words of a person"


def claude(session: str | None, at: datetime, display: str = TEXT) -> bytes:
    row: dict[str, Any] = {"display": display, "pastedContents": {}, "timestamp": int(at.timestamp() * 1000)}
    return json.dumps(row | {"project": "/srv/repo"} | ({"sessionId": session} if session else {})).encode() + b"\n"


def codex(session: str, at: datetime) -> bytes:
    return json.dumps({"session_id": session, "ts": int(at.timestamp()), "text": TEXT}).encode() + b"\n"


def missed(host: Host) -> list[dict[str, Any]]:
    return host.rows("SELECT * FROM findings WHERE rule = 'missed_session' ORDER BY agent, severity")


@pytest.fixture
def began(host: Host) -> Host:
    """A host that has been read for a day, with one session of each agent."""
    append(host.claude(), claude_line("msg_a", 5))
    append(host.codex(), codex_lines([5]))
    host.ingest()
    host.now += timedelta(days=1)
    return host


def test_a_session_that_only_the_list_knows_is_missed(began: Host) -> None:
    """
    It was asked something since we read here, and its log was never seen; one whose log is there is none.
    """
    at = began.now - timedelta(hours=3)
    append(began.home / ".claude/history.jsonl", claude(SESSION, at) + claude(LOST, at) + claude(LOST, at))
    append(began.home / ".codex/history.jsonl", codex(THREAD, at) + codex(LOST, at))
    began.ingest()

    assert [("claude_code", "critical", [LOST]), ("codex", "critical", [LOST])] == [
        (row["agent"], row["severity"], row["sessions"]) for row in missed(began)
    ]
    assert all("known_by:history" in row["evidence"] for row in missed(began))
    named = began.rows("SELECT agent, session_id FROM events WHERE kind = 'session_named' ORDER BY seq")
    assert [("claude_code", SESSION), ("claude_code", LOST), ("codex", THREAD), ("codex", LOST)] == [
        tuple(row.values()) for row in named
    ]


def test_what_was_deleted_before_we_came_is_told_once_and_alarms_nobody(began: Host) -> None:
    """
    Months of deleted sessions are one line of information for each agent, and no alarm for each of their days.
    """
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 20)]
    names = [f"99999999-0000-4000-8000-{number:012}" for number in range(len(days))]
    append(began.home / ".claude/history.jsonl", b"".join(map(claude, names, days)))
    began.ingest()

    assert [("info", 19)] == [(row["severity"], len(row["sessions"])) for row in missed(began)]


def test_a_session_of_commands_alone_asked_no_model(began: Host) -> None:
    """
    Claude Code keeps no transcript of it; neither is a prompt of this very hour missed.
    """
    at = began.now - timedelta(hours=3)
    append(began.home / ".claude/history.jsonl", claude(LOST, at, "/exit") + claude("77", began.now) + claude(None, at))
    began.ingest()

    assert [] == missed(began)


def test_a_list_is_nobodys_log(began: Host) -> None:
    """
    It states no usage and is no file without one; no drift is judged by it, and no session in it counts.
    """

    def counted() -> tuple[Any, ...]:
        sessions = began.rows("SELECT * FROM sessions ORDER BY agent, session_id")
        return began.totals(), began.usage()["unmetered_sources"], sessions

    before = counted()
    append(began.home / ".claude/history.jsonl", claude(LOST, began.now) * 50)
    began.ingest()

    assert before == counted()
    assert [] == began.rows("SELECT * FROM tallies WHERE agent = 'claude_code' AND bytes > 5000")


def test_no_word_of_a_prompt_is_kept(began: Host) -> None:
    """
    Neither of one that can be read nor of one that is broken.
    """
    at = began.now
    lines = claude(LOST, at) + b'{"display": "' + TEXT.encode() + b'", "timestamp": ' + b"\n" + codex(LOST, at)
    append(began.home / ".claude/history.jsonl", lines)
    append(began.home / ".codex/history.jsonl", lines)
    began.ingest()

    kept = [path for path in began.state.root.rglob("*") if path.is_file()]
    assert [] == [path for path in kept if b"words of a person" in path.read_bytes()]
    assert 2 == began.rows("SELECT count(*) AS n FROM rejected")[0]["n"]


@pytest.mark.parametrize("adapter", [CLAUDE, CODEX], ids=["claude", "codex"])
@pytest.mark.parametrize("line", [b"{}", b'{"timestamp": -1e300}', b'{"ts": 99999999999999999999999}', b"[]", b"\xff"])
def test_an_odd_line_is_no_session(adapter: Any, line: bytes) -> None:
    """
    A time that none can have costs at most the time.
    """
    said = adapter.read_line(line, Header("history.jsonl", "record"))

    assert [] == [each for each in said if isinstance(each, SessionNamed)]
    assert all(isinstance(each, LineRejected) or type(each).__name__ == "Unrecognised" for each in said)


def test_a_time_beyond_all_years_is_none() -> None:
    line = b'{"session_id": "a1", "ts": 99999999999999, "text": ""}'

    assert (SessionNamed(session_id="a1"),) == tuple(CODEX.read_line(line, Header("history.jsonl", "record")))


def test_lists_are_where_the_agents_are_told_to_be(tmp_path: Path) -> None:
    """
    The variables that move an agent's logs move its list.
    """
    assert [tmp_path / "c/history.jsonl"] == [r.path for r in CLAUDE.roots(tmp_path, {"CLAUDE_CONFIG_DIR": "~/c"})]
    assert [tmp_path / "x/history.jsonl"] == [r.path for r in CODEX.roots(tmp_path, {"CODEX_HOME": "x"})]
