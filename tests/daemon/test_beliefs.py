"""Once a day it is written down what is believed."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from daemon import beliefs
from daemon.bootstrap import refresh_and_publish
from projections.catalog import layout
from projections.read import Tables
from state.vocabulary import TOTALS_MAX
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import Daemon, append, until

#: The day of `claude_line`.
FIRST = date(2026, 11, 1)


def on(host: Host, day: int, hour: int = 12, minute: int = 0) -> Host:
    """Let *host* live on a day of November."""
    host.now = datetime(2026, 11, day, hour, minute, tzinfo=UTC)
    return host


def publications(host: Host) -> list[dict[str, Any]]:
    return host.rows("SELECT * FROM publications ORDER BY seq")


def stated(host: Host) -> list[tuple[Any, ...]]:
    """Return every total that was stated: when, of which day, calls and tokens."""
    rows = host.rows("SELECT * FROM beliefs ORDER BY seq, day, agent, measurement")
    return [(row["believed_at"].day, row["day"], row["calls"], row["total_tokens"]) for row in rows]


def test_a_belief_is_stated_when_a_day_has_begun_and_never_twice_on_one(host: Host) -> None:
    """
    Not by a young log; once on the next day; later ones state what is new or other, and an idle day that nothing is.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20).ingest()
    on(host, 20, 23).ingest()
    assert [] == publications(host)

    on(host, 21, 0, 14).ingest()
    assert [] == publications(host), "what was said at the end of a day is still being read"
    on(host, 21, 0, 15).ingest()
    on(host, 21, 9).ingest()
    on(host, 22).ingest()
    append(host.claude(), claude_line("msg_b", 7, second=1))
    on(host, 23).ingest()

    assert [(21, FIRST, 1, 15), (23, FIRST, 2, 32)] == stated(host)
    assert [1, 0, 1] == [row["totals"] for row in publications(host)]
    assert {layout()} == {row["rules"] for row in publications(host)}


def test_a_day_that_has_not_ended_is_not_believed(host: Host) -> None:
    """
    Nobody would be surprised that it grows.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20).ingest()
    append(host.claude(), claude_line("msg_b", 7, timestamp="2026-11-21T10:00:00.000Z"))
    on(host, 21, 11).ingest()
    assert [(21, FIRST, 1, 15)] == stated(host)

    on(host, 22).ingest()
    assert [(21, FIRST, 1, 15), (22, date(2026, 11, 21), 1, 17)] == stated(host)


def test_after_a_sleep_of_days_one_belief_is_stated(host: Host) -> None:
    """
    Of what is there when the log is awake again.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20).ingest()
    append(host.claude(), claude_line("msg_b", 5, second=1))
    on(host, 29).ingest()

    assert [(29, FIRST, 2, 30)] == stated(host)


def test_a_clock_that_steps_back_takes_no_belief_back(host: Host) -> None:
    """
    Days that had ended by the wrong clock were believed then; nothing is said of them while they have not ended, and
    what is believed goes on to be stated once a day.
    """
    append(host.claude(), claude_line("msg_a", 5) + claude_line("msg_b", 7, timestamp="2026-11-24T10:00:00.000Z"))
    on(host, 24).ingest()
    on(host, 25).ingest()
    before = stated(host)
    on(host, 22).ingest()
    on(host, 26).ingest()

    assert [(25, FIRST, 1, 15), (25, date(2026, 11, 24), 1, 17)] == before == stated(host)
    assert [(25, 2), (22, 0), (26, 0)] == [(row["believed_at"].day, row["totals"]) for row in publications(host)]


def test_a_day_that_lost_its_calls_is_stated_with_zero_calls_and_no_tokens(host: Host) -> None:
    """
    An earlier copy moves its one call to another day: nothing states tokens of that day any more, and null is not zero.
    """
    late = claude_line("msg_a", 5, timestamp="2026-11-02T10:00:00.000Z")
    append(host.claude("22222222-2222-4222-8222-222222222222"), late)
    on(host, 20).ingest()
    on(host, 21).ingest()
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 22).ingest()

    moved = date(2026, 11, 2)
    assert [(21, moved, 1, 15), (22, FIRST, 1, 15), (22, moved, 0, None)] == stated(host)
    on(host, 23).ingest()
    assert 3 == len(stated(host)), "a day without calls is stated once"


def test_many_totals_are_several_events_of_one_commit(host: Host) -> None:
    """
    An event has an upper length; a kill finds all of a belief in the log, or nothing of it.
    """
    count = TOTALS_MAX + 1
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(count)]
    lines = [claude_line(f"msg_{day}", 5, timestamp=f"{day}T10:00:00.000Z") for day in days]
    append(host.claude(), b"".join(lines))
    on(host, 20).ingest()
    on(host, 21).ingest()

    assert [TOTALS_MAX, 1] == [row["totals"] for row in publications(host)]
    seqs = [row["seq"] for row in publications(host)]
    commits = "SELECT event_count FROM commits WHERE first_seq = {} AND event_count = 2"
    assert [{"event_count": 2}] == host.rows(commits.format(seqs[0]))


def test_a_kill_before_the_commit_says_it_again_and_one_behind_it_never_twice(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The tables are made anew behind the commit, whether anybody saw it or not.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20).ingest()
    told = beliefs.belief

    def killed(*_: object) -> list[bytes]:
        raise KeyboardInterrupt

    monkeypatch.setattr(beliefs, "belief", killed)
    with pytest.raises(KeyboardInterrupt):
        on(host, 21).ingest()
    monkeypatch.setattr(beliefs, "belief", told)
    on(host, 21).ingest()
    before = host.tables_hash()
    refresh_and_publish(host.settings, anew=True)

    assert [(21, FIRST, 1, 15)] == stated(host)
    assert before == host.tables_hash()


def test_a_belief_on_its_way_to_the_log_is_not_stated_again(host: Host) -> None:
    """
    The daemon's tables do not hold it before its loop has committed it; until then another day begins in vain.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20).ingest()
    believer = beliefs.Believer(lambda: host.now)
    with Tables(host.state.published) as tables:
        head = tables.head().seq or 0
        assert [] == believer.events(tables.connection, head)
        on(host, 21)
        assert 1 == len(believer.events(tables.connection, head))
        assert [] == believer.events(tables.connection, head)
        on(host, 22)
        assert [] == believer.events(tables.connection, head)


def test_a_daemon_states_what_is_believed_when_it_has_read_what_it_slept_through(host: Host) -> None:
    """
    Not what its tables held when it started; and the next one, after a kill, not again.
    """
    host.now = datetime.now(UTC) - timedelta(days=3)
    append(host.claude(), claude_line("msg_a", 5))
    host.ingest()
    append(host.claude(), claude_line("msg_b", 7, second=1))

    daemon = Daemon(host).start().ready()
    until(lambda: publications(host), "a belief is published")
    daemon.kill()
    daemon.start().ready()
    append(host.claude(), claude_line("msg_c", 9, second=2))
    daemon.has_published(3, 51)
    daemon.stop()

    assert [(FIRST, 2, 32)] == [each[1:] for each in stated(host)]
    assert 1 == len(publications(host))


def test_beliefs_are_no_facts(host: Host) -> None:
    """
    When something was believed depends on who asked when: two logs of one home are the same facts.
    """
    append(host.claude(), claude_line("msg_a", 5))
    on(host, 20).ingest()
    before = host.facts_hash()
    on(host, 21).ingest()

    assert before == host.facts_hash()
