"""Days, times and durations, as an operator types them, to a window in UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from projections.read import Tables, Window
from state.errors import TallystickError

_DURATION: Final = re.compile(r"(\d{1,5})([dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


class BadTime(TallystickError):
    """
    A time cannot be read. Write a day (2026-11-01), a time (2026-11-01T10:00), or a duration back from now (30d, 12h).
    """

    exit_code = 2


class EmptyWindow(TallystickError):
    """
    --since is not before --until: no call can lie between them.
    """

    exit_code = 2


class BadZone(TallystickError):
    """
    The time zone is not known here. Write an IANA name such as UTC or Europe/Berlin.
    """

    exit_code = 2


def window_of(since: str | None, until: str | None, timezone: str, now: datetime | None = None) -> Window:
    """Return the window between two texts; a bare day begins at midnight in *timezone*."""
    zone = _zone(timezone)
    moment = now or datetime.now(UTC)
    start, end = _moment("--since", since, zone, moment), _moment("--until", until, zone, moment)
    if start is not None and end is not None and start >= end:
        raise EmptyWindow
    return Window(start, end, timezone)


def moment_of(option: str, text: str | None, timezone: str = "UTC") -> datetime | None:
    """
    Return one time as an aware one in UTC; null for no text.

    Raises:
        BadTime: It is neither a day, a time nor a duration back from now.
    """
    read = _moment(option, text, _zone(timezone), datetime.now(UTC))
    return None if read is None else read.replace(tzinfo=UTC)


def check_zone(tables: Tables, timezone: str) -> None:
    """
    Look whether the database knows a zone that Python knows.

    Raises:
        BadZone: It does not.
    """
    if timezone != "UTC" and not tables.rows("SELECT 1 FROM pg_timezone_names() WHERE name = ?", [timezone]):
        raise BadZone(timezone=timezone[:64])


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadZone(timezone=name[:64]) from None


def _moment(option: str, text: str | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return naive UTC, as the tables have it."""
    if text is None:
        return None
    if match := _DURATION.fullmatch(text):
        return (now - timedelta(**{_UNITS[match[2]]: int(match[1])})).astimezone(UTC).replace(tzinfo=None)
    try:
        read = datetime.fromisoformat(text)
        aware = read if read.tzinfo else read.replace(tzinfo=zone)
        return aware.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise BadTime(option=option) from None
