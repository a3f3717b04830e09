"""
Which tool calls name a task, and that nothing else of a call gets out.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.claude_code import ADAPTER as CLAUDE
from adapters.codex import ADAPTER as CODEX
from adapters.contract import Header, LineAdapter, LineRejected, TaskNamed, TurnUnmetered, UsageStated
from adapters.task_words import STATUSES
from daemon.conformance import changed, plain, positions

HEADER = Header("a-session", "main", "a-session")
CANARY = "canary-7f3a"
TOOL = "mcp__relay__claim_task"

#: Arguments as a tracker may have them, with somebody's words in all that is not ours to read.
WORDY = {
    "task_id": "T-17",
    "title": CANARY,
    "id": CANARY,
    "task": {"task_id": CANARY, "id": CANARY},
    "tasks": [{"task_id": CANARY}],
    "Task_Id": CANARY,
    "task-id": CANARY,
    "task_ids": [CANARY],
    "parent_task_id": CANARY,
    "workstream": CANARY,
    "status": CANARY,
    "cwd": f"/{CANARY}",
    CANARY: CANARY,
}


def claude_line(arguments, name=TOOL, **over):
    """
    Make a line of Claude Code that calls a tool.
    """
    block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    return {
        "type": "assistant",
        "uuid": "u-1",
        "timestamp": "2026-11-01T10:00:00.000Z",
        "message": {"id": "msg_1", "content": [block], "usage": {"input_tokens": 1, "output_tokens": 2}},
    } | over


def codex_line(arguments, name=TOOL, **over):
    """
    Make a line of Codex in which the model calls a tool.
    """
    payload = {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "call_id": "call_1"} | over
    return {"timestamp": "2026-11-01T10:00:00.000Z", "type": "response_item", "payload": payload}


def codex_event(arguments, **over):
    """
    Make a line of Codex that tells of an MCP call.
    """
    invocation = {"server": "relay", "tool": "claim_task", "arguments": arguments}
    payload = {"type": "mcp_tool_call_end", "call_id": "call_1", "invocation": invocation} | over
    return {"timestamp": "2026-11-01T10:00:00.000Z", "type": "event_msg", "payload": payload}


#: The three kinds of line, each with its adapter.
KINDS: dict[str, tuple[LineAdapter, Callable[..., Any]]] = {
    "claude": (CLAUDE, claude_line),
    "codex": (CODEX, codex_line),
    "codex_event": (CODEX, codex_event),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def said(kind, line):
    """
    Read one line, written as *kind*'s agent would or as bytes.
    """
    adapter, _ = KINDS[kind]
    return tuple(adapter.read_line(line if isinstance(line, bytes) else json.dumps(line).encode(), HEADER))


def named(kind, line):
    """
    Return what a line says of tasks.
    """
    return [each for each in said(kind, line) if isinstance(each, TaskNamed)]


def made(kind, arguments):
    """
    Make a line of *kind* with *arguments*.
    """
    return KINDS[kind][1](arguments)


@EVERY_KIND
@pytest.mark.parametrize("spelling", ["task_id", "taskId"])
def test_a_call_of_a_tracker_names_its_task(kind, spelling):
    """
    Session, time, tool, call and task; whatever the agent, they are told alike.
    """
    (only,) = named(kind, made(kind, {spelling: "T-17", "status": "done"}))

    assert ("T-17", None, "completed") == (only.task_id, only.workstream_id, only.task_status)
    assert ("a-session", "2026-11-01T10:00:00.000Z") == (only.session_id, only.source_created_at)
    assert (TOOL, {"claude": "toolu_1"}.get(kind, "call_1")) == (only.tool_name, only.tool_call_id)


@EVERY_KIND
@pytest.mark.parametrize("spelling", ["workstream_id", "workstreamId"])
def test_a_call_may_name_a_workstream_alone(kind, spelling):
    """
    A status is then the workstream's, and is nobody's task.
    """
    (only,) = named(kind, made(kind, {spelling: 7, "status": "done"}))

    assert (None, "7", None) == (only.task_id, only.workstream_id, only.task_status)


@EVERY_KIND
def test_nothing_else_of_a_call_gets_out(kind):
    """
    Words in every other argument, nested ones and names among them, stay where they are.
    """
    line = made(kind, WORDY)

    (only,) = named(kind, line)

    assert "T-17" == only.task_id
    assert CANARY not in json.dumps(plain(said(kind, line)))


@EVERY_KIND
@pytest.mark.parametrize(
    "words", [f"please {CANARY}", f"{CANARY} " * 50_000, f"/{CANARY}", f"{CANARY}\n", "\ud83d 7f3a"]
)
def test_words_in_the_place_of_an_id_are_hashed(kind, words):
    """
    What is no id tells that a task was named, and not a word of it; at whatever length.
    """
    (only,) = named(kind, made(kind, {"task_id": words, "workstream_id": words, "status": words}))

    assert only.task_id is not None
    assert only.task_id.startswith("hash:")
    assert "7f3a " not in json.dumps(plain([only]))
    assert CANARY not in json.dumps(plain([only]))
    assert only.task_status is None


@EVERY_KIND
@pytest.mark.parametrize(
    "value", [None, "", [], ["T-1"], {}, {"id": "T-1"}, True, 1.5, -1, 2**63, 10**40, [[["T-1"]]]], ids=repr
)
def test_what_can_be_no_id_names_nothing(kind, value):
    """
    A list, an object, a fraction: null instead of a guess; and the call's usage is counted all the same.
    """
    line = made(kind, {"task_id": value})

    assert [] == named(kind, line)
    assert not any(isinstance(each, LineRejected) for each in said(kind, line))


@EVERY_KIND
def test_two_spellings_that_contradict_each_other_name_nothing(kind):
    """
    Two tasks in one call are none; the same one twice is one.
    """
    assert [] == named(kind, made(kind, {"task_id": "T-1", "taskId": "T-2"}))
    assert ["T-1"] == [each.task_id for each in named(kind, made(kind, {"task_id": "T-1", "taskId": "T-1"}))]


@EVERY_KIND
@pytest.mark.parametrize(
    ("word", "status"),
    [*STATUSES.items(), ("In Progress", "in_progress"), ("in-progress", "in_progress"), ("DONE", "completed")],
)
def test_a_status_is_one_of_ours(kind, word, status):
    """
    Words about which there is no doubt become ours.
    """
    (only,) = named(kind, made(kind, {"task_id": 1, "status": word}))

    assert status == only.task_status


@EVERY_KIND
@pytest.mark.parametrize("odd", ["archived", "not done", "", None, 1, ["done"], {"done": True}], ids=repr)
def test_any_other_status_is_none(kind, odd):
    """
    A guess is worse than null; the task is named all the same.
    """
    (only,) = named(kind, made(kind, {"task_id": 1, "status": odd}))

    assert (None, "1") == (only.task_status, only.task_id)


@pytest.mark.parametrize(
    "tool", ["TaskCreate", "TaskUpdate", "TaskOutput", "TaskStop", "Task", "Bash", "xmcp__a__b", ""]
)
def test_a_tool_of_claude_code_itself_is_no_tracker(tool):
    """
    Its ids name something inside the session: a background job, an entry of its own list.
    """
    assert [] == named("claude", claude_line({"task_id": "7", "taskId": "7", "prompt": TOOL}, name=tool))


@pytest.mark.parametrize("over", [{}, {"namespace": "multi_agent_v1"}, {"namespace": ""}, {"namespace": 5}], ids=repr)
@pytest.mark.parametrize("tool", ["shell", "apply_patch", "update_plan", "spawn_agent", "wait", "write_stdin", "exec"])
def test_a_tool_of_codex_itself_is_no_tracker(tool, over):
    """
    The same for Codex, whatever it calls the namespace of its own tools.
    """
    assert [] == named("codex", codex_line({"task_id": "7", "command": [TOOL]}, name=tool, **over))


@pytest.mark.parametrize(
    ("name", "namespace"),
    [(TOOL, None), ("claim_task", "mcp__relay"), ("claim_task", "mcp__relay__"), (TOOL, "functions")],
)
def test_a_tool_of_codex_has_one_name_in_all_versions(name, namespace):
    """
    Some have the server in the name, some beside it, and an event tells it apart from both.
    """
    (only,) = named("codex", codex_line({"task_id": 1}, name=name, namespace=namespace))

    assert TOOL == only.tool_name
    assert [TOOL] == [each.tool_name for each in named("codex", codex_event({"task_id": 1}))]


@pytest.mark.parametrize("kind", ["user", "progress", "system", "summary", "result"])
def test_only_the_sessions_own_answers_name_tasks(kind):
    """
    A tool call that is quoted, or copied from a subagent's file, is told where it was made.
    """
    line = claude_line({"task_id": "T-1"})
    copied = line | {"type": kind, "data": {"message": line}}

    assert [] == named("claude", copied)


def test_a_line_of_a_subagent_names_the_task_for_its_session():
    """
    A subagent's file states the session that started it.
    """
    line = claude_line({"task_id": "T-1"}, sessionId="s-1", agentId="a-1", isSidechain=True)

    assert [("T-1", "s-1")] == [(each.task_id, each.session_id) for each in named("claude", line)]


def test_a_call_without_usage_names_its_task():
    """
    What was asked of a tracker does not depend on what the agent says of tokens.
    """
    line = claude_line({"task_id": "T-1"})
    del line["message"]["usage"]

    assert [TurnUnmetered, TaskNamed] == [type(each) for each in said("claude", line)]


def test_of_a_rejected_line_nothing_else_is_kept():
    """
    A line with an impossible number of tokens leaves reason, length and salted hash.
    """
    line = claude_line({"task_id": "T-1"})
    line["message"]["usage"]["input_tokens"] = -1

    assert [LineRejected] == [type(each) for each in said("claude", line)]


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, [5], "\ud83d"], ids=repr)
def test_whatever_stands_in_a_tool_call_its_usage_is_counted(odd):
    """
    The blocks of a line are looked at a second time, and by themselves: nothing in them costs a call.
    """
    line = claude_line(WORDY)
    for path in positions(line["message"]["content"]):
        damaged = changed(line, ("message", "content", *path), odd)

        assert isinstance(said("claude", damaged)[0], UsageStated)


@EVERY_KIND
def test_a_number_too_long_for_python_ends_nothing(kind):
    """
    Six thousand digits are no id of a tracker.
    """
    line = json.dumps(made(kind, {"task_id": 98765})).encode().replace(b"98765", b"9" * 6000)

    assert [] == named(kind, line)


@EVERY_KIND
def test_arguments_nested_too_deep_end_nothing(kind):
    """
    What nobody reads may be as deep as it likes, and a hostile depth says nothing.
    """
    for depth in (500, 5_000, 100_000):
        deep = b"[" * depth + b"]" * depth
        line = json.dumps(made(kind, {"task_id": "T-1", "x": 98765})).encode().replace(b"98765", deep)

        assert [] == [each for each in named(kind, line) if each.task_id != "T-1"]


def escaped(text, chosen):
    """
    Write the characters of *text* at the places *chosen* as escapes, as any writer of JSON may.
    """
    return "".join(f"\\u{ord(char):04x}" if place in chosen else char for place, char in enumerate(text))


@given(st.sampled_from(sorted(KINDS)), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_a_name_may_be_spelt_with_escapes(kind, in_tool, in_argument):
    """
    However a writer spells the names of tool and argument, the same is said.
    """
    line = made(kind, {"task_id": "T-17"})
    spelt = json.dumps(line).replace(TOOL, escaped(TOOL, in_tool)).replace("task_id", escaped("task_id", in_argument))

    assert said(kind, line) == said(kind, spelt.encode())
    assert 1 == len(named(kind, spelt.encode()))


@given(
    st.sampled_from(sorted(KINDS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["task_id", "taskId", "status", "x", CANARY]), inner, max_size=4)
        ),
        max_leaves=12,
    ),
)
def test_whatever_the_arguments_only_ids_get_out(kind, arguments):
    """
    A canary is an id only where an id is read: at the top of the arguments.
    """
    found = named(kind, made(kind, arguments))

    top = arguments if isinstance(arguments, dict) else {}
    is_named = CANARY in (top.get("task_id"), top.get("taskId"))
    assert is_named or CANARY not in json.dumps(plain(found))


@EVERY_KIND
def test_bytes_that_are_no_text_cost_nothing_but_themselves(kind):
    """
    A damaged title does not hide the task, and a damaged id is hashed like other words.
    """
    line = json.dumps(made(kind, {"task_id": "T-17", "title": "98765"})).encode()

    assert ["T-17"] == [each.task_id for each in named(kind, line.replace(b"98765", b"\xf2\xff"))]
    (only,) = named(kind, line.replace(b"T-17", b"T-\xf2\xff17"))
    assert only.task_id.startswith("hash:")
