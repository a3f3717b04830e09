"""
How long unread evidence still lives, and that it is told before an agent's own clean-up takes it.
"""

import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from daemon.bootstrap import open_log
from daemon.health.retention_race import CLAUDE_DEFAULT_DAYS, RetentionRace, cleanup_days, races, races_on_disk
from daemon.provenance import DaemonChanged, daemon_event
from projections.build import Projection
from state.cursors import Cursor
from tests.daemon.conftest import claude_line, codex_lines
from tests.daemon.test_hook_health import typed
from tests.templates import begin_with_empty_tables

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@contextmanager
def tables(host):
    """Give the daemon's own tables, as its judges get them."""
    with Projection.open(host.state) as projection:
        projection.refresh(host.state.log_directory)
        yield projection.connection


def race_of(host, agent="claude_code"):
    with tables(host) as connection:
        return next(each for each in races(host.settings, connection, NOW) if each.agent == agent)


def found(host, now=NOW):
    with tables(host) as connection:
        return [(each.source, each.rank) for each in RetentionRace(host.settings)(connection, now)]


def left_behind(host, path, offset_bytes, *, days_old, state="present"):
    """Commit that *path*, written last so many days ago, is read up to *offset_bytes* and no further."""
    at = (NOW - timedelta(days=days_old)).timestamp()
    os.utime(path, (at, at))
    size_bytes = path.stat().st_size
    cursor = Cursor("claude_code", str(path), "g:1", 1, offset_bytes, size_bytes, name="log", state=state)
    begin_with_empty_tables(host.state)
    with open_log(host.settings, lambda: NOW) as log:
        log.append([], {f"claude_code:{path}": cursor})


def settings(host, **stated):
    path = host.home / ".claude/settings.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(stated))


@pytest.mark.parametrize(
    ("stated", "days"),
    [({}, CLAUDE_DEFAULT_DAYS), ({"cleanupPeriodDays": 7}, 7), ({"cleanupPeriodDays": 99_999}, 99_999)]
    + [({"cleanupPeriodDays": odd}, CLAUDE_DEFAULT_DAYS) for odd in ("7", None, True, -1, 2.5)],
)
def test_clean_up_of_claude_is_what_its_settings_say(host, stated, days):
    """
    Its own number, else thirty days; what is no number of days says nothing.
    """
    settings(host, **stated)

    assert days == cleanup_days(host.settings)["claude_code"]


def test_local_settings_count_and_the_shortest_holds(host):
    """
    Of several settings the one that deletes first decides how long evidence lives.
    """
    settings(host, cleanupPeriodDays=60)
    (host.home / ".claude/settings.local.json").write_text('{"cleanupPeriodDays": 5}')

    assert 5 == cleanup_days(host.settings)["claude_code"]


def test_agents_that_never_delete_have_no_race(host):
    """
    Null is not zero: Codex, gptme and OpenCode keep their logs until somebody deletes them.
    """
    assert {None} == {days for agent, days in cleanup_days(host.settings).items() if agent != "claude_code"}


def test_file_that_is_read_to_its_end_is_safe_however_old(host):
    """
    What is in the log cannot be lost any more.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    host.ingest()
    os.utime(host.claude(), (0, 0))

    assert (None, None) == (race_of(host).oldest_unread_at, race_of(host).days_left)
    assert [] == found(host)


@pytest.mark.parametrize(("days_old", "rank"), [(10, None), (27.5, "warning"), (29.5, "critical"), (31, "critical")])
def test_unread_file_is_told_before_it_is_deleted(host, days_old, rank):
    """
    With less than three days to live it is a warning, with less than one critical.
    """
    line = claude_line("msg_1", 5)
    host.claude().write_bytes(line * 2)
    left_behind(host, host.claude(), len(line), days_old=days_old)

    race = race_of(host)

    assert race.days_left == pytest.approx(30 - days_old, abs=0.01)
    assert ([("claude_code", rank)] if rank else []) == found(host)


def test_oldest_unread_file_decides(host):
    """
    A newer file that is unread too changes nothing; one that is gone has lost already.
    """
    line = claude_line("msg_1", 5)
    for name, days_old in (("old", 29.5), ("new", 2), ("gone", 29.9)):
        path = host.claude().with_name(f"{name}.jsonl")
        path.write_bytes(line)
        left_behind(host, path, 0, days_old=days_old)
    path.unlink()

    assert NOW - timedelta(days=29.5) == race_of(host).oldest_unread_at


def test_place_that_cannot_be_read_is_in_the_race(host):
    """
    A permission that is missing for a month loses the logs behind it.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    left_behind(host, host.claude(), 0, days_old=28, state="unreadable")

    assert [("claude_code", "warning")] == found(host)
    with tables(host) as connection:
        (finding,) = RetentionRace(host.settings)(connection, NOW)
    host.ingest()
    ran = typed(finding.next)
    assert ran.returncode in (0, 1)
    assert b"claude_code" in ran.stdout


def test_what_nobody_has_met_yet_is_seen_on_the_disk(host):
    """
    While no daemon reads: logs that grew and logs that are new are in the race, those that are read are not.
    """
    line = claude_line("msg_1", 5)
    grown = host.claude()
    for name in ("grown", "read"):
        grown.with_name(f"{name}.jsonl").write_bytes(line)
    host.ingest()
    for name, content, days_old in (("grown", line * 2, 20), ("new", line, 28), ("read", line, 29.5)):
        path = grown.with_name(f"{name}.jsonl")
        path.write_bytes(content)
        os.utime(path, ((NOW - timedelta(days=days_old)).timestamp(),) * 2)

    with tables(host) as connection:
        race = races_on_disk(host.settings, connection, NOW)[0]

    assert ("claude_code", 30, 2.0) == (race.agent, race.cleanup_days, race.days_left)


def test_last_line_that_was_never_finished_is_no_evidence_that_waits(host):
    """
    An agent that was killed leaves half a line behind the mark for ever: no alarm about it.
    """
    line = claude_line("msg_1", 5)
    host.claude().write_bytes(line + line[:20])
    left_behind(host, host.claude(), len(line), days_old=29.5)

    assert [] == found(host)


def test_agent_that_never_deletes_loses_no_race(host):
    """
    An old unread rollout of Codex is shown with its age, and nothing is about to delete it.
    """
    host.codex().write_bytes(codex_lines([10]))
    cursor = Cursor("codex", str(host.codex()), "g:1", 1, 0, host.codex().stat().st_size, name="log")
    with open_log(host.settings, lambda: NOW) as log:
        log.append([], {f"codex:{host.codex()}": cursor})

    race = race_of(host, "codex")

    assert race.oldest_unread_at is not None
    assert (None, None) == (race.cleanup_days, race.days_left)
    assert [] == found(host)


@pytest.mark.parametrize(("silent_days", "is_told"), [(29, False), (31, True)])
def test_silence_longer_than_the_clean_up_is_told(host, silent_days, is_told):
    """
    A daemon that begins again after the agent's clean-up went over unread logs says that some may be gone, for a day.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    host.now = NOW - timedelta(days=silent_days)
    host.ingest()
    started = daemon_event(DaemonChanged(change="started", program_version="1"), NOW)
    with open_log(host.settings, lambda: NOW) as log:
        log.append([started], {})

    assert ([("claude_code:silence", "warning")] if is_told else []) == found(host)
    assert [] == found(host, NOW + timedelta(days=1, seconds=1))
