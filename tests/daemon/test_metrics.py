"""
What Prometheus scrapes and Grafana draws: the figures of `usage`, as gauges that may shrink.
"""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.cli import main
from daemon.metrics import CATEGORIES, METRICS, metrics_text
from projections.read import Tables
from tests.daemon.conftest import Host, claude_line
from tests.daemon.served import served
from tests.daemon.taken import command, demo_host, document, said

TOP = Path(__file__).parents[2]
DASHBOARD = TOP / "contrib" / "grafana" / "tallystick.json"

Labels = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return demo_host(tmp_path_factory.mktemp("metrics"))


def samples(text: str) -> dict[str, dict[Labels, float]]:
    """Return what a scraper reads, by the name of the sample and its labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            found.setdefault(each.name, {})[tuple(sorted(each.labels.items()))] = each.value
    return found


def scraped(host: Host) -> dict[str, dict[Labels, float]]:
    return samples(said(host, "metrics").decode())


def test_tokens_are_those_of_usage(demo: Host) -> None:
    """
    For each class, source and model, each category; a category that nobody stated has no sample.
    """
    expected: dict[Labels, float] = {}
    usage = document(demo, "usage", "--by", "agent,model", "--include", "estimated,superseded", "--json")
    for row in usage["rows"]:
        for category, name in CATEGORIES.items():
            if row["calls"] and row[name] is not None:
                labels = {"class": row["measurement"], "source": row["agent"], "model": row["model"] or ""}
                expected[tuple(sorted((labels | {"category": category}).items()))] = row[name]

    found = scraped(demo)["tallystick_evidence_tokens"]

    assert expected == found
    measured = sum(value for labels, value in found.items() if ("class", "measured") in labels)
    assert usage["totals"]["measured"]["total_tokens"] == measured


def test_freshness_and_head_are_those_of_the_tables(demo: Host) -> None:
    """
    Backlog, marks, files, rejected lines and the heads, as `status` and `sql` say them.
    """
    found = scraped(demo)
    usage = document(demo, "usage", "--json")

    assert usage["unread_bytes"] == sum(found["tallystick_source_backlog_bytes"].values())
    assert usage["unmetered_sources"] == sum(found["tallystick_unmetered_files"].values())
    assert usage["rejected_lines"] == sum(found["tallystick_parse_errors_total"].values())
    assert usage["unreadable_paths"] == sum(found["tallystick_unreadable_paths"].values())
    assert (
        {(): usage["as_of"]["seq"]} == found["tallystick_projection_sequence"] == found["tallystick_log_head_sequence"]
    )
    assert {(): 0} == found["tallystick_projection_lag_events"]
    assert {"claude_code", "codex", "gptme"} == {
        labels[0][1] for labels in found["tallystick_source_last_event_timestamp_seconds"]
    }
    events = demo.rows("SELECT count(*) AS n FROM events")[0]["n"]
    assert events == sum(found["tallystick_evidence_events_total"].values())


def test_findings_are_counted_as_they_alarm(demo: Host) -> None:
    """
    Every rule that can alarm has a series, zero while it found nothing, so that an alert can be written for it.
    """
    rows = document_of_findings(demo)
    found = {dict(labels)["rule"]: value for labels, value in scraped(demo)["tallystick_findings"].items()}
    alarming = [row["rule"] for row in rows if row["severity"] != "info" and not row["acknowledged"]]

    assert alarming
    assert {rule: float(alarming.count(rule)) for rule in found} == found
    assert {"teletype", "residual", "counter_fell"} <= found.keys()
    assert "unattributed_session" not in found


def document_of_findings(host: Host) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(command(host, "findings", "--json").stdout)["rows"]
    return rows


def test_what_lags_is_told(host: Host) -> None:
    """
    Tables of yesterday over a log of today: the lag is what they lack, and a log that cannot be read is no lag of zero.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    with Tables(host.state.published) as tables:
        behind = samples(metrics_text(tables, 7).decode())
        unknown = samples(metrics_text(tables, None).decode())
        seq = tables.head().seq

    assert seq is not None
    assert ({(): 7}, {(): seq + 7}) == (
        behind["tallystick_projection_lag_events"],
        behind["tallystick_log_head_sequence"],
    )
    assert not {"tallystick_projection_lag_events", "tallystick_log_head_sequence"} & unknown.keys()
    assert {(): seq} == unknown["tallystick_projection_sequence"]


def test_a_total_may_shrink_and_is_no_counter(demo: Host) -> None:
    """
    Only what is appended is counted; Prometheus would take a shrinking counter for a restart.
    """
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", said(demo, "metrics").decode(), re.MULTILINE))

    counters = {name for name, kind in types.items() if kind == "counter"}
    assert {"tallystick_evidence_events_total", "tallystick_parse_errors_total"} == counters
    assert set(METRICS) == set(types)


