"""
What a hook leaves of each path on which an agent can complete a task, and what it never does.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.hooks.letters import PRODUCER, Run
from daemon.hooks.seen import INPUT_BYTES_MAX, read
from daemon.inbox_client import Letter, sealed
from daemon.message import check
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line

FIXTURES = Path(__file__).parent / "fixtures" / "hooks"
WORDS = "words that stay here"

#: What a path comes to: tasks with their status and who leaves them, what the agent does, and why no task is reported.
DONE = [("T-17", "completed", "hook")]
NOTHING: list[tuple[str, str, str]] = []
COMES_TO: dict[str, tuple[list[tuple[str, str, str]], str | None, str | None]] = {
    "claude-code/mcp_exact": (DONE, None, None),
    "claude-code/mcp_renamed": ([("17", "completed", "hook")], None, None),
    "claude-code/mcp_in_progress": ([("T-17", "in_progress", "hook")], None, None),
    "claude-code/mcp_only_read": (NOTHING, None, "no_status"),
    "claude-code/mcp_bulk": ([("T-17", "completed", "bulk")], None, None),
    "claude-code/mcp_refused": (NOTHING, None, "call_failed"),
    "claude-code/mcp_refused_in_text": (NOTHING, None, "call_failed"),
    "claude-code/mcp_failed": (NOTHING, None, "call_failed"),
    "claude-code/mcp_answer_with_detail": (DONE, None, None),
    "claude-code/curl_patch": (DONE, None, None),
    "claude-code/curl_joined": (DONE, None, None),
    "claude-code/curl_json_put": (DONE, None, None),
    "claude-code/curl_form": (DONE, None, None),
    "claude-code/curl_action": (DONE, None, None),
    "claude-code/curl_task_in_body": (DONE, None, None),
    "claude-code/curl_variable": (NOTHING, None, "unclear"),
    "claude-code/curl_file": (NOTHING, None, "unclear"),
    "claude-code/curl_open_quote": (NOTHING, None, "unclear"),
    "claude-code/curl_read": (NOTHING, None, "no_tracker_call"),
    "claude-code/curl_comment": (NOTHING, None, "no_tracker_call"),
    "claude-code/curl_not_found": (NOTHING, None, "call_failed"),
    "claude-code/curl_several": ([("T-17", "completed", "bulk"), ("T-18", "completed", "bulk")], None, None),
    "claude-code/curl_quoted_only": (NOTHING, None, "no_tracker_call"),
    "claude-code/here_document": (NOTHING, None, "no_tracker_call"),
    "claude-code/wget_put": (DONE, None, None),
    "claude-code/httpie_patch": (DONE, None, None),
    "claude-code/gh_api": (DONE, None, None),
    "claude-code/cli_report": (DONE, None, None),
    "claude-code/cli_in_shell": (DONE, None, None),
    "claude-code/cli_timeout": ([("T-17", "in_progress", "hook")], None, None),
    "claude-code/bash_other": (NOTHING, None, "no_tracker_call"),
    "claude-code/bash_failed": (NOTHING, None, "call_failed"),
    "claude-code/web_fetch": (NOTHING, None, "no_tracker_call"),
    "claude-code/own_todo_write": (NOTHING, "plan_changed", "session_internal"),
    "claude-code/own_task_update": (NOTHING, "plan_changed", "session_internal"),
    "claude-code/own_task_completed": (NOTHING, "plan_changed", "session_internal"),
    "claude-code/stop": (NOTHING, "turn_ended", None),
    "claude-code/subagent_stop": (NOTHING, "turn_ended", None),
    "claude-code/session_start": (NOTHING, "session_started", None),
    "claude-code/session_end": (NOTHING, "session_ended", None),
    "claude-code/user_prompt": (NOTHING, "turn_started", None),
    "claude-code/event_of_tomorrow": (NOTHING, None, "unknown_event"),
    "codex/mcp": (DONE, None, None),
    "codex/shell_curl": (DONE, None, None),
    "codex/shell_words": (DONE, None, None),
    "codex/shell_failed": (NOTHING, None, "call_failed"),
    "codex/shell_failed_as_json": (NOTHING, None, "call_failed"),
    "codex/apply_patch": (NOTHING, None, "no_tracker_call"),
    "codex/own_plan": (NOTHING, "plan_changed", "session_internal"),
    "codex/stop": (NOTHING, "turn_ended", None),
    "codex/notify": (NOTHING, "turn_ended", None),
}
PATHS = sorted(str(path.relative_to(FIXTURES).with_suffix("")) for path in FIXTURES.rglob("*.json"))
AGENTS = {"claude-code": "claude_code", "codex": "codex"}


def hook(
    host: Host, agent: str, *arguments: str, given: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command as an agent does."""
    return subprocess.run(
        [sys.executable, "-m", "daemon.command", "hook", agent, "--state-dir", str(host.state.root), *arguments],
        input=given,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})},
    )


