"""
Where Claude Code's transcripts lie, and what their lines say of a call; how lines become calls is counted elsewhere.
"""

import json
from pathlib import PurePosixPath

import pytest

from adapters.claude_code import ADAPTER
from adapters.contract import Header, HiddenCall, LineRejected, Root, TurnUnmetered, Unrecognised, UsageStated

HOME = PurePosixPath("/home/bob")
DEFAULTS = [HOME / ".config/claude/projects", HOME / ".claude/projects"]
DESKTOP = "Claude/local-agent-mode-sessions"
WRAPPERS = [
    HOME / ".cc-mirror",
    HOME / ".config" / DESKTOP,
    HOME / "Library/Application Support" / DESKTOP,
]
SESSION = "11111111-1111-4111-8111-111111111111"
HEADER = Header(SESSION, "main", SESSION)
USAGE = {"input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 20, "output_tokens": 10}


def roots(**environment):
    """
    Name the roots for a shell with *environment*.
    """
    return [root.path for root in ADAPTER.roots(HOME, environment)]


def claim(relative, root=DEFAULTS[1]):
    """
    Claim a file of a root.
    """
    return ADAPTER.claim(Root(root), PurePosixPath(relative))


def line(usage=USAGE, **fields):
    """
    Make the line of an answer; *fields* of its message or of the line itself.
    """
    message = {"id": "msg_a", "model": "claude-opus-4-8", "stop_reason": "end_turn", "usage": usage}
    own = {name: fields.pop(name) for name in list(fields) if name in (*message, "content")}
    return {"type": "assistant", "uuid": "u1", "message": message | own} | fields


def read(written, header=HEADER):
    """
    Read one line as Claude Code would write it.
    """
    return tuple(ADAPTER.read_line(json.dumps(written).encode(), header))


def call(written, header=HEADER):
    """
    Read a line that is exactly one call.
    """
    (only,) = read(written, header)
    assert isinstance(only, UsageStated)
    return only


# ---- where transcripts are


def test_both_default_directories_are_read():
    """
    Without settings versions differ in where they write: both places are searched, and the wrappers' own.
    """
    assert [*DEFAULTS, *WRAPPERS] == roots()
    assert [PurePosixPath("/x/claude/projects"), DEFAULTS[1]] == roots(XDG_CONFIG_HOME="/x")[:2]


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("/one", ["/one/projects"]),
        ("/one,/two", ["/one/projects", "/two/projects"]),
        (" /one , /two ,", ["/one/projects", "/two/projects"]),
        ("/one,~/two,three", ["/one/projects", "/home/bob/two/projects", "/home/bob/three/projects"]),
        ("", [str(path) for path in DEFAULTS]),
        (" , ", [str(path) for path in DEFAULTS]),
    ],
)
def test_configured_directories_take_the_place_of_the_defaults(setting, named):
    """
    CLAUDE_CONFIG_DIR may name several accounts, with commas between; blank is unset. Wrappers keep their own stores.
    """
    assert [*map(PurePosixPath, named), *WRAPPERS] == roots(CLAUDE_CONFIG_DIR=setting)


