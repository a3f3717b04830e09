"""Whose tokens: shares of measured rows by the strongest rule, whole numbers, never more than there is."""

import random
from fractions import Fraction

import pytest

from projections.catalog import relations
from projections.hashes import FACTS, facts_hash
from state.vocabulary import ESTIMATING_ORIGINS, TASK_BRANCH_PATTERN
from tests.projections.conftest import Live
from tests.projections.ledger import (
    CLASSES,
    Ledger,
    call,
    checkout,
    commit,
    declare,
    message,
    moment,
    named,
    register,
    report,
    rules,
    tokens,
    unequal,
)

# -- each rule -------------------------------------------------------------------------------------------------------


def test_a_declaration_of_a_session_or_a_call_is_the_first_rule(ledger) -> None:
    """
    What an operator says of a call wins over what is said of its session, and that over every other evidence.
    """
    ledger.write(
        [
            *(call(name, at=at, git_branch="APP-9-x") for at, name in enumerate("abc")),
            call("child", at=5, session="sub", parent_session_id="s"),
            report("T-3", "completed", at=60, session_id="s"),
            declare("T-1", session_id="s"),
            declare("T-2", source_id="b"),
        ]
    )

    assert {
        "a": ("T-1", "declared"),
        "b": ("T-2", "declared"),
        "c": ("T-1", "declared"),
        "child": ("T-1", "declared"),
    } == ledger.tasks()


def test_a_declaration_may_be_narrowed_by_time_and_agent(ledger) -> None:
    """
    From `since` on, before `until`; a call without a time is not in any window.
    """
    ledger.write(
        [
            *(call(name, at=at) for at, name in enumerate("abc")),
            call("untimed", at=None),
            declare("T-1", session_id="s", since=moment(1), until=moment(2)),
            declare("T-2", session_id="s", agent="codex"),
        ]
    )

    assert {"b": ("T-1", "declared")} == ledger.tasks()


def test_a_declaration_that_something_belongs_to_no_task_silences_weaker_rules(ledger) -> None:
    """
    It is evidence too: the tokens stay unallocated.
    """
    ledger.write([call("a", git_branch="APP-9-x"), declare(session_id="s")])

    assert {} == ledger.tasks()
    assert [("a", 60, 1)] == ledger.rows("SELECT source_id, total_tokens, calls FROM usage_unallocated")


def test_a_declaration_can_be_withdrawn(ledger) -> None:
    """
    The later revision of its key takes it back.
    """
    body = {"session_id": "s", "task_id": "T-1"}
    ledger.write([call("a"), message("allocation", body, "k", 1)])
    assert {"a": ("T-1", "declared")} == ledger.tasks()

    ledger.write([message("allocation", body | {"is_withdrawn": True}, "k", 2)])
    assert {} == ledger.tasks()


def test_a_report_of_tokens_may_name_its_task(ledger) -> None:
    """
    Who called the provider knew for what.
    """
    ledger.write([tokens(task_id="T-1", session_id="s"), report("T-2", "completed", at=60, session_id="s")])

    assert {"anthropic:msg_p": ("T-1", "stated")} == ledger.tasks()


@pytest.mark.parametrize("rule", ["task_report", "tool_call"])
def test_a_task_has_its_session_between_the_moments_that_name_it(ledger, rule) -> None:
    """
    Up to its end, from its beginning, and between the two; what lies between two tasks belongs to neither.
    """

    def mark(task, at, status):
        return report(task, status, at=at, session_id="s") if rule == "task_report" else named(task, at, "s", status)

    ledger.write(
        [
            *(call(name, at=at) for name, at in [("a", 5), ("b", 15), ("c", 25), ("d", 35), ("e", 45), ("f", 55)]),
            mark("T-1", 10, "completed"),
            mark("T-2", 20, "in_progress"),
            mark("T-2", 30, "completed"),
            mark("T-3", 40, "in_progress"),
        ]
    )

    assert {
        "a": ("T-1", rule),
        "c": ("T-2", rule),
        "e": ("T-3", rule),
        "f": ("T-3", rule),
    } == ledger.tasks()