def left(host: Host) -> dict[str, list[dict[str, Any]]]:
    """Return the bodies of what waits in the inbox, by kind."""
    found: dict[str, list[dict[str, Any]]] = {"hook_run": [], "task": [], "activity": []}
    for path in sorted(host.state.inbox.glob("*.json")):
        message = json.loads(path.read_bytes())
        found[message["kind"]].append(message["body"])
    return found


def test_every_fixture_is_listed():
    """
    A path that is written down and not asserted proves nothing.
    """
    assert sorted(COMES_TO) == PATHS


@pytest.mark.parametrize("path", PATHS)
def test_each_path_comes_to_what_it_says(host, path):
    """
    By whatever way an agent reports to a tracker, the hook leaves the task; by every other, why it left none.
    """
    tasks, activity, skip = COMES_TO[path]
    agent = path.partition("/")[0]
    session = SESSION if agent == "claude-code" else THREAD

    ran = hook(host, agent, given=(FIXTURES / f"{path}.json").read_bytes())

    found = left(host)
    (run,) = found["hook_run"]
    assert (0, b"", b"") == (ran.returncode, ran.stdout, ran.stderr)
    assert tasks == sorted((each["task_id"], each["status"], each["origin"]) for each in found["task"])
    assert ([activity] if activity else []) == [each["what"] for each in found["activity"]]
    assert {AGENTS[agent]} == {each["agent"] for bodies in found.values() for each in bodies}
    assert {session} == {each["session_id"] for bodies in found.values() for each in bodies}
    effect = "task_reported" if tasks else "activity_noted" if activity else "none"
    assert (agent, effect, skip) == (run["hook"], run["effect"], run.get("skip"))
    assert ("skipped" if effect == "none" else "ok") == run["outcome"]


@pytest.mark.parametrize("path", PATHS)
def test_no_word_of_the_conversation_is_kept(host, path):
    """
    Ids, words of our lists and numbers are all that reaches the inbox.
    """
    hook(host, path.partition("/")[0], given=(FIXTURES / f"{path}.json").read_bytes())

    kept = b"".join(each.read_bytes() for each in host.state.inbox.iterdir())
    assert kept
    assert WORDS.encode() not in kept
    assert b"hub.example" not in kept


@pytest.mark.parametrize("path", PATHS)
def test_messages_are_those_of_the_client(path):
    """
    What the hook writes without pydantic is what the checked client would have written: same content, same receipt.
    """
    agent = path.partition("/")[0]
    seen = read((FIXTURES / f"{path}.json").read_bytes())
    assert seen is not None
    messages = Run(agent, AGENTS[agent], "2026-11-22T10:00:00.000+00:00").saw(seen, 3)

    for receipt, content in messages.items():
        stated = json.loads(content)
        letter = Letter(stated["kind"], stated["body"], PRODUCER, stated.get("key"), None, stated["created_at"])
        assert json.loads(sealed(letter).content) == stated
        assert check(content).receipt in (None, receipt)