@pytest.mark.parametrize(
    ("relative", "name", "role", "session"),
    [
        pytest.param(f"-srv-repo/{SESSION}.jsonl", SESSION, "main", SESSION, id="main"),
        pytest.param(f"-srv-repo/{SESSION}/chat.jsonl", "chat", "main", SESSION, id="old layout"),
        pytest.param("-srv-repo/agent-a1.jsonl", "agent-a1", "subagent", None, id="old flat subagent"),
        pytest.param(
            f"-srv-repo/{SESSION}/subagents/agent-a1.jsonl",
            f"{SESSION}/subagents/agent-a1",
            "subagent",
            SESSION,
            id="subagent",
        ),
        pytest.param(
            f"-srv-repo/{SESSION}/subagents/workflows/w1/agent-a1.jsonl",
            f"{SESSION}/subagents/workflows/w1/agent-a1",
            "subagent",
            SESSION,
            id="workflow",
        ),
        pytest.param("subagents/agent-a1.jsonl", "agent-a1", "subagent", None, id="slug that looks like a folder"),
        pytest.param("-srv-repo/journal.jsonl", "journal", "main", "journal", id="journal outside of subagents"),
        pytest.param("-srv-repo/my notes.jsonl", "my notes", "main", "hash", id="name that is no id"),
        pytest.param("-srv-repo/subagents/agent-a1.jsonl", "subagents/agent-a1", "subagent", None, id="no session"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".zst"])
def test_transcript_is_claimed_by_its_place(relative, name, role, session, ending):
    """
    A subagent's file names its parent's session in the path; a compressed file is the same source.
    """
    header = claim(relative + ending)

    assert header is not None
    assert (name, role) == (header.name, header.role)
    assert session == (header.session_id and header.session_id.split(":")[0])
    assert header is ADAPTER.with_first_line(header, b"{}")


@pytest.mark.parametrize(
    "relative",
    [
        f"-srv-repo/{SESSION}/subagents/journal.jsonl",
        f"-srv-repo/{SESSION}/subagents/workflows/w1/journal.jsonl",
        f"-srv-repo/{SESSION}/subagents/workflows/w1/journal.jsonl.zst",
        f"-srv-repo/{SESSION}/subagents/agent-a1.meta.json",
        f"-srv-repo/{SESSION}/tasks/a1.output",
        f"{SESSION}.jsonl",
        "-srv-repo/.jsonl",
        "-srv-repo/sessions-index.json",
        f"-srv-repo/{SESSION}.jsonl.bak",
        "-srv-repo/memory/MEMORY.md",
    ],
)
def test_other_files_are_not_claimed(relative):
    """
    A workflow's journal is metadata, never usage; so is all that is no JSONL of a project.
    """
    assert claim(relative) is None


@pytest.mark.parametrize(
    ("root", "relative"),
    [
        (WRAPPERS[0], f"work/config/projects/-srv-repo/{SESSION}.jsonl"),
        (WRAPPERS[1], f"a/b/local_c/.claude/projects/-srv-repo/{SESSION}.jsonl"),
        (WRAPPERS[2], f"a/b/local_c/.claude/projects/-srv-repo/{SESSION}/subagents/agent-a1.jsonl"),
    ],
)
def test_wrappers_transcripts_are_claimed_below_projects(root, relative):
    """
    cc-mirror and Claude Desktop keep whole Claude directories somewhere below their own.
    """
    inside = relative.partition("/projects/")[2]

    assert claim(inside) == claim(relative, root)
    assert claim(relative.replace("/projects/", "/transcripts/"), root) is None


# ---- what a call says


def test_usage_is_stated_by_billing_class():
    """
    Input is what no cache held; the numbers stand in the evidence also under Claude's own names.
    """
    stated = call(line())

    assert (3, 20, 5, 10) == (
        stated.input_tokens,
        stated.cache_read_tokens,
        stated.cache_write_tokens,
        stated.output_tokens,
    )
    assert USAGE == stated.raw
    assert ("msg_a", "call", "transcript", "stated") == (
        stated.source_id,
        stated.basis,
        stated.witness,
        stated.confidence,
    )


@pytest.mark.parametrize(
    ("usage", "written", "short", "long", "is_unknown"),
    [
        ({"cache_creation_input_tokens": 100}, 100, None, None, False),
        ({"cache_creation_input_tokens": 100, "cache_creation": {}}, 100, None, None, False),
        ({"cache_creation_input_tokens": 100, "cache_creation": None}, 100, None, None, False),
        ({"cache_creation_input_tokens": 100, "cache_creation": (40, 60)}, 100, 40, 60, False),
        ({"cache_creation_input_tokens": 0, "cache_creation": (0, 0)}, 0, 0, 0, False),
        ({"cache_creation_input_tokens": 100, "cache_creation": (100, None)}, 100, 100, None, False),
        ({"cache_creation_input_tokens": 100, "cache_creation": (0, 0)}, 100, None, None, True),
        ({"cache_creation_input_tokens": 100, "cache_creation": (40, 61)}, 100, None, None, True),
        ({"cache_creation_input_tokens": 0, "cache_creation": (40, 60)}, 0, None, None, True),
        ({"cache_creation": (40, 60)}, 100, 40, 60, False),
        ({}, None, None, None, False),
    ],
)
def test_total_of_cache_writes_wins_over_its_split(usage, written, short, long, is_unknown):
    """
    A split that does not sum is a proxy's invention: the total counts, the split is unknown. Without a total it counts.
    """
    split = usage.get("cache_creation")
    if isinstance(split, tuple):
        names = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
        usage = usage | {"cache_creation": dict(zip(names, split, strict=True))}

    stated = call(line({"input_tokens": 1, "output_tokens": 1} | usage))

    assert (written, short, long) == (
        stated.cache_write_tokens,
        stated.cache_write_5m_tokens,
        stated.cache_write_1h_tokens,
    )
    assert is_unknown == ("split_unknown" in stated.flags)


def test_identity_is_the_message_and_nothing_else():
    """
    Copies rewrite session, time and request; the id of the message stays. Without one it is the line's own id.
    """
    copy = line(sessionId="other", timestamp="2025-11-02T10:00:00.000Z", requestId="req_b", uuid="u2")

    assert "msg_a" == call(line()).source_id == call(copy).source_id
    for missing in (None, "", 7, ["msg_a"]):
        assert "uuid:u1" == call(line(id=missing)).source_id


def test_line_without_any_id_is_known_by_its_content():
    """
    The same line twice is one call, another line is another call; that the identity is a guess is flagged.
    """
    bare = line(id=None, uuid=None)

    assert call(bare).source_id == call(bare).source_id
    assert call(bare).source_id != call(bare | {"timestamp": "2025-11-01T10:00:00.000Z"}).source_id
    assert ("inferred", True) == (call(bare).confidence, "identity_inferred" in call(bare).flags)


def test_session_is_the_lines_own():
    """
    A file may hold lines of several sessions; only a line that names none has its file's.
    """
    assert ["other", SESSION] == [call(line(sessionId=name)).session_id for name in ("other", None)]


def test_context_is_the_lines_own():
    """
    Directory, branch and version change inside a file.
    """
    fields = {"cwd": "/srv/repo", "gitBranch": "main", "version": "2.1.233", "requestId": "req_a", "agentId": "a1"}

    stated = call(line(isSidechain=True, timestamp="2025-11-01T12:00:00+02:00", **fields))

    assert tuple(fields.values()) == (
        stated.cwd,
        stated.git_branch,
        stated.agent_version,
        stated.request_id,
        stated.agent_id,
    )
    assert (True, "2025-11-01T10:00:00.000000Z") == (stated.is_sidechain, stated.source_created_at)


def test_advisors_are_calls_of_their_own():
    """
    The loop's own messages are in the top level already; an advisor's part is not, and has its own model.
    """
    part = {"input_tokens": 7, "output_tokens": 2}
    usage = USAGE | {
        "iterations": [
            {"type": "message", **part},
            {"type": "advisor_message", "model": "claude-haiku-4-5", **part},
            {"type": "advisor_message", "model": "claude-haiku-4-5"},
            {"type": "advisor_message", **part},
        ]
    }

    top, first, second = read(line(usage))

    assert isinstance(top, UsageStated)
    assert isinstance(first, UsageStated)
    assert isinstance(second, UsageStated)
    assert ["msg_a", "msg_a:advisor:1", "msg_a:advisor:3"] == [top.source_id, first.source_id, second.source_id]
    assert ["claude-opus-4-8", "claude-haiku-4-5", None] == [top.model, first.model, second.model]
    assert [10, 2, 2] == [top.output_tokens, first.output_tokens, second.output_tokens]
    assert {"end_turn"} == {top.stop_reason, first.stop_reason, second.stop_reason}


def test_agents_own_notice_is_no_call():
    """
    An error message is written as an answer of the model `<synthetic>`.
    """
    assert () == read(line(model="<synthetic>"))


@pytest.mark.parametrize("usage", [None, {}, {"service_tier": "standard"}, {"server_tool_use": {"web_search": 1}}])
def test_answer_without_usage_is_unmetered(usage):
    """
    No tokens are no zeros.
    """
    assert (TurnUnmetered(),) == read(line(usage))


@pytest.mark.parametrize("kind", ["user", "result", "summary", "system", "attachment"])
def test_other_lines_are_never_counted(kind):
    """
    A user line may hold a roll-up of a subagent, a result line the whole run's sum: usage counts on answers only.
    """
    rolled_up = {"toolUseResult": {"usage": USAGE, "totalTokens": 38}, "usage": USAGE, "modelUsage": {"m": USAGE}}

    assert () == read(line(type=kind, **rolled_up))


@pytest.mark.parametrize("kind", ["assistant-v2", None, 5, ""])
def test_unknown_line_is_seen(kind):
    """
    A type that we do not know may be where the usage went: it is counted, not ignored; with usage it is an answer.
    """
    assert (Unrecognised(), TurnUnmetered()) == read(line(type=kind))
    assert (Unrecognised(),) == read(line(None, type=kind))


@pytest.mark.parametrize("renamed", ["usage", "message", "type", "assistant", "input_tokens", "output_tokens"])
def test_a_key_under_another_name_is_an_answer_without_usage(renamed):
    """
    Whatever a new version calls it, its answers are seen, and of which version they are.
    """
    written = json.dumps(line(version="9.9.9")).replace(f'"{renamed}"', f'"{renamed}X"')

    said = ADAPTER.read_line(written.encode(), HEADER)

    assert TurnUnmetered(agent_version="9.9.9") in said or (renamed == "message" and "9.9.9" in repr(said))


@pytest.mark.parametrize("name", ["cache_read_input_tokens", "cache_creation_input_tokens"])
@pytest.mark.parametrize("other", ["cacheTokens", "CACHE_INPUT_TOKENS"])
def test_cached_tokens_under_another_name_are_an_answer_whose_usage_is_lost(name, other):
    """
    Input and output alone still make a call: that most of its tokens are missing is said beside it.
    """
    usage = {other if key == name else key: value for key, value in USAGE.items()}

    stated, lost = read(line(usage, version="9.9.9"))

    assert isinstance(stated, UsageStated)
    assert (3, 10) == (stated.input_tokens, stated.output_tokens)
    assert TurnUnmetered(agent_version="9.9.9") == lost


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param({"input_tokens": 3, "output_tokens": 10, "service_tier": "standard"}, id="no cache"),
        pytest.param({"input_tokens": 3, "output_tokens": 10, "cache_creation": {}}, id="known names"),
        pytest.param(USAGE | {"cache_kept_input_tokens": 5}, id="one more beside both"),
    ],
)
def test_usage_without_or_with_more_of_a_cache_is_whole(usage):
    """
    A proxy states no cache at all, and a newer version may state more of it than we read.
    """
    call(line(usage))


