"""
What used a bad row is named: the graders of the first seed had read somebody else's homework for a year.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from daemon.inbox_client import submit
from projections.catalog import reached_from
from tests.daemon.conftest import Host
from tests.daemon.seed import DAY, EVALUATION, log, record, run_name


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def asked(host: Host, capsys: Any, *words: str, code: int = 0) -> dict[str, Any]:
    assert code == main([*words, "--json", "--home", str(host.home), "--state-dir", str(host.state.root)])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out or "{}")
    return answer


def used(host: Host, capsys: Any, *words: str) -> set[tuple[str, str]]:
    return {(row["what"], row["name"]) for row in asked(host, capsys, "taint", *words)["rows"]}


@pytest.fixture
def story(host: Host) -> Host:
    """Two records on one evaluation, the log of one of them beside, and a healthy one of the next day."""
    log(host, EVALUATION, DAY - timedelta(hours=2), input_tokens=9, output_tokens=9)
    next_day = DAY + timedelta(days=1)
    for start in (DAY, next_day):
        log(host, run_name(start), start + timedelta(minutes=1), input_tokens=5, output_tokens=5)
    bad = {"trajectory_path": str(host.gptme(EVALUATION))}
    healthy = record("h", next_day, trajectory_path=str(host.gptme(run_name(next_day))))
    host.records(record("a", DAY, **bad), record("b", DAY + timedelta(hours=3), **bad), healthy)
    for session in ("a", "h"):
        body = {"task_id": f"task-{session}", "status": "completed", "session_id": session}
        submit(host.state, "task", body, producer="operator")
    host.ingest()
    return host


def test_what_used_bad_rows_is_named(story: Host, capsys: Any) -> None:
    """
    Sessions, tasks, days, copies and readers of tables that are made of claims; none of what was healthy.
    """
    for words in (
        ("grader", "--table", "claims"),
        ("board", "--table", "findings", "--since", "2026-04-19"),
        ("later", "--table", "claims", "--since", "2026-04-20"),
        ("tokens", "--table", "usage_daily"),
        ("april.csv", "--table", "claims", "--export"),
        ("older.csv", "--table", "claims", "--export", "--up-to", "0"),
    ):
        asked(story, capsys, "consumer", "add", *words)
    story.ingest()

    expected = {
        *{("session", "a"), ("session", "b"), ("task", "task-a"), ("day", "2026-04-19")},
        *{("consumer", "grader"), ("consumer", "board"), ("export", "april.csv")},
    }
    assert expected == used(story, capsys) == used(story, capsys, "--rule", "eval_trajectory")
    (finding,) = asked(story, capsys, "findings", "--rule", "eval_trajectory", code=1)["rows"]
    assert expected == used(story, capsys, finding["id"])
    assert {("session", "h"), ("task", "task-h"), ("day", "2026-04-20")} < used(story, capsys, "h")


def test_what_came_after_the_repair_is_clean(story: Host, capsys: Any, tmp_path: Any) -> None:
    """
    A plan is asked by its name: who read before it is tainted for ever, who reads from now on is not.
    """
    asked(story, capsys, "consumer", "add", "before.csv", "--table", "claims", "--export")
    asked(story, capsys, "consumer", "add", "before", "--table", "claims")
    plan = asked(story, capsys, "repair", "plan", "--out", str(tmp_path / "plan.json"))["plan_id"]
    asked(story, capsys, "repair", "apply", str(tmp_path / "plan.json"))
    asked(story, capsys, "consumer", "add", "after.csv", "--table", "claims", "--export")
    asked(story, capsys, "consumer", "add", "after", "--table", "claims")
    story.ingest()

    found = used(story, capsys, plan)
    assert {("session", "a"), ("session", "b"), ("export", "before.csv"), ("consumer", "before")} < found
    assert not {("export", "after.csv"), ("consumer", "after")} & found
    assert set() == used(story, capsys, "--rule", "eval_trajectory")


@pytest.fixture
def corrected(story: Host, capsys: Any) -> Host:
    """The story, whose harness then puts its own records right; copies and readers of before and of after."""
    for table in ("claims", "usage_daily"):
        asked(story, capsys, "consumer", "add", f"before-{table}.csv", "--table", table, "--export")
    asked(story, capsys, "consumer", "add", "before", "--table", "claims")
    asked(story, capsys, "consumer", "add", "empty.csv", "--table", "claims", "--export", "--up-to", "0")
    story.ingest()
    rows = [json.loads(line) for line in Path(story.claims[0]).read_text().splitlines()]
    rows[0]["trajectory_path"], rows[1]["trajectory_path"] = str(story.gptme(run_name(DAY))), None
    story.records(*rows)
    story.ingest()
    asked(story, capsys, "consumer", "add", "after.csv", "--table", "claims", "--export")
    asked(story, capsys, "consumer", "add", "after", "--table", "claims")
    story.ingest()
    return story


def test_what_a_harness_corrected_itself_was_bad_until_then(corrected: Host, capsys: Any) -> None:
    """
    No rule finds it any more, and who read it has read it: found by the rules that its old statement would break. Of
    a session everything is asked, also what is right by now.
    """
    assert "eval_trajectory" not in {row["rule"] for row in corrected.rows("SELECT rule FROM findings")}
    of_one = {("session", "a"), ("task", "task-a"), ("day", "2026-04-19")}
    readers = {("export", "before-claims.csv"), ("consumer", "before")}

    for words in ((), ("--rule", "eval_trajectory"), ("--rule", "shared_trajectory")):
        assert of_one | {("session", "b")} | readers == used(corrected, capsys, *words)
    assert set() == used(corrected, capsys, "--rule", "trajectory_missing")
    assert of_one | readers | {("export", "after.csv"), ("consumer", "after")} == used(corrected, capsys, "a")


def test_a_path_that_comes_back_is_bad_twice_and_not_between(story: Host, capsys: Any) -> None:
    """
    A harness corrects a record, and then writes the wrong log again.
    """
    wrong, other, _ = map(json.loads, Path(story.claims[0]).read_text().splitlines())
    right = wrong | {"trajectory_path": str(story.gptme(run_name(DAY)))}
    for number, row in enumerate((wrong, right, wrong)):
        story.records(row, other | {"trajectory_path": None})
        story.ingest()
        asked(story, capsys, "consumer", "add", f"{number}.csv", "--table", "claims", "--export")
    story.ingest()

    found = used(story, capsys, "--rule", "eval_trajectory")

    assert {("export", "0.csv"), ("export", "2.csv")} == {each for each in found if each[0] == "export"}


def rewritten(host: Host, capsys: Any, *rows: dict[str, Any]) -> None:
    """Take a copy and register a reader; let the harness write *rows* in the place of all; and do the same again."""
    for when in ("before", "after"):
        asked(host, capsys, "consumer", "add", f"{when}.csv", "--table", "claims", "--export")
        asked(host, capsys, "consumer", "add", when, "--table", "claims")
        host.ingest()
        if when == "before":
            host.records(*rows)
            host.ingest()


READ_BEFORE = {("export", "before.csv"), ("consumer", "before")}
READ_AFTER = {("export", "after.csv"), ("consumer", "after")}


def test_what_a_harness_deleted_was_bad_until_then(story: Host, capsys: Any) -> None:
    """
    No record says it any more, and no rule finds it; who read it has read it.
    """
    *_, healthy = map(json.loads, Path(story.claims[0]).read_text().splitlines())
    rewritten(story, capsys, healthy)

    found = used(story, capsys)

    assert {("session", "a"), ("session", "b"), ("task", "task-a"), ("day", "2026-04-19")} | READ_BEFORE == found


def test_counts_that_a_harness_corrected_were_bad_until_then(host: Host, capsys: Any) -> None:
    """
    One count of tokens in three records, each with its own log; then each has its own.
    """
    counts = {"output_tokens": 300, "trajectory_path": None}
    rows = [record(name, DAY + timedelta(hours=n), input_tokens=9000, **counts) for n, name in enumerate("abc")]
    host.records(*rows)
    host.ingest()
    assert {"teletype"} == {row["rule"] for row in host.rows("FROM findings WHERE severity = 'critical'")}
    rewritten(host, capsys, *[row | {"input_tokens": 9000 + n} for n, row in enumerate(rows, 1)])

    assert {("session", "a"), ("session", "b"), ("session", "c"), ("day", "2026-04-19")} | READ_BEFORE == used(
        host, capsys
    )


def test_a_time_that_a_harness_corrected_was_bad_until_then(host: Host, capsys: Any) -> None:
    """
    A zone was forgotten: the log lay outside the session.
    """
    log(host, run_name(DAY), DAY + timedelta(minutes=1), input_tokens=5, output_tokens=5)
    path = str(host.gptme(run_name(DAY)))
    host.records(record("a", DAY + timedelta(hours=5), trajectory_path=path))
    host.ingest()
    rewritten(host, capsys, record("a", DAY, trajectory_path=path))

    found = used(host, capsys, "--rule", "trajectory_outside_time")

    assert {("session", "a"), ("day", "2026-04-19")} | READ_BEFORE == found


def test_what_a_repair_put_right_stays_right_whatever_its_harness_writes_beside(
    story: Host, capsys: Any, tmp_path: Path
) -> None:
    """
    The record is written anew with another category, twice, and points where it did: the repair holds all the while.
    """
    asked(story, capsys, "consumer", "add", "bad.csv", "--table", "claims", "--export")
    plan = asked(story, capsys, "repair", "plan", "--out", str(tmp_path / "plan.json"))["plan_id"]
    asked(story, capsys, "repair", "apply", str(tmp_path / "plan.json"))
    rows = [json.loads(line) for line in Path(story.claims[0]).read_text().splitlines()]
    rewritten(story, capsys, *[row | {"category": "one"} for row in rows])
    story.records(*[row | {"category": "two"} for row in rows])
    story.ingest()

    for words in (plan,), ("--rule", "eval_trajectory"):
        found = used(story, capsys, *words)
        assert ("export", "bad.csv") in found
        assert not (READ_BEFORE | READ_AFTER) & found


def test_a_plan_is_remembered_when_its_records_say_something_else_by_now(
    story: Host, capsys: Any, tmp_path: Path
) -> None:
    """
    The copy of before the repair is tainted, one of after it is not, whatever the harness writes later.
    """
    asked(story, capsys, "consumer", "add", "before.csv", "--table", "claims", "--export")
    plan = asked(story, capsys, "repair", "plan", "--out", str(tmp_path / "plan.json"))["plan_id"]
    asked(story, capsys, "repair", "apply", str(tmp_path / "plan.json"))
    asked(story, capsys, "consumer", "add", "after.csv", "--table", "claims", "--export")
    rows = [json.loads(line) for line in Path(story.claims[0]).read_text().splitlines()]
    rows[0]["trajectory_path"] = str(story.gptme(run_name(DAY)))
    story.records(*rows)
    story.ingest()
    asked(story, capsys, "consumer", "add", "later.csv", "--table", "claims", "--export")
    story.ingest()

    found = used(story, capsys, plan)

    assert {("session", "a"), ("session", "b"), ("export", "before.csv")} < found
    assert not {("export", "after.csv"), ("export", "later.csv")} & found


def test_a_rule_that_there_is_not_is_refused(story: Host, capsys: Any) -> None:
    """
    A misspelled rule taints nothing, which is not what was asked.
    """
    asked(story, capsys, "taint", "--rule", "eval_trajectories", code=2)


def test_a_registration_is_listed_and_taken_back(story: Host, capsys: Any) -> None:
    """
    The same registration is one; another table is refused.
    """
    asked(story, capsys, "consumer", "add", "grader", "--table", "claims")
    asked(story, capsys, "consumer", "add", "grader", "--table", "claims")
    story.ingest()
    assert ["grader"] == [row["consumer"] for row in asked(story, capsys, "consumer", "list")["rows"]]

    asked(story, capsys, "consumer", "add", "grader", "--table", "claims", "--withdraw")
    story.ingest()
    assert [] == asked(story, capsys, "consumer", "list")["rows"]
    asked(story, capsys, "consumer", "add", "grader", "--table", "no_such_table", code=2)
    capsys.readouterr()
    assert 2 == main(["consumer", "add", "grader", "--table", "claim", "--state-dir", str(story.state.root)])
    said = capsys.readouterr().err
    assert ("claims" in said, "usage_measured" in said, 1) == (True, False, len(said.splitlines()))


def test_a_name_that_nothing_has_is_refused(story: Host, capsys: Any) -> None:
    """
    Nothing tainted and nothing known are two answers.
    """
    asked(story, capsys, "taint", "nobody", code=2)


def test_a_table_reaches_what_is_made_of_it() -> None:
    """
    As the headers say: claims reach findings and never measured usage.
    """
    assert {"claims", "findings", "finding_teletype"} <= reached_from("claims")
    assert "usage_measured" not in reached_from("claims")
    assert {"sessions", "usage_daily", "tasks"} <= reached_from("usage_measured")
