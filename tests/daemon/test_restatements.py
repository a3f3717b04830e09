"""Which totals changed since they were believed, by how much, and why."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from daemon.bootstrap import open_log, refresh_and_publish
from daemon.cli import main
from daemon.inbox_client import submit, submit_all
from daemon.interrupts import Interrupts
from daemon.own_events import own_event
from daemon.reconcile.fallbacks import restoring, superseding
from daemon.restatements import restatements_document
from daemon.web.openapi import document
from daemon.window import window_of
from projections.build import ProjectionUnusable
from projections.catalog import layout
from projections.read import Tables
from state.evidence import Belief, BelievedTotals
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append
from tests.daemon.schemas import faults

API = document()
OTHER = "22222222-2222-4222-8222-222222222222"


def on(host: Host, day: int) -> Host:
    """Let *host* read on a day of November, at noon."""
    host.now = datetime(2026, 11, day, 12, tzinfo=UTC)
    host.ingest()
    return host


def asked(host: Host, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and document of `restatements --json`, which is as the document of the API describes it."""
    capsys.readouterr()
    code = main(["restatements", "--home", str(host.home), "--state-dir", str(host.state.root), "--json", *options])
    found = json.loads(capsys.readouterr().out)
    assert [] == faults(found, {"$ref": "#/components/schemas/restatements"}, API)
    return code, found