def test_half_of_usage_under_another_name_is_one_lost_answer():
    """
    Several names that changed at once are still one answer.
    """
    assert 2 == len(read(line({"input_tokens": 3, "outputTokens": 10, "cacheRead": 20})))


@pytest.mark.parametrize("subtype", ["compact_boundary", "away_summary"])
def test_hidden_call_is_shown(subtype):
    """
    Compaction and recap call the model and write no usage; the line's id keeps copies apart from calls.
    """
    (shown,) = read({"type": "system", "subtype": subtype, "uuid": "u9", "sessionId": SESSION})

    assert isinstance(shown, HiddenCall)
    assert ("u9", SESSION) == (shown.line_id, shown.session_id)
    assert () == read({"type": "system", "subtype": "turn_duration"})


# ---- copies in a parent's progress lines


def progress(copy, **fields):
    """
    Make a progress line with a copy of a subagent's line.
    """
    outer = {"type": "progress", "timestamp": "2025-11-01T10:00:05.000Z", "sessionId": SESSION, "cwd": "/srv/repo"}
    return outer | {"data": {"type": "agent_progress", "agentId": "a1", "message": copy}} | fields


def test_copy_in_a_progress_line_is_the_weakest_witness():
    """
    It names its call and may be the only trace of it: a lower bound of a subagent's call.
    """
    copy = line(timestamp="2025-11-01T10:00:04.000Z", requestId="req_s")

    stated = call(progress(copy))

    assert ("msg_a", "progress", "lower_bound") == (stated.source_id, stated.witness, stated.confidence)
    assert (SESSION, "a1", True, "u1", "req_s", "/srv/repo", "2025-11-01T10:00:04.000Z") == (
        stated.session_id,
        stated.agent_id,
        stated.is_sidechain,
        stated.line_id,
        stated.request_id,
        stated.cwd,
        stated.source_created_at,
    )


