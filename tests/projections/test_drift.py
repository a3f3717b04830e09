"""What is read of each version of an agent, and when less of it is usage than before."""

import shlex
from datetime import timedelta
from typing import Any

import pytest

from daemon.health.drift import Drift
from tests.projections.ledger import START, Ledger, line, moment


def tally(at: float, version: str | None = "1.0", *, usage: int = 0, missed: int = 0, **facts: Any) -> bytes:
    """Return what was read during the minute before; a line for each answer unless *facts* says otherwise."""
    lines = facts.pop("lines", usage + missed)
    body = {
        "agent": "codex",
        "agent_version": version,
        "is_history": False,
        "since": moment(at - 1),
        "bytes": lines * 100,
        "lines": lines,
        "recognised_lines": lines,
        "rejected_lines": 0,
        "usage_statements": usage,
        "turns_without_usage": missed,
        "sources": ["/logs/a b.jsonl"] if missed else [],
    }
    kept = {name: value for name, value in (body | facts).items() if value is not None}
    return line({"k": "tally", "v": 1, "ingested_at": moment(at), "body": kept})


def found(ledger: Ledger, minutes: float = 60) -> list[tuple[str | None, str | None]]:
    """Return what is found so many minutes after the beginning: who, and since when."""
    return [(each.source, each.since) for each in Drift()(ledger.connection, START + timedelta(minutes=minutes))]


def states(ledger: Ledger) -> dict[Any, Any]:
    return dict(ledger.rows("SELECT agent_version, state FROM drift"))


def test_a_version_that_states_usage_and_stops_is_found_with_its_files(ledger: Ledger) -> None:
    """
    Agent, version, since when and files are named, and the command shows the first of them.
    """
    ledger.write([tally(1, usage=30), tally(2, usage=20), tally(3, missed=4)])

    (only,) = Drift()(ledger.connection, START + timedelta(minutes=5))

    assert ("drift", "codex 1.0", "critical") == (only.rule, only.source, only.rank)
    assert "2026-11-20T08:02:00+00:00" == only.since
    assert "codex 1.0" in only.message
    assert "/logs/a b.jsonl" in only.message
    assert ["tallystick", "adapters", "check", "/logs/a b.jsonl"] == shlex.split(only.next)


def test_usage_that_comes_again_ends_it(ledger: Ledger) -> None:
    """
    What was missed stays missed, but the version is read again.
    """
    ledger.write([tally(1, usage=30), tally(2, missed=4)])
    assert found(ledger)

    ledger.write([tally(3, usage=3)])

    assert [] == found(ledger)
    assert {"1.0": "metered"} == states(ledger)


def test_a_new_version_that_never_states_usage_is_found(ledger: Ledger) -> None:
    """
    It has no past of its own: the agent's other versions say what is to be expected.
    """
    ledger.write([tally(1, usage=30), tally(2, "2.0", missed=2)])

    assert [("codex 2.0", moment(1)[:19] + "+00:00")] == found(ledger)
    assert {"1.0": "metered", "2.0": "drifting"} == states(ledger)


def test_the_first_version_ever_seen_is_found_too(ledger: Ledger) -> None:
    """
    Without any past, answers and no usage at all are enough.
    """
    ledger.write([tally(1, None, missed=3)])

    assert ["codex unknown"] == [source for source, _ in found(ledger)]


def test_usage_that_falls_below_half_of_what_it_was_is_found(ledger: Ledger) -> None:
    """
    One in ten answers still states usage: a part of the log's lines has another name.
    """
    ledger.write([*(tally(at, usage=20) for at in range(1, 5)), tally(6, usage=2, missed=18)])

    assert ["codex 1.0"] == [source for source, _ in found(ledger)]


@pytest.mark.parametrize(("usage", "missed"), [(11, 9), (20, 1), (1, 1)])
def test_a_few_answers_without_usage_are_none(ledger: Ledger, usage: int, missed: int) -> None:
    """
    Interrupted answers and another provider's are part of every log: half of the usual share is the floor.
    """
    ledger.write([*(tally(at, usage=20) for at in range(1, 5)), tally(6, usage=usage, missed=missed)])

    assert [] == found(ledger)


def test_the_floor_is_that_of_the_version_where_it_has_a_past(ledger: Ledger) -> None:
    """
    A version of which half of the answers never stated usage is measured by itself, not by its sisters.
    """
    old = [tally(at, "0.9", usage=20) for at in range(1, 6)]
    own = [tally(at, "1.0", usage=10, missed=10) for at in range(6, 10)]

    ledger.write([*old, *own, tally(10, "1.0", usage=6, missed=14)])

    assert [(0.25,)] == ledger.rows("SELECT floor_share FROM drift WHERE agent_version = '1.0'")
    assert [] == found(ledger)


