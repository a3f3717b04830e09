"""Whose tokens, as an operator sees it: usage by repository and task, a session's chain, what explains a share."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from daemon.bootstrap import catch_up, open_log, refresh_and_publish, seen_files
from daemon.cli import main
from daemon.envelope import SCHEMA
from daemon.inbox_client import submit
from daemon.message import check
from daemon.repo_answers import NEXT_STEPS, explain_repo, list_repos
from daemon.task_answers import list_tasks, show_task
from daemon.usage_verb import usage_document
from daemon.what_if import what_would_change
from projections.read import Tables, Window
from state.vocabulary import RepoGap
from tests.daemon.conftest import SESSION, Host, claude_line
from tests.projections.ledger import CLASSES, NOW, call, checkout, commit, declare, moment, register, report, tokens
from tests.templates import begin_with_empty_tables

APP = "github.com/acme/app"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def write(host: Host, *events: bytes) -> None:
    """Put events into the log as a reader would have, and publish the tables."""
    begin_with_empty_tables(host.state)
    with open_log(host.settings, lambda: NOW) as log:
        log.append(list(events), {})
        refresh_and_publish(host.settings)


def asked(host: Host, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert 0 == main([*words, "--json", "--state-dir", str(host.state.root)])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def sums(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] or 0 for row in rows) for name in CLASSES}


HISTORY = (
    register("app", remotes=[APP]),
    checkout("/w/app", remotes={"origin": APP}),
    call("a", at=1, cwd="/w/app", git_branch="APP-1"),
    call("b", at=2, cwd="/w/app", cache_write_tokens=7, cache_write_5m_tokens=3),
    call("c", at=3, cwd="/w/else"),
    call("d", at=4, session="sub", parent_session_id="s", reasoning_tokens=9),
    declare("T-1", session_id="s", since=moment(2), permille=300, workstream_id="W"),
    report("T-9", "completed", at=90, origin="operator", estimated_output_tokens=50),
)


def test_by_repository_and_by_task_everything_measured_is_there(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Rows of any grouping add up to the measured total, in every class, whatever else is included beside them.
    """
    write(host, *HISTORY)
    total = asked(host, capsys, "usage")["totals"]["measured"]

    for by in ("repo", "task", "workstream", "repo,task", "task,workstream,session,branch", "repo,branch,day", "agent"):
        document = asked(host, capsys, "usage", "--by", by, "--include", "estimated,superseded")
        rows = [row for row in document["rows"] if row["measurement"] in ("measured", "allocated")]
        assert sums([total]) == sums(rows), by
        assert all(name in row for row in document["rows"] for name in by.split(","))
        assert total == document["totals"]["measured"]


