"""
What gptme's conversations say, where they lie, and which of their lines are one call.

The fixtures of the first group were written by gptme 0.35.1 itself: a session with an undo, a compacted view and a
fork, one that `/compact` rewrote, and a log of gptme 0.31 before and after 0.35.1 had loaded it.
"""

import json
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Header, LineRejected, Root, TurnUnmetered, Unrecognised, UsageStated
from adapters.gptme import ADAPTER

FIXTURES = Path(__file__).parent / "fixtures" / "gptme"
HOME = PurePosixPath("/home/bob")
DEFAULT = HOME / ".local/share/gptme/logs"
HEADER = Header("a-session", "main", "a-session")

#: Stands where a log holds somebody's text; it may not come out, in whatever way a line is broken.
CANARY = "correct horse battery staple"

#: What gptme states of a call.
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")

#: All that a rejected line may name.
FIELDS = {None, "metadata", "usage", *TOKENS}


def roots(**environment):
    """
    Name the roots for a shell with *environment*.
    """
    return [root.path for root in ADAPTER.roots(HOME, environment)]


def claim(relative):
    """
    Claim a file of the default root.
    """
    return ADAPTER.claim(Root(DEFAULT), PurePosixPath(relative))


def read(message, header=HEADER):
    """
    Read one message as gptme would write it.
    """
    return tuple(ADAPTER.read_line(json.dumps(message).encode(), header))


def answer(metadata, timestamp="2026-04-19T02:54:43.120000", role="assistant"):
    """
    Make a message of the model.
    """
    return {"role": role, "content": CANARY, "timestamp": timestamp, "metadata": metadata}


def call(message, header=HEADER):
    """
    Read a message that is exactly one call.
    """
    only, *lost = read(message, header)
    assert isinstance(only, UsageStated)
    is_whole = only.input_tokens is not None and only.output_tokens is not None
    assert ([] if is_whole else [TurnUnmetered()]) == lost
    return only


def calls(case, header=HEADER):
    """
    Read the calls of a fixture, in the order of its lines.
    """
    lines = (FIXTURES / f"{case}.jsonl").read_bytes().splitlines()
    return [seen for line in lines for seen in ADAPTER.read_line(line, header) if isinstance(seen, UsageStated)]


def identities(case, header=HEADER):
    """
    Name the calls of a fixture.
    """
    return [each.source_id for each in calls(case, header)]


USAGE = {"input_tokens": 2100, "output_tokens": 340, "cache_read_tokens": 80, "cache_creation_tokens": 10}


# ---- where logs are


def test_root_is_where_gptme_writes():
    """
    Without settings gptme writes below ~/.local/share; XDG_DATA_HOME moves that, GPTME_LOGS_HOME overrides both.
    """
    assert [DEFAULT] == roots()
    assert [PurePosixPath("/data/gptme/logs")] == roots(XDG_DATA_HOME="/data")
    assert [PurePosixPath("/logs")] == roots(XDG_DATA_HOME="/data", GPTME_LOGS_HOME="/logs")


def test_blank_setting_is_no_setting():
    """
    An empty or blank variable is unset, and spaces around a path are dropped: so gptme does, and so do we.
    """
    assert [DEFAULT] == roots(GPTME_LOGS_HOME="", XDG_DATA_HOME="  ", GPTME_LOGS_DIR=" ")
    assert [PurePosixPath("/logs")] == roots(GPTME_LOGS_HOME=" /logs ")


def test_relative_setting_is_taken_from_home():
    """
    A root never depends on the directory in which the daemon was started.
    """
    assert [HOME / "logs"] == roots(GPTME_LOGS_HOME="logs")


def test_directory_of_the_companion_package_is_a_root_too():
    """
    The agent reads GPTME_LOGS_HOME, its companion package GPTME_LOGS_DIR; logs may lie in both places.
    """
    assert [DEFAULT, PurePosixPath("/read")] == roots(GPTME_LOGS_DIR="/read")
    assert [PurePosixPath("/written"), PurePosixPath("/read")] == roots(
        GPTME_LOGS_HOME="/written", GPTME_LOGS_DIR="/read"
    )
    assert [PurePosixPath("/logs")] == roots(GPTME_LOGS_HOME="/logs", GPTME_LOGS_DIR="/logs/")


