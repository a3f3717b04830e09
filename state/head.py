"""The last commit as we remember it, kept outside the log to notice a log that was cut."""

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from state.files import SAFE_FLAGS, as_known

#: log, next sequence number, chain, segment, end offset, checksum: always of the same width, so that it is overwritten
#: in place, within one sector.
_RECORD: Final = re.compile(
    rb"([0-9a-f-]{36}) (\d{20}) ([0-9a-f]{64}) (\d{20}) (\d{20}) ([0-9a-f]{64})\n",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """
    One commit of one log: how far somebody got, and the hash that proves it to be the same log.

    ``seq`` is the last sequence number up to there, -1 before the first event; a commit without events moves the mark
    and not ``seq``. ``segment`` is the first sequence number of its segment, as in the file's name.
    """

    log_id: str
    seq: int
    chain: str
    segment: int
    end_offset_bytes: int

    @property
    def place(self) -> tuple[int, int]:
        """Orders the marks of one log."""
        return self.segment, self.end_offset_bytes


class Memory:
    """
    The remembered mark, on disk.

    It is not synced: it is written after the log was, so after a power cut it can lag behind the log, never lead.
    """

    def __init__(self, path: Path) -> None:
        with as_known(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | SAFE_FLAGS, 0o600)

    def remember(self, mark: Mark) -> None:
        """
        Overwrite what was remembered.
        """
        fields = f"{mark.log_id} {mark.seq + 1:020d} {mark.chain} {mark.segment:020d} {mark.end_offset_bytes:020d} "
        record = fields + hashlib.sha256(fields.encode("ascii")).hexdigest() + "\n"
        # The commit is durable already: a memory that lags must not make it look like a failure.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, record.encode("ascii"), 0)

    def close(self) -> None:
        """
        Close the file.
        """
        os.close(self._descriptor)


def recall(path: Path) -> Mark | None:
    """
    Read the remembered mark.

    Args:
        path: `StatePaths.head`.

    Returns:
        None when there is none, or its record is torn: no memory is no alarm.
    """
    try:
        record = path.read_bytes()
    except OSError:
        return None
    found = _RECORD.fullmatch(record)
    if not found or hashlib.sha256(record[: found.start(6)]).hexdigest().encode("ascii") != found[6]:
        return None
    log_id, next_seq, chain, segment, end, _ = (field.decode("ascii") for field in found.groups())
    return Mark(log_id, int(next_seq) - 1, chain, int(segment), int(end))
