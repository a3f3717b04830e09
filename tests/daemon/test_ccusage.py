"""
What was built on ccusage gets our figures in its shape, with our caveats where it does not look.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.exports.blocks import BLOCK, blocks_of
from daemon.exports.ccusage import TOKENS, Asked, dollars
from daemon.exports.ccusage import document as report
from daemon.usage_verb import usage_document
from projections.read import Tables, Window
from tests.daemon.conftest import Host, claude_line, gptme_lines
from tests.daemon.taken import command, demo_host, document

#: Keys of each row of ccusage 20.0.24, by agent and report, as its own JSON has them.
FIGURES = ("inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens", "totalTokens")
CLAUDE = (*FIGURES, "totalCost", "modelsUsed", "modelBreakdowns")
CODEX = (*FIGURES, "reasoningOutputTokens", "costUSD", "models")
SHAPES = {
    ("claude_code", "daily"): ("date", *CLAUDE),
    ("claude_code", "monthly"): ("month", *CLAUDE),
    ("claude_code", "session"): ("sessionId", "projectPath", "firstActivity", "lastActivity", *CLAUDE),
    ("codex", "daily"): ("date", *CODEX),
    ("codex", "monthly"): ("month", *CODEX),
    ("codex", "session"): ("sessionId", "sessionFile", "directory", "lastActivity", *CODEX),
}
BLOCK_KEYS = (
    *("id", "startTime", "endTime", "actualEndTime", "isActive", "isGap", "entries", "tokenCounts", "totalTokens"),
    *("costUSD", "models", "burnRate", "projection"),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return demo_host(tmp_path_factory.mktemp("ccusage"))


def totals(host: Host, agent: str) -> dict[str, Any]:
    row: dict[str, Any]
    (row,) = (row for row in host.usage("agent")["rows"] if row["agent"] == agent)
    return row


@pytest.mark.parametrize(("agent", "name"), SHAPES)
def test_a_report_has_that_tools_keys_and_our_figures(demo: Host, agent: str, name: str) -> None:
    """
    Rows and totals add up to `usage`; what is ours stands under `metadata.tallystick` and nowhere else.
    """
    answer = document(demo, "export", "ccusage", name, "--agent", agent, "--no-record")
    rows = answer["sessions" if name == "session" else name]
    expected = totals(demo, agent)

    assert {"metadata", "totals", "sessions" if name == "session" else name} == answer.keys()
    assert rows
    for row in rows:
        assert {*SHAPES[agent, name], "metadata"} == row.keys()
        assert ["tallystick"] == list(row["metadata"])
        assert row["totalTokens"] == sum(row[each] for each in TOKENS)
    for theirs, ours in (*TOKENS.items(), ("totalTokens", "total_tokens")):
        assert (expected[ours] or 0) == answer["totals"][theirs] == sum(row[theirs] for row in rows)
    about = answer["metadata"]["tallystick"]
    assert (expected["calls"], expected["incomplete_calls"]) == (about["calls"], about["incompleteCalls"])
    assert expected["calls"] == sum(row["metadata"]["tallystick"]["calls"] for row in rows)


def test_the_models_of_a_row_are_the_row(demo: Host) -> None:
    """
    In both shapes, that of Claude and that of Codex.
    """
    for row in document(demo, "export", "ccusage", "daily", "--no-record")["daily"]:
        assert row["modelsUsed"] == [each["modelName"] for each in row["modelBreakdowns"]]
        for name in TOKENS:
            assert row[name] == sum(each[name] for each in row["modelBreakdowns"])
    for row in document(demo, "export", "ccusage", "daily", "--agent", "codex", "--no-record")["daily"]:
        assert row["totalTokens"] == sum(each["totalTokens"] for each in row["models"].values())


def test_blocks_hold_every_call_once(demo: Host) -> None:
    """
    Five hours from a full hour, gaps between them, and in all the tokens of `usage`; that they are inferred is said.
    """
    answer = document(demo, "export", "ccusage", "blocks", "--no-record")
    blocks = [each for each in answer["blocks"] if not each["isGap"]]
    expected = totals(demo, "claude_code")

    assert "inferred" == answer["metadata"]["tallystick"]["basis"]
    assert (expected["calls"], expected["total_tokens"]) == (
        sum(each["entries"] for each in blocks),
        sum(each["totalTokens"] for each in blocks),
    )
    for each in answer["blocks"]:
        assert set(BLOCK_KEYS) <= each.keys() <= {*BLOCK_KEYS, "metadata"}
        assert each["startTime"] < each["endTime"]
    assert sorted(answer["blocks"], key=lambda each: each["startTime"]) == answer["blocks"]


def test_a_block_ends_after_five_hours_or_five_of_silence(host: Host) -> None:
    """
    10:00 to 15:00 is one block; a call at 15:00:01 is in the next, and silence is a gap.
    """
    times = ("10:20:00", "14:59:59", "15:00:01", "23:30:00")
    lines = [claude_line(f"msg_{n}", 5, timestamp=f"2026-11-01T{at}.000Z") for n, at in enumerate(times)]
    host.claude().write_bytes(b"".join(lines))
    host.ingest()

    with Tables(host.state.published) as tables:
        found = blocks_of(tables, "claude_code", Window(), datetime(2026, 11, 1, 23, 45, tzinfo=UTC))

    assert [
        ("2026-11-01T10:00:00.000Z", False, 2, False),
        ("2026-11-01T15:00:00.000Z", False, 1, False),
        ("2026-11-01T20:00:01.000Z", True, 0, False),
        ("2026-11-01T23:00:00.000Z", False, 1, True),
    ] == [(each["startTime"], each["isGap"], each["entries"], each["isActive"]) for each in found]
    assert timedelta(hours=5) == BLOCK


def test_a_running_block_tells_its_rate(host: Host) -> None:
    """
    Tokens by minute between its first and last call, and what that would come to; no cost is no zero.
    """
    lines = [claude_line(f"msg_{n}", 90, timestamp=f"2026-11-01T10:{n:02}:00.000Z") for n in (0, 10)]
    host.claude().write_bytes(b"".join(lines))
    host.ingest()

    with Tables(host.state.published) as tables:
        (block,) = blocks_of(tables, "claude_code", Window(), datetime(2026, 11, 1, 10, 20, tzinfo=UTC))

    assert (20.0, 20.0) == (
        block["burnRate"]["tokensPerMinute"],
        block["burnRate"]["tokensPerMinuteForIndicator"],
    )
    assert (200 + 20 * 280, 280) == (block["projection"]["totalTokens"], block["projection"]["remainingMinutes"])


def test_what_its_shape_cannot_say_is_said_beside_it(host: Host) -> None:
    """
    A call without a time is in no day and in no silence: it stands in the metadata with its tokens.
    """
    host.claude().write_bytes(claude_line("msg_a", 5) + claude_line("msg_b", 7, timestamp="1970-01-01T00:00:00.000Z"))
    host.ingest()

    answer = document(host, "export", "ccusage", "daily", "--no-record")

    assert 15 == answer["totals"]["totalTokens"]
    assert 17 == answer["metadata"]["tallystick"]["withoutPeriod"]["totalTokens"]
    assert 32 == host.usage()["totals"]["measured"]["total_tokens"]


def test_a_part_that_nobody_stated_is_named(demo: Host) -> None:
    """
    Its shape has 0 where Codex states no writing to a cache; that it is no measured zero stands in the metadata.
    """
    (row, *_) = document(demo, "export", "ccusage", "daily", "--agent", "codex", "--no-record")["daily"]

    assert (0, ["cacheCreationTokens"]) == (row["cacheCreationTokens"], row["metadata"]["tallystick"]["unstated"])


def test_a_cost_that_is_not_known_is_null() -> None:
    """
    Of several calls the priced ones are added, and how many are not stands beside; of none priced nothing is known.
    """
    priced, unpriced = {"cost_usd_micros": 1_500_000}, {"cost_usd_micros": None}

    assert (None, 1.5, 0) == (dollars([unpriced]), dollars([priced, unpriced]), dollars([]))


def test_costs_are_those_of_usage(demo: Host) -> None:
    """
    Whatever usage knows of costs, the report knows: the same sum, or null where it has none.
    """
    with Tables(demo.state.published) as tables:
        usage = usage_document(tables, ("agent",), Window(), ())
        answers = {
            name: report(tables, Asked(name, "claude_code", Window()), demo.now)
            for name in ("daily", "session", "blocks")
        }
    (row,) = (row for row in usage["rows"] if row["agent"] == "claude_code")
    expected = None if row["cost_usd_micros"] is None else pytest.approx(row["cost_usd_micros"] / 1_000_000)
    blocks = [each["costUSD"] for each in answers["blocks"]["blocks"] if not each["isGap"]]
    known = [cost for cost in blocks if cost is not None]

    assert expected == answers["daily"]["totals"]["totalCost"]
    assert expected == answers["session"]["totals"]["totalCost"]
    assert expected == (sum(known) if known else None)
    assert row["unpriced_calls"] == answers["daily"]["metadata"]["tallystick"]["unpricedCalls"]


def test_an_agent_that_was_never_read_is_no_empty_report(host: Host) -> None:
    """
    An empty list would be shown as no usage.
    """
    host.gptme().write_bytes(gptme_lines([5]))
    host.ingest()

    for report_name in ("daily", "monthly", "session", "blocks"):
        done = command(host, "export", "ccusage", report_name)
        assert (3, b"") == (done.returncode, done.stdout)
    done = command(host, "export", "ccusage", "daily", "--agent", "gptme")
    assert (2, b"") == (done.returncode, done.stdout)


def test_a_window_cuts_all_reports_alike(demo: Host) -> None:
    """
    The same bounds as `usage`; a day is one of the zone that was asked for.
    """
    bounds = ("--since", "2026-11-02", "--until", "2026-11-04", "--timezone", "Asia/Tokyo")
    usage = document(demo, "usage", "--by", "day,agent", "--json", *bounds)
    expected = {row["day"]: row["total_tokens"] for row in usage["rows"] if row["agent"] == "claude_code"}

    daily = document(demo, "export", "ccusage", "daily", "--no-record", *bounds)
    sessions = document(demo, "export", "ccusage", "session", "--no-record", *bounds)
    blocks = document(demo, "export", "ccusage", "blocks", "--no-record", *bounds)

    assert expected == {row["date"]: row["totalTokens"] for row in daily["daily"]}
    assert sum(expected.values()) == sessions["totals"]["totalTokens"]
    assert sum(expected.values()) == sum(each["totalTokens"] for each in blocks["blocks"])
    assert json.dumps(expected) != "{}"