def test_two_tasks_that_both_have_a_claim_have_none(ledger) -> None:
    """
    One was begun, another one ended: nobody knows whose the tokens between are.
    """
    ledger.write(
        [
            call("between", at=15),
            call("before", at=5),
            named("T-1", 10, status="in_progress"),
            named("T-2", 20, status="completed"),
            named("T-3", 30),
            named("T-4", 30),
            call("at_once", at=25),
            call("after", at=35),
        ]
    )

    assert {} == ledger.tasks()


def test_a_task_that_is_only_named_has_the_session_from_then_on(ledger) -> None:
    """
    A call of a tool that gives no status begins; the next one named takes over.
    """
    ledger.write(
        [call("a", at=5), call("b", at=15), call("c", at=25), named("T-1", 10), named("T-2", 20, workstream_id="W")]
    )

    assert {"b": ("T-1", "tool_call"), "c": ("T-2", "tool_call")} == ledger.tasks()
    assert [("T-1", None), ("T-2", "W")] == ledger.rows(
        "SELECT task_id, workstream_id FROM usage_allocated ORDER BY ALL"
    )


def test_a_copied_tool_call_is_one_and_belongs_to_its_first_session(ledger) -> None:
    """
    A resumed session carries the line of the old one; it does not say what the new one is about.
    """
    copies = [named("T-1", at, session, tool_call_id="toolu_1") for at, session in ((10, "s"), (12, "fork"))]
    ledger.write([*copies[::-1], call("a", at=11), call("b", at=13, session="fork")])

    assert {"a": ("T-1", "tool_call")} == ledger.tasks()


def test_subagents_work_on_what_their_session_works_on(ledger) -> None:
    """
    Unless something names a task of their own.
    """
    ledger.write(
        [
            call("a", at=5, session="sub", parent_session_id="s"),
            call("b", at=5, session="own", parent_session_id="s"),
            report("T-1", "completed", at=10, session_id="s"),
            report("T-2", "completed", at=10, session_id="own"),
        ]
    )

    assert {"a": ("T-1", "task_report"), "b": ("T-2", "task_report")} == ledger.tasks()


def test_a_commit_has_what_was_used_in_its_checkout_since_the_one_before(ledger) -> None:
    """
    At most a day; one that names several tasks, or none, has nothing.
    """
    ledger.write(
        [
            checkout("/w/app"),
            checkout("/w/app/src", top_path="/w/app"),
            commit("/w/app", 10, "T-1"),
            commit("/w/app", 20, "T-2", "T-3"),
            commit("/w/app", 30),
            commit("/w/app", 3000, "T-4"),
            commit("/w/other", 40, "T-5"),
            *(call(f"m{at}", at=at, cwd="/w/app/src") for at in (5, 15, 25, 35, 2000)),
        ]
    )

    assert {"m5": ("T-1", "commit_trailer"), "m2000": ("T-4", "commit_trailer")} == ledger.tasks()


def test_a_branch_may_be_named_for_its_task(ledger) -> None:
    """
    By the default pattern, or by the operator's, which holds for all there is; an empty one finds nothing.
    """
    ledger.write(
        [
            call("a", git_branch="feature/APP-12-login"),
            call("b", at=1, git_branch="main"),
            call("c", at=2, git_branch="wp-45/t1"),
        ]
    )
    assert {"a": ("APP-12", "branch")} == ledger.tasks()

    ledger.write([rules(branch_pattern="(t[0-9]+)$", workstream_branch_pattern="^(wp-[0-9]+)")])
    assert {"c": ("t1", "branch")} == ledger.tasks()
    assert [("t1", "wp-45")] == ledger.rows("SELECT task_id, workstream_id FROM usage_allocated")

    ledger.write([rules()])
    assert {} == ledger.tasks()


