"""
Keeping the log over the years: sealed daily, compressed when sealed, retired only when an operator asked for it.

None of it is on the way of the evidence. What is cut off anywhere goes on at the next call.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from daemon.journal import Journal
from state.cursors import Cursor
from state.log import Log
from state.paths import StatePaths
from state.sealing import compress
from state.walk import header_of, segments


def seal_when_old(paths: StatePaths, log: Log[Cursor], now: datetime, age_seconds: float, journal: Journal) -> None:
    """
    Seal the segment that is written when it was begun long enough ago; called by the thread that writes.

    Raises:
        DiskFull, LogIoError, StateUnusable: As appending does.
    """
    header = header_of(segments(paths.log_directory)[-1])
    if header is None or now - datetime.fromisoformat(header.t) < timedelta(seconds=age_seconds):
        return
    if log.roll():
        journal.info("segment_sealed", first_seq=header.base)


def compressing(paths: StatePaths, journal: Journal) -> Callable[[], None]:
    """Return the job that compresses what is sealed; it needs no lock, and any thread may do it."""

    def job() -> None:
        for done in compress(paths.log_directory):
            journal.info(
                "segment_compressed",
                first_seq=done.base,
                content_bytes=done.content_bytes,
                stored_bytes=done.stored_bytes,
            )

    return job
