"""Which claim is of which log: certain, or nothing."""

from datetime import datetime, timedelta
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.repair.matching import Known, Loop, Match, Run, Session, instants, loop_of, matched

NOON = datetime(2026, 4, 19, 12)  # noqa: DTZ001 - naive UTC, as the tables have it
LOOP = Loop("gptme", "autonomous")
WITHIN = timedelta(minutes=15)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def session(key: str, start: float, end: float | None, model: str | None = None, loop: Loop = LOOP) -> Session:
    return Session(key, loop, at(start), None if end is None else at(end), model)


def run(key: str, *minutes: float, models: tuple[str, ...] = (), loop: Loop = LOOP, last: float | None = None) -> Run:
    return Run(key, loop, tuple(at(each) for each in minutes), models, None if last is None else at(last))


def logs(found: dict[str, Match]) -> dict[str, str | None]:
    return {key: match.run for key, match in found.items()}


def test_each_session_gets_the_log_that_began_in_it() -> None:
    """
    One after the other, whatever stands between them.
    """
    sessions = [session("a", 0, 25), session("b", 30, 55), session("c", 60, 70)]
    runs = [run("x", 1), run("between", 27), run("y", 31), run("z", 61)]

    assert {"a": "x", "b": "y", "c": "z"} == logs(matched(sessions, runs, WITHIN))


def test_the_nearest_log_is_not_taken_when_another_fits() -> None:
    """
    One second or ten minutes after the start: both may be it.
    """
    found = matched([session("a", 0, 25)], [run("near", 0.02), run("far", 10)], WITHIN)

    assert {"a": Match(None, "ambiguous", ("near", "far"))} == found


def test_no_claim_gets_a_log_behind_that_of_a_later_claim() -> None:
    """
    Claims that have their logs bound the others: earlier claims have earlier logs.
    """
    known = [Known(LOOP, at(2), at(3))]

    assert {"a": None} == logs(matched([session("a", 0, 25)], [run("later", 10)], WITHIN, known))
    assert {"a": "own"} == logs(matched([session("a", 0, 25)], [run("own", 1), run("later", 10)], WITHIN, known))
    assert {"b": None} == logs(matched([session("b", 4, 25)], [run("earlier", 2.5)], timedelta(hours=1), [
        Known(LOOP, at(1), at(2.7))
    ]))  # fmt: skip


def test_a_log_that_two_sessions_could_have_is_nobodys() -> None:
    """
    There is no telling, and no double mapping.
    """
    found = matched([session("a", 0, 25), session("b", 1, 25)], [run("x", 2)], WITHIN)

    assert {"a": None, "b": None} == logs(found)


def test_order_decides_where_time_alone_does_not() -> None:
    """
    Both logs lie in both sessions, and only one matching has two pairs and keeps their order.
    """
    found = matched([session("a", 0, 25), session("b", 1, 25)], [run("x", 2), run("y", 3)], WITHIN)

    assert {"a": "x", "b": "y"} == logs(found)


def test_sessions_of_one_instant_are_not_told_apart() -> None:
    """
    A loop starts one run at a time: such a time was not measured, and order says nothing.
    """
    found = matched([session("a", 0, 25), session("b", 0, 25)], [run("x", 2), run("y", 3)], WITHIN)

    assert {"a": None, "b": None} == logs(found)


@pytest.mark.parametrize(
    ("start", "end", "began", "is_match"),
    [
        (0, 25, -0.02, False),
        (0.01, 25, 0, True),  # the name of a run has whole seconds
        (0, 25, 15, True),
        (0, 25, 15.02, False),
        (0, 5, 5.02, False),
        (0, None, 14, True),
    ],
)
def test_a_run_begins_while_its_session_runs(start: float, end: float | None, began: float, is_match: bool) -> None:
    """
    From its start to its end, and not later than the bound.
    """
    assert {"a": "x" if is_match else None} == logs(matched([session("a", start, end)], [run("x", began)], WITHIN))


@pytest.mark.parametrize(
    ("end", "last", "why"),
    [
        (25, 24, "only_match"),
        (25, 35, "only_match"),  # clocks may differ by ten minutes
        (25, 35.02, "outlasts_session"),
        (25, None, "only_match"),
        (None, 300, "only_match"),
    ],
)
def test_a_log_that_goes_on_after_the_session_is_another_ones(end: float | None, last: float | None, why: str) -> None:
    """
    A harness notes the end when its agent is done: the log of a neighbour that began late is not taken for its own.
    """
    found = matched([session("a", 0, end)], [run("x", 10, last=last)], WITHIN)

    assert {"a": why} == {key: match.why for key, match in found.items()}
    assert (found["a"].run is not None) == (why == "only_match")


def test_a_loop_without_a_pause_is_matched() -> None:
    """
    Thousands of sessions, none of which ends before the next begins, are one group: each has several candidates.
    """
    count = 5_000
    sessions = [session(f"s{n}", 5 * n, None) for n in range(count)]
    runs = [run(f"r{n}", 5 * n + 0.5) for n in range(count)]

    found = matched(sessions, runs, WITHIN)

    assert {f"s{n}": f"r{n}" for n in range(count)} == logs(found)
    assert ("r0", "r1", "r2") == found["s0"].candidates