def test_copy_without_time_or_type_has_the_progress_lines():
    """
    What the copy does not say of itself, the line around it does.
    """
    copy = line()
    del copy["type"]

    assert "2025-11-01T10:00:05.000Z" == call(progress(copy)).source_created_at


@pytest.mark.parametrize(
    "written",
    [
        progress(line(type="user")),
        progress(line(model="<synthetic>")),
        progress({"type": "assistant", "message": {"id": "msg_a"}}),
        progress({"type": "assistant"}),
        progress("odd"),
        progress(None),
        {"type": "progress", "data": {"type": "bash_progress", "output": "x"}},
        {"type": "progress"},
    ],
)
def test_other_progress_is_no_call(written):
    """
    Progress of a tool, and copies without usage, say nothing.
    """
    assert () == read(written)


# ---- odd and broken lines


@pytest.mark.parametrize("value", ["12", True, 1.5, [12], {"n": 12}])
def test_token_field_of_impossible_kind_rejects_the_line(value):
    """
    What was counted is not guessed; the rejection names the field, never its content.
    """
    assert (LineRejected(code="invalid_field", field="output_tokens"),) == read(line(USAGE | {"output_tokens": value}))


@pytest.mark.parametrize("value", [-1, 10**12 + 1, 10**30, 1e30])
def test_number_out_of_range_rejects_the_line(value):
    """
    No call used a negative number of tokens, or a million million of them.
    """
    assert (LineRejected(code="out_of_range", field="usage"),) == read(line(USAGE | {"output_tokens": value}))
    rest = {"type": "advisor_message", "input_tokens": value}
    assert (LineRejected(code="out_of_range", field="usage"),) == read(line(USAGE | {"iterations": [rest]}))