def test_a_completion_without_session_has_the_agents_one_session(ledger) -> None:
    """
    Since its last completion, at most a day, and only if there was one session: of two nobody knows which.
    """
    ledger.write(
        [
            call("a", at=5),
            call("b", at=15, session="one"),
            call("c", at=16, session="two"),
            call("d", at=25, session="one"),
            call("e", at=26, session="helper", parent_session_id="one"),
            report("T-1", "completed", at=10, agent="claude_code"),
            report("T-2", "completed", at=20, agent="claude_code"),
            report("T-3", "completed", at=30, agent="claude_code"),
            report("T-4", "completed", at=30, agent="codex"),
        ]
    )

    assert {
        "a": ("T-1", "completion_time"),
        "d": ("T-3", "completion_time"),
        "e": ("T-3", "completion_time"),
    } == ledger.tasks()


def test_the_strongest_rule_alone_allocates_and_names_its_evidence(ledger) -> None:
    """
    Rules in the order of their strength, each taken away in turn; every row has rule, version, confidence and events.
    """
    evidence = {
        "declared": declare("T-0", session_id="s"),
        "task_report": report("T-2", "completed", at=10, session_id="s"),
        "tool_call": named("T-3", 10, status="completed"),
        "commit_trailer": commit("/w", 10, "T-4"),
        "branch": rules(branch_pattern="(T-5)"),
        "completion_time": report("T-6", "completed", at=10, agent="claude_code"),
    }
    ledger.write([checkout("/w"), call("a", at=5, cwd="/w", git_branch="T-5")])
    found = []
    for event in reversed(evidence.values()):
        ledger.write([event])
        found += ledger.rows("SELECT rule, rule_version, confidence, evidence_seqs FROM usage_allocated")

    assert [
        ("completion_time", 1, "low", [2]),
        ("branch", 1, "medium", [1, 3]),
        ("commit_trailer", 1, "medium", [4]),
        ("tool_call", 1, "medium", [5]),
        ("task_report", 1, "high", [6]),
        ("declared", 1, "high", [7]),
    ] == found


def test_a_task_brings_its_workstream(ledger) -> None:
    """
    As last reported, whatever rule found the task.
    """
    ledger.write(
        [
            call("a", git_branch="APP-1"),
            report("APP-1", "in_progress", at=2, workstream_id="W-new"),
            report("APP-1", "open", at=1, workstream_id="W-old"),
        ]
    )

    assert [("APP-1", "W-new")] == ledger.rows("SELECT task_id, workstream_id FROM usage_allocated")
    assert [("W-new", 1, 1, 60), ("W-old", 1, 0, None)] == ledger.rows(
        "SELECT workstream_id, tasks, calls, allocated_tokens FROM workstreams ORDER BY ALL"
    )


# -- shares ----------------------------------------------------------------------------------------------------------


def test_declared_thousandths_split_a_row_by_largest_remainder(ledger) -> None:
    """
    Whole numbers that add up; what nobody claims is unallocated.
    """
    ledger.write(
        [
            call("a", input_tokens=10, cache_read_tokens=None, output_tokens=7, reasoning_tokens=5),
            declare("T-1", session_id="s", permille=500),
            declare("T-2", session_id="s", permille=250),
        ]
    )

    shares = ledger.rows("""
        SELECT task_id, input_tokens, cache_read_tokens, output_tokens, reasoning_tokens
        FROM usage_allocated ORDER BY task_id
    """)
    rest = ledger.rows(
        "SELECT input_tokens, cache_read_tokens, output_tokens, reasoning_tokens, calls FROM usage_unallocated"
    )

    assert [("T-1", 5, None, 3, 3), ("T-2", 3, None, 2, 1)] == shares
    assert [(2, None, 2, 1, 0)] == rest