@pytest.mark.parametrize(
    ("claimed", "logged", "is_match"),
    [
        ("grok-4.20", ("openrouter/x-ai/grok-4-20",), True),
        ("gpt-5.4", ("grok-4.20",), False),
        (None, ("grok-4.20",), True),
        ("gpt-5.4", (), True),
    ],
)
def test_a_model_is_compared_where_both_are_known(claimed: str | None, logged: tuple[str, ...], is_match: bool) -> None:
    """
    Whatever stands before it.
    """
    found = matched([session("a", 0, 25, claimed)], [run("x", 1, models=logged)], WITHIN)

    assert {"a": "x" if is_match else None} == logs(found)


def test_runs_of_another_loop_are_no_candidates() -> None:
    """
    Another agent's, or of another type where names tell it.
    """
    others = [run("x", 1, loop=Loop("gptme", "monitoring")), run("y", 1, loop=Loop("codex", None))]

    assert {"a": Match(None, "nothing_in_time")} == matched([session("a", 0, 25)], others, WITHIN)


def test_a_claim_names_its_loop_by_agent_or_run_type() -> None:
    """
    Run types stand in names of gptme's runs alone.
    """
    named = [("gptme", "autonomous"), (None, "autonomous"), ("codex", "autonomous"), (None, None)]

    assert [LOOP, LOOP, Loop("codex", None), None] == [loop_of(*each) for each in named]


def test_a_local_time_that_came_twice_is_no_time() -> None:
    """
    At the end of summer time: neither instant is chosen, and no claim near either is matched.
    """
    twice = instants(datetime(2026, 10, 25, 2, 30), "Europe/Berlin")  # noqa: DTZ001 - as a name has it
    once = instants(datetime(2026, 10, 25, 4, 30), "Europe/Berlin")  # noqa: DTZ001 - as a name has it
    found = matched([session("a", 0, 25), session("b", 60, 70)], [run("x", 1, 61), run("y", 2)], WITHIN)

    assert (["00:30", "01:30"], ["03:30"]) == ([f"{each:%H:%M}" for each in twice], [f"{each:%H:%M}" for each in once])
    assert {("a", None, "repeated_hour"), ("b", None, "repeated_hour")} == {
        (key, match.run, match.why) for key, match in found.items()
    }


def largest(sessions: list[Session], runs: list[Run], fits: set[tuple[str, str]]) -> list[set[tuple[str, str]]]:
    """Return every largest monotone matching, found by trying all."""
    for size in range(min(len(sessions), len(runs)), -1, -1):
        found = [
            {(one.key, other.key) for one, other in pairs}
            for some in combinations(sessions, size)
            for those in permutations(runs, size)
            if is_monotone(pairs := list(zip(some, those, strict=True)))
            and all((one.key, other.key) in fits for one, other in pairs)
        ]
        if found:
            return found
    return []


def is_monotone(pairs: list[tuple[Session, Run]]) -> bool:
    return all(
        one.start != other.start
        and (one.start < other.start) == (mine.moments < theirs.moments)
        and mine.moments != theirs.moments
        for (one, mine), (other, theirs) in combinations(pairs, 2)
    )


minutes = st.integers(0, 8)
claimed = st.lists(st.tuples(minutes, st.integers(0, 6), st.sampled_from(["m", "n", None])), max_size=5)
logged = st.lists(st.tuples(minutes, st.sampled_from(["m", "n"]), st.sampled_from([None, 0, 12])), max_size=5)
healthy = st.lists(st.tuples(minutes, st.integers(-2, 4)), max_size=2)


@settings(max_examples=300, deadline=None)
@given(claimed, logged, healthy, st.integers(1, 5))
def test_a_match_stands_in_every_largest_matching(
    said: list[tuple[int, int, str | None]],
    began: list[tuple[int, str, int | None]],
    have: list[tuple[int, int]],
    within: int,
) -> None:
    """
    Against all matchings there are: never a double mapping, never a crossing one, never a guess, and nothing certain
    is left out.
    """
    sessions = [session(f"s{n}", start, start + length, model) for n, (start, length, model) in enumerate(said)]
    runs = [
        run(f"r{n}", minute, models=(model,), last=None if length is None else minute + length)
        for n, (minute, model, length) in enumerate(began)
    ]
    known = [Known(LOOP, at(start), at(start + after)) for start, after in have]
    fits = {
        (one.key, other.key)
        for one in sessions
        for other in runs
        if one.start <= other.moments[0] <= min(one.end or one.start, one.start + timedelta(minutes=within))
        and one.model in (None, *other.models)
        and (other.last_at is None or other.last_at <= (one.end or one.start) + timedelta(minutes=10))
        and not any(crosses(one, other, each) for each in known)
    }

    found = {
        (key, match.run)
        for key, match in matched(sessions, runs, timedelta(minutes=within), known).items()
        if match.run
    }

    assert set.intersection(*largest(sessions, runs, fits)) == found
    assert len(found) == len({run for _, run in found})
    by_key = {each.key: each for each in sessions}, {each.key: each for each in runs}
    assert is_monotone([(by_key[0][one], by_key[1][other]) for one, other in found if other])


def crosses(one: Session, other: Run, known: Known) -> bool:
    earlier, later = known.start < one.start, known.start > one.start
    return (earlier and other.moments[0] < known.moment) or (later and other.moments[0] > known.moment)
