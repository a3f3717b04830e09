"""A running daemon whose agents change their format, work without tokens, or whose own tables stand still."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.bootstrap import catch_up, seen_files
from daemon.health.drift import Drift
from daemon.health.sentinel import DAYS, Planter
from daemon.tallies import growth
from daemon.usage_verb import usage_document
from projections.read import Tables, Window
from tests.daemon.conftest import Host, claude_line, codex_lines, gptme_lines
from tests.daemon.live import QUICK, Daemon, append, daemon, until

PACE = {**QUICK, "judge": 0.3, "surroundings": 0.3}


def signals(run: Daemon, rule: str) -> list[dict[str, Any]]:
    """Return what the daemon itself finds by a rule."""
    return [each for each in run.health().get("signals") or () if each["rule"] == rule]


def renamed(lines: bytes, names: Mapping[str, str]) -> bytes:
    """Return lines in which some keys or words have other names."""
    for name, other in names.items():
        lines = lines.replace(f'"{name}"'.encode(), f'"{other}"'.encode())
    return lines


def codex_answers(start: int, count: int = 5) -> bytes:
    """Return further turns of a rollout: a message of the model, and the total after it."""
    lines: list[dict[str, Any]] = []
    for number in range(start, start + count):
        usage = {
            "input_tokens": number * 100,
            "cached_input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": number * 100,
        }
        info = {"total_token_usage": usage, "last_token_usage": usage | {"input_tokens": 100, "total_tokens": 100}}
        lines.append({"type": "response_item", "payload": {"type": "message", "role": "assistant", "content": []}})
        lines.append({"type": "event_msg", "payload": {"type": "token_count", "info": info}})
        lines.append({"type": "event_msg", "payload": {"type": "task_complete"}})
    stamped = ({"timestamp": "2026-11-01T11:00:00.000Z", **line} for line in lines)
    return b"".join(json.dumps(line).encode() + b"\n" for line in stamped)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({"token_count": "tokenCount", "total_token_usage": "totals"}, id="two keys"),
        pytest.param({"input_tokens": "inputTokens", "output_tokens": "outputTokens"}, id="two numbers"),
        pytest.param({"token_count": "tokenCount"}, id="the event", marks=pytest.mark.slow),
        pytest.param({"total_token_usage": "totals"}, id="the total", marks=pytest.mark.slow),
        pytest.param({"info": "usageInfo"}, id="info", marks=pytest.mark.slow),
        pytest.param({"payload": "data"}, id="payload", marks=pytest.mark.slow),
        pytest.param({"type": "kind"}, id="type"),
    ],
)
def test_a_key_of_codex_under_another_name_is_loud_and_recovers(host: Host, names: dict[str, str]) -> None:
    """
    Agent, version and file are named within a sweep; when usage comes again there is nothing left to tell.
    """
    append(host.codex(), codex_lines([100, 200, 300]) + codex_answers(4))
    with daemon(host, pace=PACE) as run:
        run.has_read(host.codex())
        assert [] == signals(run, "drift")

        append(host.codex(), renamed(codex_answers(9), names))
        (finding,) = until(lambda: signals(run, "drift"), "the drift is told")

        assert ("codex 0.150.0", "critical") == (finding["source"], finding["severity"])
        assert "codex 0.150.0" in finding["message"]
        assert str(host.codex()) in finding["message"]

        append(host.codex(), codex_answers(14))
        until(lambda: not signals(run, "drift"), "the drift is over")


@pytest.mark.parametrize(
    "name",
    [
        "usage",
        pytest.param("message", marks=pytest.mark.slow),
        "assistant",
        pytest.param("type", marks=pytest.mark.slow),
    ],
)
def test_a_key_of_claude_code_under_another_name_is_loud(host: Host, name: str) -> None:
    """
    In a log that was read all the time, and of a version that never states usage.
    """
    append(host.claude(), b"".join(claude_line(f"msg_{n}", 5, second=n) for n in range(9)))
    with daemon(host, pace=PACE) as run:
        run.has_read(host.claude())

        later = (claude_line(f"msg_{n}", 5, second=n, version="2.2.0") for n in range(9, 14))
        append(host.claude("22222222-2222-4222-8222-222222222222"), renamed(b"".join(later), {name: name + "X"}))

        (finding,) = until(lambda: signals(run, "drift"), "the drift is told")
        assert "claude_code 2.2.0" == finding["source"]


def test_gptme_without_usage_is_loud_though_it_names_no_version(host: Host) -> None:
    """
    Its floor is that of the agent.
    """
    append(host.gptme(), gptme_lines(list(range(1, 9))))
    with daemon(host, pace=PACE) as run:
        run.has_read(host.gptme())

        append(host.gptme(), renamed(gptme_lines(list(range(9, 15))), {"usage": "tokens"}))

        (finding,) = until(lambda: signals(run, "drift"), "the drift is told")
        assert "gptme unknown" == finding["source"]
        assert f"tallystick adapters check {host.gptme()}" == finding["next"]
        run.kill()
        assert typed(host, finding["next"]) in (0, 1)


def test_a_tally_survives_the_end_of_the_daemon(host: Host) -> None:
    """
    What was read is told when it stops, and a pass that reads nothing new tells nothing.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host, pace=PACE) as run:
        run.has_read(host.claude())
        append(host.claude(), claude_line("msg_b", 5, second=1))
        run.has_read(host.claude())
        assert 0 == run.stop()

    host.ingest()

    assert [{"lines": 2, "usage": 2}] == host.rows(
        "SELECT CAST(sum(lines) AS BIGINT) AS lines, CAST(sum(usage_statements) AS BIGINT) AS usage FROM tallies"
    )


