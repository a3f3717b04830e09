"""An agent that works and of which no token is measured, and all that only looks like it."""

from datetime import timedelta
from typing import Any

import pytest

from daemon.health.flatline import flatlines
from tests.projections.ledger import START, Ledger, call, commit, line, message, moment, report
from tests.projections.test_drift import tally

#: Minutes in a window.
WINDOW = 15


def grown(at: float, **facts: Any) -> bytes:
    """Return that files of Claude Code have grown during the minute before."""
    return tally(at, agent="claude_code", **facts)


def measured(at: float, **facts: Any) -> bytes:
    """Return a call that was read when it was made."""
    return call(f"c{at}", at=at, ingested_at=moment(at), **facts)


def told(event: bytes, at: float) -> bytes:
    """Return a message that was taken in at that time."""
    from json import loads

    return line(loads(event) | {"ingested_at": moment(at), "source_created_at": moment(at)})


def task(at: float, agent: str | None = "claude_code", **body: Any) -> bytes:
    return told(report("T-1", "completed", at=at, **({"agent": agent} if agent else {}), **body), at)


def found(ledger: Ledger, minutes: float, canary_events: int = 1) -> list[tuple[str | None, str]]:
    """Return who is found so many minutes after the beginning, and how bad it is."""
    judge = flatlines(WINDOW * 60, canary_events)
    return [(each.source, each.rank) for each in judge(ledger.connection, START + timedelta(minutes=minutes))]


def test_a_task_without_a_token_is_found_within_a_window(ledger: Ledger) -> None:
    """
    Its agent says that it worked; nothing was measured of it.
    """
    ledger.write([task(20)])

    assert [] == found(ledger, 24)
    assert [("claude_code", "critical")] == found(ledger, 20 + WINDOW)


def test_tokens_before_or_after_it_cover_a_task(ledger: Ledger) -> None:
    """
    A task is reported after its work; and the line of its last call may be read a little later.
    """
    ledger.write([measured(10), task(20)])
    assert [] == found(ledger, 60)

    ledger.write([task(100), measured(101)])
    assert [] == found(ledger, 130)


def test_it_ends_when_tokens_are_measured_again(ledger: Ledger) -> None:
    """
    Until then it is told, for a day.
    """
    ledger.write([task(20)])
    assert found(ledger, 600)

    ledger.write([measured(601)])

    assert [] == found(ledger, 602)


def test_it_is_told_for_a_day_and_no_longer(ledger: Ledger) -> None:
    """
    What nobody did anything about by then is no news.
    """
    ledger.write([task(20)])

    assert found(ledger, 1440)
    assert [] == found(ledger, 1480)


def test_tokens_of_another_agent_do_not_cover_it(ledger: Ledger) -> None:
    """
    Each agent by itself; what names no agent, by all of them.
    """
    ledger.write([task(20, agent="codex"), task(20, agent=None), measured(20)])

    assert [("codex", "critical")] == found(ledger, 30)


def test_work_of_no_named_agent_is_the_hosts(ledger: Ledger) -> None:
    """
    Somebody worked, and no token of anybody was measured.
    """
    ledger.write([task(20, agent=None)])

    assert [(None, "critical")] == found(ledger, 30)


def test_growing_files_alone_are_a_warning(ledger: Ledger) -> None:
    """
    Answers were seen, none of them with usage: that is a sign of work, and no proof of it.
    """
    ledger.write([grown(20, missed=1)])

    assert [("claude_code", "warning")] == found(ledger, 30)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"lines": 12}, id="a stub: opened and closed"),
        pytest.param({"lines": 900, "bytes": 10**7}, id="a tool that reported for a minute"),
        pytest.param({"missed": 9, "is_history": True}, id="old logs, read for the first time"),
    ],
)
def test_growth_with_nothing_to_count_is_none(ledger: Ledger, facts: dict[str, Any]) -> None:
    """
    Nobody has answered, so nobody has used tokens.
    """
    ledger.write([measured(0), grown(30, **facts)])

    assert [] == found(ledger, 50)


def test_files_that_keep_growing_without_a_token_are_a_warning(ledger: Ledger) -> None:
    """
    A session that is waited for grows once; one that grows for minutes should have measured something.
    """
    ledger.write([measured(0), *(grown(at, lines=9) for at in range(30, 37))])

    assert [("claude_code", "warning")] == found(ledger, 38)
    assert [] == found(ledger, 60)


def test_a_commit_of_the_agents_checkout_is_proof_while_it_works(ledger: Ledger) -> None:
    """
    It may be anybody's: proof of an agent whose files grow meanwhile, else a hint for as long as a window.
    """
    ledger.write([measured(0, cwd="/w/app/src"), commit("/w/app", 60), commit("/w/other", 60)])
    assert [("claude_code", "warning")] == found(ledger, 70)
    assert [] == found(ledger, 80)

    ledger.write([grown(61, lines=3)])

    assert [("claude_code", "critical")] == found(ledger, 70)


def test_an_operator_who_closes_a_task_hours_later_leaves_a_hint(ledger: Ledger) -> None:
    """
    Only the agent's own report is proof; an operator's is while the agent is at work.
    """
    ledger.write([measured(0), task(300, origin="operator"), task(300, origin="bulk_import")])
    assert [("claude_code", "warning")] == found(ledger, 310)
    assert [] == found(ledger, 310, canary_events=2)
    assert [] == found(ledger, 320)

    ledger.write([grown(301, lines=3)])

    assert [("claude_code", "critical")] == found(ledger, 320)


def test_a_task_of_nobody_is_the_hosts_hint(ledger: Ledger) -> None:
    """
    An operator closes a task and names no agent: on a host on which nothing was measured that is worth a look.
    """
    ledger.write([task(300, agent=None, origin="operator")])

    assert [(None, "warning")] == found(ledger, 310)


@pytest.mark.parametrize(("what", "is_work"), [("turn_ended", True), ("session_started", False), ("waiting", False)])
def test_a_turn_is_work_and_an_open_session_is_none(ledger: Ledger, what: str, *, is_work: bool) -> None:
    """
    What hooks say: an agent that answers uses tokens, one that waits does not.
    """
    said = message("activity", {"agent": "claude_code", "what": what, "at": moment(20)})

    ledger.write([told(said, 20)])

    assert ([("claude_code", "critical")] if is_work else []) == found(ledger, 30)


def test_the_threshold_is_the_operators(ledger: Ledger) -> None:
    """
    `canary_events` in the configuration.
    """
    ledger.write([task(20), told(report("T-2", "completed", at=21, agent="claude_code"), 21)])

    assert found(ledger, 40, canary_events=2)
    assert [] == found(ledger, 40, canary_events=3)


def test_a_day_on_which_nothing_happens_is_none(ledger: Ledger) -> None:
    """
    Idle is not flat.
    """
    ledger.write([measured(0), grown(1, usage=1)])

    assert [] == [each for minutes in range(0, 3000, 30) for each in found(ledger, minutes)]


def test_days_are_told_apart(ledger: Ledger) -> None:
    """
    The first has work and no tokens, the second has both, the third has neither.
    """
    ledger.write([task(20), task(1440 + 20), measured(1440 + 21), grown(1440, missed=1)])

    rows = ledger.rows(
        "SELECT agent, CAST(day AS VARCHAR), tasks, silent_tallies, measured_tokens, is_flatline FROM flatlines"
    )

    assert [
        ("claude_code", "2026-11-20", 1, 0, 0, True),
        ("claude_code", "2026-11-21", 1, 1, 60, False),
    ] == rows
