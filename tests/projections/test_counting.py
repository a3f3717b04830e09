"""
Claude Code's and gptme's calls in whole homes, through the real product: files in, tokens out.

Tokens are written (calls, input, cache writes, cache reads, output).
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import pytest

#: Stands in every id; see `conftest.HOUSE`.
HOUSE = "aaaaaaaaaaaa"
S1, S2, S3 = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{HOUSE}" for digit in "123")
SLUG = ".claude/projects/-srv-repo"
EMPTY: Mapping[str, int] = MappingProxyType({})


class House(NamedTuple):
    """
    The files of a home, and what its sessions come to; ``by`` are the same tokens by other dimensions.
    """

    files: Mapping[str, list[dict[str, object]]]
    tokens: Mapping[str, tuple[int, ...]]
    flags: Mapping[str, int] = EMPTY
    lost: Mapping[str, int] = EMPTY
    by: Mapping[str, Mapping[str | None, tuple[int, ...]]] = MappingProxyType({})


def transcript(name):
    """
    Name a file below the default directory.
    """
    return f"{SLUG}/{name}.jsonl"


def session(lines, tokens, flags=EMPTY, lost=EMPTY, **by):
    """
    Describe a home with one transcript.
    """
    return House({transcript(S1): lines}, {S1: tokens}, flags, lost, by)


def at(seconds, day="2025-11-01"):
    """
    Write a time as agents do; seconds since ten o'clock.
    """
    return as_time(datetime.fromisoformat(f"{day}T10:00:00") + timedelta(seconds=seconds))


def as_time(moment):
    """
    Write a moment of UTC as agents do.
    """
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def said(call="msg_a", output=10, seconds=1, session=S1, **fields):
    """
    Make a line of an answer; tokens are named input, write and read, the rest as Claude names it.
    """
    usage = {
        "input_tokens": fields.pop("input", 3),
        "cache_creation_input_tokens": fields.pop("write", 0),
        "cache_read_input_tokens": fields.pop("read", 0),
        "output_tokens": output,
    } | fields.pop("usage", {})
    message = {
        "id": call,
        "role": "assistant",
        "model": fields.pop("model", "claude-opus-4-8"),
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": fields.pop("stop", "end_turn"),
        "usage": usage,
    }
    own = {
        "type": "assistant",
        "timestamp": at(seconds),
        "uuid": f"u-{call}-{seconds}",
        "sessionId": session,
        "isSidechain": False,
        "cwd": "/srv/repo",
        "gitBranch": "main",
        "version": "2.1.233",
        "requestId": f"req_{call}",
        "message": message,
    }
    return {name: value for name, value in (own | fields).items() if value is not None}


def streamed(call, *outputs, seconds=1, **fields):
    """
    Make the lines of a streamed answer: the last says why it ended.
    """
    stops = [None] * (len(outputs) - 1) + ["end_turn"]
    return [
        said(call, output, seconds + place, stop=stop, **fields)
        for place, (output, stop) in enumerate(zip(outputs, stops, strict=True))
    ]


def progressed(line, **fields):
    """
    Copy a subagent's line into its parent's progress line.
    """
    copy = {name: line[name] for name in ("type", "timestamp", "uuid", "requestId", "message") if name in line}
    outer = {"type": "progress", "timestamp": at(99), "sessionId": S1, "cwd": "/srv/repo", "uuid": "u-progress"}
    return outer | {"data": {"type": "agent_progress", "agentId": "a1", "message": copy}} | fields


# ---- Claude Code: one file

NULL = {"output_tokens": None}
SPLIT = {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}
SIDE = {"isSidechain": True, "read": 90, "seconds": 2}
SUBAGENT = {"isSidechain": True, "agentId": "a1"}
WHOLE = [*streamed("msg_a", 1, 312), *streamed("msg_b", 1, 20, seconds=5)]

ONE_FILE = {
    "a streamed answer is worth its last line": session(
        streamed("msg_a", 1, 1, 1, 312, input=2, write=8655, read=15030), (1, 2, 8655, 15030, 312), lost={"poorer": 3}
    ),
    "blocks of one answer are one call": session(
        [said(seconds=seconds, output=180, read=900) for seconds in (1, 1, 2)], (1, 3, 0, 900, 180), lost={"repeat": 2}
    ),
    "a block of lines written twice counts once": session(
        [*WHOLE, *WHOLE], (2, 6, 0, 0, 332), lost={"poorer": 4, "repeat": 2}
    ),
    "equal numbers with different ids are two calls": session([said("msg_a"), said("msg_b")], (2, 6, 0, 0, 20)),
    "a call that falls back in mid-stream has the figures of its last line alone": session(
        [
            said(output=1, stop=None, input=2, write=900, read=50),
            said(output=70, input=30, read=10, model="claude-sonnet-4-6"),
        ],
        (1, 30, 0, 10, 70),
        lost={"poorer": 1},
        model={"claude-sonnet-4-6": (1, 30, 0, 10, 70)},
    ),
    "the greatest output wins wherever it stands": session(
        [said(output=70, read=20), said(output=1, read=90, seconds=2)], (1, 3, 0, 20, 70), lost={"poorer": 1}
    ),
    "the later line of the file wins a tie, whatever its time": session(
        [said(seconds=9, read=20), said(seconds=1, read=30)], (1, 3, 0, 30, 10), lost={"repeat": 1}
    ),
    "a trailing line of zeros never wins": session(
        [said(output=0, read=700), said(output=0, input=0)], (1, 3, 0, 700, 0), lost={"repeat": 1}
    ),
    "a trailing line of zeros does not win over one without output": session(
        [said(read=700, usage=NULL), said(output=0, input=0)],
        (1, 3, 0, 700, 0),
        {"incomplete": 1},
        {"repeat": 1},
    ),
    "a proxy's zeros stand first": session(
        [said(output=0, input=0, stop=None), said(output=0, read=700)], (1, 3, 0, 700, 0), lost={"repeat": 1}
    ),
    "a proxy's true split stands behind the whole prompt": session(
        [said(output=0, input=21000), said(output=55, input=1000, read=20000), said(output=0, input=0)],
        (1, 1000, 0, 20000, 55),
        lost={"poorer": 2},
    ),
    "an answer of zero tokens is a call": session([said(input=0, output=0)], (1, 0, 0, 0, 0)),
    "a notice of the agent is no call": session(
        [said(), said("msg_b", model="<synthetic>", input=0, output=0)], (1, 3, 0, 0, 10)
    ),
    "roll-ups and results are never added": session(
        [
            said(),
            {"type": "user", "toolUseResult": {"totalTokens": 99999, "usage": {"output_tokens": 77}}},
            {"type": "result", "usage": {"output_tokens": 77}, "session_id": S1},
            said("msg_b", type="user"),
        ],
        (1, 3, 0, 0, 10),
    ),
    "without a message's id the line's own is the identity": session(
        [said(None, uuid="u-1", output=1), said("", uuid="u-1", output=1), said(None, uuid="u-2", output=2)],
        (2, 6, 0, 0, 3),
        lost={"repeat": 1},
    ),
    "the request is no part of the identity": session(
        [said(output=1, stop=None), said(output=90, requestId=None), said(output=80, requestId="req_other")],
        (1, 3, 0, 0, 90),
        lost={"poorer": 2},
    ),
    "a side question does not replace the answer it replays": session(
        [said(output=30, read=20), said(output=500, requestId="req_side", **SIDE)],
        (1, 3, 0, 20, 30),
        lost={"side_question": 1},
    ),
    "a side question does not replace an answer behind it": session(
        [said(output=500, requestId="req_side", **SIDE), said(output=30, read=20)],
        (1, 3, 0, 20, 30),
        lost={"side_question": 1},
    ),
    "a side line of the same request is no side question": session(
        [said(output=30, read=20), said(output=500, **SIDE)], (1, 3, 0, 90, 500), lost={"poorer": 1}
    ),
    "a side line without a request is no side question": session(
        [said(output=30, read=20), said(output=500, requestId=None, **SIDE)], (1, 3, 0, 90, 500), lost={"poorer": 1}
    ),
    "a main line without a request is beaten by a richer side line": session(
        [said(output=30, read=20, requestId=None), said(output=500, **SIDE)], (1, 3, 0, 90, 500), lost={"poorer": 1}
    ),
    "beside a side question a side line without a request is judged by its output": session(
        [said(output=30), said(output=60, requestId=None, **SIDE), said(output=500, requestId="req_side", **SIDE)],
        (1, 3, 0, 90, 60),
        lost={"poorer": 1, "side_question": 1},
    ),
    "a call seen only in progress is a lower bound": session(
        [said(output=50), progressed(said("msg_s", 2, 4, read=20, stop=None))], (2, 6, 0, 20, 52), {"progress_only": 1}
    ),
    "of a call's progress lines the richest counts": session(
        [progressed(line) for line in streamed("msg_s", 1, 1, 30)],
        (1, 3, 0, 0, 30),
        {"progress_only": 1},
        {"poorer": 2},
    ),
    "its own line beats progress though it is poorer": session(
        [progressed(said("msg_s", 40, read=99)), said("msg_s", 9, read=20, **SUBAGENT)],
        (1, 3, 0, 20, 9),
        lost={"weaker_witness": 1},
    ),
    "its own line beats progress and is richer": session(
        [said("msg_s", 60, read=20, **SUBAGENT), progressed(said("msg_s", 40, read=99))],
        (1, 3, 0, 20, 60),
        lost={"weaker_witness": 1},
    ),
    "a split that does not sum is unknown": session(
        [said(write=99, usage={"cache_creation": SPLIT})], (1, 3, 99, 0, 10), {"split_unknown": 1}
    ),
    "no reason to stop and hardly any output is incomplete": session(
        [said(call, output, stop=None) for call, output in (("msg_a", 0), ("msg_b", 1), ("msg_c", 8))],
        (3, 9, 0, 0, 9),
        {"incomplete": 3},
    ),
    "a reason to stop, or more output, is complete": session(
        [said("msg_a", 1), said("msg_b", 9, stop=None)], (2, 6, 0, 0, 10)
    ),
    "unknown output, or input, is incomplete whatever the reason to stop": session(
        [said("msg_a", usage=NULL), said("msg_b", usage={"input_tokens": None})], (2, 3, 0, 0, 10), {"incomplete": 2}
    ),
    "the winning line says whether a call is complete": session(
        [said(output=1, stop=None), said(output=2)], (1, 3, 0, 0, 2), lost={"poorer": 1}
    ),
    "a call without a possible time counts on no day": session(
        [
            said(f"msg_{number}", timestamp=timestamp)
            for number, timestamp in enumerate(
                [None, "", "yesterday", "1970-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"]
            )
        ],
        (5, 15, 0, 0, 50),
        {"time_quality": 5},
        day={None: (5, 15, 0, 0, 50)},
    ),
    "a hidden call is shown and costs nothing": session(
        [said(), {"type": "system", "subtype": "compact_boundary", "uuid": "u-9", "timestamp": at(3)}],
        (1, 3, 0, 0, 10),
        {"hidden_calls": 1},
    ),
    "times that run backwards change nothing": session(
        [said("msg_a", seconds=9), said("msg_b", seconds=1), said("msg_c", seconds=5)], (3, 9, 0, 0, 30)
    ),
    "a call over midnight stays on the day it began": session(
        [
            said(output=1, stop=None, timestamp="2025-11-01T23:59:59.900Z"),
            said(output=80, timestamp="2025-11-02T00:00:03.000Z"),
        ],
        (1, 3, 0, 0, 80),
        lost={"poorer": 1},
        day={"2025-11-01": (1, 3, 0, 0, 80)},
    ),
    "branches change inside a file": session(
        [said("msg_a"), said("msg_b", gitBranch="topic")],
        (2, 6, 0, 0, 20),
        branch={"main": (1, 3, 0, 0, 10), "topic": (1, 3, 0, 0, 10)},
    ),
    "an advisor is a call with its own model": session(
        [
            said(output=1, stop=None),
            said(
                usage={
                    "iterations": [
                        {"type": "message", "input_tokens": 3, "output_tokens": 10},
                        {"type": "advisor_message", "model": "claude-haiku-4-5", "input_tokens": 7, "output_tokens": 4},
                    ]
                }
            ),
        ],
        (2, 10, 0, 0, 14),
        lost={"poorer": 1},
        model={"claude-opus-4-8": (1, 3, 0, 0, 10), "claude-haiku-4-5": (1, 7, 0, 0, 4)},
    ),
    "calls equal but for their model are told apart by their ids": session(
        [said("msg_a"), said("msg_b", model="claude-haiku-4-5")],
        (2, 6, 0, 0, 20),
        model={"claude-opus-4-8": (1, 3, 0, 0, 10), "claude-haiku-4-5": (1, 3, 0, 0, 10)},
    ),
}


# ---- Claude Code: copies in several files


def copied(lines, to, days=0, **fields):
    """
    Copy lines into another session, as a resume, a fork or a rewind does: with another id, and times some days later.
    """
    return [
        line
        | {"sessionId": to}
        | ({"timestamp": line["timestamp"].replace("2025-11-01", f"2025-11-0{1 + days}")} if days else {})
        | fields
        for line in lines
    ]


def agent(name="a1", below="subagents"):
    """
    Name a subagent's file.
    """
    return transcript(f"{S1}/{below}/agent-{name}")


HISTORY = [said("msg_a", 10, 1), said("msg_b", 20, 2)]
ADVICE = {"type": "advisor_message", "model": "claude-haiku-4-5", "input_tokens": 7, "output_tokens": 4}
ADVISED = said(usage={"iterations": [ADVICE]})
HIDDEN = [
    {"type": "system", "subtype": subtype, "uuid": f"u-{subtype}", "timestamp": at(3), "sessionId": S1}
    for subtype in ("compact_boundary", "away_summary")
]

FILES = {
    "a resumed session owns only what it added": House(
        {transcript(S1): HISTORY, transcript(S2): [*copied(HISTORY, S2), said("msg_c", 40, 9, S2)]},
        {S1: (2, 6, 0, 0, 30), S2: (1, 3, 0, 0, 40)},
        lost={"copy": 2},
    ),
    "the owner is the session of the earliest copy": House(
        {
            transcript(S1): [*copied([said()], S1, days=2), *copied([said("msg_c")], S1, days=2)],
            transcript(S2): [said(session=S2)],
        },
        {S1: (1, 3, 0, 0, 10), S2: (1, 3, 0, 0, 10)},
        lost={"copy": 1},
        by={"day": {"2025-11-01": (1, 3, 0, 0, 10), "2025-11-03": (1, 3, 0, 0, 10)}},
    ),
    "value, owner and day of a call are found apart": House(
        {
            transcript(S1): [said(output=1, stop=None, read=500)],
            transcript(S2): copied([said(output=80, read=600)], S2, days=1, gitBranch="other"),
        },
        {S1: (1, 3, 0, 600, 80)},
        lost={"poorer": 1},
        by={"day": {"2025-11-01": (1, 3, 0, 600, 80)}, "branch": {"main": (1, 3, 0, 600, 80)}},
    ),
    "the owner's file wins a tie": House(
        {transcript(S1): [said(read=20)], transcript(S2): [said(read=90, seconds=2, session=S2)]},
        {S1: (1, 3, 0, 20, 10)},
        lost={"copy": 1},
    ),
    "the owner's file wins a tie also when it is read last": House(
        {transcript(S1): [said(read=90, seconds=2)], transcript(S2): [said(read=20, session=S2)]},
        {S2: (1, 3, 0, 20, 10)},
        lost={"copy": 1},
    ),
    "truncated copies take nothing away": House(
        {transcript(S1): WHOLE, transcript(S2): copied(WHOLE[:1], S2), transcript(S3): copied(WHOLE[:3], S3)},
        {S1: (2, 6, 0, 0, 332)},
        lost={"poorer": 5, "copy": 1},
    ),
    "a copy may be all that is left": House(
        {transcript(S2): [*copied(HISTORY, S2), said("msg_c", 40, 9, S2)], transcript(S3): copied(HISTORY, S3, days=1)},
        {S2: (3, 9, 0, 0, 70)},
        lost={"copy": 2},
    ),
    "lines of several sessions in one file keep their own": House(
        {transcript(S3): [said("msg_a"), said("msg_b", session=S2), said("msg_c", session=None)]},
        {S1: (1, 3, 0, 0, 10), S2: (1, 3, 0, 0, 10), S3: (1, 3, 0, 0, 10)},
    ),
    "both default directories and the wrappers are one store": House(
        {
            transcript(S1): [said("msg_a")],
            f".config/claude/projects/-srv-repo/{S1}.jsonl": [said("msg_a"), said("msg_b")],
            f".cc-mirror/team/config/projects/-srv-repo/{S2}.jsonl": [said("msg_c", session=S2)],
            f".config/Claude/local-agent-mode-sessions/a/.claude/projects/x/{S3}.jsonl": [said("msg_d", session=S3)],
        },
        {S1: (2, 6, 0, 0, 20), S2: (1, 3, 0, 0, 10), S3: (1, 3, 0, 0, 10)},
        lost={"copy": 1},
    ),
    "lines without a message's id are known by their own in all files": House(
        {transcript(name): copied([said(None, uuid="u-1", requestId=None)], name) for name in (S1, S2)},
        {S1: (1, 3, 0, 0, 10)},
        lost={"copy": 1},
    ),
    "one sound time among the copies is enough": House(
        {
            transcript(S1): [
                said("msg_a", timestamp="1970-01-01T00:00:00.000Z"),
                said("msg_b", timestamp="2099-01-01T00:00:00.000Z"),
                said("msg_c", timestamp=None),
            ],
            transcript(S2): [said(f"msg_{name}", session=S2) for name in "abc"],
        },
        {S2: (3, 9, 0, 0, 30)},
        lost={"copy": 3},
        by={"day": {"2025-11-01": (3, 9, 0, 0, 30)}},
    ),
    "an advisor's copy is the same call": House(
        {transcript(S1): [ADVISED], transcript(S2): copied([ADVISED], S2, days=1)},
        {S1: (2, 10, 0, 0, 14)},
        lost={"copy": 2},
    ),
    "a hidden call's copy is the same call": House(
        {transcript(S1): [said(), *HIDDEN], transcript(S2): copied([said(), *HIDDEN], S2, days=1)},
        {S1: (1, 3, 0, 0, 10)},
        {"hidden_calls": 2},
        {"copy": 1},
    ),
    "a subagent's call may stand in its own file and in the parent's": House(
        {
            transcript(S1): [said("msg_a", 50, 1), said("msg_s", 60, 2, **SUBAGENT)],
            agent(): [said("msg_s", 60, 2, **SUBAGENT), said("msg_t", 7, 3, **SUBAGENT)],
        },
        {S1: (3, 9, 0, 0, 117)},
        lost={"copy": 1},
    ),
    "subagents of subagents and of old versions are the session's": House(
        {
            agent(): [said("msg_s", **SUBAGENT)],
            agent("w1", "subagents/workflows/w1"): [said("msg_s", **SUBAGENT), said("msg_t", **SUBAGENT)],
            transcript(f"agent-old-{HOUSE}"): [said("msg_u", **SUBAGENT)],
        },
        {S1: (3, 9, 0, 0, 30)},
        lost={"copy": 1},
    ),
    "a workflow's journal is no usage": House(
        {
            agent("w1", "subagents/workflows/w1"): [said("msg_w", **SUBAGENT)],
            transcript(f"{S1}/subagents/workflows/w1/journal"): [said("msg_x"), {"type": "result", "usage": {}}],
        },
        {S1: (1, 3, 0, 0, 10)},
    ),
    "at the same time the main transcript is the owner": House(
        {
            transcript(S1): [said(gitBranch="main", read=20)],
            f".cc-mirror/a/projects/x/{S1}/subagents/agent-a1.jsonl": [said(gitBranch="side", read=90)],
        },
        {S1: (1, 3, 0, 20, 10)},
        lost={"copy": 1},
        by={"branch": {"main": (1, 3, 0, 20, 10)}},
    ),
    "a subagent's file that is really earlier is the owner": House(
        {transcript(S1): [said(gitBranch="main", read=20, seconds=2)], agent(): [said(gitBranch="side", read=90)]},
        {S1: (1, 3, 0, 90, 10)},
        lost={"copy": 1},
        by={"branch": {"side": (1, 3, 0, 90, 10)}},
    ),
    "a subagent's own file beats progress lines": House(
        {
            transcript(S1): [progressed(said("msg_s", 40, read=99)), progressed(said("msg_t", 5, stop=None))],
            agent(): [said("msg_s", 9, read=20, **SUBAGENT)],
        },
        {S1: (2, 6, 0, 20, 14)},
        {"progress_only": 1},
        {"weaker_witness": 1},
    ),
    "of equal lines the owner's says whether a call is complete": House(
        {transcript(S1): [said(output=1, stop=None)], transcript(S2): copied([said(output=1)], S2, days=1)},
        {S1: (1, 3, 0, 0, 1)},
        {"incomplete": 1},
        {"copy": 1},
    ),
    "a copy that is richer completes a call": House(
        {transcript(S1): [said(output=1, stop=None)], transcript(S2): copied([said(output=2)], S2, days=1)},
        {S1: (1, 3, 0, 0, 2)},
        lost={"poorer": 1},
    ),
}


# ---- Claude Code: all of these


@pytest.fixture(scope="module")
def counted(street):
    """
    Count every home of the two tables, in several orders of reading.
    """
    street.settle(house.files for house in HOUSES.values())
    return street.counted()


HOUSES = ONE_FILE | FILES


@pytest.mark.parametrize("fact", HOUSES)
def test_home_is_counted(counted, fact):
    """
    One home, one rule of counting: what its sessions come to, their flags, and why the other lines do not count.
    """
    house, here = HOUSES[fact], counted.of(list(HOUSES).index(fact))

    assert house.tokens == here.claude("session")
    assert house.flags == here.flags
    assert house.lost == here.lost
    assert house.by == {dimension: here.claude(dimension) for dimension in house.by}


def test_a_call_is_of_one_line_in_all_its_fields(home):
    """
    Model, tokens and their lifetimes come from the winning line; time from the earliest; context from the owner.
    """
    home.write(
        transcript(S1),
        said(stop=None, output=1, model="claude-opus-4-8", timestamp="2025-11-01T23:59:59.900Z", cwd="/srv/one"),
        said(model="claude-sonnet-4-6", write=100, usage={"cache_creation": SPLIT}, cwd="/srv/two", seconds=50_500),
        said("msg_b", cwd="/srv/two", gitBranch="topic", seconds=50_600),
    )

    first, second = home.counted().calls

    assert ("claude-sonnet-4-6", 100, 40, 60, "/srv/one", "main", 10) == tuple(
        first[name]
        for name in (
            "model",
            "cache_write_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "cwd",
            "git_branch",
            "output_tokens",
        )
    )
    assert "2025-11-01T23:59:59.900Z" == as_time(first["called_at"])
    assert ("/srv/two", "topic") == (second["cwd"], second["git_branch"])


def test_loser_names_the_line_that_beat_it(live):
    """
    A line is superseded by the first later one that beat it, or by the winner at its arrival.
    """
    lines = [said(output=output, seconds=second) for second, output in enumerate((1, 5, 3, 9))]
    live.put(transcript(S1), lines[:1])

    assert (1, 3, 0, 0, 1) == live.read().claude()

    live.put(transcript(S1), lines)
    counted = live.read()

    assert (1, 3, 0, 0, 9) == counted.claude()
    beaten = {row["output_tokens"]: row["by_seq"] for row in counted.superseded}
    place = {row["output_tokens"]: row["seq"] for row in counted.superseded} | {9: counted.calls[0]["value_seq"]}
    assert {1: place[5], 5: place[9], 3: place[5]} == beaten


@pytest.mark.parametrize(("age_minutes", "is_incomplete"), [(1, False), (10, True)])
def test_call_is_not_incomplete_while_it_may_still_be_written(home, age_minutes, is_incomplete):
    """
    A placeholder of a minute ago is a call in progress.
    """
    moment = datetime.now(UTC) - timedelta(minutes=age_minutes)
    home.write(
        transcript(S1),
        said(output=1, stop=None, timestamp=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
    )

    assert ({"incomplete": 1} if is_incomplete else {}) == home.counted().flags


def test_day_is_that_of_the_asked_zone(live):
    """
    Ten in the evening in UTC is tomorrow in Tokyo.
    """
    live.put(transcript(S1), [said(timestamp="2025-11-01T22:00:00.000Z")])

    assert {"2025-11-02"} == set(live.read(timezone="Asia/Tokyo").claude("day"))


# ---- Claude Code: files


def test_transcript_without_usage_is_unmetered_not_zero(home):
    """
    A stub of titles and modes is shown as a source without figures.
    """
    home.write(transcript(S1), {"type": "mode"}, {"type": "ai-title"}, {"type": "user", "message": {"content": "hi"}})

    counted = home.counted()

    assert [] == counted.rows
    assert 1 == counted.document["unmetered_sources"]
    assert [(S1, False, None)] == [
        (each["session_id"], each["is_metered"], each["total_tokens"]) for each in counted.sessions
    ]


def test_unreadable_lines_are_gaps(home):
    """
    A damaged line costs what stood in it, and is seen; blank lines are nothing.
    """
    home.write(transcript(S1), said("msg_a"), b'{"type":"assistant","message":\n', b"\n", b"not json\n", said("msg_b"))

    counted = home.counted()

    assert (2, 6, 0, 0, 20) == counted.claude()
    assert 2 == counted.document["rejected_lines"]


def test_last_line_counts_before_its_newline_and_once(live):
    """
    A closed object cannot grow into another one; a cut line waits for its end.
    """
    last, cut = json.dumps(said("msg_b")).encode(), json.dumps(said("msg_c", 40)).encode()
    live.put(transcript(S1), [said("msg_a"), last])
    closed = live.read()
    live.put(transcript(S1), [said("msg_a"), last + b"\n", cut[:99]])
    ended = live.read()
    live.put(transcript(S1), [said("msg_a"), last + b"\n", cut + b"\n"])
    whole = live.read()

    assert [(2, 6, 0, 0, 20), (2, 6, 0, 0, 20), (3, 9, 0, 0, 60)] == [each.claude() for each in (closed, ended, whole)]
    assert {"same_line": 1} == whole.lost
    assert 0 == whole.document["rejected_lines"]


def test_windows_files_are_read(home):
    """
    Byte order mark and carriage returns are no part of a line.
    """
    lines = [json.dumps(each).encode() + b"\r\n" for each in (said("msg_a"), said("msg_b"))]
    home.write(transcript(S1), b"\xef\xbb\xbf" + lines[0], lines[1])

    counted = home.counted()

    assert (2, 6, 0, 0, 20) == counted.claude()
    assert 0 == counted.document["rejected_lines"]


# ---- gptme

LOGS = ".local/share/gptme/logs"


def answered(output, time="2025-11-01T10:00:00.000000", model="m/one", **usage):
    """
    Make an answer as gptme writes it.
    """
    tokens = {"input_tokens": 3, "output_tokens": output, "cache_read_tokens": 20, "cache_creation_tokens": 5} | usage
    return {"role": "assistant", "content": "x", "timestamp": time, "metadata": {"model": model, "usage": tokens}}


def test_copies_of_a_conversation_count_once(home):
    """
    Branches, views, archives and forks repeat calls without an id; what was undone was spent as well.
    """
    one, undone, two = answered(10), answered(11, "2025-11-01T10:00:05"), answered(12, "2025-11-01T10:00:09")
    home.write(f"{LOGS}/talk/conversation.jsonl", {"role": "user", "content": "x"}, one, two)
    home.write(f"{LOGS}/talk/branches/main-undo-0.jsonl", one, undone)
    home.write(f"{LOGS}/talk/views/compacted-001.jsonl", two)
    home.write(f"{LOGS}/talk/lossless.jsonl", one, two)
    home.write(f"{LOGS}/the-fork/conversation.jsonl", one, two, answered(13, "2025-11-01T10:00:20"))

    counted = home.counted()

    assert {"talk": (3, 9, 15, 60, 33), "the-fork": (1, 3, 5, 20, 13)} == counted.gptme("session")
    assert {"inferred"} == {call["confidence"] for call in counted.calls}


def test_local_time_is_read_in_the_zone_of_the_host(home):
    """
    Times have no zone: an answer after midnight in Berlin is one of the evening before in UTC.
    """
    home.zone = "Europe/Berlin"
    home.write(
        f"{LOGS}/talk/conversation.jsonl", answered(10, "2025-11-02T00:30:00"), answered(11, "2025-11-02T01:30:00")
    )

    assert {"2025-11-01", "2025-11-02"} == set(home.counted().gptme("day"))


def test_conversation_without_metadata_is_unmetered(home):
    """
    Answers without figures are no zeros.
    """
    home.write(
        f"{LOGS}/talk/conversation.jsonl", {"role": "assistant", "content": "x", "timestamp": "2025-11-01T10:00:00"}
    )

    counted = home.counted()

    assert (0, 0, 0, 0, 0) == counted.gptme()
    assert 1 == counted.document["unmetered_sources"]


def test_agents_do_not_share_identities(live):
    """
    Each agent's calls are its own, whatever their ids.
    """
    live.put(transcript(S1), [said()])
    live.put(f"{LOGS}/{S1}/conversation.jsonl", [answered(10)])

    counted = live.read()

    assert ((1, 3, 0, 0, 10), (1, 3, 5, 20, 10)) == (counted.claude(), counted.gptme())
