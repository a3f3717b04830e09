"""What cannot be right in claims and measurements: where each rule fires, and the near miss where it does not."""

import json
import os
import random
from datetime import UTC, timedelta
from typing import Any

import pytest

from daemon.cli import main
from daemon.doctor.facts import facts
from daemon.doctor.page import page as doctor_page
from daemon.findings import alarming, found, page
from daemon.health.rules import RULES
from projections.findings import rules
from projections.read import Tables
from tests.daemon.conftest import Host, claude_line, codex_lines, gptme_lines
from tests.daemon.live import append
from tests.daemon.test_claims import record

#: Whatever is told apart by a number here is told apart by these: no rule knows one.
RANDOM = random.Random()


def claimed(session: str, path: Any = None, **over: Any) -> dict[str, Any]:
    """Return a record that is in order, of a session around the logs that `claude_line` and `gptme_lines` write."""
    minute = RANDOM.randrange(50, 59)
    said = record(session, trajectory_path=None if path is None else str(path), model="claude-opus-4-8")
    said |= {
        "start_time": f"2026-11-01T09:{minute}:{RANDOM.randrange(1, 60):02}.{RANDOM.randrange(10**6):06}+00:00",
        "timestamp": f"2026-11-01T10:{minute}:{RANDOM.randrange(1, 60):02}.{RANDOM.randrange(10**6):06}+00:00",
        "input_tokens": RANDOM.randrange(10**9),
        "output_tokens": RANDOM.randrange(10**9),
        "cache_read_tokens": RANDOM.randrange(1, 10**9),
        "duration_seconds": 1500,
    }
    return said | over


class Found:
    """The findings of one host."""

    def __init__(self, host: Host) -> None:
        with Tables(host.state.published) as tables:
            self.rows = found(tables, host.now)

    def sessions(self, rule: str) -> list[list[str]]:
        """Return the sessions of each finding of *rule*."""
        return sorted(row["sessions"] for row in self.rows if row["rule"] == rule)

    def evidence(self, rule: str, session: str) -> list[str]:
        """Return the evidence of the finding of *rule* that names *session*."""
        (evidence,) = [row["evidence"] for row in self.rows if row["rule"] == rule and session in row["sessions"]]
        return list(evidence)


def log(host: Host, name: str) -> Any:
    """Write a transcript of one call, with as many tokens as no other has."""
    path = host.claude(name)
    append(path, claude_line(f"msg_{name}", RANDOM.randrange(10**9), session=name))
    return path


def conversation(host: Host, name: str) -> Any:
    path = host.gptme(name)
    append(path, gptme_lines([RANDOM.randrange(10**9)]))
    return path


def evaluation() -> str:
    return f"2026-11-01-gptme-evals-{RANDOM.choice(['a', 'b'])}-markdown-{RANDOM.randrange(16**8):08x}"


@pytest.fixture(scope="module")
def pointing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Host, Found]:
    """A host whose records point at logs rightly and wrongly."""
    host = Host(tmp_path_factory.mktemp("pointing"))
    deleted = log(host, "deleted")
    host.ingest()
    deleted.unlink()
    both = conversation(host, "2026-11-01-calm-red-fox")
    present = host.home / "elsewhere.jsonl"
    append(present, b"{}\n")
    unread = host.home / "unread.jsonl"
    append(unread, b"{}\n")
    os.utime(unread, (0, 1_761_900_000))  # 2025
    host.records(
        claimed("good", log(host, "own")),
        claimed("pointless"),
        # shared
        claimed("one", both, harness="gptme"),
        claimed("two", both.parent, harness="gptme"),
        claimed("again", log(host, "twice")),
        claimed("again", log(host, "twice2")),
        # of another kind
        claimed("graded", conversation(host, evaluation()), harness="gptme"),
        claimed("graded_unread", f"/srv/logs/{evaluation()}/conversation.jsonl", harness="gptme"),
        claimed("evaluation", conversation(host, evaluation()), harness="gptme", run_type="eval-nightly"),
        claimed("evals_repo", log(host, "gptme-evals-notes")),
        claimed("crossed", log(host, "of_claude"), harness="gptme"),
        claimed("own_name", log(host, "of_claude_too"), harness="nightly-runner"),
        # nowhere
        claimed("nowhere", f"/srv/{RANDOM.randrange(10**9)}.jsonl"),
        claimed("relative", "logs/x.jsonl"),
        claimed("read_before", deleted),
        claimed("elsewhere", present),
        # at another time
        claimed("day_before", log(host, "later"), start_time="2026-10-31T09:55:00Z"),
        claimed("hour_after", log(host, "earlier"), start_time="2026-11-01T11:00:01Z"),
        claimed("nine_minutes_after", log(host, "near"), start_time="2026-11-01T10:09:00Z"),
        claimed("written_before", unread),
        claimed("at_noon", log(host, "noon"), start_time="2026-10-30T12:00:00Z"),
        claimed("resumed", log(host, "resumed"), start_time="2026-11-01T10:00:00.5Z", duration_seconds=5),
    )
    host.ingest()
    return host, Found(host)


