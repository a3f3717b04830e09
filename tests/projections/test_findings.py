"""
What cannot be right in measurements, reports and estimates: where each rule fires, and the near miss where it does not.
"""

import random
from typing import Any

import pytest

from projections.findings import findings, rules
from projections.read import Tables
from tests.projections.conftest import Live
from tests.projections.ledger import NOW, Ledger, call, message, moment, register, report, tokens

#: Whatever is told apart by a number here is told apart by these: no rule knows one.
RANDOM = random.Random()
DAY = 24 * 60


def some() -> int:
    return RANDOM.randrange(2_000, 10**9)


def calls(session: str, count: int = 1, at: float = 0, **fields):
    """
    Yield calls of one session, with as many tokens as no other has, at a time that no other has.
    """
    for number in range(count):
        spent = {"input_tokens": some(), "cache_read_tokens": some(), "output_tokens": some()} | fields
        yield call(f"{session}-{number}", at + number + RANDOM.random(), session, **spent)


def hook(session: str, at: float, agent: str = "claude_code") -> bytes:
    body = {"hook": "claude-code", "outcome": "ok", "agent": agent, "session_id": session, "at": moment(at)}
    return message("hook_run", body)


def estimated(source: str, session: str | None = None, **body: Any) -> bytes:
    given: dict[str, Any] = {
        "measurement": "estimated",
        "source_class": "legacy_post",
        "source_id": source,
        "session_id": session,
    }
    return tokens(**(given | {"input_tokens": some(), "output_tokens": some(), "at": moment(RANDOM.random())} | body))


def events():
    """
    Yield a log in which every rule has something to find, and something that is nearly the same.
    """
    same = {"input_tokens": some(), "cache_read_tokens": some(), "output_tokens": some()}
    for number in range(3):
        yield call(f"tele-{number}", number + 0.1, f"tele{number}", **same)
    for number in range(2):
        yield call(f"pair-{number}", number + 0.2, f"pair{number}", **same | {"output_tokens": 1})
    for number in range(3):
        yield call(
            f"hi-{number}", number + 0.3, f"hi{number}", input_tokens=9, cache_read_tokens=10_000, output_tokens=7
        )
    # A cache
    for number in range(3):
        yield from calls(f"cold{number}", 3, 1, model="m-cold", cache_read_tokens=0)
        yield from calls(f"never{number}", 3, 1, model="m-never", cache_read_tokens=0)
        yield from calls(f"null{number}", 3, 1, model="m-cold", cache_read_tokens=None, agent="gptme")
        yield from calls(f"first{number}", 1, 1, model="m-cold", cache_read_tokens=0, agent="codex")
    yield from calls("warm", 2, 2 * DAY, model="vendor/m-cold-2026-01-01")
    # Models
    yield from calls("nameless", model="unknown")
    yield from calls("unnamed", model=None)
    # Reports
    yield tokens("a", 1, source_id="one-id", session_id="told", input_tokens=some())
    yield tokens("b", 1, source_id="one-id", session_id="told", input_tokens=some())
    yield tokens("c", 1, source_id="grows", session_id="grown", input_tokens=10)
    yield tokens("c", 2, source_id="grows", session_id="grown", input_tokens=20)
    yield tokens(source_id="owner", session_id="mine", input_tokens=10)
    yield tokens(source_id="owner", session_id="yours", input_tokens=20)
    # Estimates
    yield from calls("leaks")
    yield from calls("holds")
    yield estimated("old-1", "leaks", agent="claude")
    yield estimated("old-2", "holds", agent="claude_code")
    yield estimated("old-3", "apart", agent="claude")
    yield estimated("old-4", "sourceless", agent="old", provider=None, raw_usage=None)
    # Repositories
    yield register("app", remotes=["github.com/acme/app"])
    yield from calls("placed", git_remote="github.com/acme/app")
    yield from calls("lost", cwd="/srv/other")
    # Witnesses
    for name, other in (("twice", {}), ("partly", {"stop_reason": None}), ("copied", None)):
        spent = {"input_tokens": some(), "output_tokens": some()}
        yield call(name, 5, name, offset_bytes=0, **spent)
        less = spent if other is None else spent | {"output_tokens": spent["output_tokens"] - 1} | other
        yield call(name, 5, name, offset_bytes=9, line_hash=f"{name.encode().hex():f>32}", **less)
    spent = {"input_tokens": some(), "cache_read_tokens": 5}
    yield call("placeholder", 5, "placeholder", offset_bytes=0, output_tokens=8, **spent)
    yield call("placeholder", 5, "placeholder", offset_bytes=9, line_hash="e" * 32, output_tokens=some(), **spent)
    # Sessions
    yield hook("ghost", 3)
    yield hook("leaks", 3)
    yield hook("ghost_elsewhere", 3, agent="unheard_of")
    yield hook("newborn", 5 * DAY - 8 * 60 - 30)
    # Times
    for number in range(5):
        spent = {"input_tokens": some(), "output_tokens": some()}
        yield call(f"at-{number}", 7, f"at{number}", **spent)
        if number:
            yield call(f"near-{number}", 8, f"near{number}", **spent | {"output_tokens": 3})
    yield from calls("epoch", source_created_at="1970-01-01T00:00:01.000000Z")
    yield from calls("tomorrow", source_created_at="2031-01-01T00:00:00.000000Z")
    yield from calls("timeless", source_created_at=None)
    yield estimated("noon", "noon", at="2026-03-01T12:00:00Z", provider="old")
    midday = estimated("midday", "midday", at="2026-03-03T12:00:00Z", provider="old")
    yield midday.replace(f"{NOW:%Y-%m-%dT%H:%M}".encode(), b"2026-03-03T12:01")
    yield estimated("noonish", "noonish", at="2026-03-02T12:00:01Z", provider="old")


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    ledger = Ledger(Live(tmp_path_factory.mktemp("met")))
    ledger.write(events())
    yield findings(Tables.over(ledger.connection))
    ledger.close()


