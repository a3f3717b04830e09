"""How far the published tables are behind the log."""

from daemon import show
from daemon.living import living
from daemon.settings import Settings
from projections.read import Head
from state.errors import LogBroken, TallystickError


def lag_events(head: Head, settings: Settings) -> int:
    """Return how many events of the log the published tables do not hold yet."""
    from state.read import holds, slices

    if head.mark is not None and not holds(settings.state.log_directory, head.mark):
        raise LogBroken(path=settings.state.log_directory, reason="tables_without_log")
    known = head.mark.seq if head.mark is not None else -1
    unread = slices(settings.state.log_directory, known, head.mark)
    return max((each.last_seq for each in unread), default=known) - known


def warn_of_lag(head: Head, settings: Settings) -> None:
    """Say what these tables do not hold; a log that cannot be read takes no published number away."""
    try:
        lag = lag_events(head, settings)
    except TallystickError as error:
        show.warn(str(error))
        return
    daemon = living(settings)
    if daemon.state == "starting":
        show.warn("the daemon's first sweep is under way: what it has not reached is not in these numbers")
    if lag and daemon.is_running:
        show.warn(f"{lag} committed events are not in these tables yet; the daemon is at it")
    elif lag:
        show.warn(f"{lag} committed events are not in these tables yet; run `tallystick ingest`")