@pytest.mark.parametrize(
    "name",
    [
        "2026-04-19-happy-running-fish",
        "2026-04-19-gptme-evals-openrouter--anthropic--claude-opus-4-7-markdown-64bdd50c",
        "run-autonomous-20260419025443",
        "tmp",
        "views",
        ".hidden",
    ],
)
def test_conversation_is_claimed_whatever_its_name(name):
    """
    Interactive, evaluation and autonomous runs differ only in name; no date is looked for in it.
    """
    assert Header(name, "main", name) == claim(f"{name}/conversation.jsonl")


@pytest.mark.parametrize("name", ["my notes & entwürfe", "日誌", "x" * 200])
def test_name_that_is_no_id_becomes_a_hash(name):
    """
    A conversation may be called anything; what does not look like an id is stored as its hash, the same in all files.
    """
    main = claim(f"{name}/conversation.jsonl")

    assert main is not None
    assert name == main.name
    assert main.session_id is not None
    assert main.session_id.startswith("hash:")
    for copy in ("branches/main-undo-0.jsonl", "views/compacted-001.jsonl", "lossless.jsonl"):
        header = claim(f"{name}/{copy}")
        assert header is not None
        assert main.session_id == header.session_id


@pytest.mark.parametrize(
    ("relative", "name", "role"),
    [
        ("a/branches/main-undo-0.jsonl", "a/branches/main-undo-0", "branch"),
        ("a/branches/my branch.jsonl", "a/branches/my branch", "branch"),
        ("a/branches/conversation.jsonl", "a/branches/conversation", "branch"),
        ("a/branches/lossless.jsonl", "a/branches/lossless", "branch"),
        ("a/views/compacted-001.jsonl", "a/views/compacted-001", "view"),
        ("a/lossless.jsonl", "a/lossless", "archived"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".zst"])
def test_copies_of_a_conversation_are_claimed_for_it(relative, name, role, ending):
    """
    Branches hold what was undone, views what was compacted, lossless.jsonl what `/compact` took out: all were paid.
    """
    assert Header(name, role, "a") == claim(relative + ending)


def test_compressed_conversation_has_the_name_of_the_plain_one():
    """
    A conversation that was compressed later is the same source.
    """
    assert claim("a/conversation.jsonl") == claim("a/conversation.jsonl.zst")


def test_conversation_of_a_subagent_is_no_main_one():
    """
    A subagent has a folder beside its parent's, and may begin with a copy of the parent's messages.
    """
    header = claim("subagent-review-x7k2/conversation.jsonl")

    assert Header("subagent-review-x7k2", "subagent", "subagent-review-x7k2") == header


def test_nested_conversation_is_claimed():
    """
    Before 0.32 `gptme --name team/task` made a folder in a folder; its calls were paid as well.
    """
    header, branch = claim("team/task/conversation.jsonl"), claim("team/task/branches/main-edit-0.jsonl")

    assert header is not None
    assert branch is not None
    assert ("team/task", "main") == (header.name, header.role)
    assert ("team/task/branches/main-edit-0", "branch") == (branch.name, branch.role)
    assert header.session_id == branch.session_id


@pytest.mark.parametrize(
    "relative",
    [
        "conversation.jsonl",
        "stray.jsonl",
        "branches/main-undo-0.jsonl",
        "a/events.jsonl",
        "a/branches/side/events.jsonl",
        "a/conv-checkpoints.jsonl",
        "a/control.jsonl",
        "a/skill-events.jsonl",
        "a/main-undo-0.jsonl",
        "a/config.toml",
        "a/.lock",
        "a/model_selection_trace.json",
        "a/views/.current",
        "a/tmp4x0k_qk2",
        "a/conversation.jsonl~",
        "a/.conversation.jsonl.swp",
        "a/.#conversation.jsonl",
        "a/#conversation.jsonl#",
        "a/branches/.#main-undo-0.jsonl",
        "a/branches/.jsonl",
        "a/conversation.json",
        "a/branches/deeper/x.jsonl",
        "a/branches/deeper/conversation.jsonl",
        "a/workspace/conversation.jsonl",
        "a/workspace/logs/b/conversation.jsonl",
        "a/workspace/logs/b/branches/x.jsonl",
        "a/attachments/conversation.jsonl",
        "a/files/lossless.jsonl",
    ],
)
def test_other_files_are_not_claimed(relative):
    """
    Events, checkpoints, locks, temporary files, editors' leftovers and what lies in a workspace are no conversation.
    """
    assert claim(relative) is None


# ---- one call, many copies


def test_copies_of_a_call_have_one_identity():
    """
    A session, its undone branch, its compacted view and its fork hold thirteen statements, of six calls.
    """
    main, undone = identities("conversation"), identities("undone-branch")
    view, fork = identities("compacted-view"), identities("fork", Header("my fork", "main", "hash:other"))

    assert 13 == len(main + undone + view + fork)
    assert 6 == len({*main, *undone, *view, *fork})
    assert main == fork[:-1]
    assert main[2:] == view
    assert main[:1] == undone[:1]


def test_undone_answer_is_a_call_of_its_own():
    """
    The answer that was undone and the one that took its place were both paid.
    """
    (undone,) = set(identities("undone-branch")) - set(identities("conversation"))

    assert [12] == [each.output_tokens for each in calls("undone-branch") if each.source_id == undone]


def test_calls_before_a_compaction_stand_in_the_archive():
    """
    `/compact` rewrites conversation.jsonl; what it dropped is found in lossless.jsonl, and nothing counts twice.
    """
    kept, archive = identities("compacted-conversation"), identities("compacted-archive")

    assert kept == archive[1:]
    assert [7000, 900] == [each.input_tokens for each in calls("compacted-archive")]


def test_loading_an_old_log_makes_no_new_calls():
    """
    A newer gptme nests the tokens of an old log and writes its times anew: `Z` and `.12` become `+00:00` and `.120000`.
    """
    assert identities("flat") == identities("flat-rewritten")
    assert calls("flat") == calls("flat-rewritten")


def test_cost_timings_and_text_are_no_part_of_identity():
    """
    Editing a log by hand rounds the cost, tools that have run add timings, and compaction shortens text.
    """
    first = call(answer({"model": "m", "cost": 0.00123456789, "usage": USAGE}))
    other = answer({"model": "m", "cost": 0.001235, "usage": USAGE, "timings": {"tool_ms": 12.5}})

    assert first.source_id == call(other | {"content": "shorter"}).source_id


@pytest.mark.parametrize(
    "other",
    [
        answer({"model": "m", "usage": USAGE}, timestamp="2026-04-19T02:54:43.120001"),
        answer({"model": "n", "usage": USAGE}),
        answer({"usage": USAGE}),
        answer({"model": "m", "usage": USAGE | {"output_tokens": 341}}),
        answer({"model": "m", "usage": {key: USAGE[key] for key in list(USAGE)[:3]}}),
    ],
)
def test_other_time_model_or_tokens_are_another_call(other):
    """
    Only what agrees in time, model and each number is a copy; a number that is missing is not a zero.
    """
    assert call(answer({"model": "m", "usage": USAGE})).source_id != call(other).source_id


def test_equal_numbers_without_time_are_calls_of_their_sessions():
    """
    Without a time only the session tells two calls with equal numbers apart.
    """
    timeless = answer({"usage": USAGE}, timestamp=None)

    assert call(timeless).source_id == call(timeless, Header("a-session/views/v", "view", "a-session")).source_id
    assert call(timeless).source_id != call(timeless, Header("b", "main", "b")).source_id


# ---- what a call says


def test_usage_is_stated_by_billing_class():
    """
    Input is what no cache held; the numbers stand in the evidence also under gptme's own names.
    """
    stated = call(answer({"model": "anthropic/claude-sonnet-4-6", "cost": 0.0018, "usage": USAGE}))

    assert (2100, 80, 10, 340) == (
        stated.input_tokens,
        stated.cache_read_tokens,
        stated.cache_write_tokens,
        stated.output_tokens,
    )
    assert USAGE == stated.raw
    assert ("call", "message", "inferred", ()) == (stated.basis, stated.witness, stated.confidence, stated.flags)
    assert ("anthropic/claude-sonnet-4-6", "a-session", 1800) == (
        stated.model,
        stated.session_id,
        stated.stated_cost_usd_micros,
    )
    assert stated.provider_total_tokens is None


def test_flat_tokens_of_old_versions_say_the_same():
    """
    Version 0.31 wrote the tokens beside the model instead of below `usage`.
    """
    nested = call(answer({"model": "m", "cost": 0.5, "usage": USAGE}))

    assert nested == call(answer({"model": "m", "cost": 0.5, **USAGE}))
    assert nested == call(answer({"model": "m", "cost": 0.5, "usage": {}, **USAGE}))


def test_token_class_that_is_not_stated_stays_unknown():
    """
    OpenAI's answers say nothing of cache writes: that is null, not zero.
    """
    stated = call(answer({"usage": {"input_tokens": 1, "output_tokens": 2}}))

    assert (None, None) == (stated.cache_read_tokens, stated.cache_write_tokens)


def test_reasoning_is_stated_beside_output():
    """
    From 0.34 on gptme tells which part of the output was reasoning.
    """
    assert 51 == call(answer({"usage": {"output_tokens": 80, "reasoning_tokens": 51}})).reasoning_tokens


def test_missing_output_is_a_lower_bound():
    """
    A stream closed after its first event leaves input without output; the call cost more than it says.
    """
    stated = call(answer({"usage": {"input_tokens": 12, "cache_read_tokens": 3}}))

    assert stated.output_tokens is None
    assert ("incomplete",) == stated.flags


def test_call_of_zero_tokens_is_a_call():
    """
    No failed call is kept in a log; zeros are a local server's answer.
    """
    assert dict.fromkeys(USAGE, 0) == call(answer({"usage": dict.fromkeys(USAGE, 0)})).raw


def test_usage_counts_on_whatever_line_it_stands():
    """
    Usage is written to answers only; should it stand elsewhere, it was paid all the same.
    """
    for role in ("system", "user", "tool", "narrator", None):
        assert USAGE == call(answer({"usage": USAGE}, role=role)).raw


@pytest.mark.parametrize("metadata", [None, {}, {"model": "m"}, {"model": "m", "usage": {}}, {"usage": None}])
def test_answer_without_usage_is_unmetered(metadata):
    """
    An interrupted stream, a mock model and a summary of a compaction leave answers without tokens.
    """
    assert (TurnUnmetered(),) == read(answer(metadata))


def test_lines_of_other_roles_hold_nothing():
    """
    Prompts and tools' results cost nothing by themselves; a role that we do not know is counted.
    """
    for role in ("system", "user", "tool"):
        assert () == read({"role": role, "content": CANARY, "metadata": {"tool": "shell"}})
    for message in ({"role": "narrator"}, {"role": None}, {"role": 5}, {}):
        assert (Unrecognised(),) == read(message)


# ---- time


def test_local_time_is_read_in_the_zone_of_the_host():
    """
    Times are written as local ones, without a zone; the zone that was assumed stands beside the result.
    """
    berlin = Header("a", "main", "a", zone="Europe/Berlin")
    stated = call(answer({"usage": USAGE}, timestamp="2026-04-19T02:54:43.120000"), berlin)

    assert ("2026-04-19T00:54:43.120000Z", "Europe/Berlin") == (stated.source_created_at, stated.assumed_zone)


def test_time_with_a_zone_of_its_own_keeps_it():
    """
    Times that gptme took from a file or a server carry their zone; nothing is assumed.
    """
    berlin = Header("a", "main", "a", zone="Europe/Berlin")
    stated = call(answer({"usage": USAGE}, timestamp="2026-04-19T02:54:43.120000-07:00"), berlin)

    assert ("2026-04-19T09:54:43.120000Z", None) == (stated.source_created_at, stated.assumed_zone)


def test_assumed_zone_is_no_part_of_identity():
    """
    A host whose zone was set right later has no new calls.
    """
    message = answer({"usage": USAGE})

    assert call(message).source_id == call(message, Header("a", "main", "a", zone="Asia/Tokyo")).source_id


def test_hour_that_the_clocks_repeat_keeps_both_calls():
    """
    Local times run backwards in autumn: both calls count, in the order of their lines, the second dated an hour early.
    """
    first, second, *_ = calls("clock-change", Header("a", "main", "a", zone="Europe/Berlin"))

    assert first.source_id != second.source_id
    assert ("2026-10-25T00:59:59.900000Z", "2026-10-25T00:00:00.900000Z") == (
        first.source_created_at,
        second.source_created_at,
    )
    assert () == first.flags == second.flags


@pytest.mark.parametrize("timestamp", [None, "", "yesterday", 1776567283, ["2026-04-19"], "9999-99-99T00:00:00"])
def test_call_without_readable_time_counts_on_no_day(timestamp):
    """
    The tokens were paid, whenever; the flag says that no day can be named.
    """
    stated = call(answer({"usage": USAGE}, timestamp=timestamp))

    assert (None, None, ("time_quality",)) == (stated.source_created_at, stated.assumed_zone, stated.flags)


# ---- broken lines


@pytest.mark.parametrize(
    "line",
    [b"", b"   ", b"\x00" * 64, b'{"role": "assi', b"[]", b"[{}]", b'"x"', b"5", b"null", b"{} {}", b"\xff\xfe", b"{]"],
)
def test_line_that_is_no_object_is_rejected(line):
    """
    A cut or overwritten line is evidence of damage, and no byte of it is kept.
    """
    assert (LineRejected(code="invalid_json"),) == tuple(ADAPTER.read_line(line, HEADER))


def test_line_nested_too_deep_is_rejected():
    """
    A hostile line must not end the daemon.
    """
    line = b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"

    assert (LineRejected(code="too_deep"),) == tuple(ADAPTER.read_line(line, HEADER))


@pytest.mark.parametrize("text", [rb"cut \ud83d", rb"\ude00 cut", rb"\\ud83d \ud83d\ude00 \ud83d\ud83d\ude00 \\\udc80"])
def test_half_an_emoji_in_the_text_costs_no_call(text):
    """
    A tool's output cut inside an emoji ends in half a character, which our decoder refuses; the call still counts.
    """
    line = (
        b'{"content": "'
        + text
        + b'", "role": "assistant", "metadata": {"usage": {"input_tokens": 1, "output_tokens": 2}}}'
    )

    (stated,) = ADAPTER.read_line(line, HEADER)

    assert isinstance(stated, UsageStated)
    assert {"input_tokens": 1, "output_tokens": 2} == stated.raw


def test_bytes_that_are_no_text_cost_no_call():
    """
    The agent itself reads such a log, with replacement characters; so its calls count here too.
    """
    line = (
        b'{"content": "\xff\xfe", "role": "assistant", "metadata": {"usage": {"input_tokens": 1, "output_tokens": 2}}}'
    )

    (stated,) = ADAPTER.read_line(line, HEADER)

    assert isinstance(stated, UsageStated)


def test_odd_context_costs_no_call():
    """
    A model or cost of an impossible kind becomes unknown; the tokens beside it stand.
    """
    stated = call(answer({"model": ["m"], "cost": "free", "usage": USAGE}) | {"role": 7})

    assert (None, None, USAGE) == (stated.model, stated.stated_cost_usd_micros, stated.raw)


@pytest.mark.parametrize("cost", [-0.1, 1e12, "0.5", None])
def test_impossible_cost_is_no_cost(cost):
    """
    A cost is a few dollars or it is not said.
    """
    assert call(answer({"cost": cost, "usage": USAGE})).stated_cost_usd_micros is None


def test_whole_number_with_a_point_is_a_number():
    """
    A tool that rewrites logs may turn 120 into 120.0.
    """
    assert 120 == call(answer({"usage": USAGE | {"input_tokens": 120.0}})).input_tokens


@pytest.mark.parametrize("value", ["120", True, 1.5, [120], {"n": 120}])
def test_token_field_of_impossible_kind_rejects_the_line(value):
    """
    What was counted is not guessed; the rejection names the field, never its content.
    """
    for metadata in ({"usage": USAGE | {"output_tokens": value}}, USAGE | {"output_tokens": value}):
        assert (LineRejected(code="invalid_field", field="output_tokens"),) == read(answer(metadata))


@pytest.mark.parametrize("value", [-1, 10**12 + 1, 10**30, 1e30])
def test_number_out_of_range_rejects_the_line(value):
    """
    No call used a negative number of tokens, or a million million of them.
    """
    for metadata in ({"usage": USAGE | {"output_tokens": value}}, USAGE | {"output_tokens": value}):
        assert (LineRejected(code="out_of_range", field="usage"),) == read(answer(metadata))


# ---- whatever stands in a line

NUMBERS = st.integers() | st.integers(0, 10**6) | st.floats(allow_nan=False, allow_infinity=False)
HALVES = st.sampled_from(["\ud83d", "\udc80", "cut \ud83d"])
LEAVES = st.none() | st.booleans() | NUMBERS | st.just(CANARY) | st.text(max_size=8) | HALVES
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(CANARY), inner, max_size=2),
    max_leaves=6,
)
STATED = dict.fromkeys(TOKENS, NUMBERS | ANYTHING)
CANARIES = {CANARY: ANYTHING}
USAGES = st.fixed_dictionaries({}, optional=STATED | CANARIES) | ANYTHING
METADATA = st.fixed_dictionaries(
    {}, optional=STATED | CANARIES | {"usage": USAGES, "model": ANYTHING, "cost": ANYTHING, "timings": ANYTHING}
)
ROLES = st.sampled_from(["assistant", "user", "system", CANARY]) | ANYTHING
TIMES = st.datetimes().map(lambda moment: moment.isoformat()) | ANYTHING
MESSAGES = st.fixed_dictionaries(
    {"content": st.just(CANARY)},
    optional={"role": ROLES, "timestamp": TIMES, "metadata": METADATA | ANYTHING, "unknown": ANYTHING} | CANARIES,
)


