"""
Where Codex's rollouts lie, and what their lines say; how totals become calls is counted elsewhere.
"""

import json
from pathlib import PurePosixPath

import pytest

from adapters.codex import ADAPTER
from adapters.contract import (
    UNRECOGNISED,
    USAGE_LOST,
    Header,
    LineRejected,
    Root,
    SessionStated,
    TurnEnded,
    TurnStated,
    TurnUnmetered,
    Unrecognised,
    UsageStated,
)

HOME = PurePosixPath("/home/bob")
THREAD = "019a0000-0001-7000-8000-000000000001"
OTHER = "019a0000-0002-7000-8000-000000000002"
STEM = f"rollout-2025-11-01T10-00-00-{THREAD}"
HEADER = Header(STEM, "main", THREAD)
NAMES = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
USAGE = dict(zip(NAMES, (1000, 400, 200, 50, 1200), strict=True))


def roots(**environment):
    """
    Name the roots for a shell with *environment*.
    """
    return [(str(root.path), root.role) for root in ADAPTER.roots(HOME, environment)]


def claim(relative, role="main"):
    """
    Claim a file of a root.
    """
    return ADAPTER.claim(Root(HOME / ".codex/sessions", role), PurePosixPath(relative))


def line(kind, payload, **fields):
    """
    Make a line of a rollout.
    """
    return {"timestamp": "2025-11-01T10:00:00.000Z", "type": kind, "payload": payload} | fields


def totals(**info):
    """
    Make a line of running totals.
    """
    return line("event_msg", {"type": "token_count", "info": info, "rate_limits": {"primary": {"used_percent": 1.0}}})


def record(response="resp_1", thread=THREAD, usage=USAGE, **fields):
    """
    Make a line of the ledger.
    """
    own = {"thread_id": thread, "turn_id": "t1", "session_id": THREAD, "response_id": response, "usage": usage}
    return line("token_usage_record", own | fields, ordinal=4)


def header(**fields):
    """
    Make a session's header.
    """
    return line("session_meta", {"id": THREAD} | fields)


def read(written, under=HEADER):
    """
    Read one line as Codex would write it.
    """
    return tuple(ADAPTER.read_line(json.dumps(written).encode(), under))


def usage_of(written):
    """
    Read a line that states usage once.
    """
    (only,) = (each for each in read(written) if not isinstance(each, TurnUnmetered))
    assert isinstance(only, UsageStated)
    return only


def session_of(written):
    """
    Read a line that is a session's header.
    """
    (only,) = read(written)
    assert isinstance(only, SessionStated)
    return only


# ---- where rollouts are


def test_live_and_archived_store_are_read():
    """
    A finished rollout is moved to the archive: half of all usage may lie there.
    """
    assert [("/home/bob/.codex/sessions", "main"), ("/home/bob/.codex/archived_sessions", "archived")] == roots()
    assert [("/x/sessions", "main"), ("/x/archived_sessions", "archived")] == roots(CODEX_HOME="/x")
    assert roots() == roots(CODEX_HOME="") == roots(CODEX_HOME=".codex")


@pytest.mark.parametrize("place", ["2025/11/01/", "", "anywhere/"])
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst"])
@pytest.mark.parametrize("role", ["main", "archived"])
def test_rollout_is_known_by_its_name(place, ending, role):
    """
    Live, archived and compressed, a rollout keeps its name, and the name tells the thread.
    """
    assert Header(STEM, role, THREAD) == claim(f"{place}{STEM}{ending}", role)


def test_thread_in_a_name_is_written_small():
    """
    One thread has one spelling.
    """
    assert claim(f"{STEM.upper().replace('ROLLOUT', 'rollout')}.jsonl").session_id == THREAD


@pytest.mark.parametrize("name", [f"{STEM}.json", f"{STEM}.jsonl.tmp", f"{STEM}.zst", ".jsonl", "state_5.sqlite"])
def test_other_files_are_not_claimed(name):
    """
    Only JSONL, plain or compressed, is a rollout.
    """
    assert claim(name) is None