def test_old_logs_are_history_when_they_are_read_for_the_first_time(host: Host) -> None:
    """
    A rollout of a version without usage that nobody writes any more is no finding.
    """
    append(host.codex(), renamed(codex_lines([]) + codex_answers(1), {"token_count": "tokenCount"}))
    host.now = datetime(2027, 1, 1, tzinfo=UTC)

    host.ingest()

    assert [{"state": "history"}] == host.rows("SELECT state FROM drift")


def typed(host: Host, command: str) -> int:
    """Type a command that a finding names."""
    program, *arguments = shlex.split(command)
    assert program == "tallystick"
    places = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    return subprocess.run(
        [sys.executable, "-m", "daemon.cli", *arguments, *places], check=False, capture_output=True
    ).returncode


# -- a flatline ------------------------------------------------------------------------------------------------------


def configured(host: Host, text: str) -> dict[str, str]:
    """Return the environment in which the daemon finds this configuration."""
    folder = host.home.parent / "config"
    (folder / "tallystick").mkdir(parents=True)
    (folder / "tallystick" / "config.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(folder)}


def test_a_task_without_tokens_is_told_within_a_window(host: Host) -> None:
    """
    The agent reports that it is done, and nothing of it was ever read.
    """
    environment = configured(host, "[health]\nreporting_window_seconds = 3\n")
    with daemon(host, pace=PACE, environment=environment) as run:
        until(lambda: run.health().get("signals") is not None, "everybody was asked")
        assert [] == signals(run, "flatline")

        report = "task report T-1 completed --agent claude_code --origin agent"
        assert 0 == typed(host, f"tallystick {report}")

        (finding,) = until(lambda: signals(run, "flatline"), "the flatline is told")
        assert ("claude_code", "critical") == (finding["source"], finding["severity"])
        assert 0 == typed(host, finding["next"])

        append(host.claude(), claude_line("msg_a", 5))
        until(lambda: not signals(run, "flatline"), "the flatline is over")


# -- the sentinel ----------------------------------------------------------------------------------------------------

OTHERS = [
    "SELECT * FROM sessions ORDER BY ALL",
    "SELECT * FROM tasks ORDER BY ALL",
    "SELECT * FROM freshness ORDER BY ALL",
    "SELECT * FROM unattributed ORDER BY ALL",
    "SELECT * FROM rejected ORDER BY ALL",
    "SELECT agent, source FROM high_water_marks ORDER BY source_key",
    "SELECT agent, agent_version, lines FROM drift ORDER BY ALL",
]
SENTINEL = "[health]\nsentinel = true\nreporting_window_seconds = 3\n"
#: Long enough for a slow machine; planted is three times as often.
PATIENT = SENTINEL.replace("= 3", "= 24")


def totals(host: Host) -> list[Any]:
    """Return everything that adds up."""
    with Tables(host.state.published) as tables:
        by = ("agent", "day", "model", "session", "repo", "task")
        counted = usage_document(tables, by, Window(), ("allocated", "estimated", "superseded"))
        others = [tables.rows(query) for query in OTHERS]
    return [counted["rows"], counted["totals"], counted["unmetered_sources"], *others]


def test_a_planted_session_comes_out_and_is_in_no_total(host: Host) -> None:
    """
    Read, decoded, committed, projected and published like any other, and counted nowhere.
    """
    append(host.claude(), claude_line("msg_a", 5))
    host.ingest()
    before = totals(host)

    with daemon(host, pace=PACE, environment=configured(host, PATIENT)) as run:
        seen = until(lambda: planted(host), "a planted session is published")
        until(lambda: planted(host) != seen, "another one is published")

        assert [] == signals(run, "sentinel_lost")
        assert "sentinel" not in run.health()["sources"]
        assert 1 == run.health()["sweep"]["files"]
        assert 0 == run.stop()

    assert before == totals(host)
    for planted_file in host.state.sentinel.iterdir():
        planted_file.write_bytes(b"")  # its turn comes again: what it was is nobody's evidence
    assert 0 == verified(host)["changed"]
    assert "sentinel" in {row["agent"] for row in host.rows("SELECT DISTINCT agent FROM events")}


def verified(host: Host) -> dict[str, Any]:
    """Return what `verify --sources` says of every line that was read."""
    command = [sys.executable, "-m", "daemon.cli", "verify", "--sources", "--json", "--state-dir", str(host.state.root)]
    done = subprocess.run(command, check=False, capture_output=True)
    told: dict[str, Any] = json.loads(done.stdout)["sources"]
    return told


@pytest.mark.parametrize(
    ("hours_old", "log_days_old", "is_first", "expected"),
    [
        pytest.param(2, 1, True, "both", id="written while nobody read, after the log began"),
        pytest.param(48, 1, True, "history", id="older than the log"),
        pytest.param(0.5, 0, True, "both", id="growing when tallystick is installed"),
        pytest.param(48, 0, False, "growth", id="read before, and longer now"),
    ],
)
def test_what_was_written_since_the_log_began_is_no_history(
    hours_old: float, log_days_old: float, expected: str, *, is_first: bool
) -> None:
    """
    A nightly pass reads each file long after its last line; that is growth all the same.
    """
    now = datetime(2026, 11, 20, tzinfo=UTC)
    begun_at = now - timedelta(days=log_days_old)
    modified_at = (now - timedelta(hours=hours_old)).timestamp()

    of = growth(is_first=is_first, is_archive=False, modified_at=modified_at, now=now, begun_at=begun_at)

    assert expected == of


def planted(host: Host) -> list[dict[str, Any]]:
    return host.rows("SELECT line_id FROM sentinels") if host.state.published.exists() else []


def test_a_planted_session_that_does_not_come_out_is_told(host: Host) -> None:
    """
    Something stands in the way of the published tables; once it is gone, the next one comes out.
    """
    with daemon(host, pace=PACE, environment=configured(host, SENTINEL)) as run:
        until(lambda: planted(host), "a planted session is published")
        host.state.published.unlink()
        (host.state.published / "in the way").mkdir(parents=True)

        (finding,) = until(lambda: signals(run, "sentinel_lost"), "the loss is told")
        assert "critical" == finding["severity"]

        (host.state.published / "in the way").rmdir()
        host.state.published.rmdir()
        until(lambda: not signals(run, "sentinel_lost"), "it comes out again")


@pytest.mark.slow
def test_published_tables_that_are_deleted_are_made_anew(host: Host) -> None:
    """
    And planted sessions come out of them as before.
    """
    with daemon(host, pace=PACE, environment=configured(host, SENTINEL)):
        seen = until(lambda: planted(host), "a planted session is published")

        host.state.published.unlink()

        until(lambda: planted(host) not in ([], seen), "another one is published")


def test_planted_files_take_turns(host: Host) -> None:
    """
    A month leaves as many as are kept, one for each day.
    """
    host.state.create()
    for day in range(1, 29):
        Planter(host.state, lambda day=day: datetime(2026, 11, day, tzinfo=UTC)).plant()  # type: ignore[misc]

    assert DAYS == len(list(host.state.sentinel.iterdir()))


# -- real logs -------------------------------------------------------------------------------------------------------

CORPORA = Path(__file__).parents[3] / "shared" / "corpora" / "dev.tar.zst"


@pytest.mark.skipif(not CORPORA.exists(), reason="no real logs are here: ../shared/corpora/dev.tar.zst is missing")
def test_no_version_in_real_logs_drifts(tmp_path: Path) -> None:
    """
    As if every file had been written just now. Other tools' fixtures (`fix...`) are edited by hand: three of them hold
    answers of invented versions without usage, and are found.
    """
    subprocess.run(["tar", "--zstd", "-mxf", str(CORPORA), "-C", str(tmp_path)], check=True)
    homes = sorted({path.parent for name in (".claude", ".codex") for path in tmp_path.rglob(name)})
    host = Host(tmp_path)
    for home in homes:
        if not home.parent.name.startswith("fix"):
            settings = host.settings._replace(home=home)
            catch_up(settings, seen_files(settings), clock=lambda: datetime.now(UTC))

    with Tables(host.state.published) as tables:
        found = list(Drift()(tables.connection, datetime.now(UTC)))
        grown = tables.rows("SELECT count(DISTINCT agent_version) AS versions FROM tallies WHERE NOT is_history")

    assert [] == found
    assert grown[0]["versions"] > 50
