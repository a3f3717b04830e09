"""From what callers write to one canonical message: names, defaults, and what is the same statement."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.inbox_client import submit
from daemon.message_keys import registration_key, task_key, token_key
from daemon.posts import PostRefused, sealed_posts
from tests.daemon.conftest import Host
from tests.daemon.live import daemon
from tests.daemon.test_cli import Done, run

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RAW = {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5}
MEASURED = {"provider": "anthropic", "source_id": "msg_1", "raw_usage": RAW}


def message(kind: str, written: dict[str, Any], key: str | None = None, now: datetime = NOW) -> dict[str, Any]:
    """Return the message that a statement becomes."""
    (sealed,) = sealed_posts(kind, written, "test", now, key)
    found: dict[str, Any] = json.loads(sealed.content)
    return found


def receipt(kind: str, written: dict[str, Any], now: datetime = NOW) -> str:
    return sealed_posts(kind, written, "test", now)[0].receipt


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_tokens_follow_from_raw_usage() -> None:
    """
    Provider, source id and raw usage: measured, by whoever called the provider; nothing has to be said twice.
    """
    body = message("token_event", MEASURED)["body"]

    assert {
        **MEASURED,
        "measurement": "measured",
        "source_class": "llm_connect",
        "input_tokens": 3,
        "cache_read_tokens": 5,
        "output_tokens": 4,
    } == body


@pytest.mark.parametrize("missing", ["provider", "source_id", "raw_usage"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_what_has_no_provenance_is_an_estimate(missing: str, how: str) -> None:
    """
    Unless it claims to be measured, which is refused.
    """
    written = {"input_tokens": 3, "cache_read_tokens": 5, "output_tokens": 4, **MEASURED}
    written = written | {missing: None} if how == "null" else {n: v for n, v in written.items() if n != missing}

    body = message("token_event", written)["body"]

    assert ("estimated", "manual") == (body["measurement"], body["source_class"])
    assert missing not in body
    with pytest.raises(PostRefused, match="needs_provenance") as refused:
        message("token_event", written | {"measurement": "measured"})
    assert missing == refused.value.field


def test_an_estimate_may_have_all_provenance() -> None:
    """
    Who says that it is none is believed.
    """
    body = message("token_event", MEASURED | {"measurement": "estimated"})["body"]

    assert ("estimated", "manual", 3) == (body["measurement"], body["source_class"], body["input_tokens"])


def test_raw_usage_of_an_unknown_shape_needs_the_tokens_beside_it() -> None:
    """
    What it means is not guessed; what is stated beside it is taken.
    """
    unknown = MEASURED | {"raw_usage": {"units": 9}}

    with pytest.raises(PostRefused, match="missing_field"):
        message("token_event", unknown)
    body = message("token_event", unknown | {"input_tokens": 9})["body"]
    assert ("measured", 9, {"units": 9}) == (body["measurement"], body["input_tokens"], body["raw_usage"])


@pytest.mark.parametrize(
    ("stated", "code", "field"),
    [
        ({"output_tokens": 5}, "contradicts", "output_tokens"),
        ({"cache_write_tokens": 1}, "contradicts", "cache_write_tokens"),
        ({"input_tokens": 8}, "contradicts", "input_tokens"),
    ],
)
def test_tokens_that_are_not_those_of_raw_usage_are_refused(stated: dict[str, int], code: str, field: str) -> None:
    """
    A claim beside the evidence is no evidence.
    """
    with pytest.raises(PostRefused, match=code) as refused:
        message("token_event", MEASURED | stated)
    assert field == refused.value.field


def test_a_message_of_the_inbox_is_held_against_its_raw_usage_too(host: Host) -> None:
    """
    Whichever way it takes: nothing of raw usage may be missing, and nothing may be added.
    """
    body = {**MEASURED, "measurement": "measured", "source_class": "llm_connect", "input_tokens": 3, "output_tokens": 4}

    for wrong in ({}, {"cache_read_tokens": 6}, {"cache_read_tokens": 5, "cache_write_tokens": 1}):
        told = run(host, "inbox", "submit", "--kind", "token_event", "-", input=json.dumps(body | wrong))
        assert 2 == told.returncode
    assert submit(host.state, "token_event", body | {"cache_read_tokens": 5}, producer="test")


def test_old_fields_become_ours() -> None:
    """
    Sums, ids that were numbers, a time, and notes that nobody keeps.
    """
    old = {"tokens_in": 1, "tokens_out": 0, "task_id": 5, "repo_id": 6, "workstream_id": 7, "note": "x", "notes": "y"}

    found = message("token_event", old | {"created_at": "2026-05-19T10:00:00Z"})

    assert {
        "input_tokens": 1,
        "output_tokens": 0,
        "task_id": "5",
        "workstream_id": "7",
        "repo": "6",
        "at": "2026-05-19T10:00:00Z",
        "measurement": "estimated",
        "source_class": "legacy_post",
    } == found["body"]
    assert "2026-05-19T10:00:00Z" == found["created_at"]
    assert "key" not in found


def test_what_is_said_in_new_words_is_not_taken_from_old_ones() -> None:
    """
    A repository's name before its number, the time of use before the time of writing.
    """
    found = message(
        "token_event",
        {
            "tokens_in": 1,
            "repo": "acme/app",
            "repo_id": 6,
            "at": "2026-01-01T00:00:00Z",
            "created_at": "2026-05-19T10:00:00Z",
        },
    )

    assert ("acme/app", "2026-01-01T00:00:00Z") == (found["body"]["repo"], found["body"]["at"])
    assert "2026-05-19T10:00:00Z" == found["created_at"]


# -- what is the same statement --------------------------------------------------------------------------------------


def test_a_report_is_named_by_its_provider_whatever_key_is_given() -> None:
    """
    Clients make a new key for every request; the session that grows is still one.
    """
    assert "token:anthropic:msg_1" == message("token_event", MEASURED, "k1")["key"]
    assert "token:anthropic:msg_1" == message("token_event", MEASURED | {"idempotency_key": "k2"})["key"]


def test_names_that_look_alike_do_not_meet() -> None:
    """
    One call would take the place of another.
    """
    pairs = [
        ("a", "b:c"),
        ("a:b", "c"),
        (None, "a:b:c"),
        ("a", "x" * 300),
        ("b", "x" * 300),
        (None, "b:c"),
    ]
    keys = [token_key(*pair, is_measured=True) for pair in pairs]

    assert len(set(pairs)) == len(set(keys))
    assert task_key("x" * 128) != task_key("x" * 127)


@pytest.mark.parametrize("kind", ["token_event", "task", "activity"])
def test_a_key_names_what_has_no_name(kind: str) -> None:
    """
    From the body, else from the header; without one, the same words are two statements.
    """
    written: dict[str, dict[str, Any]] = {
        "token_event": {"tokens_in": 1},
        "task": {"task_id": "T", "status": "open"},
        "activity": {"agent": "codex", "what": "waiting"},
    }
    body = written[kind]

    assert "k" == message(kind, body, "k")["key"]
    assert "own" == message(kind, body | {"idempotency_key": "own"}, "k")["key"]
    assert "key" not in message(kind, body)
    assert receipt(kind, body) != receipt(kind, body)
    again = NOW + timedelta(hours=1)
    assert receipt(kind, body | {"idempotency_key": "k"}) == receipt(kind, body | {"idempotency_key": "k"}, again)


def test_of_a_list_the_place_is_part_of_the_key() -> None:
    """
    One header for all of them, and none takes the place of another.
    """
    sealed = sealed_posts("token_event", [{"tokens_in": 1}, {"tokens_in": 1}], "test", NOW, "k")

    assert ["k:0", "k:1"] == [json.loads(each.content)["key"] for each in sealed]


def test_reports_about_a_task_replace_each_other_only_when_they_are_ordered() -> None:
    """
    A revision orders what has one name, and so makes one.
    """
    body = {"task_id": "T-17", "status": "completed"}

    assert ("task:T-17", 3) == tuple(message("task", body | {"revision": 3})[name] for name in ("key", "revision"))


def test_a_declaration_is_named_by_its_target_and_ordered_by_its_time() -> None:
    """
    Another share, or taking it back, is the same declaration said later; another task is another one.
    """
    body = {"session_id": "s", "task_id": 4, "since": "2026-11-20T10:00:00+02:00"}
    found = message("allocation", body | {"permille": 500})

    for other in (
        {"is_withdrawn": True},
        {"permille": 100},
        {"since": "2026-11-20T08:00:00Z"},
        {"idempotency_key": "x"},
    ):
        assert found["key"] == message("allocation", body | other)["key"]
    assert found["key"] != message("allocation", body | {"task_id": 5})["key"]
    assert int(NOW.timestamp() * 1_000_000) == found["revision"]
    stated = message("allocation", body | {"created_at": "2026-01-01T00:00:00Z"})
    assert int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000) == stated["revision"]
    assert 7 == message("allocation", body | {"revision": 7})["revision"]


def test_registrations_add_up_and_are_taken_back_one_by_one() -> None:
    """
    Every set of facts is a registration of its own, in whatever order they are listed.
    """
    one = {"repo": "acme/app", "remotes": ["git@github.com:acme/app.git", "https://u:p@gitlab.com/acme/app"]}
    found = message("repo", one)

    assert ["github.com/acme/app", "gitlab.com/acme/app"] == found["body"]["remotes"]
    assert found["key"] == message("repo", one | {"is_withdrawn": True})["key"]
    assert found["key"] != message("repo", {"repo": "acme/app", "paths": ["/srv/app"]})["key"]
    assert registration_key({"repo": "a", "aliases": ["b", "c"]}) == registration_key(
        {"repo": "a", "aliases": ["c", "b"]}
    )


# -- from the command line -------------------------------------------------------------------------------------------


def test_token_add_writes_one_report_or_a_list(host: Host) -> None:
    """
    The same words as over HTTP, all or none; receipts are printed in order.
    """
    one = run(host, "token", "add", "-", input=json.dumps(MEASURED))
    several = run(host, "token", "add", "-", "--json", input=json.dumps([MEASURED, {"tokens_in": 1}]))
    bad = run(host, "token", "add", "-", input=json.dumps([{"tokens_in": 1}, {"tokens_in": -1}]))
    host.ingest()

    assert (0, ["pending"]) == (one.returncode, one.stdout.split()[1:])
    document = json.loads(several.stdout)
    assert ("tallystick.token.add/1", 2) == (document["schema"], len(document["receipts"]))
    assert one.stdout.split()[0] == document["receipts"][0]["receipt"]
    assert (2, "") == (bad.returncode, bad.stdout)
    assert "index=1, field=tokens_in, rule=out_of_range" in bad.stderr
    assert 2 == len(host.rows("SELECT * FROM token_reports"))
    assert {"operator"} == {row["producer"] for row in host.rows("SELECT producer FROM token_reports")}


def test_token_add_waits_for_the_outcome(host: Host) -> None:
    """
    Stored, then a duplicate; without a daemon it is pending, and the exit code says so.
    """
    text = json.dumps(MEASURED)

    def add(wait: str) -> Done:
        return run(host, "token", "add", "-", "--wait", wait, input=text)

    told = [add("0")]
    with daemon(host):
        told += [add("60"), add("60")]
    assert [(3, "pending"), *[(0, "duplicate")] * 2] == [(each.returncode, each.stdout.split()[1]) for each in told]
    assert 2 == add("soon").returncode