def test_one_log_of_several_sessions_is_shared(pointing: tuple[Host, Found]) -> None:
    """
    Its directory is the same log; two records of one session are no finding.
    """
    _, found = pointing

    assert [["one", "two"]] == found.sessions("shared_trajectory")


def test_a_log_of_an_evaluation_or_another_harness_is_nobodys(pointing: tuple[Host, Found]) -> None:
    """
    Also where nobody has read it; what says that it is an evaluation may point at one, and a harness that we do not
    know at any log.
    """
    _, found = pointing

    assert [["crossed"], ["graded"], ["graded_unread"]] == found.sessions("eval_trajectory")
    assert "reason:evaluation" in found.evidence("eval_trajectory", "graded")
    assert {"reason:other_harness", "log_agent:claude_code"} <= set(found.evidence("eval_trajectory", "crossed"))


def test_a_log_that_never_was_is_missing(pointing: tuple[Host, Found]) -> None:
    """
    No pointer is honest; a log that was read and then deleted is known.
    """
    _, found = pointing

    assert [["graded_unread"], ["nowhere"], ["relative"]] == found.sessions("trajectory_missing")
    assert "state:unusable" in found.evidence("trajectory_missing", "relative")


def test_a_log_of_another_time_is_not_the_sessions(pointing: tuple[Host, Found]) -> None:
    """
    Of one that was not read tells its last change. Ten minutes are what clocks differ by; a time that stands for
    another proves nothing, and a log may go on.
    """
    _, found = pointing

    assert [["day_before"], ["hour_after"], ["written_before"]] == found.sessions("trajectory_outside_time")
    assert "log_first_at:2026-11-01T10:00:00Z" in found.evidence("trajectory_outside_time", "day_before")


def test_a_log_that_a_record_names_and_nobody_read_is_a_missed_session(pointing: tuple[Host, Found]) -> None:
    """
    It was there when the record was read; one that never was is missing, which is another rule.
    """
    _, found = pointing

    assert {"elsewhere", "written_before"} == {each for some in found.sessions("missed_session") for each in some}


@pytest.fixture(scope="module")
def stating(tmp_path_factory: pytest.TempPathFactory) -> tuple[Host, Found]:
    """A host whose records state times, models and tokens rightly and wrongly, and whose totals fall."""
    host = Host(tmp_path_factory.mktemp("stating"))
    second = "2026-11-03T07:11:13"
    cold = {"model": "m-cold", "cache_read_tokens": 0}
    same = {"input_tokens": RANDOM.randrange(1, 10**9), "output_tokens": RANDOM.randrange(10**9)}
    rows = [
        # times
        *(claimed(f"noon{n}", timestamp="2026-04-15T12:00:00") for n in range(3)),
        claimed("one_noon", start_time="2026-04-16T12:00:00"),
        *noons(host),
        claimed("past_noon", timestamp="2026-04-17T12:00:01"),
        *(claimed(f"many{n}", timestamp=second) for n in range(5)),
        *(claimed(f"few{n}", timestamp="2026-11-04T07:11:13") for n in range(4)),
        claimed("imported", start_time="2026-11-05T01:02:03", timestamp="2026-11-05T01:02:03", duration_seconds=900),
        claimed("brief", start_time="2026-11-06T01:02:03", timestamp="2026-11-06T01:02:03", duration_seconds=0),
        claimed("epoch", start_time="1970-01-01T00:00:00Z"),
        claimed("tomorrow", timestamp="2027-01-01T00:00:00Z"),
        # models and ids
        claimed("synthetic", model="<synthetic>"),
        claimed("modelless", model=None),
        claimed("doubled", input_tokens=1),
        claimed("doubled", input_tokens=2),
        # tokens
        *(claimed(f"same{n}", **same, cache_read_tokens=3) for n in range(3)),
        *(claimed(f"pair{n}", **same, cache_read_tokens=4) for n in range(2)),
        *(claimed(f"idle{n}", input_tokens=1, output_tokens=n % 2, cache_read_tokens=0) for n in range(8)),
        *(claimed(f"cold{n}", **cold, input_tokens=5000 + n) for n in range(3)),
        *(claimed(f"small{n}", **cold, input_tokens=1000 + n, harness="codex") for n in range(3)),
        *(claimed(f"never{n}", **cold | {"model": "m-never"}, input_tokens=5000 + n) for n in range(3)),
        *(claimed(f"null{n}", model="m-cold", cache_read_tokens=None, harness="gptme") for n in range(3)),
        claimed("warm", model="anthropic/m.cold-20260101"),
    ]
    host.records(*rows)
    append(host.codex(FELL), codex_lines([1000, 5000], thread=FELL) + codex_lines([300], thread=FELL, start=10))
    append(host.codex(STALE), codex_lines([1000, 5000], thread=STALE) + codex_lines([4950], thread=STALE, start=10))
    host.ingest()
    return host, Found(host)