@pytest.mark.parametrize(
    ("first", "session"),
    [
        (header(id=OTHER), OTHER),
        ({"id": OTHER, "timestamp": "2025-07-01T10:00:00.000Z", "instructions": None, "git": {}}, OTHER),
        (line("turn_context", {"model": "m"}), "renamed"),
        ([], "renamed"),
    ],
)
def test_renamed_rollout_is_known_by_its_first_line(first, session):
    """
    Where the name tells no thread, the header does; without either the file is its own thread.
    """
    unnamed = claim("2025/11/01/renamed.jsonl")

    assert unnamed is not None
    assert unnamed.session_id is None
    assert Header("renamed", "main", session) == ADAPTER.with_first_line(unnamed, json.dumps(first).encode())


def test_name_tells_more_than_the_first_line():
    """
    A copied history may begin with the parent's header; the file is still the child's.
    """
    assert HEADER is ADAPTER.with_first_line(HEADER, json.dumps(header(id=OTHER)).encode())


# ---- headers


def test_header_says_who_and_where():
    """
    The header names thread, directory, branch, version and program; the remote without its secrets.
    """
    git = {"commit_hash": "abc1234", "branch": "main", "repository_url": "https://bob:secret@example.com/team/repo.git"}
    fields = {"cwd": "/srv/repo", "originator": "Codex Desktop", "cli_version": "0.150.0", "model_provider": "openai"}

    stated = session_of(header(git=git, **fields))

    assert (THREAD, THREAD, "/srv/repo", "Codex_Desktop", "0.150.0", "openai") == (
        stated.session_id,
        stated.stated_session_id,
        stated.cwd,
        stated.originator,
        stated.agent_version,
        stated.model_provider,
    )
    assert ("abc1234", "main", "example.com/team/repo") == (stated.git_commit, stated.git_branch, stated.git_remote)


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("https://github.com/example/repo", "github.com/example/repo"),
        ("https://GitHub.com/Example/Repo.git", "github.com/Example/Repo"),
        ("https://token@github.com/example/repo.git", "github.com/example/repo"),
        ("https://user:p%40ss@example.com:8443/team/sub/repo.git/", "example.com/team/sub/repo"),
        ("x-access-token:secret@github.com/example/repo.git", "github.com/example/repo"),
        ("ssh://git@example.com:2222/team/repo.git", "example.com/team/repo"),
        ("git@example.com:team/repo.git", "example.com/team/repo"),
        ("git://example.com/~bob/repo", "example.com/~bob/repo"),
        ("https://example.com/repo?access_token=secret", "hash"),
        ("https://example.com/repo#secret", "hash"),
        ("https://example.com/a b", "hash"),
        ("user:pass/word@example.com:repo", "hash"),
        ("/srv/git/repo.git", "hash"),
        ("", None),
        (5, None),
    ],
)
def test_remote_is_host_and_path(url, remote):
    """
    User, password, port and query never pass; what does not look like a remote is a hash.
    """
    stated = session_of(header(git={"repository_url": url})).git_remote

    assert remote == (stated and stated.partition(":")[0])


@pytest.mark.parametrize(
    ("fields", "parent"),
    [
        ({"parent_thread_id": OTHER}, OTHER),
        ({"source": {"subagent": {"thread_spawn": {"parent_thread_id": OTHER, "depth": 1}}}}, OTHER),
        ({"source": {"subagent": {"other": "guardian"}}}, None),
        ({"source": {"subagent": "review"}}, None),
        ({"source": "vscode"}, None),
        ({"source": ["odd"]}, None),
        ({}, None),
    ],
)
def test_parent_is_stated_in_two_places(fields, parent):
    """
    A subagent names its parent beside its id or inside its source; what has another form names none.
    """
    assert parent == session_of(header(**fields)).parent_session_id


def test_header_says_whose_history_it_may_carry():
    """
    A fork's origin, the page a thread builds on, and the first ordinal of its own history.
    """
    base = {"thread_id": OTHER, "end_ordinal_exclusive": 12}

    stated = session_of(header(forked_from_id="origin", history_base=base, subagent_history_start_ordinal=4))

    assert ("origin", OTHER, 12) == (stated.forked_from_id, stated.history_base_id, stated.history_end_ordinal)


