"""
The trailers of a commit's message, as `git interpret-trailers --parse --no-divider` finds them.

The last paragraph, if it is not the first, and each of its lines is `Key: value`, begins with a space, or is a comment;
where git itself wrote one of them, a quarter of such lines is enough.
"""

import re
from collections.abc import Iterator
from typing import Final

_SEPARATED: Final = re.compile(r"([A-Za-z0-9-]+)[ \t]*:(.*)", re.DOTALL)
#: What git itself writes.
_GENERATED: Final = ("Signed-off-by: ", "(cherry picked from commit ")
_SPACE: Final = " \t\r\v\f"


def trailers(message: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of every trailer, in order; the value is in one line, without spaces around it."""
    found: list[list[str]] = []
    for line in _block(message):
        if line[:1] and line[0] in _SPACE:
            if found:
                found[-1].append(line)
            continue
        match = _SEPARATED.fullmatch(line)
        found.append([match[1], match[2]] if match and not line.startswith("#") else ["", ""])
    for key, *values in found:
        if key:
            yield key, " ".join(filter(None, (value.strip() for value in values)))


def _block(message: str) -> list[str]:
    """Return the lines of the last paragraph if it is a block of trailers; empty if it is none."""
    lines = message.split("\n")
    while lines and (not lines[-1].strip() or lines[-1].startswith("#")):
        lines.pop()
    title_end = next((at for at, line in enumerate(lines) if not line.strip() and not _is_comment(line)), len(lines))
    trailing = other = continued = 0
    has_generated = False
    for at in range(len(lines) - 1, title_end - 1, -1):
        line = lines[at]
        if _is_comment(line):
            other += continued
            continued = 0
        elif not line.strip():
            is_block = has_generated and trailing * 3 >= other + continued
            other += continued
            return lines[at + 1 :] if is_block or (trailing and not other) else []
        elif line.startswith(_GENERATED):
            trailing += 1
            continued = 0
            has_generated = True
        elif line[0] not in _SPACE and _SEPARATED.fullmatch(line):
            trailing += 1
            continued = 0
        elif line[0] in _SPACE:
            continued += 1
        else:
            other += 1 + continued
            continued = 0
    return []


def _is_comment(line: str) -> bool:
    return line.startswith("#")
