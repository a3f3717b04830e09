"""
A peer's figures beside ours: each difference has a class, and what has none is said to have none.
"""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from daemon.exports.crosscheck import CLASSES
from tests.daemon.conftest import SESSION, Host, claude_line, codex_lines
from tests.daemon.taken import command, demo_host, document

OTHER = "22222222-2222-4222-8222-222222222222"
RECORDED = Path(__file__).parent / "fixtures" / "ccusage"
DOCS = Path(__file__).parents[2] / "docs" / "exports.md"

#: Answers as ccusage does; what it says is written beside it.
PEER = """#!/bin/sh
[ "$1" = --version ] && echo "ccusage 20.0.24" && exit 0
echo "$HOME $*" >> "$0.asked"
cat "$0.$1.json"
"""


def peer(tmp_path: Path, days: list[dict[str, Any]], threads: list[dict[str, Any]] | None = None) -> str:
    """Write a program that reports this, and return how it is called."""
    program = tmp_path / "ccusage"
    program.write_text(PEER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    Path(f"{program}.claude.json").write_text(json.dumps({"daily": days}))
    Path(f"{program}.codex.json").write_text(json.dumps({"sessions": threads or []}))
    return str(program)


def figures(input_tokens: int, output: int) -> dict[str, int]:
    return {"inputTokens": input_tokens, "outputTokens": output, "cacheCreationTokens": 0, "cacheReadTokens": 0}


def day(date: str, input_tokens: int, output: int, model: str = "claude-opus-4-8") -> dict[str, Any]:
    of_model = figures(input_tokens, output)
    return {"date": date, **of_model, "modelBreakdowns": [{"modelName": model, **of_model}]}


def of_agent(answer: dict[str, Any], agent: str) -> dict[str, Any]:
    (found,) = (each for each in answer["agents"] if each["agent"] == agent)
    classes = {each["class"]: each["total_tokens"] for each in found["classes"]}
    left = {"difference", "ours", "theirs"}
    return {name: found[name]["total_tokens"] for name in left} | {"classes": classes, "cells": found["cells"]}


def compact(line: bytes) -> bytes:
    """Return a line as Claude Code writes it: without blanks."""
    return json.dumps(json.loads(line), separators=(",", ":")).encode() + b"\n"


def test_what_both_count_alike_is_no_difference(host: Host, tmp_path: Path) -> None:
    """
    A streamed call counts once on both sides; exit code 0, and the peer read the home that was asked for.
    """
    host.claude().write_bytes(
        claude_line("msg_a", 1, stop=None, requestId="r") + claude_line("msg_a", 90, requestId="r")
    )
    host.ingest()
    program = peer(tmp_path, [day("2026-11-01", 10, 90)])

    answer = document(host, "crosscheck", "ccusage", "--command", program, "--json")

    found = of_agent(answer, "claude_code")
    assert (100, 0, {}, []) == (found["ours"], found["difference"], found["classes"], found["cells"])
    assert "20.0.24" == answer["peer"]["version"]
    asked = Path(f"{program}.asked").read_text().splitlines()
    assert [f"{host.home} claude daily", f"{host.home} codex session"] == [each.split(" --")[0] for each in asked]
    assert all("--offline" in each and "--timezone UTC" in each for each in asked)


def test_a_copy_in_another_session_is_explained(host: Host, tmp_path: Path) -> None:
    """
    A resumed session repeats a call; the peer counts it again, and the class says why.
    """
    host.claude().write_bytes(claude_line("msg_a", 90))
    host.claude(OTHER).write_bytes(claude_line("msg_a", 90, session=OTHER) + claude_line("msg_b", 5, session=OTHER))
    host.ingest()
    program = peer(tmp_path, [day("2026-11-01", 30, 185)])

    found = of_agent(document(host, "crosscheck", "ccusage", "--command", program, "--json"), "claude_code")

    assert (115, 215, 100, {"copy": 100}) == (found["ours"], found["theirs"], found["difference"], found["classes"])


def test_what_nothing_explains_is_said_to_be_unexplained(host: Host, tmp_path: Path) -> None:
    """
    Seven tokens that nobody can account for are not hidden in another class, and end with exit code 1.
    """
    host.claude().write_bytes(claude_line("msg_a", 90))
    host.claude(OTHER).write_bytes(claude_line("msg_a", 90, session=OTHER))
    host.ingest()
    program = peer(tmp_path, [day("2026-11-01", 20, 187)])

    done = command(host, "crosscheck", "ccusage", "--command", program, "--json")

    found = of_agent(json.loads(done.stdout), "claude_code")
    assert (1, {"copy": 100, "unexplained": 7}) == (done.returncode, found["classes"])
    told = command(host, "crosscheck", "ccusage", "--command", program).stdout.decode()
    assert "unexplained in 1 places of claude_code" in told
    assert "7" in next(line for line in told.splitlines() if " unexplained " in line)


def test_differences_that_cancel_each_other_are_not_hidden(host: Host, tmp_path: Path) -> None:
    """
    The same total on another day is two differences, and exit code 1.
    """
    host.claude().write_bytes(compact(claude_line("msg_a", 90)))
    host.ingest()
    program = peer(tmp_path, [day("2026-11-03", 10, 90)])

    done = command(host, "crosscheck", "ccusage", "--command", program, "--json")

    found = of_agent(json.loads(done.stdout), "claude_code")
    assert (1, 0, {"unexplained": 0}) == (done.returncode, found["difference"], found["classes"])
    assert ["2026-11-01", "2026-11-03"] == [cell["day"] for cell in found["cells"]]


def test_a_call_over_midnight_is_on_two_days(host: Host, tmp_path: Path) -> None:
    """
    We date a call by its first line, the peer by its richest one.
    """
    lines = [
        claude_line("msg_a", 1, stop=None, timestamp="2026-11-01T23:59:59.000Z", requestId="r"),
        claude_line("msg_a", 90, timestamp="2026-11-02T00:00:03.000Z", requestId="r"),
    ]
    host.claude().write_bytes(b"".join(lines))
    host.ingest()
    program = peer(tmp_path, [day("2026-11-02", 10, 90)])

    found = of_agent(document(host, "crosscheck", "ccusage", "--command", program, "--json"), "claude_code")

    assert {"other_day": 0} == found["classes"]
    assert [-100, 100] == [cell["classes"]["other_day"]["total_tokens"] for cell in found["cells"]]


def test_a_file_that_is_gone_is_only_in_our_evidence(host: Host, tmp_path: Path) -> None:
    """
    Claude Code deletes logs after thirty days; the peer forgets them, and we do not.
    """
    host.claude().write_bytes(claude_line("msg_a", 90))
    host.claude(OTHER).write_bytes(claude_line("msg_b", 5, session=OTHER))
    host.ingest()
    host.claude().unlink()
    host.ingest()
    program = peer(tmp_path, [day("2026-11-01", 10, 5)])

    found = of_agent(document(host, "crosscheck", "ccusage", "--command", program, "--json"), "claude_code")

    assert {"file_gone": -100} == found["classes"]


def test_a_line_with_blanks_is_not_read_by_the_peer(host: Host, tmp_path: Path) -> None:
    """
    It says the same to us. Only where that is the difference to the token is it the reason.
    """
    host.claude().write_bytes(compact(claude_line("msg_a", 90)) + claude_line("msg_b", 5, second=1))
    host.ingest()
    told = [
        of_agent(
            json.loads(command(host, "crosscheck", "ccusage", "--command", program, "--json").stdout), "claude_code"
        )
        for program in (peer(tmp_path, [day("2026-11-01", 10, output)]) for output in (90, 91))
    ]

    assert [{"not_read": -15}, {"unexplained": -14}] == [each["classes"] for each in told]


def test_progress_of_a_subagent_is_its_parents_to_the_peer(host: Host, tmp_path: Path) -> None:
    """
    It prefers what is no subagent's own, though that says less: an early figure, which the subagent corrects.
    """
    own: dict[str, Any] = {"isSidechain": True, "agentId": "a1", "requestId": "r"}
    last = json.loads(claude_line("msg_a", 90, second=2, **own))
    early = json.loads(claude_line("msg_a", 1, second=1, requestId="r"))
    inner = {name: early[name] for name in ("type", "timestamp", "uuid", "requestId", "message")}
    outer = {name: early[name] for name in ("sessionId", "timestamp", "cwd", "version")}
    progress = {
        **outer,
        "type": "progress",
        "uuid": "p",
        "isSidechain": False,
        "data": {"agentId": "a1", "message": inner},
    }
    host.claude().write_bytes(json.dumps(progress).encode() + b"\n")
    subagent = host.claude().with_suffix("") / "subagents" / "agent-a1.jsonl"
    subagent.parent.mkdir(parents=True)
    subagent.write_bytes(json.dumps(last).encode() + b"\n")
    host.ingest()
    program = peer(tmp_path, [day("2026-11-01", 10, 1)])

    found = of_agent(document(host, "crosscheck", "ccusage", "--command", program, "--json"), "claude_code")

    assert (100, 11, {"other_line": -89}) == (found["ours"], found["theirs"], found["classes"])


def test_every_difference_of_the_demo_is_explained(tmp_path: Path) -> None:
    """
    What ccusage 20.0.24 says of the demo's logs was recorded: `ccusage claude daily` and `ccusage codex session`.
    """
    host = demo_host(tmp_path)
    days, threads = (json.loads((RECORDED / f"demo.{name}.json").read_text()) for name in ("claude", "codex"))
    program = peer(tmp_path, days["daily"], threads["sessions"])

    answer = document(host, "crosscheck", "ccusage", "--command", program, "--json")

    claude, codex = (of_agent(answer, agent) for agent in ("claude_code", "codex"))
    assert {"copy": 115_315, "repeat": 2_541, "other_line": -450, "other_day": 0, "not_read": -28_170} == claude[
        "classes"
    ]
    assert {
        "several_files": 9_416,
        "stale_total": 10_522,
        "no_increase": 88_000,
        "in_ledger": -11_534,
        "only_here": -16_643,
    } == codex["classes"]


def test_threads_are_compared_one_by_one(host: Host, tmp_path: Path) -> None:
    """
    A thread of one side has a class; one of both that is counted differently is unexplained, with what stands in it.
    """
    host.codex().write_bytes(codex_lines([10, 10, 30]))
    host.codex(OTHER, archived=True).write_bytes(codex_lines([7], thread=OTHER))
    host.ingest()
    thread = host.rows("SELECT session_id FROM usage_measured WHERE total_tokens = 20")[0]["session_id"]
    theirs = {"sessionId": f"2026/11/01/rollout-2026-11-01T10-00-00-{thread}", **figures(40, 0)}
    unknown = {"sessionId": "33333333-3333-4333-8333-333333333333", **figures(3, 0)}
    program = peer(tmp_path, [], [theirs, unknown])

    done = command(host, "crosscheck", "ccusage", "--command", program, "--json")

    found = of_agent(json.loads(done.stdout), "codex")
    assert {"only_here": -7, "only_there": 3, "unexplained": 10} == found["classes"]
    (cell,) = (each for each in found["cells"] if "unexplained" in each["classes"])
    assert (thread, ["repeat"]) == (cell["session"], cell["stands_in_it"])


def test_a_total_that_adds_nothing_is_explained_to_the_token(host: Host, tmp_path: Path) -> None:
    """
    The peer adds the call that an old total names last; where it does so to the token, that is why, and else it is not.
    """
    *lines, end = codex_lines([500, 1000, 2000, 3000]).splitlines(keepends=True)
    late = lines[3].replace(b"10:00:03", b"10:00:09")
    host.codex().write_bytes(b"".join([*lines, late, end]))
    host.ingest()
    (stated,) = host.rows("SELECT thread_id, reason FROM superseded_totals")
    more = 500
    ours = host.usage()["totals"]["measured"]["total_tokens"]
    sessions = [
        [{"sessionId": stated["thread_id"], **figures(ours + more, 0)}],
        [{"sessionId": stated["thread_id"], **figures(ours + more + 1, 0)}],
        [{"sessionId": stated["thread_id"], **figures(ours, 0)}] * 2,
    ]

    found = [
        of_agent(
            json.loads(command(host, "crosscheck", "ccusage", "--command", peer(tmp_path, [], each), "--json").stdout),
            "codex",
        )["classes"]
        for each in sessions
    ]

    assert "stale_total" == stated["reason"]
    assert [{"stale_total": more}, {"unexplained": more + 1}, {"several_files": ours}] == found


def test_classes_and_rest_are_the_difference(host: Host, tmp_path: Path) -> None:
    """
    In each cell and each class of tokens, whatever the peer says.
    """
    host.claude().write_bytes(claude_line("msg_a", 90) + claude_line("msg_c", 3, second=9))
    host.claude(OTHER).write_bytes(claude_line("msg_a", 90, session=OTHER))
    host.codex().write_bytes(codex_lines([10, 30]))
    host.ingest()
    program = peer(tmp_path, [day("2026-11-01", 1234, 56), day("2026-11-02", 7, 8, "other")])

    done = command(host, "crosscheck", "ccusage", "--command", program, "--json")

    for agent in json.loads(done.stdout)["agents"]:
        assert agent["cells"]
        for cell in agent["cells"]:
            for name in cell["ours"]:
                explained = sum(each[name] for each in cell["classes"].values())
                assert cell["theirs"][name] - cell["ours"][name] == explained
        for name in agent["ours"]:
            assert agent["difference"][name] == sum(each[name] for each in agent["classes"])


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        ("/nonexistent/ccusage", b"not installed"),
        ("false", b"exit_code=1"),
        ("true", b"no_json"),
        ("", b"not installed"),
    ],
)
def test_a_peer_that_gives_no_report_is_no_agreement(host: Host, program: str, hint: bytes) -> None:
    """
    Nothing on stdout, exit code 3, and what to do.
    """
    host.claude().write_bytes(claude_line("msg_a", 90, session=SESSION))
    host.ingest()

    done = command(host, "crosscheck", "ccusage", "--command", program, "--json")

    assert (3, b"") == (done.returncode, done.stdout)
    assert hint in done.stderr


def test_the_documentation_names_every_class() -> None:
    """
    In the words that the command uses.
    """
    part = DOCS.read_text().split("## Another opinion")[1].split("## ")[0]

    assert dict(CLASSES) == dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", part, re.MULTILINE))