def told(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return day, class, tokens then and now, and causes with their calls and tokens."""
    return [
        (
            row["day"],
            row["measurement"],
            row["then"]["total_tokens"],
            row["now"]["total_tokens"],
            {
                (each["reason"] or each["cause"]): (each["difference"]["calls"], each["difference"]["total_tokens"])
                for each in row["why"]
            },
        )
        for row in document["rows"]
    ]


def test_what_came_late_was_beaten_or_moved_is_told_apart_and_adds_up(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A late call; a placeholder whose final line came; a call that an earlier copy takes to another day.
    """
    append(host.claude(), claude_line("msg_a", 5) + claude_line("msg_b", 2, second=1, stop=None))
    append(host.claude(OTHER), claude_line("msg_c", 9, timestamp="2026-11-02T10:00:00.000Z"))
    on(host, 20)
    on(host, 21)
    code, document = asked(host, capsys)
    assert (0, []) == (code, document["rows"])

    late = claude_line("msg_late", 100, second=2)
    append(host.claude(), claude_line("msg_b", 40, second=3) + late + claude_line("msg_c", 9, second=4))
    on(host, 22)
    code, document = asked(host, capsys)

    assert 0 == code
    causes = {"late": (1, 110), "poorer": (0, 38), "moved": (1, 19)}
    assert [
        ("2026-11-01", "measured", 27, 27 + 110 + 38 + 19, causes),
        ("2026-11-02", "measured", 19, None, {"moved": (-1, -19)}),
    ] == told(document)
    assert [None, None] == [row["unexplained"] for row in document["rows"]]
    main(["restatements", "--home", str(host.home), "--state-dir", str(host.state.root)])
    assert "late +110 (+1 calls)" in capsys.readouterr().out


def test_a_belief_can_be_asked_by_its_time_and_compared_with_another(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    --since is what was believed then, --until what was believed later; what changed before or behind is no news.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20)
    on(host, 21)
    for day in (22, 24):
        append(host.claude(), claude_line(f"msg_{day}", day))
        on(host, day)
        on(host, day + 1)

    key = ("2026-11-01", "measured")
    assert [(*key, 15, 15 + 32 + 34, {"late": (2, 66)})] == told(asked(host, capsys)[1])
    since = ("--since", "2026-11-23T13:00")
    assert [(*key, 47, 81, {"late": (1, 34)})] == told(asked(host, capsys, *since)[1])
    until = ("--until", "2026-11-23T13:00")
    assert [(*key, 15, 47, {"late": (1, 32)})] == told(asked(host, capsys, *until)[1])
    assert [] == list(host.state.temporary.iterdir())


def test_what_was_believed_by_other_rules_says_so_and_what_has_no_cause_does_too(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The log is counted up to the belief by today's rules: the difference is the rules', or, by the same rules, nobody's.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20)
    wrong = BelievedTotals(day="2026-11-01", agent="claude_code", measurement="measured", calls=3, total_tokens=45)
    for rules, expected in (("0" * 32, 0), (layout(), 1)):
        host.now = host.now.replace(day=host.now.day + 1)
        with open_log(host.settings, lambda: host.now) as log:
            seq = log.head.seq
            stated = Belief(up_to_seq=seq, ended_before=f"{host.now:%Y-%m-%d}", rules=rules, totals=(wrong,))
            log.append([own_event("published", stated, host.now)], {})
            refresh_and_publish(host.settings)
        code, document = asked(host, capsys, "--since", f"{host.now:%Y-%m-%dT%H:%M}")

        (row,) = document["rows"]
        assert expected == code == document["unexplained_rows"]
        assert ([] if expected else ["rules"]) == [each["cause"] for each in row["why"]]
        difference = row["unexplained"] if expected else row["why"][0]["difference"]
        assert (-2, -30, 10) == (difference["calls"], difference["total_tokens"], difference["input_tokens"])
    assert row["difference"]["cache_read_tokens"] is None, "nobody stated it: that is no difference of zero"


def test_declarations_and_estimates_that_gave_way_are_causes(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Measured totals do not move by them.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20)
    told_of = host.home / "report.json"
    report = {"measurement": "estimated", "source_class": "manual", "agent": "claude_code", "session_id": "later"}
    told_of.write_text(json.dumps(report | {"input_tokens": 70, "at": "2026-11-01T09:00:00Z"}))
    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    main(["inbox", "submit", *place, "--kind", "token_event", str(told_of)])
    on(host, 21)
    on(host, 22)

    session = "11111111-1111-4111-8111-111111111111"
    main(["task", "allocate", *place, "T-1", "--session", session, "--agent", "claude_code"])
    append(host.claude(OTHER), claude_line("msg_b", 1, session="later", timestamp="2026-11-01T09:00:00.000Z"))
    on(host, 23)
    code, document = asked(host, capsys, "--since", "2026-11-22T13:00")

    assert 0 == code
    assert [
        ("2026-11-01", "allocated", None, 15, {"allocation": (1, 15)}),
        ("2026-11-01", "estimated", 70, None, {"measured_since": (-1, -70)}),
        ("2026-11-01", "measured", 15, 26, {"late": (1, 11)}),
    ] == told(document)


def test_that_an_estimate_was_decided_away_and_back_is_a_decision(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Neither a rule nor evidence moved it.
    """
    append(host.claude(), claude_line("msg_a", 5))
    done = {"task_id": "AB-3", "status": "completed", "origin": "hook", "estimated_output_tokens": 50}
    body = done | {"at": "2026-11-05T10:00:00Z", "session_id": "elsewhere"}
    submit(host.state, "task", body, producer="hub", key="task:AB-3")
    share = {"session_id": "11111111-1111-4111-8111-111111111111", "task_id": "AB-3", "permille": 100}
    submit(host.state, "allocation", share, producer="operator", key="allocation:ab3", revision=1)
    on(host, 20)
    on(host, 21)

    for day, decide in ((22, lambda tables: superseding(tables, None)), (24, restoring)):
        with Tables(host.state.published) as tables:
            submit_all(host.state, decide(tables))
        on(host, day)
        append(host.claude(), claude_line(f"msg_{day}", day))
        on(host, day + 1)

    key = ("2026-11-05", "estimated")
    until = ("--until", "2026-11-23T13:00")
    assert [(*key, 50, None, {"supersession": (-1, -50)})] == _estimates(asked(host, capsys, *until)[1])
    since = ("--since", "2026-11-23T13:00")
    assert [(*key, None, 50, {"supersession": (1, 50)})] == _estimates(asked(host, capsys, *since)[1])


def _estimates(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [row for row in told(document) if row[1] == "estimated"]


def test_nothing_stated_is_no_good_news(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A young log has no belief that could have changed.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20)

    assert 1 == asked(host, capsys)[0]


@pytest.mark.parametrize("until", [None, "2026-11-24T13:00"])
def test_the_evaluation_of_the_log_can_be_ended(host: Host, until: str | None) -> None:
    """
    By another thread, in the tables that are made for it too; nothing of them is left.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    on(host, 21)
    on(host, 22)
    append(host.claude(), claude_line("msg_b", 7, second=1))
    on(host, 23)
    on(host, 24)
    interrupts, is_done = Interrupts(), threading.Event()

    def end_once_tables_are_made() -> None:
        while not (is_done.is_set() or list(host.state.temporary.glob("scratch-*/projection.duckdb"))):
            is_done.wait(0.001)
        while not is_done.is_set():
            interrupts.end()

    ending = threading.Thread(target=end_once_tables_are_made)
    ending.start()
    try:
        with pytest.raises((duckdb.InterruptException, ProjectionUnusable)):
            restatements_document(host.settings, window_of(None, until, "UTC"), interrupts)
    finally:
        is_done.set()
        ending.join()
    assert [] == list(host.state.temporary.iterdir())
    assert restatements_document(host.settings, window_of(None, until, "UTC"), Interrupts())["rows"]