def sessions(met, rule):
    return sorted(session for row in met if row["rule"] == rule for session in row["sessions"])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("teletype", ["tele0", "tele1", "tele2"]),
        ("constant_cache_read", ["cold0", "cold1", "cold2"]),
        ("model_sentinel", ["nameless"]),
        ("duplicate_source_id", ["mine", "told", "yours"]),
        ("fallback_leakage", ["leaks"]),
        ("no_provenance", ["sourceless"]),
        ("witnesses_disagree", ["twice"]),
        ("missed_session", ["ghost"]),
        ("placeholder_time", ["at0", "at1", "at2", "at3", "at4", "noon"]),
        ("time_out_of_range", ["epoch", "tomorrow"]),
        ("superseded_counted", []),
        ("residual", []),
        ("counter_fell", []),
    ],
)
def test_a_rule_finds_what_is_wrong_and_nothing_near_it(met, rule, expected):
    """
    The log holds, beside each thing that is wrong, one that is nearly so.
    """
    assert expected == sessions(met, rule)


def test_a_session_of_no_repository_is_information(met):
    """
    Its tokens are in every total, and null is honest: it alarms nobody.
    """
    found = [row for row in met if row["rule"] == "unattributed_session"]

    assert {"info"} == {row["severity"] for row in found}
    assert "lost" in sessions(met, "unattributed_session")
    assert "placed" not in sessions(met, "unattributed_session")


def test_every_finding_is_whole(met):
    """
    A person and a program find in each what it is about, since when, and what to type.
    """
    assert len(met) == len({row["id"] for row in met})
    for row in met:
        assert row["rule"] in rules()
        assert row["next"].startswith("tallystick ")
        assert "{" not in row["next"]
        assert all(":" in each and "None" not in each for each in row["evidence"])
        assert row["evidence"]
        assert row["sessions"] == sorted(set(row["sessions"]))


def test_tables_that_contradict_themselves_are_found(ledger):
    """
    A statement that beats itself, and a file whose own total is not what was counted: bad tables make these, no log.
    """
    ledger.write([*calls("s"), *calls("other")])
    assert [] == sessions(findings(Tables.over(ledger.connection)), "superseded_counted")

    ledger.connection.execute(
        "INSERT INTO superseded_calls (agent, source_id, seq, by_seq, reason) "
        "SELECT agent, source_id, value_seq, value_seq, 'copy' FROM calls WHERE session_id = 's'"
    )
    ledger.connection.execute(
        "INSERT INTO thread_reconciliation "
        "SELECT 'codex', 't', '1:1:1', 'totals', 100, 0, 99, 1, NULL UNION ALL "
        "SELECT 'codex', 'u', '1:1:2', 'totals', 100, 1, 99, 0, NULL"
    )

    found = findings(Tables.over(ledger.connection))
    assert ["s"] == sessions(found, "superseded_counted")
    assert ["residual_tokens:1"] == [
        each for row in found if row["rule"] == "residual" for each in row["evidence"] if each.startswith("residual")
    ]


def test_a_task_whose_tokens_were_measured_before_its_end_is_no_second_count(ledger):
    """
    The estimate that its end left is told when the measurement lies further back than one that takes its place.
    """
    leaked = [
        *calls("work", 1, 0, git_branch="feature/ABC-1-x"),
        report("ABC-1", "completed", 3 * DAY, origin="operator", estimated_input_tokens=some()),
    ]
    later = [
        *calls("rework", 1, 4 * DAY, git_branch="feature/ABC-2-x"),
        report("ABC-2", "completed", 1, origin="operator", estimated_input_tokens=some()),
    ]
    ledger.write([*leaked, *later])

    found = [row for row in findings(Tables.over(ledger.connection)) if row["rule"] == "fallback_leakage"]
    assert [["estimate:task:ABC-1", "same:task"]] == [
        [each for each in row["evidence"] if each.startswith(("estimate:", "same:"))] for row in found
    ]