def test_lines_of_unknown_types_are_found_when_they_are_most(ledger: Ledger) -> None:
    """
    The name of the type itself was changed: then nothing is an answer any more.
    """
    ledger.write([tally(1, usage=30), tally(2, lines=6, recognised_lines=2)])

    assert ["codex 1.0"] == [source for source, _ in found(ledger)]


def test_a_session_that_was_opened_and_closed_is_none(ledger: Ledger) -> None:
    """
    A new version with new kinds of small lines, before its first answer.
    """
    ledger.write([tally(1, usage=30), tally(2, "2.0", lines=15, recognised_lines=12), tally(3, "2.0", lines=3)])

    assert [] == found(ledger)
    assert {"1.0": "metered", "2.0": "quiet"} == states(ledger)


def test_heavy_results_of_tools_are_none(ledger: Ledger) -> None:
    """
    A gigabyte in one line, of a version that states usage otherwise.
    """
    ledger.write([tally(1, usage=30), tally(2, lines=1, bytes=10**9)])

    assert [] == found(ledger)


def test_a_megabyte_of_which_nothing_is_understood_is_found(ledger: Ledger) -> None:
    """
    An adapter that says nothing of any line is the last that would tell.
    """
    ledger.write([tally(1, lines=300, bytes=2**20)])

    assert ["codex 1.0"] == [source for source, _ in found(ledger)]


def test_what_a_session_says_before_its_first_answer_is_of_no_version_and_none(ledger: Ledger) -> None:
    """
    A pasted picture is read before the answer that names the version; of an agent that never answers it is found.
    """
    ledger.write([tally(1, None, lines=1, bytes=2**21)])
    assert ["codex unknown"] == [source for source, _ in found(ledger)]

    ledger.write([tally(2, usage=3)])

    assert [] == found(ledger)


def test_old_logs_without_usage_are_history(ledger: Ledger) -> None:
    """
    Mid-2025 files are read for the first time: nobody writes them now.
    """
    ledger.write([tally(1, "0.9", missed=900, is_history=True), tally(1, usage=30)])

    assert [] == found(ledger)
    assert {"0.9": "history", "1.0": "metered"} == states(ledger)


def test_a_version_that_nobody_runs_any_more_is_forgotten(ledger: Ledger) -> None:
    """
    A week after it grew last.
    """
    ledger.write([tally(1, missed=9)])

    assert found(ledger, minutes=6 * 1440)
    assert [] == found(ledger, minutes=8 * 1440)


def test_tallies_are_added_up_again_only_when_there_are_others(ledger: Ledger) -> None:
    """
    The tables are asked every few seconds and tallies come once a minute: what was found is judged by the time alone.
    """
    judge = Drift()

    def sources(minutes: float) -> list[str | None]:
        return [each.source for each in judge(ledger.connection, START + timedelta(minutes=minutes))]

    ledger.write([tally(1, missed=9)])
    assert ["codex 1.0"] == sources(5)

    ledger.connection.execute("ALTER VIEW drift RENAME TO hidden")
    assert ["codex 1.0"] == sources(6)
    assert [] == sources(8 * 1440)
    ledger.connection.execute("ALTER VIEW hidden RENAME TO drift")

    ledger.write([tally(8 * 1440, "2.0", missed=9)])
    assert ["codex 2.0"] == sources(8 * 1440 + 1)


def test_what_a_newer_adapter_reads_in_old_files_ends_it(ledger: Ledger) -> None:
    """
    An upgrade reads the files again, as history, and finds the usage.
    """
    ledger.write([tally(1, missed=9), tally(2, usage=9, is_history=True)])

    assert [] == found(ledger)


def test_every_column_adds_up(ledger: Ledger) -> None:
    """
    Per agent and version: bytes, lines, recognised lines, statements of usage, answers without.
    """
    ledger.write([tally(1, usage=3, missed=1, lines=9, recognised_lines=8), tally(2, usage=1, is_history=True)])

    columns = "bytes, lines, recognised_lines, usage_statements, turns_without_usage, metered_share"

    assert [(1000, 10, 9, 4, 1, 0.8)] == ledger.rows(f"SELECT {columns} FROM drift")  # noqa: S608