def test_declarations_without_a_number_share_what_the_others_leave(ledger) -> None:
    """
    Two of them, half of the rest each.
    """
    ledger.write(
        [
            call("a", input_tokens=1000, cache_read_tokens=0, output_tokens=0),
            declare("T-1", session_id="s", permille=400),
            declare("T-2", session_id="s"),
            declare("T-3", session_id="s"),
        ]
    )

    assert [("T-1", 400), ("T-2", 300), ("T-3", 300)] == ledger.rows(
        "SELECT task_id, input_tokens FROM usage_allocated ORDER BY task_id"
    )
    assert [] == ledger.rows("SELECT * FROM usage_unallocated")


def test_more_than_a_thousand_thousandths_are_shared_in_proportion(ledger) -> None:
    """
    Never more than the row.
    """
    ledger.write(
        [
            call("a", input_tokens=10, cache_read_tokens=0, output_tokens=0),
            declare("T-1", session_id="s", permille=1000),
            declare("T-2", session_id="s", permille=1000),
        ]
    )

    assert [("T-1", 5), ("T-2", 5)] == ledger.rows("SELECT task_id, input_tokens FROM usage_allocated ORDER BY task_id")


#: Who has what nobody claims; of equal remainders it is the last.
NOBODY = "~"


def parted(amount: int | None, weights: dict[str, int], whole: int) -> dict[str, int | None]:
    """Part *amount* by largest remainder, as a textbook has it, with what nobody claims among the parts."""
    if amount is None:
        return dict.fromkeys(weights)
    everybody = weights | {NOBODY: whole - sum(weights.values())}
    exact = {name: Fraction(amount * weight, whole) for name, weight in everybody.items()}
    floors = {name: int(share) for name, share in exact.items()}
    left = amount - sum(floors.values())
    largest = sorted(everybody, key=lambda name: (floors[name] - exact[name], name))
    return {name: floors[name] + (name in largest[:left]) for name in weights}


def test_shares_are_those_of_a_textbook(ledger) -> None:
    """
    200 random rows and splits, each class by itself against another implementation.
    """
    rng = random.Random(4)
    events, expected = [], {}
    for number in range(200):
        session, size = f"s{number}", rng.choice([10, 1000, 10**12])
        stated = {name: rng.choice([None, 0, rng.randrange(size)]) for name in ("input_tokens", "cache_read_tokens")}
        stated |= {"output_tokens": rng.randrange(size)}
        events.append(call(f"m{number}", session=session, **stated))
        weights = {f"T-{part}": rng.randrange(1, 1001) for part in range(rng.randrange(2, 6))}
        events += [declare(task, session_id=session, permille=weight) for task, weight in weights.items()]
        whole = max(1000, sum(weights.values()))
        for name, amount in stated.items():
            for task, share in parted(amount, weights, whole).items():
                expected[f"m{number}", task, name] = share

    ledger.write(events)

    found = ledger.rows(
        "SELECT source_id, task_id, input_tokens, cache_read_tokens, output_tokens FROM usage_allocated"
    )
    names = ("input_tokens", "cache_read_tokens", "output_tokens")
    assert expected == {
        (row[0], row[1], name): value for row in found for name, value in zip(names, row[2:], strict=True)
    }
    assert [] == unequal(ledger)


# -- random histories ------------------------------------------------------------------------------------------------


