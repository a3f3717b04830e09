"""
What is believed, kept once a day: totals change when evidence comes late, and it must be seen that they did.

A belief is stated when a day (UTC) has begun since the last one, or since the log began; of days that have ended, and
of them only what is new or other than before. Its events are committed together: it is there whole, or not at all.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

import duckdb

from daemon.own_events import own_event
from projections.beliefs import first_commit, last_publication, unstated
from projections.catalog import layout
from state.evidence import Belief, BelievedTotals
from state.vocabulary import TOTALS_MAX

#: A day has ended so long after midnight: what was said at its end is read by then.
SETTLE: Final = timedelta(minutes=15)

Clock = Callable[[], datetime]


class Believer:
    """Says what is to be written of the totals, once a day; `events` costs nothing on the same day."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stated_on: date | None = None
        self._handed_seq: int | None = None

    def events(self, connection: duckdb.DuckDBPyConnection, up_to_seq: int) -> list[bytes]:
        """
        Return the events of a belief when one is due; none when none is, or the last is still on its way.

        Args:
            connection: Tables that hold the log up to *up_to_seq*.
            up_to_seq: Last event in them; -1 for none.
        """
        now = self._clock()
        today = ended_before(now)
        if up_to_seq < 0 or today == self._stated_on:
            return []
        last = last_publication(connection)
        if self._handed_seq is not None and (last is None or last.up_to_seq < self._handed_seq):
            return []
        before = first_commit(connection) if last is None else last.believed_at
        self._stated_on = today
        if before is None or ended_before(before) == today:
            return []
        self._handed_seq = up_to_seq
        return belief(connection, up_to_seq, now)


def belief(connection: duckdb.DuckDBPyConnection, up_to_seq: int, now: datetime) -> list[bytes]:
    """Return the events that state what is believed at *now*, one at least."""
    before = ended_before(now)
    totals = [BelievedTotals.model_validate(row) for row in unstated(connection, before)]
    parts = [totals[first : first + TOTALS_MAX] for first in range(0, len(totals), TOTALS_MAX)] or [[]]
    return [
        own_event(
            "published",
            Belief(up_to_seq=up_to_seq, ended_before=before.isoformat(), rules=layout(), totals=tuple(part)),
            now,
        )
        for part in parts
    ]


def ended_before(now: datetime) -> date:
    """Return the first day that has not ended at *now*."""
    return (now - SETTLE).date()
