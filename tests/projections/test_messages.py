"""What holds of messages is decided by what they say, in whatever order they stand in the log."""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.bootstrap import open_log
from daemon.envelope import SCHEMA
from daemon.message import check
from projections.build import Projection

NOW = datetime(2026, 11, 20, tzinfo=UTC)

#: Revision and status of what is said of one task; the last is what holds.
SAID = [(None, "open"), (0, "in_progress"), (2, "blocked"), (2, "open"), (10, "completed")]


def event(key: str | None, revision: int | None, status: str, receipt: str = "0" * 32) -> bytes:
    """
    Return a report of a task as it stands in the log.
    """
    message: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "task",
        "producer": "test",
        "body": {"task_id": "T", "status": status},
    }
    message |= {name: value for name, value in (("key", key), ("revision", revision)) if value is not None}
    checked = check(json.dumps(message).encode())
    return checked.event(checked.receipt or receipt, NOW)


@pytest.fixture
def rows(live):
    """
    Write events into a log, and answer questions about its tables.
    """

    def tables(events, *queries):
        with open_log(live.settings) as log:
            log.append(events, {})
        with Projection.open(live.settings.state) as projection:
            projection.refresh(live.settings.state.log_directory)
            return [projection.connection.execute(query).fetchall() for query in queries]

    return tables


def test_every_order_of_arrival_comes_to_the_same(rows):
    """
    Each key gets the same five messages in an order of its own, all 120 there are: every key holds the same.
    """
    orders = list(itertools.permutations(SAID))
    events = [event(f"k{number}", *said) for number, order in enumerate(orders) for said in order]

    held, lost = rows(
        events,
        "SELECT status, revision, count(*) FROM task_reports GROUP BY ALL",
        """
        SELECT l.revision, l.body ->> '$.status', count(*), count_if(h.seq = l.by_seq)
        FROM inbox_superseded AS l JOIN inbox AS h ON l.message_key = h.message_key
        GROUP BY ALL ORDER BY ALL
        """,
    )

    assert [("completed", 10, 120)] == held
    assert sorted((-1 if revision is None else revision, status, 120, 120) for revision, status in SAID[:-1]) == sorted(
        (-1 if revision is None else revision, *rest) for revision, *rest in lost
    )


def test_of_equal_revisions_one_holds_in_every_order(rows):
    """
    The hash decides, which is not the one that came last nor the one that came first.
    """
    rivals = [(1, status) for status in ("open", "blocked", "failed", "completed")]
    orders = list(itertools.permutations(rivals))
    events = [event(f"k{number}", *said) for number, order in enumerate(orders) for said in order]

    (held,) = rows(events, "SELECT status, count(*) FROM task_reports GROUP BY ALL")

    assert [24] == [count for _, count in held]


def test_a_message_that_stands_in_the_log_again_is_one(rows):
    """
    With and without a key; its first event is the one that is named.
    """
    events = [event("k", 1, "open"), event(None, None, "open"), event("k", 2, "completed")] * 3

    seqs, counts = rows(
        events,
        "SELECT seq, superseded_count FROM inbox ORDER BY seq",
        "SELECT count(*) FROM messages UNION ALL SELECT count(*) FROM inbox_superseded",
    )

    assert [(1, 0), (2, 1)] == seqs
    assert [(3,), (1,)] == counts


def test_a_message_without_a_key_is_superseded_by_nothing(rows):
    """
    Equal content, other receipts: each is a statement of its own.
    """
    events = [event(None, None, "open", f"{number:032x}") for number in range(5)]

    (counts,) = rows(events, "SELECT count(*), sum(superseded_count) FROM inbox")

    assert [(5, 0)] == counts