def tokens_of(rng: random.Random) -> dict[str, int | None]:
    """Return the tokens of one call as an agent may state them: parts missing, zero, small and large."""
    size = rng.choice([2, 50, 10**6, 10**12 // 10])
    output, written = rng.randrange(size), rng.randrange(size)
    short = rng.randrange(written + 1)
    return {
        "input_tokens": rng.choice([None, 0, rng.randrange(size)]),
        "cache_read_tokens": rng.choice([None, 0, rng.randrange(size)]),
        "cache_write_tokens": rng.choice([None, written]),
        "cache_write_5m_tokens": rng.choice([None, short]),
        "cache_write_1h_tokens": rng.choice([None, written - short]),
        "output_tokens": rng.choice([None, output]),
        "reasoning_tokens": rng.choice([None, 0, rng.randrange(output + 1), output + 1]),
    }


def history(rng: random.Random, house: int) -> list[bytes]:
    """Return what happened in one house: calls, and everything that may say whose they are, anyhow."""
    sessions, agent, at = (
        [f"h{house}-{each}" for each in range(rng.randrange(1, 3))],
        f"agent_{house}",
        lambda: rng.randrange(60),
    )
    tasks = [f"H{house}-{each}" for each in range(3)]
    events = []
    for number in range(rng.randrange(1, 5)):
        parent = rng.choice([None, sessions[0]])
        context = {"agent": agent, "git_branch": rng.choice([None, "main", f"x/{tasks[0]}"]), "cwd": f"/h{house}"}
        events.append(
            call(
                f"h{house}-m{number}", at(), rng.choice(sessions), parent_session_id=parent, **context, **tokens_of(rng)
            )
        )
    for _ in range(rng.randrange(6)):
        task, session = rng.choice(tasks), rng.choice(sessions)
        happened: list[bytes] = [
            declare(
                rng.choice([task, None]),
                session_id=session,
                permille=rng.choice([None, 0, 1, 333, 1000]),
                workstream_id=rng.choice([None, "W"]),
            ),
            declare(task, source_id=f"h{house}-m{rng.randrange(4)}", permille=rng.choice([None, 499])),
            report(task, rng.choice(["open", "in_progress", "completed", "failed"]), at=at(), session_id=session),
            report(task, "completed", at=at(), agent=agent, origin="hook", estimated_output_tokens=5),
            named(task, at(), session, rng.choice([None, "completed", "in_progress"]), agent=agent),
            commit(f"/h{house}", at(), *rng.sample(tasks, rng.randrange(3))),
            checkout(f"/h{house}", at=at()),
            tokens(
                key=f"k{house}",
                source_id=f"h{house}-p",
                session_id=session,
                task_id=rng.choice([None, task]),
                agent=agent,
                at=moment(at()),
            ),
        ]
        events.append(rng.choice(happened))
    return events


def test_a_thousand_random_histories_conserve_every_token(ledger) -> None:
    """
    For each measured row and each class, shares and rest are the row; nothing is negative; no part exceeds its whole.
    """
    rng = random.Random(20261122)
    ledger.write([event for house in range(1000) for event in history(rng, house)])

    assert [] == unequal(ledger)
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in CLASSES)
    measured, sliced = (
        ledger.rows(f"SELECT {sums} FROM {table}")  # noqa: S608
        for table in (
            "usage_measured",
            "(SELECT * FROM usage_allocated UNION ALL BY NAME SELECT * FROM usage_unallocated)",
        )
    )
    assert measured == sliced
    assert [] == ledger.rows("""
        SELECT a.* FROM usage_allocated AS a INNER JOIN usage_measured AS u ON a.value_seq = u.value_seq
        WHERE (u.reasoning_tokens <= u.output_tokens AND a.reasoning_tokens > a.output_tokens)
            OR (
                u.cache_write_5m_tokens + u.cache_write_1h_tokens <= u.cache_write_tokens
                AND a.cache_write_5m_tokens + a.cache_write_1h_tokens > a.cache_write_tokens
            )
    """)
    rules_found = {rule for (rule,) in ledger.rows("SELECT DISTINCT rule FROM usage_allocated")}
    assert {
        "declared",
        "stated",
        "task_report",
        "tool_call",
        "commit_trailer",
        "branch",
        "completion_time",
    } == rules_found
    assert ledger.rows("SELECT count(*) > 100 FROM usage_unallocated WHERE calls = 0") == [(True,)]


#: What is derived from the facts, and hence the same too.
DERIVED = {
    "repos": "SELECT repo, fact, value FROM repo_facts",
    "repo_names": "SELECT name, repo FROM repo_names",
    "reports": "SELECT * EXCLUDE (seq, holding_seq, logged_seq, receipt), logged_seq IS NULL FROM reported_calls",
    "tasks": "SELECT * FROM tasks",
    "workstreams": "SELECT * FROM workstreams",
}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_facts_do_not_depend_on_order_repetition_or_runs(ledger, tmp_path, seed) -> None:
    """
    The same events, in another order, some of them twice, split over several runs: the same facts.
    """
    rng = random.Random(seed)
    events = [event for house in range(40) for event in history(rng, house)]
    events += [register("r", remotes=["github.com/a/b"], paths=["/h1", "/h2"]), register("q", aliases=["r"])]
    ledger.write(events)

    again = [*events, *rng.sample(events, len(events) // 3)]
    rng.shuffle(again)
    other = Ledger(Live(tmp_path / "other"))
    for start in range(0, len(again), len(again) // 5 + 1):
        other.write(again[start : start + len(again) // 5 + 1])

    differing = [
        name
        for name, query in (FACTS | DERIVED).items()
        if sorted(map(repr, ledger.rows(query))) != sorted(map(repr, other.rows(query)))
    ]
    assert [] == differing
    assert facts_hash(ledger.connection) == facts_hash(other.connection)
    other.close()


def test_a_fact_of_an_allocation_is_in_the_facts_hash(ledger) -> None:
    """
    The hash that stays the same above is another one when the tokens belong to another task.
    """
    ledger.write([call("a")])
    hashes = [facts_hash(ledger.connection)]
    for event in (declare("T-1", session_id="s"), register("r", paths=["/x"]), tokens(measurement="estimated")):
        ledger.write([event])
        hashes.append(facts_hash(ledger.connection))

    assert 4 == len(set(hashes))


@pytest.mark.parametrize(
    "contested",
    [
        [named("A-1", 0, status="in_progress"), named("B-1", 20, status="completed")],
        [named("A-1", 0), named("A-2", 0)],
        [checkout("/w"), commit("/w", 20, "T-8", "T-9")],
        [report("A-1", "in_progress", at=0, session_id="s"), report("B-1", "failed", at=20, session_id="s")],
    ],
)
def test_what_several_tasks_claim_goes_to_no_third(ledger, contested) -> None:
    """
    Evidence that contradicts itself is not made up for by a weaker rule that names somebody else.
    """
    ledger.write([*contested, call("m", at=10, cwd="/w", git_branch="ABC-3")])

    assert {} == ledger.tasks()


def test_what_a_subagent_names_itself_beats_what_its_starter_is_reported_to_do(ledger) -> None:
    """
    Whatever the rules: it is nearer.
    """
    ledger.write(
        [
            call("m", at=10, session="child", parent_session_id="s"),
            report("PAR-2", "completed", at=20, session_id="s"),
            named("CHILD-1", 5, "child", "in_progress"),
        ]
    )

    assert {"m": ("CHILD-1", "tool_call")} == ledger.tasks()


def test_two_declarations_of_one_task_are_one_share(ledger) -> None:
    """
    With a workstream and without: the call is the task's once.
    """
    halves = {"session_id": "s", "permille": 500}
    ledger.write([call("m"), declare("T-1", **halves), declare("T-1", **halves, workstream_id="W")])

    assert [("T-1", "W", 60)] == ledger.rows("SELECT task_id, workstream_id, total_tokens FROM usage_allocated")


def test_nearly_all_of_a_small_row_is_all_of_it(ledger) -> None:
    """
    999 thousandths of three tokens are three: what is left over goes to who has most of it.
    """
    ledger.write(
        [call("m", input_tokens=3, cache_read_tokens=0, output_tokens=0), declare("T-1", session_id="s", permille=999)]
    )

    assert [("T-1", 3)] == ledger.rows("SELECT task_id, input_tokens FROM usage_allocated")


def test_the_default_pattern_of_branches_is_the_one_in_the_vocabulary(ledger) -> None:
    """
    Written down twice, as the tables read no Python; and who may leave an estimate is, too.
    """
    ledger.write([])

    assert [(TASK_BRANCH_PATTERN,)] == ledger.rows("SELECT branch_pattern FROM task_rules")
    text = next(each.sql for each in relations() if each.name == "task_fallbacks")
    assert f"origin IN {ESTIMATING_ORIGINS}" in text
