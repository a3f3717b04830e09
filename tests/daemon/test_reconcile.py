"""Disk, log and tables against each other: every number of the report, what is applied, and how often."""

import json
import os
import random
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from daemon.bootstrap import open_log
from daemon.cli import main
from daemon.inbox_client import submit
from state.cursors import Cursor
from tests.daemon import live
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines
from tests.daemon.live import append, daemon, until

#: The day of the second seed on which nothing was measured, and days around it.
BEFORE, FLAT = "2026-05-18", "2026-05-19"

Reconcile = Callable[..., dict[str, Any]]


@pytest.fixture
def reconcile(host: Host, capsys: pytest.CaptureFixture[str]) -> Reconcile:
    """The command as an operator types it; its report, with the exit code in it."""

    def run(*options: str) -> dict[str, Any]:
        capsys.readouterr()
        code = main(["reconcile", "--json", "--home", str(host.home), "--state-dir", str(host.state.root), *options])
        said = capsys.readouterr()
        if not said.out:
            return {"error": said.err, "exit": code}
        report: dict[str, Any] = json.loads(said.out)
        assert code == bool(report["alarms"])
        return report | {"exit": code}

    return run


def alarms(report: dict[str, Any]) -> list[str]:
    """Return what alarms but for findings, whose rules are others' facts."""
    return [each for each in report["alarms"] if each != "finding"]


def task(host: Host, name: str, at: str, **body: Any) -> None:
    """Report a completed task, as a hook does."""
    stated = {"task_id": name, "status": "completed", "origin": "hook", "at": f"{at}T12:00:00Z"} | body
    submit(host.state, "task", stated, producer="hub", key=f"task:{name}", revision=int(at.replace("-", "")))


def on_day(day: str, lines: bytes) -> bytes:
    return lines.replace(b"2026-11-01", day.encode())


def written_on(path: Path, day: str) -> None:
    at = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
    os.utime(path, (at, at))


def events_of(host: Host) -> int:
    """Return how many events the log holds, but for the traces of reconcile itself."""
    return int(host.rows("SELECT count(*) AS n FROM events WHERE kind <> 'reconciliation'")[0]["n"])


# -- the flatline of the second seed -----------------------------------------------------------------------------------


def test_a_flatline_with_unread_rollouts_is_found_and_its_backfill_ends_it(host: Host, reconcile: Reconcile) -> None:
    """
    Tasks are done on May 19 and nothing is measured: Codex wrote its rollouts, and nobody read them. The day before
    is none.
    """
    rollout = host.codex()
    append(rollout, on_day(BEFORE, codex_lines([10])))
    task(host, "T-1", BEFORE, agent="codex", session_id=THREAD)
    host.ingest()
    other = host.codex("019a0000-0002-7000-8000-000000000002")
    task(host, "T-2", FLAT, agent="codex", estimated_output_tokens=500)
    host.ingest()
    append(other, on_day(FLAT, codex_lines([7, 9], thread="019a0000-0002-7000-8000-000000000002")))
    written_on(other, FLAT)

    dry = reconcile()

    assert ["recoverable_gap", "flatline"] == alarms(dry)
    assert [("codex", FLAT, 1, 0, 1)] == [
        (day["agent"], day["day"], day["tasks"], day["measured_tokens"], day["unread_logs"])
        for day in dry["flatline_days"]
    ]
    assert (1, 10) == host.totals()

    applied = reconcile("--apply")

    assert ([], []) == (alarms(applied), applied["flatline_days"])
    assert [("codex", "never_read")] == [(gap["agent"], gap["reason"]) for gap in applied["recovered"]]
    assert (3, 19) == host.totals()


def test_a_flatline_before_the_time_asked_for_is_another_story(host: Host, reconcile: Reconcile) -> None:
    """
    A timer asks for a week: what nobody can mend must not alarm for ever.
    """
    append(host.claude(), claude_line("msg_a", 5))
    task(host, "T-1", FLAT, agent="codex")
    host.ingest()

    assert ["flatline"] == alarms(reconcile("--since", FLAT))
    assert [] == alarms(reconcile("--since", "2026-05-20"))


