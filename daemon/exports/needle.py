"""
Which lines a peer has not read: it decodes only those in which it finds the very bytes that their writer writes.

Claude Code writes JSON without blanks. A line that another program wrote, or copied, may have some, and says the same.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from daemon.identity import real_path
from daemon.locate import Locator, Place
from daemon.tail import SourceFile
from projections.read import Tables

#: What ccusage 20 looks for.
NEEDLE: Final = b'"usage":{'

_PLACES: Final = """
    SELECT seq, source, offset_bytes, length_bytes, line_hash
    FROM events
    WHERE list_contains($seqs, seq) AND item_key IS NULL AND line_hash IS NOT NULL
"""


def without_needle(tables: Tables, seqs: Sequence[int]) -> set[int]:
    """Return which of these events stand in lines without those bytes; a line that is not there any more is none."""
    places = [Place(**row) for row in tables.rows(_PLACES, {"seqs": list(seqs)})]
    by_path: dict[str, list[Place]] = defaultdict(list)
    for located in Locator(tables, salt="").locate(places):
        if located.path is not None:
            by_path[located.path].append(located.place)
    found: set[int] = set()
    for path, wanted in by_path.items():
        with suppress(OSError), SourceFile(real_path(path)) as file:
            ranges = ((place.offset_bytes or 0, place.length_bytes or 0) for place in wanted)
            for place, content in zip(wanted, file.ranges(ranges), strict=False):
                if NEEDLE not in content:
                    found.add(place.seq)
    return found