def test_no_label_names_a_session(demo: Host) -> None:
    """
    A label for each session would be a series for each session, for ever; nor does a path stand in one.
    """
    sessions = {row["session_id"] for row in demo.rows("SELECT DISTINCT session_id FROM usage_measured")}
    text = said(demo, "metrics").decode()

    assert not {"session", "session_id"} & {name for each in METRICS.values() for name in each.labels}
    assert [] == [session for session in sessions if session and session in text]
    assert str(demo.home) not in text


def test_the_same_tables_give_the_same_bytes(demo: Host) -> None:
    """
    The command and the API answer alike, and a scrape that changed nothing differs in nothing.
    """
    with Tables(demo.state.published) as tables:
        first, second = (metrics_text(tables, 0) for _ in range(2))

    assert first == second == said(demo, "metrics")


def test_the_textfile_is_whole_and_readable_by_its_collector(demo: Host, tmp_path: Path) -> None:
    """
    It is replaced by rename, another user reads it, and a name that the collector would not read is refused.
    """
    target = tmp_path / "tallystick.prom"
    target.write_text("old")
    inode = target.stat().st_ino

    said(demo, "metrics", "--textfile", str(target))

    assert said(demo, "metrics") == target.read_bytes()
    assert inode != target.stat().st_ino
    assert 0o644 == stat.S_IMODE(target.stat().st_mode)
    assert ["tallystick.prom"] == [each.name for each in tmp_path.iterdir()]
    assert 2 == command(demo, "metrics", "--textfile", str(tmp_path / "x.txt")).returncode


def test_a_scrape_is_answered_with_the_bytes_of_the_command(demo: Host, host: Host) -> None:
    """
    Over HTTP as from the command line; where nothing was published there is an error and no zero.
    """
    with served(demo.state) as server:
        answer, again = (server.ask("GET", "/metrics") for _ in range(2))
        assert (200, said(demo, "metrics")) == (answer.status, answer.content)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert answer.content == again.content
        assert 405 == server.ask("POST", "/metrics").status
    with served(host.state) as server:
        assert 503 == server.ask("GET", "/metrics").status


def test_a_scrape_of_a_port_needs_the_token(demo: Host) -> None:
    """
    Figures are somebody's: Prometheus has to be told the token.
    """
    with served(demo.state, "--port", "0") as server:
        assert 401 == server.ask("GET", "/metrics", headers={"authorization": ""}).status
        assert 200 == server.ask("GET", "/metrics").status


def test_without_tables_there_are_no_metrics(host: Host, tmp_path: Path, capsys: Any) -> None:
    """
    Nothing on stdout, an exit code, and an old file that stays: its age tells.
    """
    target = tmp_path / "tallystick.prom"
    target.write_text("old")
    where = ["--state-dir", str(host.state.root)]

    assert 3 == main(["metrics", *where])
    assert 3 == main(["metrics", "--textfile", str(target), *where])
    assert "" == capsys.readouterr().out
    assert "old" == target.read_text()


def queries() -> list[str]:
    """Return every query of the dashboard: of panels, and of the choice of sources."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return panels + [each["definition"] for each in dashboard["templating"]["list"] if "definition" in each]


def test_the_dashboard_asks_only_for_metrics_and_labels_that_are_exported() -> None:
    """
    A misspelt name is an empty panel, which looks like no usage.
    """
    for query in queries():
        names = re.findall(r"\btallystick_\w+", query)
        assert names, query
        assert [] == [name for name in names if name not in METRICS], query
        known = {label for name in names for label in METRICS[name].labels}
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
        used |= {each.strip() for group in re.findall(r"by \(([^)]*)\)", query) for each in group.split(",")}
        assert used <= known, query


def test_the_dashboard_adds_no_classes() -> None:
    """
    Each query for tokens names its class, or measured and superseded would be one curve.
    """
    asked = [query for query in queries() if "evidence_tokens{" in query]

    assert asked
    assert [] == [query for query in asked if not re.search(r'class="(measured|estimated|superseded)"', query)]


def test_the_dashboard_shows_every_metric_but_these() -> None:
    """
    What is exported and drawn nowhere is so on purpose.
    """
    shown = set(re.findall(r"\btallystick_\w+", " ".join(queries())))

    assert {
        "tallystick_evidence_calls",
        "tallystick_log_head_sequence",
        "tallystick_projection_sequence",
        "tallystick_source_files",
        "tallystick_source_last_ingest_timestamp_seconds",
    } == set(METRICS) - shown


def test_the_documentation_names_every_metric() -> None:
    """
    With its labels, in docs/exports.md.
    """
    text = (TOP / "docs" / "exports.md").read_text()
    named = dict(re.findall(r"^\| `(tallystick_\w+)` \| ([^|]*) \|", text, re.MULTILINE))

    assert {name: ", ".join(each.labels) or "-" for name, each in METRICS.items()} == named
