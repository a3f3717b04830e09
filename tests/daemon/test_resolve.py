"""
A harness asks which session was its own, and gets that one or none: the newest log of the day was an evaluation's.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from tests.daemon.conftest import SESSION, Host, claude_line, gptme_lines
from tests.daemon.live import append

RUN = "run-autonomous-20260419025443"
NEWEST = "2026-04-19-gptme-evals-openrouter--m-markdown-64bdd50c"
TIMES = ("--start", "2026-04-19T02:54:00+00:00", "--end", "2026-04-19T03:19:00Z")


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def asked(host: Host, *words: str) -> int:
    return main(["resolve", *words, "--home", str(host.home), "--state-dir", str(host.state.root)])


def logged(host: Host, *names: str) -> None:
    for name in names:
        append(host.gptme(name), gptme_lines([1]))


def test_the_one_run_of_a_session_is_printed(host: Host, capsys: Any) -> None:
    """
    Before anything was read of it, and whatever was written since; its path when that is wanted.
    """
    logged(host, RUN, NEWEST, "run-monitoring-20260419030000", "run-autonomous-20260419040000")

    assert 0 == asked(host, "--run-type", "autonomous", *TIMES)
    assert 0 == asked(host, "--run-type", "autonomous", *TIMES, "--path")
    assert (f"{RUN}\n{host.gptme(RUN)}\n", "") == capsys.readouterr()


def test_epoch_seconds_are_an_instant(host: Host, capsys: Any) -> None:
    """
    As `date +@%s` gives them; without --end the session ends now.
    """
    logged(host, RUN)

    assert 0 == asked(host, "--run-type", "autonomous", "--start", "@1776567240", "--json")
    expected = {"agent": "gptme", "run_type": "autonomous", "session_id": RUN, "path": str(host.gptme(RUN))}
    assert {"schema": "tallystick.resolve/1", **expected, "problem": None} == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((), "none began"),
        ((NEWEST, "2026-04-19-calm-red-fox"), "none began"),
        (("run-autonomous-20260419025359", "run-autonomous-20260419031901"), "none began"),
        ((RUN, "run-autonomous-20260419025444"), "several"),
    ],
)
def test_nothing_is_printed_where_no_session_is_certain(
    host: Host, capsys: Any, names: tuple[str, ...], problem: str
) -> None:
    """
    No log, an evaluation's, one of before or after, and two: exit 1, and why on stderr.
    """
    logged(host, *names)

    assert 1 == asked(host, "--run-type", "autonomous", *TIMES)
    told = capsys.readouterr()
    assert ("", True) == (told.out, problem in told.err)


def test_a_repeated_hour_is_not_guessed(host: Host, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Names of runs are local time: at the end of summer time one stands for two instants.
    """
    monkeypatch.setenv("TZ", "Europe/Berlin")
    logged(host, "run-autonomous-20261025023000")

    times = ("--start", "2026-10-25T00:29:00Z", "--end", "2026-10-25T00:40:00Z")
    assert 1 == asked(host, "--run-type", "autonomous", *times)
    assert "two instants" in capsys.readouterr().err


def test_a_log_that_only_says_inside_when_it_began_is_waited_for(host: Host, capsys: Any) -> None:
    """
    The tables answer once they hold every log that may be meant.
    """
    append(host.claude("other"), claude_line("msg_b", 1, session="other", timestamp="2026-10-01T10:00:00Z"))
    host.ingest()
    append(host.claude(), claude_line("msg_a", 1))
    times = ("--start", "2026-11-01T09:59:00Z", "--end", "2026-11-01T10:30:00Z")

    assert 1 == asked(host, "--agent", "claude_code", *times)
    assert "not read yet" in capsys.readouterr().err
    host.ingest()
    assert 0 == asked(host, "--agent", "claude_code", *times)
    assert f"{SESSION}\n" == capsys.readouterr().out


def test_a_session_that_was_resumed_later_is_still_found(host: Host, capsys: Any) -> None:
    """
    How long its log went on is not asked.
    """
    append(host.claude(), claude_line("msg_a", 1) + claude_line("msg_b", 1, timestamp="2026-11-02T10:00:00Z"))
    host.ingest()

    times = ("--start", "2026-11-01T09:59:00Z", "--end", "2026-11-01T10:30:00Z")
    assert 0 == asked(host, "--agent", "claude_code", *times)
    assert f"{SESSION}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agent", "claims"), "claude_code,codex,gptme,opencode"),
        (("--agent", "nobody"), "claude_code,codex,gptme,opencode"),
        ((), "--run-type"),
    ],
)
def test_a_question_without_an_answer_says_what_to_ask(
    host: Host, capsys: Any, words: tuple[str, ...], said: str
) -> None:
    """
    Records of harnesses are nobody's log, and runs of gptme are looked up by type: that none began is not known.
    """
    logged(host, RUN)

    assert 2 == asked(host, *TIMES, *words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--start", "2026-04-19T02:54:00"),
        ("--start", "yesterday"),
        ("--start", "@99999999999999999999"),
        ("--start", "2026-04-19T02:54:00Z", "--end", "2026-04-18T02:54:00Z"),
        ("--start", "2026-04-19T02:54:00Z", "--agent", "nobody"),
    ],
)
def test_a_question_that_is_none_is_refused(host: Host, words: tuple[str, ...], tmp_path: Path) -> None:
    """
    A time without a zone, no time, an end before the start, an agent that nobody reads: exit 2.
    """
    assert 2 == asked(host, *words)