def sound(line):
    """
    Read *line* and check what must hold of every line there is.
    """
    seen = tuple(ADAPTER.read_line(line, HEADER))

    assert len(seen) <= 1 + (TurnUnmetered() in seen)
    assert CANARY.encode() not in msgspec.json.encode(seen)
    for each in seen:
        if isinstance(each, LineRejected):
            assert each.field in FIELDS
        if isinstance(each, UsageStated):
            assert each.raw
            assert all(0 <= value <= 10**12 for value in each.raw.values())
    return seen


@given(st.binary(max_size=400))
def test_no_bytes_end_the_reader(line):
    """
    Whatever a crash or a stranger left in a log is read without an exception.
    """
    sound(line)


@given(MESSAGES)
def test_no_message_ends_the_reader_or_leaks_its_text(message):
    """
    Text never leaves a line: not from content, role, time, model, unknown keys or values of the wrong kind.
    """
    seen = sound(json.dumps(message).encode())

    assert LineRejected(code="invalid_json") not in seen


@given(st.data())
def test_no_damage_to_a_real_line_ends_the_reader_or_leaks_its_text(data):
    """
    A line cut, doubled or overwritten anywhere is read without an exception, and says nothing of its text.
    """
    line = json.dumps(answer({"model": "m", "cost": 0.5, "usage": USAGE, CANARY: CANARY})).encode()
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, len(line)))

    sound(line[:start] + data.draw(st.binary(max_size=12)) + line[end:])


def test_session_is_known_without_its_first_line():
    """
    A conversation's folder names it; nothing has to be read first.
    """
    assert HEADER is ADAPTER.with_first_line(HEADER, b"{}")