@pytest.mark.parametrize("number", [-1, 2**63, 10**40, 1.5, True, "7", [7]])
def test_ordinal_that_no_column_holds_is_unknown(number):
    """
    A number beyond 63 bits would stop every refresh of the tables for good; an ordinal is only a hint.
    """
    stated = session_of(header(subagent_history_start_ordinal=number) | {"ordinal": number})
    (turn,) = read(line("turn_context", {"model": "m"}, ordinal=number))

    assert (None, None) == (stated.ordinal, stated.history_end_ordinal)
    assert isinstance(turn, TurnStated)
    assert turn.ordinal is None
    assert usage_of(totals(total_token_usage=USAGE) | {"ordinal": number}).ordinal is None
    assert usage_of(record() | {"ordinal": number}).ordinal is None


def test_header_has_its_own_time_where_the_line_has_none():
    """
    Both are written; one is enough.
    """
    stated = session_of(header(timestamp="2025-11-01T09:00:00.000Z") | {"timestamp": None})

    assert "2025-11-01T09:00:00.000Z" == stated.source_created_at


def test_bare_first_line_of_mid_2025_is_a_header():
    """
    Rollouts of mid-2025 have no envelope and never any usage.
    """
    git = {"branch": "main", "commit_hash": "abc1234", "repository_url": "git@example.com:team/repo.git"}
    first = {"id": OTHER, "timestamp": "2025-07-01T10:00:00.000Z", "instructions": None, "git": git}

    stated = session_of(first)

    assert (OTHER, "main", "example.com/team/repo") == (stated.stated_session_id, stated.git_branch, stated.git_remote)
    for other in ({"record_type": "state"}, {"type": "message", "role": "user"}, {"type": "reasoning"}):
        assert () == read(other)


@pytest.mark.parametrize(
    ("payload", "model"),
    [
        ({"model": "gpt-5.5"}, "gpt-5.5"),
        ({"model_info": {"slug": "gpt-5-codex"}}, "gpt-5-codex"),
        ({"model": "gpt-5.5", "model_info": {"slug": "gpt-5-codex"}}, "gpt-5.5"),
        ({"model": None, "model_info": None}, None),
        ({"model": ["odd"], "model_info": "odd"}, None),
        ({}, None),
    ],
)
def test_turn_names_the_model_in_force(payload, model):
    """
    Older versions write the model into `model_info`; where none is named none is guessed.
    """
    (turn,) = read(line("turn_context", payload | {"cwd": "/srv/repo", "turn_id": "t1"}))

    assert isinstance(turn, TurnStated)
    assert (model, "/srv/repo", "t1", THREAD) == (turn.model, turn.cwd, turn.turn_id, turn.session_id)


# ---- running totals


def test_total_is_no_usage():
    """
    A running total and the last response are kept as stated; token fields stay empty, since a total is not usage.
    """
    stated = usage_of(totals(total_token_usage=USAGE, last_token_usage=USAGE | {"cache_write_input_tokens": 7}))

    assert ("counter", "counter", "counted", None) == (
        stated.basis,
        stated.witness,
        stated.confidence,
        stated.source_id,
    )
    assert (None, None, None) == (stated.input_tokens, stated.cache_read_tokens, stated.output_tokens)
    assert (1000, 50, 7) == (
        stated.raw["total.input_tokens"],
        stated.raw["last.reasoning_output_tokens"],
        stated.raw["last.cache_write_input_tokens"],
    )


def test_total_and_last_may_stand_alone():
    """
    Either may be missing.
    """
    assert {f"total.{name}": value for name, value in USAGE.items()} == usage_of(totals(total_token_usage=USAGE)).raw
    assert {f"last.{name}": value for name, value in USAGE.items()} == usage_of(totals(last_token_usage=USAGE)).raw


@pytest.mark.parametrize("info", [None, {}])
def test_rate_limits_alone_say_nothing_of_tokens(info):
    """
    The first event of a session has no totals yet; an object without any is something that we do not know.
    """
    seen = read(line("event_msg", {"type": "token_count", "info": info, "rate_limits": {}}))

    assert (() if info is None else USAGE_LOST) == seen
    assert USAGE_LOST == read(totals(total_token_usage={}, last_token_usage=None))


