"""Options and files of the verbs that write messages."""

import math
import sys
from pathlib import Path

from daemon.inbox_client import MessageRefused
from state.errors import TallystickError


class NoTime(TallystickError):
    """
    The time to wait is a number of seconds.
    """

    exit_code = 2


def whole_number(field: str, text: str | None) -> int | None:
    """
    Return the whole number that an option states, null when it states none; how great it may be, the contract says.

    Raises:
        MessageRefused: It is no number.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise MessageRefused(field=field, rule="invalid_field")
    return int(text)


def seconds(wait: str, option: str = "--wait") -> float:
    """
    Return the time to wait.

    Raises:
        NoTime: It is no time.
    """
    try:
        found = float(wait)
    except ValueError:
        raise NoTime(option=option) from None
    if not (found >= 0 and math.isfinite(found)):
        raise NoTime(option=option)
    return found


def content(file: str, bytes_max: int, **facts: str) -> bytes:
    """
    Return what stands in *file*, `-` for standard input.

    Raises:
        MessageRefused: It is more than *bytes_max*; *facts* say what it was to be.
    """
    if file == "-":
        read = sys.stdin.buffer.read(bytes_max + 1)
    else:
        with Path(file).open("rb") as source:
            read = source.read(bytes_max + 1)
    if len(read) > bytes_max:
        raise MessageRefused(**facts, rule="too_long")
    return read