def test_daemon_and_tables_take_what_a_hook_left(host):
    """
    The task is reported for its session, the run says on what it worked, and the same event again adds no task.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    completed = (FIXTURES / "claude-code/mcp_exact.json").read_bytes()
    for content in (completed, completed, (FIXTURES / "claude-code/curl_read.json").read_bytes()):
        assert 0 == hook(host, "claude-code", given=content).returncode

    assert 0 == host.ingest().messages.rejected

    (task,) = host.rows("SELECT task_id, status, agent, session_id, origin FROM task_reports")
    assert ("T-17", "completed", "claude_code", SESSION, "hook") == tuple(task.values())
    (row,) = host.rows("SELECT hook, runs, tasks_reported, skipped, last_source_id, last_effect, last_skip FROM hooks")
    assert ("claude-code", 3, 2, 1) == tuple(row.values())[:4]
    assert ("toolu_curl_read", "none", "no_tracker_call") == tuple(row.values())[4:]

    hook(host, "claude-code", given=(FIXTURES / "claude-code/stop.json").read_bytes())
    host.ingest()
    (row,) = host.rows("SELECT last_event, last_source_id, last_effect, last_skip FROM hooks")
    assert ("turn_ended", None, "activity_noted", None) == tuple(row.values())


def test_bulk_reports_leave_no_estimate(host):
    """
    What moves many tasks at once says nothing of the work on each: no row is minted for it.
    """
    for path in ("mcp_bulk", "curl_several"):
        hook(host, "claude-code", given=(FIXTURES / f"claude-code/{path}.json").read_bytes())
    host.ingest()

    assert 3 == len(host.rows("SELECT * FROM task_reports WHERE status = 'completed'"))
    assert [] == host.rows("SELECT * FROM usage_estimated")


def test_codex_notify_hands_over_its_json_as_an_argument(host):
    """
    The older way of Codex: the last argument, and stdin is not touched; with its hook of the same turn it is one.
    """
    notify, stop = ((FIXTURES / f"codex/{name}.json").read_bytes() for name in ("notify", "stop"))

    ran = hook(host, "codex", notify.decode())
    hook(host, "codex", given=stop)

    assert (0, b"") == (ran.returncode, ran.stdout)
    assert (2, 1) == (len(left(host)["hook_run"]), len(left(host)["activity"]))


HOSTILE = {
    "nothing": b"",
    "no JSON": b"\xff\xfe secret",
    "a list": b"[1]",
    "deep": b"[" * 200_000,
    "deep in arguments": b'{"tool_input":' + b'{"a":' * 50_000,
    "a long number": b'{"a":' + b"9" * 10_000 + b"}",
    "too long": b'{"a":"' + b"x" * INPUT_BYTES_MAX + b'"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_recorded_and_never_blocks(host, name):
    """
    What cannot be read is a failed run in the log; the agent sees exit code 1, one line without its words, no stdout.
    """
    ran = hook(host, "claude-code", given=HOSTILE[name])

    (run,) = left(host)["hook_run"]
    assert (1, b"", 1) == (ran.returncode, ran.stdout, ran.stderr.count(b"\n"))
    assert b"secret" not in ran.stderr
    assert ("failed", "too_long" if name == "too long" else "unreadable") == (run["outcome"], run["skip"])


ODD = {
    "event is a list": {"hook_event_name": ["Stop"]},
    "tool without arguments": {"hook_event_name": "PostToolUse", "tool_name": "Bash"},
    "command is a number": {"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": {"command": 7}},
    "ids of another type": {"hook_event_name": "Stop", "session_id": 7, "turn_id": {}},
    "ids that are none": {"hook_event_name": "Stop", "session_id": "a b\u0000", "turn_id": "\ud800"},
    "task ids of another type": {
        "hook_event_name": "PostToolUse",
        "tool_name": "mcp__a__b",
        "tool_input": {"task_id": ["T"], "taskId": True, "status": {}},
    },
    "contradicting ids": {
        "hook_event_name": "PostToolUse",
        "tool_name": "mcp__a__b",
        "tool_input": {"task_id": "T-1", "taskId": "T-2", "status": "done"},
    },
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_are_null_or_hashes(host, name):
    """
    A value of another type says nothing; what does not look like an id is kept as its hash.
    """
    assert 0 == hook(host, "claude-code", given=json.dumps(ODD[name]).encode()).returncode

    assert [] == left(host)["task"]
    assert 0 == host.ingest().messages.rejected


@given(st.text(alphabet="curl -XPATCH d'\"\\{}:/tasks/T1 status=done;|&$()<>\n`#~é", max_size=120))
def test_no_command_breaks_the_reader(command):
    """
    Whatever an agent runs in its shell, the hook comes to an end with messages that are messages.
    """
    stated = {
        "hook_event_name": "PostToolUse",
        "tool_name": "Bash",
        "tool_use_id": "t",
        "tool_input": {"command": f"curl -d status=done /tasks/1 {command}"},
    }
    seen = read(json.dumps(stated).encode())
    assert seen is not None

    for content in Run("claude-code", "claude_code", "2026-11-22T10:00:00.000+00:00").saw(seen, 0).values():
        check(content)


def test_a_command_of_many_words_is_read_in_bounded_time(host):
    """
    A command of megabytes is not taken apart: the hook says so and ends.
    """
    rng = random.Random(5)
    command = "curl /tasks/1 " + " ".join(rng.choice(["'", '"', "task", "$(", "<<E\n"]) for _ in range(200_000))
    given = {"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": {"command": command}}

    assert 0 == hook(host, "claude-code", given=json.dumps(given).encode()).returncode
    assert ["too_long"] == [each["skip"] for each in left(host)["hook_run"]]


def test_inbox_that_others_can_write_to_is_told_and_blocks_nobody(host):
    """
    Where nothing can be left, the agent still goes on: exit code 1, and the next step on stderr.
    """
    host.state.create()
    host.state.inbox.chmod(0o777)

    ran = hook(host, "claude-code", given=(FIXTURES / "claude-code/stop.json").read_bytes())

    assert (1, b"") == (ran.returncode, ran.stdout)
    assert b"0700" in ran.stderr


def test_hook_imports_nothing_heavy(host):
    """
    An agent waits for its hook: neither database, validator, scheduler nor the command line's parser is loaded.
    """
    host.state.create()
    script = (
        "import sys; from daemon.hooks.command import main; "
        f"code = main(['claude-code', '--state-dir', {str(host.state.root)!r}]); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"],
        input=(FIXTURES / "claude-code/curl_patch.json").read_bytes(),
        capture_output=True,
        check=True,
    )

    loaded = set(ran.stderr.decode().split())
    heavy = {
        "pydantic",
        "msgspec",
        "duckdb",
        "watchdog",
        "apscheduler",
        "argparse",
        "dataclasses",
        "inspect",
        "asyncio",
    }
    assert {"json", "shlex"} <= loaded
    assert set() == heavy & loaded


def test_console_command_goes_the_short_way(host):
    """
    `tallystick hook claude-code` is the installed command, as the agent's settings name it.
    """
    command = Path(sys.executable).parent / "tallystick"

    ran = subprocess.run(
        [command, "hook", "claude-code", "--state-dir", host.state.root],
        input=(FIXTURES / "claude-code/stop.json").read_bytes(),
        capture_output=True,
        check=False,
    )

    assert (0, b"", b"") == (ran.returncode, ran.stdout, ran.stderr)
    assert 1 == len(left(host)["activity"])


@pytest.mark.parametrize("words", [("unknown-agent",), ("unknown-agent", "--bogus"), ("", "{}"), ("--version",)])
def test_an_agent_that_we_do_not_know_is_not_blocked(host, words):
    """
    An exit code of 2 would stop the agent's turn: whatever stands behind `hook` ends with 1 and one line, at most.
    """
    command = Path(sys.executable).parent / "tallystick"

    ran = subprocess.run(
        [command, "hook", *words], input=b'{"prompt": "secret"}', capture_output=True, check=False, timeout=60
    )

    assert (1, b"", 1) == (ran.returncode, ran.stdout, ran.stderr.count(b"\n"))
    assert b"secret" not in ran.stderr
    assert not host.state.inbox.exists()
