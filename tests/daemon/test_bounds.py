"""
One hostile line costs itself and nothing else: every number, depth, width and length of it has a bound.

What became evidence has to fit into a line of the log; an event that does not would stop the daemon at that line for
ever.
"""

import json
from typing import Any

import pytest

from adapters.contract import Header
from adapters.registry import installed
from daemon.bounds import OBSERVATIONS_MAX
from daemon.conformance import observed, unsound
from daemon.ingest import BATCH_EVENTS
from state.segment import EVENT_BYTES_MAX
from tests.daemon.conftest import THREAD, Host, claude_line, codex_lines

ADAPTERS = {adapter.parser: adapter for adapter in installed()}
LONG = "a" * 1_000_000

#: Strings that are as long as a pattern lets them be, or longer; the longest in the log are those that are escaped.
STRINGS = [
    LONG,
    f"/{LONG}",
    "/" + "\U0001f600" * 4_095,
    "/" + "\u20ac" * 4_095,
    "/" + '"' * 4_095,
    f"https://example.com/{LONG}",
    f"{LONG}@example.com:{LONG}",
    f"mcp__{LONG}",
]


def filled(text: str) -> dict[str, list[dict[str, Any]]]:
    """
    Return lines of each agent in which every stored string is *text*.
    """
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": text, "speed": text, "inference_geo": text}
    message = {"id": text, "model": text, "stop_reason": text, "usage": usage}
    block = {"type": "tool_use", "id": text, "name": f"mcp__{text}", "input": {"task_id": text, "workstream_id": text}}
    context = {"uuid": text, "sessionId": text, "agentId": text, "requestId": text, "cwd": text, "gitBranch": text}
    claude = {"type": "assistant", "timestamp": text, "version": text, **context}
    git = {"commit_hash": text, "branch": text, "repository_url": text}
    meta = {"id": text, "cwd": text, "originator": text, "cli_version": text, "forked_from_id": text, "git": git}
    meta |= {"parent_thread_id": text, "model_provider": text, "history_base": {"thread_id": text}, "timestamp": text}
    attribution = {"model": text, "service_tier": text}
    record = {"thread_id": text, "response_id": text, "parent_thread_id": text, "attribution": attribution}
    times = dict.fromkeys(("timestamp", "start_time", "end_time"), text)
    return {
        "claude_code": [{**claude, "message": {**message, "content": [block]}}],
        "codex": [
            {"type": "session_meta", "timestamp": text, "payload": meta},
            {"type": "turn_context", "payload": {"model": text, "cwd": text, "turn_id": text}},
            {"type": "token_usage_record", "payload": {**record, "usage": {"input_tokens": 1}}},
            {"timestamp": "2025-07-14T10:00:00Z", "id": text, "git": git},
        ],
        "gptme": [{"role": "assistant", "timestamp": text, "metadata": {"model": text, "usage": usage}}],
        "claims": [{"session_id": text, "harness": text, "model": text, "trajectory_path": text, **times}],
        "opencode_storage": [
            {
                "id": text,
                "sessionID": text,
                "role": "assistant",
                "modelID": text,
                "providerID": text,
                "finish": text,
                "path": {"cwd": text},
                "tokens": {"input": 1, "output": 1},
            }
        ],
    }


@pytest.mark.parametrize("number", range(len(STRINGS)))
def test_no_string_of_a_line_is_too_long_for_the_log(number: int) -> None:
    """
    Whatever an agent writes into every field that is stored, the event fits beside the longest path of a file.
    """
    path_bytes = 3 * 4_096
    for agent, lines in filled(STRINGS[number]).items():
        for line in lines:
            said = observed(ADAPTERS[agent], json.dumps(line).encode(), Header("n", "main", THREAD))

            assert unsound(ADAPTERS[agent], said) is None
            for each in said:
                event = json.dumps({name: getattr(each, name) for name in each.__struct_fields__}, default=str)
                assert len(event) + path_bytes + 2_048 < EVENT_BYTES_MAX


def test_an_endless_address_stops_nobody(host: Host) -> None:
    """
    A session whose remote has a megabyte is read like any other; its tokens count.
    """
    meta, *rest = codex_lines([10, 30]).split(b"\n")
    payload = json.loads(meta)["payload"]
    git = {"repository_url": f"https://example.com/{LONG}", "branch": LONG, "commit_hash": LONG}
    hostile = json.loads(meta) | {"payload": payload | {"git": git, "cwd": "/" + "\U0001f600" * 4_000}}
    host.codex().write_bytes(b"\n".join([json.dumps(hostile).encode(), *rest]))

    host.ingest()

    assert 30 == host.totals()[1]
    (session,) = host.rows("SELECT git_remote, cwd FROM events WHERE kind = 'session'")
    assert session["git_remote"].startswith("hash:")
    assert session["cwd"].startswith("hash:")


def test_a_line_that_says_too_much_is_rejected_as_a_whole(host: Host) -> None:
    """
    A hundred thousand calls in one line are no answer of a model: the line is rejected, its neighbours count.
    """
    part = {"type": "advisor_message", "model": "m", "input_tokens": 1, "output_tokens": 1}
    good = json.loads(claude_line("msg_a", 5))
    usage = {"input_tokens": 1, "output_tokens": 1}
    wide = good | {"message": good["message"] | {"id": "msg_w", "usage": usage | {"iterations": [part] * 100_000}}}
    usual = good | {"message": good["message"] | {"id": "msg_u", "usage": usage | {"iterations": [part] * 20}}}
    host.claude().write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in (wide, usual, good)))

    host.ingest()

    assert 100_000 > OBSERVATIONS_MAX <= BATCH_EVENTS
    assert [{"code": "out_of_range"}] == host.rows("SELECT code FROM rejected")
    assert (22, 57) == host.totals()