def test_a_row_by_task_says_whether_it_is_a_share_or_the_rest(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Shares are allocated; what belongs to no task is measured, with task null; a call in parts is counted once each.
    """
    write(host, *HISTORY)

    rows = asked(host, capsys, "usage", "--by", "task")["rows"]

    assert [("APP-1", "allocated", 1, 60), ("T-1", "allocated", 3, 56), (None, "measured", 0, 131)] == [
        (row["task"], row["measurement"], row["calls"], row["total_tokens"]) for row in rows
    ]
    asked_text = main(["usage", "--by", "repo,task", "--state-dir", str(host.state.root)])
    shown = capsys.readouterr().out
    assert 0 == asked_text
    assert "(unallocated)" in shown
    assert "(unattributed)" in shown
    assert "estimated 50 is not included" in shown


def test_what_is_allocated_or_estimated_stands_beside_what_is_measured(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Included, they are rows and totals of their own class; the measured total does not move.
    """
    write(host, *HISTORY)

    plain = asked(host, capsys, "usage")
    document = asked(host, capsys, "usage", "--include", "allocated,estimated")

    assert plain["totals"]["measured"] == document["totals"]["measured"]
    assert {"allocated": {}, "estimated": {}, "superseded": {}}.items() <= plain["totals"].items()
    assert (116, 50) == tuple(document["totals"][name]["total_tokens"] for name in ("allocated", "estimated"))
    assert 50 == plain["estimated_tokens_not_included"]
    assert 0 == document["estimated_tokens_not_included"]
    assert {("measured", 247), ("allocated", 116), ("estimated", 50)} == {
        (row["measurement"], row["total_tokens"]) for row in document["rows"]
    }


def test_a_session_shows_the_chain_of_its_tokens(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Who it started, where it worked by which evidence, on which tasks by which rule, and what is left.
    """
    write(host, *HISTORY)

    document = asked(host, capsys, "sessions", "s")

    links = document["chain"]
    assert [{"session_id": "sub"}] == links["children"]
    assert [("app", "remote", 60), ("app", "remote", 67), (None, None, 60)] == [
        (row["repo"], row["repo_rung"], row["total_tokens"]) for row in links["repos"]
    ]
    assert [("APP-1", "branch", [2]), ("T-1", "declared", [6])] == [
        (row["task_id"], row["rule"], row["evidence_seqs"]) for row in links["tasks"]
    ]
    assert links["unallocated"][0]["total_tokens"] == 187 - sum(row["total_tokens"] for row in links["tasks"])
    assert ["a", "b", "c"] == [row["source_id"] for row in document["rows"]]
    assert 0 == main(["sessions", "s", "--state-dir", str(host.state.root)])
    shown = capsys.readouterr().out
    assert "repo app by remote, in /w/app: 1 calls" in shown
    assert "repo unattributed: not_seen, in /w/else" in shown
    assert "task T-1 workstream W by declared (high, #6)" in shown


def test_a_share_is_explained_down_to_its_events(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Rule, confidence, evidence and shares; by call, by task, by workstream and by repository.
    """
    write(host, *HISTORY)

    (row,) = asked(host, capsys, "explain", "b")["rows"]

    assert ("app", "remote", 1) == (row["repo"], row["repo_rung"], row["checkout_seq"])
    (share,) = row["allocations"]
    assert ("T-1", "W", "declared", 1, "high", [6]) == tuple(
        share[name] for name in ("task_id", "workstream_id", "rule", "rule_version", "confidence", "evidence_seqs")
    )
    assert row["total_tokens"] == share["total_tokens"] + row["unallocated_tokens"]
    for what, calls in (("T-1", {"b", "c", "d"}), ("W", {"b", "c", "d"}), ("app", {"a", "b"}), ("APP-1", {"a"})):
        assert calls == {each["source_id"] for each in asked(host, capsys, "explain", what)["rows"]}
    assert 0 == main(["explain", "b", "--state-dir", str(host.state.root)])
    assert "repo app by remote; task T-1 workstream W 20 by declared (high, #6)" in capsys.readouterr().out


def test_a_reported_call_is_explained_by_its_message(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    It stands in the log and nowhere else; what it superseded is named.
    """
    write(host, tokens("k", 1, at=moment(0)), tokens("k", 2, input_tokens=5, at=moment(0)))

    (row,) = asked(host, capsys, "explain", "anthropic:msg_p")["rows"]

    assert ("report", 7, "tokens of the message") == (row["rule"], row["total_tokens"], row["formula"])
    assert [("message", None, "test")] == [
        (each["outcome"], each["readable_at"], each["producer"]) for each in row["evidence"]
    ]
    assert [("updated", 1)] == [(each["reason"], each["by_seq"]) for each in row["superseded"]]
    assert 0 == main(["explain", "#1", "--state-dir", str(host.state.root)])
    assert "message " in capsys.readouterr().out


# -- lists -----------------------------------------------------------------------------------------------------------


def test_repositories_are_listed_with_what_belongs_to_none(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Each reason comes with the next step.
    """
    write(host, *HISTORY)

    list_repos(host.settings, as_json=True)
    document = json.loads(capsys.readouterr().out)
    list_repos(host.settings, as_json=False)
    shown = capsys.readouterr().out

    assert [("app", 127)] == [(row["repo"], row["total_tokens"]) for row in document["rows"]]
    assert {("not_seen", 60), ("no_directory", 60)} == {
        (row["repo_gap"], row["total_tokens"]) for row in document["unattributed"]
    }
    assert "unattributed, not_seen: 1 calls, 60 tokens" in shown
    assert NEXT_STEPS["not_seen"] in shown


def test_every_reason_for_no_repository_has_a_next_step() -> None:
    """
    A gap that is added is answered.
    """
    assert set(RepoGap.__args__) == set(NEXT_STEPS)  # type: ignore[attr-defined]


def test_a_repository_or_a_directory_is_explained(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What is registered, what was seen, and why a place belongs to it or to none.
    """
    write(host, *HISTORY, register("other", remotes=[APP], aliases=["old"]))

    explain_repo(host.settings, "/w/app/", as_json=False)
    ambiguous = capsys.readouterr().out
    explain_repo(host.settings, "old", as_json=True)
    by_alias = json.loads(capsys.readouterr().out)

    assert "belongs to none: several_repos (claimed by app, other); say which is the same" in ambiguous
    assert ["other"] == [row["repo"] for row in by_alias["repos"]]
    assert [APP] == by_alias["registrations"][0]["remotes"]


def test_tasks_are_listed_and_one_is_shown_in_full(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Measured shares and estimates stand apart.
    """
    write(host, *HISTORY)

    list_tasks(host.settings, as_json=True)
    tasks = {row["task_id"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    show_task(host.settings, "T-9", as_json=False)
    shown = capsys.readouterr().out

    assert (56, None) == (tasks["T-1"]["allocated_tokens"], tasks["T-1"]["estimated_tokens"])
    assert (None, 50, "completed") == tuple(
        tasks["T-9"][name] for name in ("allocated_tokens", "estimated_tokens", "status")
    )
    assert "reported completed" in shown
    assert "(task_fallback): counts as estimated" in shown


# -- what if ---------------------------------------------------------------------------------------------------------


def declared(body: dict[str, Any]) -> bytes:
    """Return a declaration as the log would hold it."""
    content = {"schema": SCHEMA, "kind": "allocation", "producer": "operator", "body": body}
    return check(json.dumps(content).encode()).event("0" * 32, NOW)


def test_what_a_declaration_would_change_is_shown_and_nothing_is_written(host: Host) -> None:
    """
    The very rules, on a copy; afterwards log, inbox and tables are what they were.
    """
    write(host, *HISTORY)
    before = {path: path.read_bytes() for path in host.state.root.rglob("*") if path.is_file()}

    changes = what_would_change(host.settings, declared({"task_id": "T-2", "source_id": "a"}))

    assert [
        ("APP-1", "branch", 60, 0),
        ("T-2", "declared", 0, 60),
    ] == [(row["task_id"], row["rule"], row["total_tokens_before"], row["total_tokens_after"]) for row in changes]
    assert before == {path: path.read_bytes() for path in host.state.root.rglob("*") if path.is_file()}
    write(host, declare("T-2", source_id="a"))
    with Tables(host.state.published) as tables:
        assert [(60,)] == [
            tuple(row.values()) for row in tables.rows("SELECT total_tokens FROM usage_allocated WHERE task_id = 'T-2'")
        ]


# -- estimates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "estimates"),
    [
        ("operator", 1),
        ("hook", 1),
        ("agent", 1),
        (None, 0),
        ("bulk_import", 0),
        ("status_sync", 0),
        ("migration", 0),
        ("consistency", 0),
        ("fix-consistency", 0),
        ("anything", 0),
    ],
)
def test_only_some_origins_leave_an_estimate(host: Host, origin: str | None, estimates: int) -> None:
    """
    A task that was completed by an import, a sync, a migration or a consistency run, or by anything else, leaves none.
    """
    body = {"task_id": "T-1", "status": "completed", "estimated_output_tokens": 9}
    submit(host.state, "task", body | ({"origin": origin} if origin else {}), producer="hub", key="T-1", revision=1)
    host.ingest()

    assert estimates == len(host.rows("SELECT * FROM usage_estimated"))


def test_an_estimate_gives_way_to_what_is_measured_of_the_same_task_and_time(host: Host) -> None:
    """
    It counts until then, and afterwards stands superseded by the call; of another time it stays.
    """
    write(host, *(report(task, "completed", at=60, origin="hook") for task in ("AB-1", "AB-2")))
    assert [("AB-1", None), ("AB-2", None)] == [
        tuple(row.values()) for row in host.rows("SELECT task_id, output_tokens FROM usage_estimated ORDER BY task_id")
    ]

    write(host, call("now", at=30, git_branch="AB-1"), call("late", at=9000, git_branch="AB-2"))

    assert ["AB-2"] == [row["task_id"] for row in host.rows("SELECT task_id FROM usage_estimated")]
    assert [("task:AB-1", "measured_since", "now")] == [
        tuple(row.values())
        for row in host.rows("""
            SELECT s.source_id, s.reason, e.source_id AS by_source_id
            FROM usage_superseded AS s INNER JOIN events AS e ON s.by_seq = e.seq
        """)
    ]


def test_an_estimate_gives_way_to_any_measured_call_of_its_session(host: Host) -> None:
    """
    However long ago, and by the very report that leaves the estimate; a call of zero tokens is no measurement.
    """
    done: dict[str, Any] = {"origin": "hook", "estimated_output_tokens": 5}
    write(
        host,
        call("old", at=0),
        report("T-1", "completed", at=6000, session_id="s", **done),
        call("zero", at=50, session="z", input_tokens=0, cache_read_tokens=0, output_tokens=0),
        report("T-2", "completed", at=60, session_id="z", **done),
    )

    assert ["T-2"] == [row["task_id"] for row in host.rows("SELECT task_id FROM usage_estimated")]


@pytest.mark.parametrize(("status", "estimates"), [("completed", 1), ("cancelled", 0)])
def test_a_later_report_takes_an_estimate_away_only_by_what_it_says(host: Host, status: str, estimates: int) -> None:
    """
    A sync that says completed too mints none and erases none; one that says cancelled does.
    """
    hook = {"task_id": "T-1", "status": "completed", "origin": "hook", "estimated_output_tokens": 5}
    submit(host.state, "task", hook, producer="hub", key="T-1", revision=1)
    submit(
        host.state, "task", hook | {"origin": "status_sync", "status": status}, producer="hub", key="T-1", revision=2
    )
    host.ingest()

    assert estimates == len(host.rows("SELECT * FROM usage_estimated"))


def test_an_estimate_without_a_guess_is_null_and_has_its_tasks_workstream(host: Host) -> None:
    """
    Not zero; and the workstream that was reported later.
    """
    write(host, report("T-1", "completed", at=1, origin="hook"), report("T-1", "open", at=2, workstream_id="W"))

    assert [(None, "W")] == [
        tuple(row.values()) for row in host.rows("SELECT total_tokens, workstream_id FROM usage_estimated")
    ]
    assert [(1, None)] == [tuple(row.values()) for row in host.rows("SELECT estimates, estimated_tokens FROM tasks")]


def test_an_estimate_of_a_session_or_a_source_gives_way_to_its_measurement(host: Host) -> None:
    """
    An old caller's sum, a report that was estimated before the provider's numbers were known.
    """
    guess: dict[str, Any] = {
        "measurement": "estimated",
        "source_class": "legacy_post",
        "provider": None,
        "raw_usage": None,
    }
    write(
        host,
        tokens(**guess, source_id=None, session_id="s"),
        tokens(**guess, source_id=None, session_id="other"),
        tokens(**guess, source_id="resp_1"),
        tokens(**guess, source_id=None),
    )
    assert 4 == len(host.rows("SELECT * FROM usage_estimated"))

    write(host, call("m"), tokens(provider="openai", source_id="resp_1"))

    assert [("other", 3), (None, 3)] == [
        tuple(row.values())
        for row in host.rows("SELECT session_id, total_tokens FROM usage_estimated ORDER BY session_id")
    ]
    assert {"openai:resp_1", "m"} == {row["source_id"] for row in host.rows("SELECT source_id FROM usage_measured")}


# -- reports and the agents' own logs --------------------------------------------------------------------------------


def test_what_an_agents_own_log_states_counts_and_its_report_does_not(host: Host) -> None:
    """
    The same call reported by a program, before or after the log was read, is no second row.
    """
    report_of_it: dict[str, Any] = {"source_id": "msg_a", "agent": "claude_code"}
    write(host, tokens(**report_of_it))
    assert [("anthropic:msg_a", "report")] == [
        (row["source_id"], row["rule"]) for row in host.rows("SELECT * FROM usage_measured")
    ]

    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()

    assert [("msg_a", "richest_line")] == [
        (row["source_id"], row["rule"]) for row in host.rows("SELECT * FROM usage_measured")
    ]
    assert ["in_log"] == [row["reason"] for row in host.rows("SELECT reason FROM usage_superseded")]


def test_a_reported_session_gives_way_to_its_calls(host: Host) -> None:
    """
    From the agent's log, or reported one by one: a sum over them is not counted beside them.
    """
    whole: dict[str, Any] = {"scope": "session", "session_id": SESSION, "source_id": SESSION, "provider": "openai"}
    write(
        host,
        tokens(**whole),
        tokens(source_id="one", session_id="x", provider="openai"),
        tokens(**whole | {"session_id": "x", "source_id": "x"}),
    )
    assert {f"openai:{SESSION}", "openai:one"} == {
        row["source_id"] for row in host.rows("SELECT source_id FROM usage_measured")
    }

    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()

    assert {"msg_a", "openai:one"} == {row["source_id"] for row in host.rows("SELECT source_id FROM usage_measured")}


def test_a_reported_session_is_found_by_its_id_and_gives_way_to_no_other_provider(host: Host) -> None:
    """
    What it was for can be declared by the session; what another provider answered in it is beside it.
    """
    whole: dict[str, Any] = {"scope": "session", "source_id": "run", "session_id": None}
    other = tokens(source_id="e", provider="openai", session_id="run")
    write(host, tokens(**whole), other, declare("T-1", session_id="run"))

    assert {"anthropic:run": "run", "openai:e": "run"} == {
        row["source_id"]: row["session_id"] for row in host.rows("SELECT source_id, session_id FROM usage_measured")
    }
    assert [6] == [row["total"] for row in host.rows("SELECT sum(total_tokens) AS total FROM usage_allocated")]


def test_reports_without_a_key_grow_too(host: Host) -> None:
    """
    Whatever way they come, the greatest sum holds; the order of arrival and the hash do not decide.
    """
    for total in (5, 100, 50, 7, 60):
        write(host, tokens(source_id="s", scope="session", input_tokens=total, output_tokens=0))

    assert [100] == [row["total_tokens"] for row in host.rows("SELECT total_tokens FROM usage_measured")]


def test_the_events_behind_a_share_can_be_asked_for(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A declaration, a look at a checkout: each leads to the calls that rest on it, and a task to how much of them is its.
    """
    write(host, *HISTORY)

    assert {"b", "c", "d"} == {row["source_id"] for row in asked(host, capsys, "explain", "#6")["rows"]}
    assert {"a", "b"} == {row["source_id"] for row in asked(host, capsys, "explain", "#1")["rows"]}
    assert 56 == asked(host, capsys, "explain", "T-1")["allocated_tokens"]
    assert asked(host, capsys, "explain", "a")["allocated_tokens"] is None


def test_a_report_that_is_named_by_a_session_is_of_it(host: Host) -> None:
    """
    Who reports a session's sum under its id, and does not say that it is one, doubles nothing; nor who only estimates.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    guess: dict[str, Any] = {"measurement": "estimated", "source_class": "manual", "provider": None, "raw_usage": None}
    write(host, tokens(source_id=SESSION), tokens(source_id="x"), tokens(**guess, source_id=SESSION))

    assert {"msg_a", "anthropic:x"} == {row["source_id"] for row in host.rows("SELECT source_id FROM usage_measured")}
    assert [] == host.rows("SELECT * FROM usage_estimated")


def test_a_growing_session_is_one_row_whatever_arrives_first(host: Host) -> None:
    """
    Without a revision the greatest sum holds; the others are superseded.
    """
    for total in (300, 100, 200):
        whole = tokens("session:x", scope="session", source_id="x", input_tokens=total, output_tokens=0)
        write(host, whole)

    assert [300] == [row["total_tokens"] for row in host.rows("SELECT total_tokens FROM usage_measured")]
    assert [("updated", 100), ("updated", 200)] == [
        (row["reason"], row["input_tokens"])
        for row in host.rows("SELECT reason, input_tokens FROM usage_superseded ORDER BY input_tokens")
    ]


# -- real logs -------------------------------------------------------------------------------------------------------

CORPORA = Path(__file__).parents[3] / "shared" / "corpora" / "dev.tar.zst"


@pytest.mark.skipif(not CORPORA.exists(), reason="no real logs are here: ../shared/corpora/dev.tar.zst is missing")
def test_totals_of_real_logs_are_the_same_by_repository_and_by_task(tmp_path: Path) -> None:
    """
    Every class of tokens, over every home of the corpora in one log, with declarations that split its sessions.
    """
    subprocess.run(["tar", "--zstd", "-xf", str(CORPORA), "-C", str(tmp_path)], check=True)
    homes = sorted({path.parent for name in (".claude", ".codex") for path in tmp_path.rglob(name)})
    host = Host(tmp_path)
    for home in homes:
        settings = host.settings._replace(home=home)
        catch_up(settings, seen_files(settings), clock=lambda: NOW)
    found = host.rows("SELECT DISTINCT session_id FROM usage_measured WHERE session_id IS NOT NULL ORDER BY 1")
    write(host, *(declare(f"T-{n % 7}", permille=n * 37 % 1001, **row) for n, row in enumerate(found)))

    with Tables(host.state.published) as tables:
        total = usage_document(tables, (), Window(), ())["totals"]["measured"]
        assert total["total_tokens"]
        for by in (("repo",), ("task",), ("repo", "task", "branch"), ("workstream", "agent", "model", "day")):
            assert sums([total]) == sums(usage_document(tables, by, Window(), ())["rows"])
        shares = usage_document(tables, (), Window(), ("allocated",))["totals"]["allocated"]
        assert 0 < shares["total_tokens"] < total["total_tokens"]


def test_an_interval_cuts_shares_like_their_calls(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A share is of the day of its call.
    """
    write(host, *HISTORY, commit("/w/app", 10, "T-5"))

    window = ("--since", "2026-11-20T08:02", "--until", "2026-11-20T08:03")
    rows = asked(host, capsys, "usage", "--by", "task", *window)["rows"]

    assert [("T-1", 20), (None, 47)] == [(row["task"], row["total_tokens"]) for row in rows]
