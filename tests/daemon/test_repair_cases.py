"""Claims of a loop, some of which point at somebody else's log: whatever is lost, none gets another one's."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.repair.cases import Case, Cases
from daemon.repair.matching import Loop, Run
from daemon.repair.outlook import Finding
from daemon.repair.runs import Log

BEGIN = datetime(2026, 4, 19)  # noqa: DTZ001 - naive UTC, as the tables have it
WITHIN = timedelta(minutes=15)
WRONG = Finding("f", "eval_trajectory", "critical", frozenset(), frozenset(), is_acknowledged=False)


def claim(name: str, start: datetime, end: datetime | None, log: str | None) -> dict[str, Any]:
    stated = {"claim_source": "records", "claim_key": name, "session_id": name, "agent": "gptme", "model": None}
    times = {"run_type": "autonomous", "started_at": start, "ended_at": end, "is_time_doubtful": False}
    times |= {"recorded_at": end, "ingested_at": None, "is_day_known": None}
    points = {"trajectory_path": log, "log_path": log, "log_agent": log and "gptme", "log_session_id": log}
    return stated | times | points


def logged(name: str, moment: datetime, last_at: datetime) -> Log:
    return Log(Run(name, Loop("gptme", "autonomous"), (moment,), (), last_at), "gptme", name, name)


#: Of each session: how long it lasts, when its log begins, whether its log and its record are there, where that points.
one_session = st.tuples(
    st.sampled_from([1, 2, 3, 30]),
    st.sampled_from([0, 1, 20]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["own", "wrong", "nowhere"]),
)


def world(said: list[tuple[int, int, bool, bool, str]], *, ends: bool) -> tuple[Cases, dict[str, datetime]]:
    """Return a loop that starts one run after the other, and when each session began."""
    cases, logs, starts = [], [], {}
    now = BEGIN
    for number, (minutes, after, is_logged, is_recorded, points) in enumerate(said):
        name, end = f"s{number}", now + timedelta(minutes=minutes)
        starts[name] = now
        if is_logged:
            logs.append(logged(name, min(end, now + timedelta(minutes=after)), end))
        if is_recorded:
            log = {"own": name if is_logged else None, "wrong": "evaluation", "nowhere": None}[points]
            row = claim(name, now, end if ends else None, log)
            cases.append(Case(row, (WRONG,) if points == "wrong" else ()))
        now = end + timedelta(minutes=1)
    return Cases(cases, logs), starts


@settings(max_examples=300, deadline=None)
@given(st.lists(one_session, max_size=8))
def test_no_claim_of_a_loop_gets_another_ones_log(said: list[tuple[int, int, bool, bool, str]]) -> None:
    """
    Logs are gone, neighbours have no record: a claim has its own log or none, and each that is there and in time.
    """
    cases, starts = world(said, ends=True)
    there = {log.session_id: log.run.moments[0] for log in cases.logs}

    for (_, name), match in cases.matches(WITHIN).items():
        is_in_time = name in there and there[name] <= starts[name] + WITHIN
        assert match.run == (name if is_in_time else None)


@settings(max_examples=300, deadline=None)
@given(st.lists(one_session, max_size=8))
def test_records_without_an_end_get_no_log_twice_and_none_out_of_order(
    said: list[tuple[int, int, bool, bool, str]],
) -> None:
    """
    What healthy claims have is theirs, and all of them are in order.
    """
    cases, starts = world(said, ends=False)
    began = {log.session_id: log.run.moments[0] for log in cases.logs}

    given_ = {key[1]: match.run for key, match in cases.matches(WITHIN).items() if match.run is not None}
    healthy = {case.key[1]: str(case.row["log_session_id"]) for case in cases.cases if case.is_pinned}

    logs = [log for _, log in sorted((given_ | healthy).items(), key=lambda pair: starts[pair[0]])]
    assert len(logs) == len(set(logs)) == len(given_) + len(healthy)
    assert sorted(logs, key=lambda log: began[log]) == logs


def test_a_session_that_resumed_an_older_log_says_nothing_of_the_order() -> None:
    """
    The claims of the days between would all be out of order with it.
    """
    day = timedelta(days=1)
    resumed = claim("resumed", BEGIN + 2 * day, None, "old")
    wrong = claim("wrong", BEGIN + day, None, "evaluation")
    logs = [logged("old", BEGIN, BEGIN + 3 * day), logged("own", BEGIN + day, BEGIN + day)]

    matches = Cases([Case(resumed, ()), Case(wrong, (WRONG,))], logs).matches(WITHIN)

    assert {("records", "wrong"): "own"} == {key: match.run for key, match in matches.items()}