def test_total_without_time_is_flagged():
    """
    The tokens were used, whenever.
    """
    assert ("time_quality",) == usage_of(totals(total_token_usage=USAGE) | {"timestamp": None}).flags


# ---- the ledger


def test_record_is_one_call():
    """
    Input includes what was cached, output includes reasoning: the stated classes overlap, ours do not.
    """
    stated = usage_of(record(attribution={"model": "gpt-5.5", "service_tier": "flex"}, thread_token_usage=USAGE))

    assert (f"{THREAD}:resp_1", "call", "ledger", "stated", "gpt-5.5", 4) == (
        stated.source_id,
        stated.basis,
        stated.witness,
        stated.confidence,
        stated.model,
        stated.ordinal,
    )
    assert (600, 400, None, 200, 50, 1200) == (
        stated.input_tokens,
        stated.cache_read_tokens,
        stated.cache_write_tokens,
        stated.output_tokens,
        stated.reasoning_tokens,
        stated.provider_total_tokens,
    )
    assert 1000 == stated.raw["usage.input_tokens"] == stated.raw["thread.input_tokens"]


def test_record_of_another_thread_is_that_threads():
    """
    A guardian's calls are forwarded into its parent's file.
    """
    stated = usage_of(record(thread=OTHER, parent_thread_id=THREAD))

    assert (f"{OTHER}:resp_1", OTHER, THREAD) == (stated.source_id, stated.session_id, stated.parent_session_id)


def test_record_without_thread_is_the_files():
    """
    A record that names no thread belongs to the file's own.
    """
    assert f"{THREAD}:resp_1" == usage_of(record(thread=None)).source_id


def test_compaction_repeats_the_latest_record():
    """
    The copy has the record's identity; a compaction without one says nothing.
    """
    copy = usage_of(line("compacted", {"message": "x", "latest_token_usage_record": record()["payload"]}, ordinal=9))

    assert (usage_of(record()).source_id, "ledger_copy") == (copy.source_id, copy.witness)
    assert () == read(line("compacted", {"message": "x", "replacement_history": []}))


def test_response_without_id_is_known_by_its_content():
    """
    The thread's running sum tells two responses of one size apart; a copy of the record agrees in it.
    """
    sums = [USAGE, USAGE | {"input_tokens": 2000}]
    first, second = (usage_of(record(None, thread_token_usage=each)) for each in sums)
    copied = line("compacted", {"latest_token_usage_record": record(None, thread_token_usage=USAGE)["payload"]})

    assert first.source_id != second.source_id
    assert first.source_id == usage_of(copied).source_id
    assert ("inferred", ("identity_inferred",), None) == (first.confidence, first.flags, first.request_id)


@pytest.mark.parametrize(
    ("parts", "stated"),
    [
        ({}, (10, 0, None, 5, ())),
        ({"cached_input_tokens": 4}, (6, 4, None, 5, ())),
        ({"cached_input_tokens": 4, "cache_write_input_tokens": 6}, (0, 4, 6, 5, ())),
        ({"cached_input_tokens": 99}, (0, 10, None, 5, ("clamped",))),
        ({"cached_input_tokens": 4, "cache_write_input_tokens": 7}, (0, 4, 6, 5, ("clamped",))),
    ],
)
def test_parts_stay_inside_the_input(parts, stated):
    """
    More cached than there was input is impossible: clamped, flagged, and the raw numbers kept.
    """
    usage = {"input_tokens": 10, "cached_input_tokens": 0, "output_tokens": 5} | parts

    seen = usage_of(record(usage=usage))

    assert stated == (
        seen.input_tokens,
        seen.cache_read_tokens,
        seen.cache_write_tokens,
        seen.output_tokens,
        seen.flags,
    )
    assert {f"usage.{name}": value for name, value in usage.items()} == seen.raw


@pytest.mark.parametrize("usage", [None, {}])
def test_record_without_usage_is_seen(usage):
    """
    A record that states no tokens is something that we do not know.
    """
    assert USAGE_LOST == read(record(usage=usage))


# ---- odd and broken lines