@pytest.mark.parametrize(("canary", "expected"), [(1, ["flatline"]), (2, [])])
def test_the_canary_is_what_the_configuration_says(
    host: Host, reconcile: Reconcile, canary: int, expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    So many signs of work on a day without a token; one, when nothing is said.
    """
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    (tmp_path / "config.toml").write_text(f"[health]\ncanary_events = {canary}\n")
    append(host.claude(), claude_line("msg_a", 5))
    task(host, "T-1", FLAT, agent="codex")
    host.ingest()

    assert expected == alarms(reconcile())


# -- the disk ------------------------------------------------------------------------------------------------------


def test_every_log_on_the_disk_is_counted_once(host: Host, reconcile: Reconcile) -> None:
    """
    Read, grown since, never read, and moved since: a moved file is read.
    """
    for name in ("read", "grown"):
        append(host.claude(name), claude_line(f"msg_{name}", 5))
    append(host.codex(), codex_lines([5]))
    host.ingest()
    append(host.claude("grown"), claude_line("msg_more", 5))
    append(host.claude("new"), claude_line("msg_new", 5))
    archived = host.codex(archived=True)
    host.codex().rename(archived)

    report = reconcile()

    assert {"on_disk": 4, "ingested": 2, "in_progress": 0, "stale": 2} == report["sessions"]
    size = len(claude_line("msg_more", 5))
    assert [("behind", "grown.jsonl", size), ("never_read", "new.jsonl", len(claude_line("msg_new", 5)))] == [
        (gap["reason"], Path(gap["source"]).name, gap["unread_bytes"]) for gap in report["gaps"]["rows"]
    ]


def test_without_apply_nothing_is_read(host: Host, reconcile: Reconcile) -> None:
    """
    Not even a log is begun: a file in the inbox, one of reports, and the stamp are all.
    """
    append(host.claude(), claude_line("msg_a", 5))

    report = reconcile("--scheduled")

    assert (1, 1, None) == (report["exit"], report["gaps"]["recoverable"], report["fallbacks"])
    assert not list(host.state.log_directory.iterdir())
    assert not host.state.published.exists()
    assert host.state.stamp("reconcile").exists()


@pytest.mark.parametrize(("options", "run_by"), [((), "operator"), (("--scheduled",), "timer")])
def test_only_a_run_that_says_so_is_a_timer_s(
    host: Host, reconcile: Reconcile, options: tuple[str, ...], run_by: str
) -> None:
    """
    A script that reconciles once has no terminal either; it must not be missed two days later.
    """
    append(host.claude(), claude_line("msg_a", 5))

    report = reconcile(*options)

    assert (run_by, run_by == "timer") == (report["run_by"], host.state.stamp("reconcile").exists())


def test_a_log_that_went_is_told_with_what_was_lost(host: Host, reconcile: Reconcile) -> None:
    """
    One that was read to its end before it went is no gap, and half a line is what a killed agent leaves. What went
    while it was being read is a loss, and nobody knows how much.
    """
    append(host.claude("read"), claude_line("msg_a", 5))
    half = claude_line("msg_c", 5)[:40]
    append(host.claude("half"), claude_line("msg_b", 5) + half)
    append(host.claude("still"), claude_line("msg_d", 5))
    host.ingest()
    cut = host.claude("cut")
    mark = Cursor("claude_code", str(cut), "1:2:3", 1, offset_bytes=500, name="cut", role="main", state="gone")
    with open_log(host.settings) as log:
        log.append([], {f"claude_code:{cut}": mark})
    for name in ("read", "half"):
        host.claude(name).unlink()

    report = reconcile()

    expected = [("gone", "cut.jsonl", None), ("half_line", "half.jsonl", len(half))]
    assert expected == [
        (gap["reason"], Path(gap["source"]).name, gap["unread_bytes"]) for gap in report["gaps"]["rows"]
    ]
    assert (["lost_gap"], 1) == (alarms(report), report["gaps"]["lost"])
    assert [] == reconcile("--since", "2100-01-01")["gaps"]["rows"]


def test_a_place_that_cannot_be_read_is_no_zero(host: Host, reconcile: Reconcile) -> None:
    """
    It is told, and no pass can mend it.
    """
    append(host.claude(), claude_line("msg_a", 5))
    (host.claude().parent / "link.jsonl").symlink_to(host.claude())

    report = reconcile("--apply")

    assert (["unreadable"], 0) == (alarms(report), report["gaps"]["recoverable"])


def garbage(host: Host) -> list[Path]:
    """Leave random bytes under names that say otherwise: a compressed rollout, a database and a document."""
    places = [
        host.codex().with_suffix(".jsonl.zst"),
        host.home / ".local/share/opencode/opencode.db",
        host.home / ".local/share/opencode/storage/message/ses_a/msg_a.json",
    ]
    for path in places:
        append(path, random.Random(path.suffix).randbytes(4096))
    return places


def test_what_was_tried_and_cannot_be_read_is_unreadable_and_no_gap_that_a_pass_mends(
    host: Host, reconcile: Reconcile
) -> None:
    """
    Before anybody tried it may be read; then it is told as what it is, and another apply has nothing to do. Once the
    file is another one, it may be read again. A document is read, and rejected: that is said of its bytes.
    """
    append(host.claude(), claude_line("msg_a", 5))
    archive, database, _ = garbage(host)

    before = reconcile()
    first = reconcile("--apply")
    count = events_of(host)
    second = reconcile("--apply")

    assert 4 == before["gaps"]["recoverable"]
    assert (["unreadable"], 0, 2) == (alarms(first), first["gaps"]["recoverable"], first["recovered_logs"])
    assert {("unreadable", archive.name), ("unreadable", database.name)} == {
        (gap["reason"], Path(gap["source"]).name) for gap in second["gaps"]["rows"]
    }
    assert ([], count) == (second["recovered"], events_of(host))
    assert 1 == len(host.rows("SELECT * FROM rejected"))

    archive.write_bytes(zstandard.compress(codex_lines([7])))

    assert 1 == reconcile()["gaps"]["recoverable"]
    assert 0 == reconcile("--apply")["gaps"]["recoverable"]
    assert (2, 22) == host.totals()


@pytest.mark.parametrize("options", [(), ("--since", "7d")])
def test_where_no_log_is_found_nothing_is_well(host: Host, reconcile: Reconcile, options: tuple[str, ...]) -> None:
    """
    Empty is not green, whatever time is asked for: a home may not be mounted. Nor are tables that are not there.
    """
    assert ["nothing_to_read", "nothing_read"] == alarms(reconcile(*options))
    append(host.claude(), claude_line("msg_a", 5))
    assert "nothing_read" in alarms(reconcile("--since", "2100-01-01"))
    host.ingest()
    assert [] == alarms(reconcile("--since", "2100-01-01"))
    host.claude().unlink()
    assert ["nothing_to_read"] == alarms(reconcile("--since", "2100-01-01"))


# -- what the tables say -----------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(host: Host) -> Host:
    """Fallbacks beside measurements and alone, reports without a source, and two programs that disagree."""
    append(host.claude(), claude_line("msg_a", 5))
    append(host.claude(), claude_line("msg_a", 9))
    append(host.claude("two"), claude_line("msg_b", 1, session="two", gitBranch="AB-1"))
    done = {"origin": "hook", "status": "completed", "estimated_output_tokens": 50}
    for name, at in (("AB-1", "2026-11-01T10:01:00Z"), ("AB-2", "2026-11-01T10:01:00Z")):
        submit(host.state, "task", {"task_id": name, "at": at} | done, producer="hub", key=f"task:{name}")
    late = {"task_id": "AB-3", "at": "2026-11-05T10:00:00Z", "session_id": "elsewhere"} | done
    submit(host.state, "task", late, producer="hub", key="task:AB-3")
    target = {"session_id": SESSION, "task_id": "AB-3", "permille": 100}
    submit(host.state, "allocation", target, producer="operator", key="allocation:ab3", revision=1)
    post = {"measurement": "estimated", "source_class": "legacy_post", "output_tokens": 7, "at": "2026-11-02T10:00:00Z"}
    submit(host.state, "token_event", post, producer="old")
    measured = {
        "measurement": "measured",
        "source_class": "llm_connect",
        "provider": "openai",
        "source_id": "r-1",
        "raw_usage": {"output": 7},
        "output_tokens": 7,
    }
    for producer, tokens in (("one", 7), ("two", 8)):
        body = measured | {"output_tokens": tokens, "raw_usage": {"output": tokens}}
        submit(host.state, "token_event", body, producer=producer, key="token:r-1")
    host.ingest()
    return host


def estimated(host: Host) -> list[str]:
    return [row["task_id"] for row in host.rows("SELECT task_id FROM usage_estimated ORDER BY 1") if row["task_id"]]


def states(host: Host) -> dict[str, str]:
    return {row["task_id"]: row["state"] for row in host.rows("SELECT * FROM fallbacks WHERE task_id IS NOT NULL")}


def test_every_number_of_the_tables_is_what_it_says(mixed: Host, reconcile: Reconcile) -> None:
    """
    Also that an estimate which gave way by rule needs no decision.
    """
    report = reconcile("--zero-superseded-fallbacks")

    assert (1, False) == (report["fallback_decisions"], report["is_applied"])
    assert {"AB-1": "measured_since", "AB-2": "counted", "AB-3": "leaked"} == states(mixed)
    of = report["fallbacks"]
    assert (4, 3, 1, 1, 2, 0, 0) == tuple(
        of[name] for name in ("events", "counting", "measured_since", "leaked", "counted", "kept", "operator_decision")
    )
    assert [("task_fallback", "AB-3")] == [(row["source_class"], row["task_id"]) for row in of["leaked_rows"]]
    assert {"source_ids": 3, "counted_twice": 0, "disagreeing": 1} == report["duplicates"]
    assert sum(report["superseded"]["by_reason"].values()) == report["superseded"]["rows"]
    assert 1 == report["superseded"]["by_reason"]["measured_since"]
    assert {"sessions": 3, "total_tokens": 19 + 11 + 8} == report["unattributed"]
    assert 1 == report["without_provenance"]
    assert ["flatline", "leaked_fallback"] == alarms(report)


def test_fallbacks_are_superseded_only_when_asked_for_and_it_can_be_undone(mixed: Host, reconcile: Reconcile) -> None:
    """
    A decision is an event; what it supersedes stays visible with it, measured totals stand, and all can be taken back.
    It is about what stood there: another guess of the same task leaks again.
    """
    measured = mixed.totals()
    assert "fallback_leakage" in rules(reconcile())
    later = reconcile("--zero-superseded-fallbacks", "--since", "2026-11-06")
    assert (0, 0) == (later["fallback_decisions"], later["fallbacks"]["leaked"])

    first = reconcile("--zero-superseded-fallbacks", "--apply")
    events = events_of(mixed)
    second = reconcile("--zero-superseded-fallbacks", "--apply")

    assert (1, 0, events) == (first["fallback_decisions"], second["fallback_decisions"], events_of(mixed))
    assert "operator_decision" == states(mixed)["AB-3"]
    assert "leaked_fallback" not in second["alarms"]
    (row,) = mixed.rows("SELECT * FROM usage_superseded WHERE reason = 'operator_decision'")
    assert ("task:AB-3", 50, "superseded") == (row["source_id"], row["output_tokens"], row["measurement"])
    assert [{"kind": "supersession"}] == mixed.rows(
        "SELECT kind FROM events WHERE seq IN (SELECT by_seq FROM usage_superseded WHERE reason = 'operator_decision')"
    )
    assert (["AB-2"], measured) == (estimated(mixed), mixed.totals())

    undone = reconcile("--restore-fallbacks", "--apply")

    assert (1, "kept", ["AB-2", "AB-3"]) == (undone["fallback_decisions"], states(mixed)["AB-3"], estimated(mixed))
    assert "leaked_fallback" not in undone["alarms"]

    assert 0 == reconcile("--zero-superseded-fallbacks")["fallback_decisions"]
    assert "fallback_leakage" not in rules(undone)
    task(mixed, "AB-3", "2026-11-06", session_id="elsewhere", estimated_output_tokens=60)
    mixed.ingest()
    assert "leaked" == states(mixed)["AB-3"]


def rules(report: dict[str, Any]) -> set[str]:
    return {found["rule"] for found in report["findings"]}


def test_a_decision_that_somebody_sent_under_a_key_of_his_own_is_taken_back_under_it(
    mixed: Host, reconcile: Reconcile
) -> None:
    """
    Under another key it would stand beside the withdrawal, and be taken back for ever.
    """
    (row,) = mixed.rows("SELECT receipt, content_hash FROM fallbacks WHERE task_id = 'AB-3'")
    submit(mixed.state, "supersession", row, producer="somebody", key="mine", revision=7)
    mixed.ingest()
    assert "operator_decision" == states(mixed)["AB-3"]

    undone = reconcile("--restore-fallbacks", "--apply")
    again = reconcile("--restore-fallbacks", "--apply")

    assert (1, 0, "kept") == (undone["fallback_decisions"], again["fallback_decisions"], states(mixed)["AB-3"])
    assert [{"message_key": "mine", "producer": "somebody", "superseded_count": 1}] == mixed.rows(
        "SELECT message_key, producer, superseded_count FROM inbox WHERE kind = 'supersession'"
    )


def test_decisions_without_a_key_are_taken_back_too_and_another_one_holds_again(
    mixed: Host, reconcile: Reconcile
) -> None:
    """
    Two of them about one fallback, as somebody sent it twice: both are. What he decides anew is a decision anew.
    """
    (row,) = mixed.rows("SELECT receipt, content_hash FROM fallbacks WHERE task_id = 'AB-3'")
    for _ in range(2):
        submit(mixed.state, "supersession", row, producer="somebody")
    mixed.ingest()
    assert "operator_decision" == states(mixed)["AB-3"]

    undone = reconcile("--restore-fallbacks", "--apply")
    again = reconcile("--restore-fallbacks", "--apply")

    assert (2, 0, "kept") == (undone["fallback_decisions"], again["fallback_decisions"], states(mixed)["AB-3"])
    assert "fallback_leakage" not in rules(again)
    submit(mixed.state, "supersession", row, producer="somebody")
    mixed.ingest()
    assert "operator_decision" == states(mixed)["AB-3"]
    assert 1 == reconcile("--restore-fallbacks", "--apply")["fallback_decisions"]
    assert "kept" == states(mixed)["AB-3"]


def test_a_row_of_an_old_table_that_counts_beside_its_session_leaks(host: Host, reconcile: Reconcile) -> None:
    """
    Under the agent's own name it gives way; under another's it counts twice, and the report says so.
    """
    append(host.claude(), claude_line("msg_a", 5))
    said = {"measurement": "estimated", "source_class": "legacy_import", "legacy_class": "session_backfill"}
    for agent in ("claude_code", "codex"):
        body = said | {"agent": agent, "session_id": SESSION, "scope": "session", "output_tokens": 5}
        submit(host.state, "token_event", body, producer="import", key=f"import:t:{agent}", revision=0)
    host.ingest()

    report = reconcile()

    assert {"codex": "leaked", "claude_code": "measured_since"} == {
        row["agent"]: row["state"] for row in host.rows("SELECT agent, state FROM fallbacks")
    }
    assert ("leaked_fallback" in report["alarms"], 1) == (True, report["fallbacks"]["leaked"])


def test_findings_of_the_records_are_in_the_report_and_alarm(
    host: Host, reconcile: Reconcile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    One number in three sessions, by its rule and id; no session and no path of theirs.
    """
    append(host.claude(), claude_line("msg_a", 5))
    record = {"input_tokens": 4000, "output_tokens": 200, "start_time": "2026-04-19T02:54:00+00:00", "model": "gpt-5.4"}
    path = host.records(*({"session_id": f"s{n}"} | record for n in range(3)))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    (tmp_path / "config.toml").write_text(f"[[claims]]\npath = {json.dumps(str(path))}\n")

    report = reconcile("--apply")

    assert 1 == report["sessions"]["on_disk"]
    assert "finding" in report["alarms"]
    assert [3] == [found["sessions"] for found in report["findings"] if found["rule"] == "teletype"]
    append(path, b'{"session_id": "s9"}\n')
    assert [("claims", "behind")] == [(gap["agent"], gap["reason"]) for gap in reconcile()["gaps"]["rows"]]


# -- what a run leaves behind -----------------------------------------------------------------------------------------


def test_a_second_apply_does_nothing_and_every_run_is_evidence_with_an_age(
    host: Host, reconcile: Reconcile, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The second adds nothing to the log but its own trace. The report is a file of this user's alone, without content;
    of those only the newest are kept.
    """
    append(host.claude(), claude_line("msg_a", 5))
    append(host.codex(), codex_lines([5, 9]))
    host.state.reports.mkdir(parents=True)
    for n in range(40):
        (host.state.reports / f"reconcile-20200101T0000{n:02}.000000Z.json").write_text("{}")

    first = reconcile("--apply")
    events = events_of(host)
    report = reconcile("--apply")

    assert (2, 0) == (first["recovered_logs"], report["recovered_logs"])
    assert (0, 0, events) == (first["exit"], report["exit"], events_of(host))
    kept = sorted(host.state.reports.iterdir())
    assert 30 == len(kept)
    assert report == json.loads(kept[-1].read_text()) | {"exit": 0}
    assert 0o600 == stat.S_IMODE(kept[-1].stat().st_mode)
    capsys.readouterr()
    main(["status", "--json", "--home", str(host.home), "--state-dir", str(host.state.root)])
    told = json.loads(capsys.readouterr().out)["reconciled"]
    assert (True, True) == (told["is_clean"], 0 <= told["age_seconds"] < 3600)
    assert [("reconcile", "operator", 2, "clean")] == [
        (row["watcher"], row["name"], row["runs"], row["outcome"]) for row in host.rows("SELECT * FROM runs")
    ]
    rows = host.rows("SELECT * FROM reconciliations ORDER BY seq")
    assert [2, 0] == [row["recovered"] for row in rows]
    assert report["at"].startswith(rows[-1]["ran_at"].isoformat(timespec="milliseconds"))
    assert (True, True, 2, 2, 0, 0, 0) == tuple(
        rows[-1][name]
        for name in (
            "is_applied",
            "is_clean",
            "sessions_on_disk",
            "sessions_ingested",
            "sessions_stale",
            "findings",
            "duplicate_source_ids",
        )
    )


@pytest.mark.parametrize(
    "options",
    [("--zero-superseded-fallbacks", "--restore-fallbacks"), ("--since", "yesterday"), ("--apply", "--wait", "inf")],
)
def test_options_that_mean_nothing_are_refused(host: Host, reconcile: Reconcile, options: tuple[str, ...]) -> None:
    """
    With 2, and nothing is written.
    """
    assert 2 == reconcile(*options)["exit"]
    assert not host.state.root.exists()


def test_a_log_that_is_damaged_ends_it(host: Host, reconcile: Reconcile) -> None:
    """
    With 4: no number of its tables is told.
    """
    append(host.claude(), claude_line("msg_a", 5))
    host.ingest()
    (segment,) = host.state.log_directory.glob("*.ndjson")
    segment.chmod(0o600)
    segment.write_bytes(b"\0" * segment.stat().st_size)

    assert 4 == reconcile()["exit"]


def test_tables_that_are_gone_are_no_zeros(host: Host, reconcile: Reconcile) -> None:
    """
    With 3 and the next step; a pass makes them again.
    """
    append(host.claude(), claude_line("msg_a", 5))
    host.ingest()
    host.state.published.unlink()

    assert "tallystick ingest" in (report := reconcile())["error"]
    assert 3 == report["exit"]


def test_a_link_in_the_place_of_the_reports_is_not_followed(host: Host, reconcile: Reconcile, tmp_path: Path) -> None:
    """
    Nothing is written elsewhere.
    """
    append(host.claude(), claude_line("msg_a", 5))
    host.ingest()
    (tmp_path / "elsewhere").mkdir()
    host.state.reports.symlink_to(tmp_path / "elsewhere")

    assert 3 == reconcile()["exit"]
    assert [] == list((tmp_path / "elsewhere").iterdir())


# -- beside a daemon ---------------------------------------------------------------------------------------------------


def test_beside_a_daemon_its_own_sweep_is_awaited(host: Host, reconcile: Reconcile) -> None:
    """
    It holds the log: what is found unread is read by it, decisions go through the inbox, and the tables are waited for.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host):
        until(host.state.published.exists, "tables are published")
        for n in range(20):
            thread = f"019a0000-00{n:02}-7000-8000-000000000001"
            append(host.codex(thread), codex_lines([5, n + 9], thread=thread))

        applied = reconcile("--apply", "--wait", "60")

        assert ([], 21) == (alarms(applied), applied["sessions"]["ingested"])
        assert 1 + 2 * 20 == host.totals()[0]
        assert [True] == [row["is_applied"] for row in host.rows("SELECT * FROM reconciliations")]


def test_beside_a_daemon_nobody_waits_for_what_it_cannot_read(host: Host, reconcile: Reconcile) -> None:
    """
    What it has tried in vain is told at once; what it has not met yet is awaited until it has tried.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host):
        until(host.state.published.exists, "tables are published")
        garbage(host)

        first = reconcile("--apply", "--wait", "60")
        second = reconcile("--apply", "--wait", "60")

    assert [(["unreadable"], 0)] * 2 == [(alarms(each), each["gaps"]["recoverable"]) for each in (first, second)]


def test_a_log_that_is_being_written_is_no_gap_beside_a_daemon_and_one_that_stays_unread_ends_with_three(
    host: Host, reconcile: Reconcile
) -> None:
    """
    A stopped daemon reads nothing and holds the log; nobody waits for it for ever, and nothing is said to be done.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace={**live.QUICK, "heartbeat": 3600.0}) as running:
        until(host.state.published.exists, "tables are published")
        running.signal(19)
        append(host.claude("new"), claude_line("msg_b", 5))
        old = host.claude("old")
        append(old, claude_line("msg_c", 5))
        written_on(old, FLAT)

        dry = reconcile()
        refused = reconcile("--apply", "--scheduled", "--wait", "0.5")

        assert {"on_disk": 3, "ingested": 1, "in_progress": 1, "stale": 1} == dry["sessions"]
        assert 3 == refused["exit"]
        kept = json.loads(max(host.state.reports.iterdir()).read_text())
        assert (True, ["recoverable_gap", "not_caught_up"]) == (kept["is_applied"], alarms(kept))
        assert host.state.stamp("reconcile").exists()
        assert 2 == len(list(host.state.inbox.glob("*.json")))
        assert "tallystick health" in refused["error"]
        assert (1, 15) == host.totals()
