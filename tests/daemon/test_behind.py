"""For how long bytes have been unread, tables been behind, clocks been wrong and nobody asked: told without history."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from daemon.ages import Lag, Silence, Since, WallClock
from daemon.behind import Behind
from daemon.bootstrap import open_log, roots
from daemon.discover import sweep
from daemon.ingest import IDLE_SECONDS, Ingest
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append


class Ticks:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# -- unread bytes ----------------------------------------------------------------------------------------------------


def test_a_mark_that_moves_is_young_and_one_that_stands_grows_old() -> None:
    """
    What was read since the last look is what counts, not how much is left.
    """
    behind = Behind()
    behind.note("a", 10, 100, now=5.0, is_waiting=False)
    behind.note("b", 10, 100, now=5.0, is_waiting=False)
    behind.note("a", 20, 100, now=8.0, is_waiting=False)
    behind.note("b", 10, 100, now=8.0, is_waiting=False)

    assert {"a": 1.0, "b": 4.0} == {key: left.late_seconds(9.0) for key, left in behind.sources.items()}
    assert {"a": 80, "b": 90} == {key: left.left_bytes for key, left in behind.sources.items()}


def test_a_file_is_frozen_for_as_long_as_it_was_seen_to_grow() -> None:
    """
    Half a line that waits is not frozen however long it waits; one that is written on and on is.
    """
    behind = Behind()
    for second in range(10):
        behind.note("waits", 10, 50, now=float(second), is_waiting=True)
        behind.note("grows", 10, 50 + second, now=float(second), is_waiting=True)

    assert {"waits": None, "grows": 9.0} == {key: left.frozen_seconds() for key, left in behind.sources.items()}
    assert {None} == {left.late_seconds(99.0) for left in behind.sources.values()}


def test_what_its_agent_left_what_was_read_and_what_is_gone_is_not_frozen() -> None:
    """
    Three ways to be well again.
    """
    behind = Behind()
    for key in ("left", "read", "gone", "rewritten"):
        behind.note(key, 10, 50, now=1.0, is_waiting=True)
        behind.note(key, 10, 60, now=2.0, is_waiting=True)
    behind.note("left", 10, 60, now=3.0, is_waiting=True, is_left=True)
    behind.note("read", 60, 60, now=3.0, is_waiting=True)
    behind.note("rewritten", 10, 20, now=3.0, is_waiting=True)
    behind.forget("gone")

    assert {"left": None, "rewritten": None} == {key: left.frozen_seconds() for key, left in behind.sources.items()}


@pytest.fixture
def live(host: Host) -> Iterator[Ingest]:
    with open_log(host.settings, lambda: host.now) as log:
        yield Ingest(log, lambda: host.now, is_live=True)


def look(ingest: Ingest, host: Host) -> None:
    ingest.run(sweep(roots(host.settings), "UTC"))


def test_the_end_of_a_line_is_waited_for_and_nobody_is_late(host: Host, live: Ingest) -> None:
    """
    Unread bytes, but none that could be read; and once the agent has been idle they are left.
    """
    host.now = datetime.now(UTC)
    append(host.claude(), claude_line("msg_a", 5) + b'{"type": "assist')
    look(live, host)
    (left,) = live.behind.sources.values()

    assert (16, True, False) == (left.left_bytes, left.is_waiting, left.is_left)

    host.now += timedelta(seconds=IDLE_SECONDS + 60)
    look(live, host)

    assert left.is_left


def test_a_first_line_that_is_never_ended_is_seen_to_grow(host: Host, live: Ingest) -> None:
    """
    Also of an agent whose first line says which session it is.
    """
    host.now = datetime.now(UTC)
    for _ in range(3):
        append(host.codex(), b'{"type": "session_meta", ')
        look(live, host)
    (left,) = live.behind.sources.values()

    assert left.frozen_seconds() is not None


def test_a_file_that_vanished_leaves_no_backlog(host: Host, live: Ingest) -> None:
    """
    Nobody can read it any more, and nobody is late.
    """
    host.now = datetime.now(UTC)
    append(host.claude(), claude_line("msg_a", 5) + b"{")
    look(live, host)
    host.claude().unlink()
    look(live, host)

    assert {} == live.behind.sources


# -- clocks and ages -------------------------------------------------------------------------------------------------


def test_a_break_begins_the_count_anew() -> None:
    """
    A watch that sees again and is blind again is young.
    """
    ticks = Ticks()
    since = Since(ticks)
    assert 0.0 == since.seconds(is_so=True)
    ticks.now += 5
    assert 5.0 == since.seconds(is_so=True)
    assert since.seconds(is_so=False) is None
    assert 0.0 == since.seconds(is_so=True)


def test_tables_that_follow_a_growing_log_do_not_lag() -> None:
    """
    Something is always lacking while the log grows; it is a lag only when what was lacking then is lacking still.
    """
    ticks = Ticks()
    lag = Lag(ticks)
    for head in range(10, 60, 10):
        ticks.now += 5
        assert 0.0 == (lag.seconds(head, head - 10))
    ticks.now += 7
    assert 7.0 == lag.seconds(90, 49)
    assert lag.seconds(90, 90) is None
    assert 0.0 == lag.seconds(90, None)


def test_silence_is_counted_while_the_daemon_is_awake() -> None:
    """
    A night switched off is no silence of a timer that could not ask.
    """
    ticks = Ticks()
    silence = Silence(ticks)
    assert 0.0 == silence.seconds(1_000.0)
    ticks.now += 50
    assert 50.0 == silence.seconds(1_000.0)
    assert 0.0 == silence.seconds(1_060.0)


def test_a_wall_clock_that_was_set_is_told_until_it_is_right_again() -> None:
    """
    An hour back, with the time when that was seen; a minute is nothing; sleeping moves both clocks.
    """
    ticks, wall = Ticks(), [datetime(2026, 11, 1, 10, tzinfo=UTC)]
    clock = WallClock(lambda: wall[0], ticks)

    wall[0] -= timedelta(hours=1)
    assert (-3600, wall[0]) == (clock.step_seconds(), clock.stepped_at)
    wall[0] += timedelta(hours=1)
    assert (0, None) == (clock.step_seconds(), clock.stepped_at)
    wall[0] += timedelta(seconds=60)
    assert 0 == clock.step_seconds()
    ticks.now += 30_000
    wall[0] += timedelta(seconds=30_000)
    assert 0 == clock.step_seconds()