@pytest.mark.parametrize("value", ["12", True, 1.5, [12], {"n": 12}])
def test_token_field_of_impossible_kind_rejects_the_line(value):
    """
    What was counted is not guessed; the rejection names the field, never its content.
    """
    rejected = (LineRejected(code="invalid_field", field="output_tokens"),)

    assert rejected == read(totals(total_token_usage=USAGE | {"output_tokens": value}))
    assert rejected == read(record(usage=USAGE | {"output_tokens": value}))


@pytest.mark.parametrize("value", [-1, 10**12 + 1, 10**30, 1e30])
def test_number_out_of_range_rejects_the_line(value):
    """
    No session used a negative number of tokens, or a million million of them.
    """
    rejected = (LineRejected(code="out_of_range", field="usage"),)

    assert rejected == read(totals(last_token_usage=USAGE | {"output_tokens": value}))
    assert rejected == read(record(usage=USAGE | {"output_tokens": value}))


def test_whole_number_with_a_point_is_a_number():
    """
    A tool that rewrites logs may turn 200 into 200.0.
    """
    assert 200 == usage_of(totals(total_token_usage=USAGE | {"output_tokens": 200.0})).raw["total.output_tokens"]


@pytest.mark.parametrize("kind", ["session_meta", "turn_context", "event_msg", "token_usage_record", "compacted"])
@pytest.mark.parametrize("payload", ["odd", 5, [], None, True])
def test_payload_that_is_no_object_is_seen(kind, payload):
    """
    Such a line cannot hold tokens as we know them: counted as unknown, not ignored.
    """
    assert (Unrecognised(),) == read(line(kind, payload))


def test_odd_context_costs_no_call():
    """
    Context of an impossible kind becomes unknown; the tokens beside it stand.
    """
    odd = {"thread_id": [7], "turn_id": 7, "parent_thread_id": {}, "attribution": "odd"}

    stated = usage_of(record(**odd) | {"timestamp": 5})

    assert (THREAD, None, None, 200) == (
        stated.session_id,
        stated.model,
        stated.source_created_at,
        stated.output_tokens,
    )


@pytest.mark.parametrize("kind", ["event_msg", "response_item", "world_state", "message", "function_call_output"])
def test_known_lines_without_tokens_say_nothing(kind):
    """
    Marks, messages and tools' results cost nothing by themselves.
    """
    seen = read(line(kind, {"type": "task_complete", "info": {"total_token_usage": USAGE}, "usage": USAGE}))

    assert ((TurnEnded(),) if kind == "event_msg" else ()) == seen


@pytest.mark.parametrize(
    "renamed",
    [
        *("token_count", "total_token_usage", "info", "type", "payload", "event_msg"),
        *("input_tokens", "cached_input_tokens", "output_tokens", "total_tokens"),
    ],
)
def test_a_key_under_another_name_is_seen(renamed):
    """
    A total that cannot be read any more is an answer without usage, or at least a line that we do not know.
    """
    written = json.dumps(totals(total_token_usage=USAGE, last_token_usage=USAGE)).replace(
        f'"{renamed}"', f'"{renamed}X"'
    )

    said = ADAPTER.read_line(written.encode(), HEADER)

    assert TurnUnmetered() in said or (renamed in ("type", "payload", "event_msg") and UNRECOGNISED == said)


@pytest.mark.parametrize("kind", ["token_usage_record_v2", None, 5])
def test_unknown_line_is_seen(kind):
    """
    A type that we do not know may be where the usage went: it is counted, not ignored.
    """
    assert (Unrecognised(),) == read(line(kind, {"usage": USAGE}))


@pytest.mark.parametrize("text", [rb"cut \ud83d", rb"\ude00 cut", b"\xff\xfe"])
def test_text_that_is_none_costs_no_call(text):
    """
    A name cut inside an emoji or a file read in the wrong encoding: the totals beside it still count.
    """
    written = totals(total_token_usage=USAGE)
    written["payload"]["note"] = written["note"] = "@"

    (stated,) = ADAPTER.read_line(json.dumps(written).encode().replace(b"@", text), HEADER)

    assert isinstance(stated, UsageStated)
    assert {f"total.{name}": value for name, value in USAGE.items()} == stated.raw
