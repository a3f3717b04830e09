"""The log up to an earlier commit, counted by today's rules."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.as_of import BadAsOf, NothingThen, RetiredThen, point_of, tables_as_of
from daemon.beliefs import belief
from daemon.bootstrap import open_log, refresh_and_publish, seen_files
from daemon.cli import main
from daemon.ingest import Ingest
from daemon.interrupts import Interrupts
from daemon.restatements import explained
from daemon.scratch import scratch
from daemon.settings import Settings
from daemon.usage_verb import usage_document
from projections.build import Projection
from projections.read import Tables, Window
from projections.restated import restated
from projections.retention import retire_old
from state.cursors import Cursor
from state.log import Log
from state.paths import StatePaths
from state.read import Batch, commits, slices
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append
from tests.projections.test_refresh import NOW, RandomHome
from tests.templates import begin_with_empty_tables

_BY = ("agent", "day", "model", "session", "repo", "branch", "task", "workstream", "host")

#: Holds a place until it is killed.
_HOLDS = """
import sys, time
from pathlib import Path
from daemon.scratch import scratch
from state.paths import StatePaths
with scratch(StatePaths(Path(sys.argv[1]))) as place:
    print(place.root, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A log of random partials, copies, forks and damage, with a belief stated now and then."""
    folder = tmp_path_factory.mktemp("history")
    settings, home = (
        Settings(folder / "home", StatePaths(folder / "state"), "UTC", "test"),
        RandomHome(folder / "home", 7),
    )
    home.home.mkdir()
    begin_with_empty_tables(settings.state)
    for step in range(10):
        home.grow()
        with open_log(settings, lambda: NOW + timedelta(hours=step)) as log:  # noqa: B023 - used at once
            Ingest(log, lambda: NOW).run(seen_files(settings))
            refresh_and_publish(settings)
            if step % 3 == 2:
                with Tables(settings.state.published) as tables:
                    log.append(belief(tables.connection, log.head.seq, NOW + timedelta(days=300 + step)), {})
                refresh_and_publish(settings)
    return settings


def asked(tables: Tables) -> dict[str, Any]:
    """Return everything that `usage` says, but for what was asked."""
    return usage_document(tables, _BY, Window(), ("estimated", "allocated", "superseded"))


def ended_at(settings: Settings, batch: Batch, folder: Path) -> dict[str, Any]:
    """Return the usage of a log that ends with *batch*: a copy that is cut behind it."""
    copy = StatePaths(folder / str(batch.last_seq))
    begin_with_empty_tables(copy)
    shutil.rmtree(copy.log_directory)
    shutil.copytree(settings.state.log_directory, copy.log_directory)
    (segment,) = copy.log_directory.glob("*.ndjson")
    os.truncate(segment, batch.end_offset_bytes)
    with Projection.open(copy) as projection:
        projection.refresh(copy.log_directory)
    with Tables(copy.projection) as tables:
        return asked(tables)


def test_usage_as_of_an_event_is_the_usage_of_a_log_that_ends_there(history: Settings, tmp_path: Path) -> None:
    """
    Whatever was read since, corrected what was there, or was counted from it. An event inside a commit is not there
    before the whole of it is.
    """
    batches = list(commits(history.state.log_directory))
    last_of = {batch.last_seq: batch for batch in batches}
    number = random.Random(3).choice(sorted(last_of)[1:-1])
    larger = next(batch for batch in batches[2:] if batch.count > 2)
    inside = larger.last_seq - 1

    for seq in (number, inside):
        whole = last_of[max(each for each in last_of if each <= seq)]
        with tables_as_of(history, f"#{seq}") as (tables, past):
            assert whole.last_seq == past.point.mark.seq
            assert ended_at(history, whole, tmp_path) == asked(tables)
    assert [] == list(history.state.temporary.iterdir())


def test_causes_of_a_random_history_add_up(history: Settings) -> None:
    """
    Whatever came late, was beaten, moved or counted anew: nothing is left without a cause.
    """
    with scratch(history.state) as place:
        place.published.hardlink_to(history.state.published)
        with Tables(place.published) as tables:
            changed = restated(tables, None, None)
        found = list(explained(history, changed, place, Interrupts()))

    assert len(changed) == len(found) > 2
    assert {"late", "superseded"} <= {cause.cause for _, causes in found for cause in causes}
    assert [] == [each for each, causes in found for cause in causes if cause.cause == "unexplained"]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Three days of one call each, in three segments."""
    host = Host(tmp_path_factory.mktemp("lived"))
    for day in range(3):
        append(host.claude(f"{day}1111111-1111-4111-8111-111111111111"), claude_line(f"msg_{day}", 5))
        host.ingest()
        with open_log(host.settings, lambda: host.now) as log:
            log.roll()
        host.now += timedelta(days=1)
    return host


def usage(host: Host, capsys: pytest.CaptureFixture[str], as_of: str) -> tuple[dict[str, Any], str]:
    """Return the document of `usage --as-of`, and what it says on stderr."""
    capsys.readouterr()
    main(["usage", "--json", "--home", str(host.home), "--state-dir", str(host.state.root), "--as-of", as_of])
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def test_a_time_means_the_last_commit_until_then(lived: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The answer names the event and the time that it is of, and that today's rules are; the tables stay as they are.
    """
    before = lived.tables_hash()
    document, said = usage(lived, capsys, "2026-11-21T13:00")

    assert 2 == document["totals"]["measured"]["calls"]
    assert ("2026-11-21T13:00", "2026-11-21T12:00:00.000Z") == (document["as_of"]["asked"], document["as_of"]["at"])
    assert "counted by today's rules" in said
    assert "nothing was committed after" not in said
    assert before == lived.tables_hash()


def test_a_time_behind_the_head_is_answered_with_the_head(lived: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    And says so.
    """
    document, said = usage(lived, capsys, "2027-01-01")

    assert 3 == document["totals"]["measured"]["calls"]
    assert "nothing was committed after that" in said


@pytest.mark.parametrize(
    ("as_of", "error"), [("2026-11-19", NothingThen), ("yesterday", BadAsOf), ("-1", BadAsOf)]
)  # fmt: skip
def test_what_cannot_be_answered_is_an_error_and_no_zero(lived: Host, as_of: str, error: type[Exception]) -> None:
    """
    Before the first commit there is nothing, which is not zero.
    """
    with pytest.raises(error), tables_as_of(lived.settings, as_of):
        pass


def test_where_the_clock_was_set_back_the_last_commit_of_the_time_holds(host: Host) -> None:
    """
    Commits of a later time that stand before it are in the log by then, and it is told.
    """
    host.state.create()
    with Log.open(host.state, Cursor, clock=lambda: host.now) as log:
        for hours in (0, 24, -24, 48):
            host.now += timedelta(hours=hours)
            log.append([b'{"k":"x"}'], {})

    point = point_of(host.settings, "2026-11-20T13:00")
    assert (2, True, False) == (point.mark.seq, point.is_clock_set_back, point.is_head)
    point = point_of(host.settings, "1")
    assert (1, False, False) == (point.mark.seq, point.is_clock_set_back, point.is_head)


def test_what_was_retired_cannot_be_counted_and_its_totals_are_shown(
    lived: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Of a time whose evidence is gone there is no count; of a later one what was retired stands beside it.
    """
    (tmp_path / "copy").mkdir()
    host = Host(tmp_path / "copy")
    shutil.copytree(lived.state.root, host.state.root)
    closed_before = lived.now - timedelta(days=1, hours=12)
    with Projection.open(host.state) as projection:
        before = projection.connection.execute("SELECT * FROM beliefs ORDER BY ALL").fetchall()
        assert retire_old(projection, host.state, closed_before, lambda: lived.now) is not None
        assert before == projection.connection.execute("SELECT * FROM beliefs ORDER BY ALL").fetchall() != []
    refresh_and_publish(host.settings, anew=True)

    with pytest.raises(RetiredThen), tables_as_of(host.settings, "2026-11-20T13:00"):
        pass
    document, _ = usage(host, capsys, "2026-11-22T13:00")
    assert (1, 2) == (document["totals"]["measured"]["calls"], document["retired_calls"])
    assert 0 == main(["restatements", "--json", "--home", str(host.home), "--state-dir", str(host.state.root)])
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    causes = {each["cause"]: each["difference"]["total_tokens"] for each in row["why"]}
    assert (30, 15, {"retired": -30, "late": 15}) == (row["then"]["total_tokens"], row["now"]["total_tokens"], causes)


def test_a_place_is_kept_from_whoever_tidies_up_while_it_is_used_and_removed_after_a_kill(host: Host) -> None:
    """
    The start of a daemon removes what a killed process left; a question that is being answered is none of that.
    """
    append(host.claude(), claude_line("msg_a", 5))
    host.ingest()
    with held(host) as (process, place):
        with open_log(host.settings):
            assert place.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert place.is_dir()
        with open_log(host.settings):
            assert [] == list(host.state.temporary.iterdir())


@contextmanager
def held(host: Host) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Give another process that holds a place of its own, and the place."""
    command = [sys.executable, "-c", _HOLDS, str(host.state.root)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_slices_end_with_the_commit_that_was_asked_for(history: Settings) -> None:
    """
    No byte behind it is listed.
    """
    batch = list(commits(history.state.log_directory))[4]
    with tables_as_of(history, str(batch.last_seq)) as (_, past):
        parts = slices(history.state.log_directory, until=past.point.mark)

    assert past.point.mark == parts[-1].mark