def noons(host: Host) -> list[dict[str, Any]]:
    """Return what a cron at noon leaves, each of which something else confirms; and one that only another noon does."""
    midday = {"start_time": "2026-04-18T12:00:00Z", "duration_seconds": 300, "end_time": None}
    path = host.gptme("at-midday")
    append(path, gptme_lines([RANDOM.randrange(10**9)]).replace(b"2026-11-01T10", b"2026-04-18T12"))
    return [
        claimed("cron_recorded", **midday | {"timestamp": "2026-04-18T12:05:02Z"}),
        claimed("cron_logged", path, harness="gptme", **midday),
        claimed("cron_read", timestamp=f"{host.now:%Y-%m-%dT%H:%M:%SZ}"),
        claimed("both_noon", **midday | {"timestamp": "2026-04-18T12:00:00Z"}),
    ]


FELL = "019a0000-0001-7000-8000-00000000000a"
STALE = "019a0000-0001-7000-8000-00000000000b"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "placeholder_time",
            [["both_noon"], ["imported"], [f"many{n}" for n in range(5)], [f"noon{n}" for n in range(3)], ["one_noon"]],
        ),
        ("model_sentinel", [["synthetic"]]),
        ("duplicate_source_id", [["doubled"]]),
        ("teletype", [[f"same{n}" for n in range(3)]]),
        ("constant_cache_read", [[f"cold{n}" for n in range(3)]]),
        ("counter_fell", [[FELL]]),
        ("time_out_of_range", [["epoch"], ["tomorrow"]]),
    ],
)
def test_a_rule_finds_what_is_stated_wrongly(stating: tuple[Host, Found], rule: str, expected: list[list[str]]) -> None:
    """
    And nothing that stands beside it: a second past noon, a noon that something else confirms, four in one second, a
    model that never reads a cache, sessions in which next to nothing was said.
    """
    _, found = stating

    assert expected == found.sessions(rule)


def test_what_was_repaired_is_part_of_no_tell(stating: tuple[Host, Found]) -> None:
    """
    What a repaired record counted was the log that it no longer points at: for nobody to be alarmed by again.
    """
    host, found = stating
    (at,) = {row["source"] for row in host.rows("SELECT source FROM claims")}
    began = {row["claim_key"]: row["started_at"] for row in host.rows("SELECT claim_key, started_at FROM claims")}
    (told,) = [row for row in found.rows if row["rule"] == "teletype"]

    step = {"plan_id": "p", "step": 1, "claim_source": at, "action": "clear"}
    keys = [f"same{n}" for n in range(3)]
    host.submit("repair", *({**step, "claim_key": key, "started_at": f"{began[key].isoformat()}Z"} for key in keys))
    host.ingest()

    assert told["id"] not in [row["id"] for row in Found(host).rows]


