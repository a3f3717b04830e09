"""
A year of records had somebody else's log: found, put right by a plan, taken back, and put right again.
"""

import copy
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from daemon.bootstrap import open_log
from daemon.cli import main
from daemon.findings import found
from daemon.inbox_client import submit
from projections.read import Tables
from state.paths import StatePaths
from tests.daemon.conftest import Host
from tests.daemon.live import daemon, until
from tests.daemon.seed import CROSS_WIRED, DAY, EVALUATION, NOON, POISONED, Seed, log, record, run_name
from tests.daemon.test_cli import TALLYSTICK

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "repair.md"


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """The story, read once."""
    seed = Seed(Host(tmp_path_factory.mktemp("seed")), Random())
    seed.write()
    seed.host.ingest()
    return seed


@pytest.fixture
def seed(told: Seed, tmp_path: Path) -> Iterator[Seed]:
    """The story as it was read, with a log of its own."""
    own = copy.copy(told)
    own.host = copy.copy(told.host)
    own.host.state = StatePaths(tmp_path / "state")
    shutil.copytree(told.host.state.root, own.host.state.root)
    yield own
    told.write()


def options(host: Host) -> list[str]:
    return ["--home", str(host.home), "--state-dir", str(host.state.root)]


def asked(host: Host, capsys: Any, *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command and return its document."""
    assert code == main([*words, "--json", *options(host)])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out or "{}")
    return answer


@pytest.fixture(scope="module")
def planned(told: Seed) -> Path:
    """The plan for the story, made once; it changes nothing."""
    path = told.host.home / "plan.json"
    assert 0 == main(["repair", "plan", "--out", str(path), *options(told.host)])
    return path


@pytest.fixture
def plan(seed: Seed, planned: Path) -> str:
    """The file of the plan."""
    return str(planned)


def claims(host: Host) -> dict[str, dict[str, Any]]:
    rows = host.rows("SELECT * EXCLUDE (repair_action, plan_id) FROM claims")
    return {row["session_id"]: row for row in rows}


def pointers(host: Host) -> dict[str, str | None]:
    return {session: row["trajectory_path"] for session, row in claims(host).items()}


def measured(host: Host) -> list[dict[str, Any]]:
    return host.rows("SELECT * FROM usage_measured ORDER BY ALL")


def rules(host: Host) -> set[str]:
    return {row["rule"] for row in findings(host)}


def findings(host: Host) -> list[dict[str, Any]]:
    with Tables(host.state.published) as tables:
        return found(tables, host.now)


def records(host: Host) -> int:
    if not host.state.published.exists():
        return 0
    return int(host.rows("SELECT count(*) AS n FROM claims")[0]["n"])


def sent(host: Host) -> int:
    """Return how many messages of repairs were ever taken."""
    return int(host.rows("SELECT count(*) AS n FROM messages WHERE kind = 'repair'")[0]["n"])


def head(host: Host) -> int:
    return int(host.rows("SELECT max(seq) AS seq FROM events")[0]["seq"])


def right(seed: Seed) -> dict[str, str | None]:
    """Return where the nineteen should point."""
    return {f"p{n:03}": seed.own_path(n) for n in range(POISONED)} | {CROSS_WIRED: None}


def test_nineteen_records_on_one_evaluation_are_found_in_one_pass(seed: Seed) -> None:
    """
    By their count of tokens, by the log they share, by what it is and by its time; none that is healthy is named.
    """
    named = {row["rule"]: set(row["sessions"]) for row in findings(seed.host)}

    nineteen = set(right(seed))
    assert nineteen == named["teletype"] == named["shared_trajectory"] == named["eval_trajectory"]
    assert named["trajectory_outside_time"] <= nineteen
    assert {f"n{n:03}" for n in range(NOON)} <= named["placeholder_time"]
    assert not any(session.startswith("h") for sessions in named.values() for session in sessions)


def test_a_plan_gives_eighteen_their_own_logs_and_one_none_and_changes_nothing(seed: Seed, plan: str) -> None:
    """
    The nineteenth says the time of a session that has its log: nobody gets a log twice. A file is not written over.
    """
    made = json.loads(Path(plan).read_text())

    assert right(seed) == {step["session_id"]: step["to_path"] for step in made["steps"]}
    assert {"attach": 18, "clear": 1} == Counter(step["action"] for step in made["steps"])
    expected = {"teletype", "shared_trajectory", "eval_trajectory", "trajectory_outside_time"}
    assert expected == {each["rule"] for each in made["removes"]}
    assert (head(seed.host), 0) == (made["head_seq"], len(list(seed.host.state.inbox.glob("*.json"))))
    assert 2 == main(["repair", "plan", "--out", plan, *options(seed.host)])


def test_a_plan_is_applied_taken_back_and_applied_again(seed: Seed, plan: str, capsys: Any) -> None:
    """
    Every figure that moved is listed, nothing else moved, and nothing that was measured ever does; twice is once.
    """
    host = seed.host
    usage, before = measured(host), claims(host)
    applied = asked(host, capsys, "repair", "apply", plan)
    after = claims(host)
    again = asked(host, capsys, "repair", "apply", plan)

    assert right(seed) == {session: row["trajectory_path"] for session, row in after.items() if row != before[session]}
    assert not {"teletype", "shared_trajectory", "eval_trajectory", "trajectory_outside_time"} & rules(host)
    assert ([], 19) == (again["steps"], sent(host))
    assert moved_by_hand(seed) == {
        (each["figure"], each["of"], each["name"]): (each["before"], each["after"])
        for each in applied["moved"]
        if each["figure"] in ("session", "day") and each["name"] == "total_tokens"
    }

    undone = asked(host, capsys, "repair", "undo", plan)
    assert before == claims(host)
    assert [each | {"before": each["after"], "after": each["before"]} for each in undone["moved"]] == applied["moved"]
    assert [] == asked(host, capsys, "repair", "undo", plan)["steps"]

    assert 19 == len(asked(host, capsys, "repair", "apply", plan)["steps"])
    assert after == claims(host)
    assert usage == measured(host)


def moved_by_hand(seed: Seed) -> dict[tuple[str, str, str], tuple[int | None, int | None]]:
    """Return which totals should move, reckoned from the files."""
    evaluation = sum(seed.fingerprint.values())
    own = {session: None if path is None else tokens_in(path) for session, path in right(seed).items()}
    healthy = sum(tokens_in(str(row["trajectory_path"])) for row in seed.healthy)
    day = (19 * evaluation + healthy, sum(tokens or 0 for tokens in own.values()) + healthy)
    return {
        **{("session", session, "total_tokens"): (evaluation, tokens) for session, tokens in own.items()},
        ("day", "2026-04-19", "total_tokens"): day,
    }


def tokens_in(path: str) -> int:
    usage = json.loads(Path(path).read_text())["metadata"]["usage"]
    return int(usage["input_tokens"]) + int(usage["output_tokens"])


def test_each_step_is_applied_and_taken_back_alone(seed: Seed, plan: str, capsys: Any) -> None:
    """
    By the plan's name as well: its messages are in the log. The other steps stay as they are.
    """
    host = seed.host
    before = pointers(host)
    name, (first, second) = json.loads(Path(plan).read_text())["plan_id"], sorted(right(seed))[:2]
    numbers = {step["session_id"]: str(step["step"]) for step in json.loads(Path(plan).read_text())["steps"]}

    asked(host, capsys, "repair", "apply", plan, "--step", numbers[first], "--step", numbers[second])
    assert {first, second} == {session for session, path in pointers(host).items() if path != before[session]}
    asked(host, capsys, "repair", "undo", name, "--step", numbers[first])
    assert {second} == {session for session, path in pointers(host).items() if path != before[session]}
    assert 2 == main(["repair", "undo", plan, "--step", "77", *options(host)])
    assert 2 == main(["repair", "apply", plan, "--step", "77", *options(host)])


def test_a_plan_that_does_not_fit_any_more_is_refused(seed: Seed, plan: str, capsys: Any) -> None:
    """
    The harness has rewritten one of the records: exit 1, and nothing is sent.
    """
    host = seed.host
    seed.host.records(
        *[row | {"trajectory_path": "/srv/x.jsonl"} if row["session_id"] == "p007" else row for row in seed.records]
    )
    host.ingest()

    asked(host, capsys, "repair", "apply", plan, code=1)
    assert 0 == sent(host)


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"trajectory_path": "/srv/x.jsonl"}, "points_elsewhere"),
        ({"start_time": "2026-04-19T00:00:17.250+00:00"}, "claim_is_gone"),
        (None, "claim_is_gone"),
    ],
)
def test_a_plan_that_was_applied_and_binds_nothing_any_more_is_not_called_applied(
    host: Host, capsys: Any, over: dict[str, str] | None, why: str
) -> None:
    """
    The harness has rewritten or deleted the record since: exit 1, and a new plan is what helps, never more of this one.
    """
    own_log(host, DAY)
    said = record("a", DAY, trajectory_path=f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl")
    host.records(said)
    host.ingest()
    repaired(host, capsys)
    plan = str(host.home / "own-plan.json")
    assert [] == asked(host, capsys, "repair", "apply", plan)["steps"]
    host.records(*([said | over] if over else []), record("b", DAY + timedelta(days=3)))
    host.ingest()

    for part in (), ("--step", "1"):
        assert 1 == main(["repair", "apply", plan, *part, *options(host)])
        told = capsys.readouterr().err
        assert (True, True, False) == (f"why={why}" in told, "Make a new plan" in told, "the whole" in told)
    assert 1 == sent(host)


def test_a_plan_whose_match_is_not_the_only_one_any_more_is_refused(seed: Seed, plan: str, capsys: Any) -> None:
    """
    A second log of that time was found since: now it would be a guess.
    """
    other = DAY + timedelta(hours=3, minutes=4)
    log(seed.host, run_name(other), other, input_tokens=1, output_tokens=1)
    try:
        seed.host.ingest()
        asked(seed.host, capsys, "repair", "apply", plan, code=1)
    finally:
        shutil.rmtree(seed.host.gptme(run_name(other)).parent)
    assert 0 == sent(seed.host)


def test_a_changed_plan_is_none(seed: Seed, plan: str, capsys: Any, tmp_path: Path) -> None:
    """
    What was reviewed is what is applied.
    """
    changed = json.loads(Path(plan).read_text())
    changed["steps"][0]["to_path"] = "/srv/other.jsonl"
    other = tmp_path / "changed.json"
    other.write_text(json.dumps(changed))

    asked(seed.host, capsys, "repair", "apply", str(other), code=2)


def test_steps_that_lead_to_a_new_finding_are_taken_back(seed: Seed, plan: str, capsys: Any) -> None:
    """
    Somebody else's message, taken in the same pass, gives one of these logs to another session: exit 1, and why.
    """
    host = seed.host
    before = pointers(host)
    other = host.rows("SELECT source, claim_key, claimed_path, started_at FROM claims WHERE session_id = 'h000'")[0]
    body = {"plan_id": "by-hand", "step": 1, "claim_source": other["source"], "claim_key": other["claim_key"]}
    body |= {"claimed_path": other["claimed_path"], "action": "attach", "trajectory_path": seed.own_path(4)}
    body["started_at"] = f"{other['started_at'].isoformat()}Z"
    submit(host.state, "repair", body, producer="operator", key="repair:by-hand:1", revision=1)

    done = asked(host, capsys, "repair", "apply", plan, code=1)

    assert (True, True) == (done["is_taken_back"], "shared_trajectory" in {each["rule"] for each in done["new"]})
    assert before == pointers(host) | {"h000": before["h000"]}


def test_a_killed_apply_is_finished_by_the_next_one(seed: Seed, plan: str, capsys: Any) -> None:
    """
    SIGKILL between sending and taking: every step holds once, and a third time there is nothing to do.
    """
    host = seed.host
    with open_log(host.settings):
        command = [TALLYSTICK, "repair", "apply", plan, *options(host)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"})
        until(lambda: len(list(host.state.inbox.glob("*.json"))) == 19 or process.poll() is not None, "19 messages")
        process.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == process.wait()

    assert 19 == len(asked(host, capsys, "repair", "apply", plan)["steps"])
    assert ([], 19) == (asked(host, capsys, "repair", "apply", plan)["steps"], sent(host))
    assert right(seed) == {session: path for session, path in pointers(host).items() if session in right(seed)}


def test_a_running_daemon_finds_it_in_one_sweep_and_takes_the_repair(told: Seed, tmp_path: Path, capsys: Any) -> None:
    """
    It holds the log: the commands send messages and wait for its tables.
    """
    host = copy.copy(told.host)
    host.state = StatePaths(tmp_path / "state")
    (tmp_path / "config/tallystick").mkdir(parents=True)
    (tmp_path / "config/tallystick/config.toml").write_text(f'[[claims]]\npath = "{host.claims[0]}"\n')
    path = str(tmp_path / "plan.json")
    with daemon(host, environment={"XDG_CONFIG_HOME": str(tmp_path / "config"), "TZ": "UTC"}):
        until(lambda: records(host) == len(told.records), "all records are read", pause_seconds=0.5)
        assert "eval_trajectory" in rules(host)
        asked(host, capsys, "repair", "plan", "--out", path)
        assert 19 == len(asked(host, capsys, "repair", "apply", path)["steps"])
        assert right(told) == {session: at for session, at in pointers(host).items() if session in right(told)}


def test_the_page_of_the_operator_can_be_typed(seed: Seed, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """
    Every command in docs/repair.md does what is said of it, in this order, with exit 0 where no other is named.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLYSTICK_HOME", str(seed.host.home))
    monkeypatch.setenv("TALLYSTICK_STATE_DIR", str(seed.host.state.root))
    typed = re.findall(r"^    tallystick (.*)$", DOCUMENT.read_text(), re.MULTILINE)

    answers = {}
    for line in typed:
        words, _, code = line.partition("  # exit ")
        answers[words] = main(shlex.split(words)), capsys.readouterr().out
        assert int(code or 0) == answers[words][0], words

    (resolved,) = (out for words, (_, out) in answers.items() if words.startswith("resolve"))
    assert f"{run_name(DAY + timedelta(hours=3))}\n" == resolved
    (tainted,) = (out for words, (_, out) in answers.items() if words.startswith("taint"))
    assert 19 == len(re.findall(r"^session ", tainted, re.MULTILINE))
    assert {"plan", "apply", "undo"} == {words.split()[1] for words in answers if words.startswith("repair")}


def test_a_log_that_a_record_without_one_may_own_is_given_to_nobody(host: Host, capsys: Any) -> None:
    """
    Nor does the time that every unknown time is written as, noon, match anything.
    """
    bad = {"trajectory_path": "/srv/never.jsonl"}
    noon = DAY.replace(hour=12, second=0)
    for start in (DAY, noon):
        log(host, run_name(start), start + timedelta(minutes=1), input_tokens=5, output_tokens=5)
    host.records(record("a", DAY, **bad), record("b", DAY, trajectory_path=None), record("c", noon, **bad))
    host.ingest()

    steps = asked(host, capsys, "repair", "plan")["steps"]

    assert [("a", "clear", "ambiguous"), ("c", "clear", "doubtful_time")] == [
        (step["session_id"], step["action"], step["why"]) for step in steps
    ]


@pytest.mark.parametrize(
    "over",
    [
        {"run_type": None},
        {"harness": None, "run_type": None},
        {"start_time": None, "end_time": None, "duration_seconds": None},
        {"start_time": "2026-04-19T12:00:00Z", "end_time": None, "duration_seconds": None},
        {"start_time": None, "end_time": None, "duration_seconds": None, "timestamp": None},
    ],
    ids=["no run type", "no loop", "recorded alone", "noon", "no time"],
)
def test_a_log_that_a_claim_of_unknown_type_or_time_may_own_is_given_to_nobody(
    host: Host, capsys: Any, over: dict[str, Any]
) -> None:
    """
    It has no log, and what it leaves out is why it cannot be matched: no reason to give the log to another.
    """
    own_log(host, DAY)
    wrong = record("q", DAY, trajectory_path=f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl")
    host.records(record("p", DAY - timedelta(seconds=5), trajectory_path=None) | over, wrong)
    host.ingest()

    (step,) = asked(host, capsys, "repair", "plan")["steps"]

    assert ("q", "clear", "ambiguous") == (step["session_id"], step["action"], step["why"])


@pytest.mark.parametrize(
    "over",
    [
        {"run_type": "operator", "start_time": None, "end_time": None, "duration_seconds": None},
        {"harness": "codex", "run_type": None},
        {"model": "other", "run_type": None},
        {"run_type": None, "start_time": "2026-04-18T22:00:00Z"},
        {"start_time": None, "end_time": None, "duration_seconds": None, "timestamp": "2026-04-15T12:00:00Z"},
        {"start_time": None, "end_time": None, "duration_seconds": None, "timestamp": "2026-04-21T12:00:00Z"},
    ],
    ids=["another type", "another agent", "another model", "hours before", "noon before", "noon behind"],
)
def test_a_claim_that_cannot_own_a_log_takes_it_from_nobody(host: Host, capsys: Any, over: dict[str, Any]) -> None:
    """
    What it does say is enough: the log is still certain to be the other one's.
    """
    own_log(host, DAY)
    wrong = record("q", DAY, trajectory_path=f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl")
    host.records(record("p", DAY - timedelta(seconds=5), trajectory_path=None) | over, wrong)
    host.ingest()

    (step,) = asked(host, capsys, "repair", "plan")["steps"]

    assert ("q", "attach", "only_match") == (step["session_id"], step["action"], step["why"])


def test_a_log_stays_that_of_its_claim_however_it_is_spelled(host: Host, capsys: Any) -> None:
    """
    Another claim does not get it; and a repair is of one session, whoever has its name later.
    """
    start = DAY + timedelta(hours=2)
    own = start + timedelta(minutes=2)
    log(host, run_name(own), own, input_tokens=70_000, output_tokens=100)
    evaluation = "~/.local/share/gptme/logs/2026-04-19-gptme-evals-x/conversation.jsonl"
    held = record("held", own - timedelta(seconds=20), trajectory_path=str(host.gptme(run_name(own)).parent) + "/./")
    poisoned = record("a284", start, trajectory_path=evaluation)
    host.records(held, poisoned)
    host.ingest()

    steps = asked(host, capsys, "repair", "plan")["steps"]
    assert [("a284", "clear")] == [(step["session_id"], step["action"]) for step in steps]

    plan = host.home / "p.json"
    assert 0 == main(["repair", "plan", "--out", str(plan), *options(host)])
    capsys.readouterr()
    asked(host, capsys, "repair", "apply", str(plan))
    other = record("a284", start - timedelta(days=30), trajectory_path=evaluation)
    host.records(other, held, poisoned)
    host.ingest()
    assert {None} == {row["plan_id"] for row in host.rows("SELECT plan_id FROM claims WHERE started_at < '2026-04-01'")}


def own_log(host: Host, start: datetime, minutes: float = 2) -> str:
    """Write the log of a run that began at *start*; return where it is."""
    log(host, run_name(start), start + timedelta(minutes=minutes), input_tokens=70_000, output_tokens=100)
    return str(host.gptme(run_name(start)))


def repaired(host: Host, capsys: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Make a plan and apply it; return its steps, and what came of them."""
    plan = host.home / "own-plan.json"
    steps = asked(host, capsys, "repair", "plan", "--out", str(plan))["steps"]
    return steps, asked(host, capsys, "repair", "apply", str(plan))


def test_two_records_of_one_session_with_two_logs_get_none(host: Host, capsys: Any) -> None:
    """
    Both have a match, and both cannot be true: the plan says which rule would find it, and is applied as it is.
    """
    evaluation = f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl"
    second = DAY + timedelta(hours=1)
    for start in (DAY, second):
        own_log(host, start)
    host.records(*[record("twice", start, trajectory_path=evaluation) for start in (DAY, second)])
    host.ingest()

    steps, done = repaired(host, capsys)

    assert [("clear", "would_be_finding", ["duplicate_source_id"])] * 2 == [
        (step["action"], step["why"], step["would_be"]) for step in steps
    ]
    assert ([1, 2], False) == (done["steps"], done["is_taken_back"])


def test_a_record_keeps_its_log_when_the_other_of_its_session_gets_none(host: Host, capsys: Any) -> None:
    """
    One of them says another time, at which nothing began, and a third session pointed there as well. Null contradicts
    nothing.
    """
    path = own_log(host, DAY)
    late = DAY + timedelta(hours=5)
    host.records(*[
        record(name, start, trajectory_path=path)
        for name, start in [("twice", DAY), ("twice", late), ("other", late + timedelta(hours=1))]
    ])  # fmt: skip
    host.ingest()

    steps, done = repaired(host, capsys)

    assert [("twice", "clear", "nothing_in_time"), ("other", "clear", "nothing_in_time")] == [
        (step["session_id"], step["action"], step["why"]) for step in steps
    ]
    assert (False, {"shared_trajectory", "trajectory_outside_time"}) == (
        done["is_taken_back"],
        {each["rule"] for each in done["gone"]},
    )
    kept = host.rows("SELECT trajectory_path FROM claims WHERE session_id = 'twice' ORDER BY started_at")
    assert [path, None] == [row["trajectory_path"] for row in kept]


def test_a_plan_says_how_far_a_match_lies_from_its_session(host: Host, capsys: Any) -> None:
    """
    In seconds: from the session's start to the log's, and how long both went on; to a reviewer, too.
    """
    evaluation = f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl"
    path = own_log(host, DAY + timedelta(minutes=8), minutes=3)
    host.records(record("a", DAY, trajectory_path=evaluation))
    host.ingest()

    (step,) = asked(host, capsys, "repair", "plan")["steps"]
    assert (523.0, 137.0, 1500.0) == (step["after_seconds"], step["log_seconds"], step["session_seconds"])
    assert [{"path": path, "after_seconds": 523.0, "log_seconds": 137.0}] == step["candidates"]
    assert 0 == main(["repair", "plan", *options(host)])
    assert re.search(r"^ *1 +attach +only_match +a .* 523 +137 +1,500 ", capsys.readouterr().out, re.MULTILINE)


def test_the_log_of_a_neighbour_that_went_on_is_not_taken(host: Host, capsys: Any) -> None:
    """
    It began within the bound, nobody recorded it, and it lasted longer than the session that has lost its own.
    """
    own_log(host, DAY + timedelta(minutes=10), minutes=40)
    host.records(record("a", DAY, trajectory_path=f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl"))
    host.ingest()

    (step,) = asked(host, capsys, "repair", "plan")["steps"]
    assert ("clear", "outlasts_session", []) == (step["action"], step["why"], step["candidates"])


def test_what_came_in_beside_an_apply_is_told(host: Host, capsys: Any) -> None:
    """
    Its figures stand between those of the plan: how much it was is said, and nothing where there was none.
    """
    own_log(host, DAY)
    host.records(record("a", DAY, trajectory_path=f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl"))
    host.ingest()
    assert 0 == repaired(host, capsys)[1]["other_events"]
    plan = str(host.home / "own-plan.json")
    assert 0 == asked(host, capsys, "repair", "undo", plan)["other_events"]

    submit(host.state, "task", {"task_id": "t", "status": "completed"}, producer="operator")
    assert 0 == main(["repair", "apply", plan, *options(host)])
    assert "\nother events that came in meanwhile: 1;" in capsys.readouterr().out


def test_one_step_of_two_that_need_each_other_is_refused_with_the_rule(host: Host, capsys: Any) -> None:
    """
    Two records of one session, stated at one time: one of them alone would contradict the other.
    """
    evaluation = f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl"
    own_log(host, DAY)
    host.records(*[record("twice", DAY, trajectory_path=evaluation)] * 2)
    host.ingest()
    plan = host.home / "p.json"
    assert 0 == main(["repair", "plan", "--out", str(plan), *options(host)])

    assert 1 == main(["repair", "apply", str(plan), "--step", "1", *options(host)])
    told = capsys.readouterr().err
    assert ("would_be_new=duplicate_source_id " in told, "Apply the whole" in told) == (True, True)
    assert [1, 2] == asked(host, capsys, "repair", "apply", str(plan))["steps"]
