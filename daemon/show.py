"""How answers look at a terminal: stdout is data, stderr is log."""

import errno
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def document(content: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    out(encoded(content))


def encoded(content: Mapping[str, Any]) -> str:
    """Return a document as it is printed, and as the API answers with it."""
    return json.dumps(content, indent=1, default=str)


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print *rows* as a table; a column of numbers stands on the right, its name too."""
    cells = [[cell(row.get(name)) for name in columns] for row in rows]
    numeric = [bool(cells) and all(_is_number(line[i]) for line in cells) for i in range(len(columns))]
    widths = [max(len(line[i]) for line in ([*columns], *cells)) for i in range(len(columns))]
    for line in ([*columns], *cells):
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        out("  ".join(padded).rstrip())


def _is_number(text: str) -> bool:
    return text.removeprefix(">=").replace(",", "").replace(".", "", 1).isdigit() or text == "-"


def cell(value: object) -> str:
    """Return *value* as a table shows it: null as a dash, numbers with thousands."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return safe(str(value))


def dollars(micros: int) -> str:
    """Return micro-dollars as dollars, all digits of them: what is rounded away here could not be added up."""
    whole, part = divmod(abs(micros), 1_000_000)
    return f"{'-' if micros < 0 else ''}{whole:,}.{part:06d}"


def safe(text: str) -> str:
    """Return *text* as a terminal may show it: control and direction characters cannot act there."""
    return "".join(char if char.isprintable() else "?" for char in text)


def out(text: str) -> None:
    """Say one line of data; raises OSError when nobody can take it."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "stdout is closed")
    sys.stdout.write(text + "\n")


def flush() -> None:
    """Hand on what was said, for somebody who waits for it."""
    if sys.stdout is not None:
        sys.stdout.flush()


def warn(text: str) -> None:
    """Say one line of log."""
    sys.stderr.write(f"tallystick: {safe(text)}\n")


def first_line(text: str) -> str:
    """Return the first line of *text*."""
    return text.strip().splitlines()[0] if text.strip() else ""