def test_whole_number_with_a_point_is_a_number():
    """
    A tool that rewrites logs may turn 12 into 12.0.
    """
    assert 12 == call(line(USAGE | {"output_tokens": 12.0})).output_tokens


def test_odd_context_costs_no_call():
    """
    Context of an impossible kind becomes unknown; the tokens beside it stand.
    """
    names = ("sessionId", "cwd", "gitBranch", "version", "agentId", "requestId", "uuid", "timestamp")
    odd = {name: [7] for name in names}

    stated = call(line(isSidechain="no", costUSD="free", stop_reason=[1], model={}, **odd))

    assert USAGE == stated.raw
    assert (SESSION, None, None, None) == (stated.session_id, stated.cwd, stated.model, stated.is_sidechain)


@pytest.mark.parametrize(
    ("cost", "micros"), [(0.0123, 12_300), (0, 0), (-1, None), (1e12, None), (None, None), ("0.5", None)]
)
def test_cost_of_old_versions_is_kept_beside_the_tokens(cost, micros):
    """
    Old lines state what they cost; it is shown, never summed, and an impossible cost is none.
    """
    assert micros == call(line(costUSD=cost)).stated_cost_usd_micros


@pytest.mark.parametrize(
    ("timestamp", "created"),
    [
        ("2025-11-01T10:00:00.123Z", "2025-11-01T10:00:00.123Z"),
        ("2025-11-01T10:00:00Z", "2025-11-01T10:00:00.000000Z"),
        ("2025-11-01T12:00:00.5+02:00", "2025-11-01T10:00:00.500000Z"),
        ("2025-W44-6T10:00:00.000Z", "2025-11-01T10:00:00.000000Z"),
        ("2025-11-01x10:00:00.000Z", "2025-11-01T10:00:00.000000Z"),
        ("2025-11-01T10:00:00,000Z", "2025-11-01T10:00:00.000000Z"),
        ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"),
        ("2025-11-01T10:00:00.000", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("10:00", None),
        ("", None),
        (None, None),
        (1762000000, None),
    ],
)
def test_time_is_stored_in_one_spelling(timestamp, created):
    """
    The tables read one spelling of a time; one line in another spelling would stop every refresh for good.
    """
    stated = call(line(timestamp=timestamp))

    assert (created, created is None) == (stated.source_created_at, "time_quality" in stated.flags)


@pytest.mark.parametrize(
    "text", [rb"cut \ud83d", rb"\ude00 cut", rb"\\ud83d \ud83d\ude00 \ud83d\ud83d\ude00 \\\udc80", b"\xff\xfe"]
)
def test_text_that_is_none_costs_no_call(text):
    """
    A tool's output cut inside an emoji or a file read in the wrong encoding: the call beside it still counts.
    """
    written = json.dumps(line(content="@", cwd="/srv/@", gitBranch="@")).encode().replace(b"@", text)

    (stated,) = ADAPTER.read_line(written, HEADER)

    assert isinstance(stated, UsageStated)
    assert USAGE == stated.raw


def test_no_text_decides_what_a_line_is():
    """
    Spaces after colons, and strings that look like fields, change nothing.
    """
    content = [{"type": "tool_use", "input": {"text": '"id":null,"usage":{"output_tokens":999}', "usage": USAGE}}]

    assert call(line()) == call(line(content=content))


@pytest.mark.parametrize("name", ["msg_01AbCdEfGh", "msg_bdrk_01AbCd", "msg_vrtx_01AbCd", "chatcmpl-7", "msg_a"])
@pytest.mark.parametrize("request_id", [None, "req_011CabcDEF"])
def test_no_shape_of_an_id_is_taken_for_a_provider(name, request_id):
    """
    Nobody promises what an id looks like, and gateways make up their own: docs/counting.md says why it stays null.
    """
    stated = call(line(id=name, requestId=request_id))

    assert (name, None) == (stated.source_id, stated.model_provider)