def run(host: Host, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["findings", "--home", str(host.home), "--state-dir", str(host.state.root), *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_an_acknowledged_finding_alarms_nobody_until_it_expires(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    It is shown apart, with its ticket; it can be taken back; and one that nobody knows is said with what to type.
    """
    host.records(claimed("a", model="<synthetic>"))
    host.ingest()
    code, out, _ = run(host, capsys, "--json")
    (row,) = json.loads(out)["rows"]
    assert (1, "model_sentinel", False) == (code, row["rule"], row["acknowledged"])
    name = row["id"]

    assert 2 == run(host, capsys, "acknowledge", name)[0]
    assert 2 == run(host, capsys, "acknowledge", name, "--reason", "bored")[0]
    assert 2 == run(host, capsys, "acknowledge", name, "--reason", "harmless", "--until", "2020-01-01")[0]
    for until, why in (("99999d", "three years"), ("9999-12-31", "three years"), ("-5d", "future"), ("soon", "day")):
        code, _, err = run(host, capsys, "acknowledge", name, "--reason", "harmless", "--until", until)
        assert (2, True, 1) == (code, why in err, len(err.splitlines()))
    code, _, err = run(host, capsys, "acknowledge", "0" * 12, "--reason", "harmless")
    assert (2, True) == (code, "tallystick findings" in err)

    assert 0 == run(host, capsys, "acknowledge", name, "--reason", "harmless", "--ticket", "OPS-7", "--until", "30d")[0]
    host.ingest()
    code, out, _ = run(host, capsys)
    assert 0 == code
    assert f"known, and no alarm\n  {name}  model_sentinel: harmless, OPS-7, until " in out
    with Tables(host.state.published) as tables:
        (until,) = {each["acknowledged_until"] for each in found(tables, host.now)}
        assert [] == alarming(found(tables, until.replace(tzinfo=UTC) - timedelta(seconds=1)))
        assert [name] == [each["id"] for each in alarming(found(tables, until.replace(tzinfo=UTC)))]

    assert 0 == run(host, capsys, "acknowledge", name, "--withdraw")[0]
    host.ingest()
    assert 1 == run(host, capsys)[0]


def test_one_finding_is_shown_alone_and_whole(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    All its sessions, where a page shows the first; with its own exit code, also of one that is known.
    """
    names = [f"s{number}" for number in range(9)]
    host.records(
        *(claimed(name, model="<synthetic>") for name in names), claimed("b", start_time="1970-01-01T00:00:01Z")
    )
    host.ingest()
    (row,) = [each for each in Found(host).rows if each["rule"] == "model_sentinel"]

    code, out, _ = run(host, capsys, "--id", row["id"])

    assert (1, True) == (code, all(name in out for name in (*names, row["id"], "model_sentinel")))
    assert "time_out_of_range" not in out
    assert [row["id"]] == [each["id"] for each in json.loads(run(host, capsys, "--json", "--id", row["id"])[1])["rows"]]
    run(host, capsys, "acknowledge", row["id"], "--reason", "harmless", "--ticket", "OPS-7")
    host.ingest()
    code, out, _ = run(host, capsys, "--id", row["id"])
    assert (0, True) == (code, "OPS-7" in out)
    for wrong in (["--id", "0" * 12], ["--id", row["id"], "--rule", "teletype"]):
        assert 2 == run(host, capsys, *wrong)[0]


def test_a_finding_that_grows_is_another_one(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What somebody knew of one session says nothing of two.
    """
    host.records(claimed("a", model="<synthetic>"))
    host.ingest()
    (name,) = [each["id"] for each in Found(host).rows]
    run(host, capsys, "acknowledge", name, "--reason", "expected")
    host.records(claimed("a", model="<synthetic>"), claimed("b", model="<synthetic>"))
    host.ingest()

    (row,) = Found(host).rows
    assert (["a", "b"], False) == (row["sessions"], row["acknowledged"])


def test_a_person_reads_what_is_wrong_in_words(stating: tuple[Host, Found], capsys: pytest.CaptureFixture[str]) -> None:
    """
    Rule by rule, the worst first, each with what to type; of many sessions the first.
    """
    host, met = stating
    lines = list(page(met.rows, 10))

    assert lines[0].startswith("CRITICAL  ")
    assert any(line.startswith("WARNING  model_sentinel: sessions whose model is a word") for line in lines)
    assert any("5 sessions: many0 many1 many2 many3 and 1 more" in line for line in lines)
    assert any(line.strip().startswith("$ tallystick ") for line in lines)
    code, out, _ = run(host, capsys, "--rule", "model_sentinel", "--json")
    assert (1, {"model_sentinel"}) == (code, {row["rule"] for row in json.loads(out)["rows"]})
    assert 2 == run(host, capsys, "--rule", "no_such_rule")[0]


def test_doctor_says_how_many_alarm(stating: tuple[Host, Found]) -> None:
    """
    On its one page, by rule, with what to type.
    """
    host, _ = stating
    said = facts(host.settings, {})

    assert 2 == said["integrity"]["rules"]["time_out_of_range"]
    assert any("time_out_of_range 2" in line for line in doctor_page(said))


def test_the_rules_are_those_that_are_promised_and_none_of_health() -> None:
    """
    Names are interfaces: of alarms, tickets and acknowledgements.
    """
    promised = (
        "teletype shared_trajectory eval_trajectory trajectory_missing trajectory_outside_time placeholder_time "
        "constant_cache_read model_sentinel duplicate_source_id fallback_leakage superseded_counted "
        "unattributed_session no_provenance residual witnesses_disagree missed_session counter_fell time_out_of_range"
    )

    assert sorted(promised.split()) == sorted(rules())
    assert set() == set(rules()) & set(RULES)
