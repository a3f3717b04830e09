"""What the log says of messages: the published tables are asked, and for what is newer the log itself."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

from daemon.logged import logged
from projections.read import Tables
from state.paths import StatePaths

#: What an event line of interest contains.
_MARK: Final = b'"receipt":"'

_ASKED: Final = "SELECT seq, receipt, content_hash, kind, message_key AS key, revision, code, field FROM events"


class Told(msgspec.Struct, frozen=True):
    """One event about a message; ``content_hash`` is null for a rejected one, ``code`` for one that was taken."""

    seq: int = msgspec.field(name="q")
    kind: str = msgspec.field(name="k")
    receipt: str | None = None
    content_hash: str | None = None
    key: str | None = None
    revision: int | None = None
    code: str | None = None
    field: str | None = None

    @property
    def rank(self) -> tuple[int, str]:
        """Order among the messages of one key, as in `projections/sql/81_ranked_messages.sql`."""
        return -1 if self.revision is None else self.revision, self.content_hash or ""


_decode = msgspec.json.Decoder(Told).decode


@dataclass(frozen=True, slots=True)
class Fate:
    """
    What became of a message that is in the log.

    ``state`` is `stored`, `superseded` or `rejected`; ``by_seq`` is the event that holds in its place.
    """

    state: str
    seq: int
    by_seq: int | None = None
    code: str | None = None
    field: str | None = None


class Recorded:
    """Everything the log says of messages, while the block lasts."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._held = ExitStack()
        self._tables: Tables | None = None
        self._newer: list[Told] = []

    def __enter__(self) -> Self:
        with ExitStack() as held:
            self._tables, newer = held.enter_context(logged(self._paths, _MARK))
            self._newer = [_decode(line) for line in newer]
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def fate(self, receipt: str) -> Fate | None:
        """Return what became of a receipt; ``None`` when the log does not know it."""
        found = self._about("receipt = ?", [receipt], lambda each: each.receipt == receipt)
        taken = [each for each in found if each.content_hash is not None]
        if taken:
            return self._fate(taken[0])
        return Fate("rejected", found[-1].seq, code=found[-1].code, field=found[-1].field) if found else None

    def newest(self, limit: int) -> list[Told]:
        """Return the last messages that were taken, at most *limit*, oldest first."""
        rows = self._asked(f"content_hash IS NOT NULL ORDER BY seq DESC LIMIT {limit:d}", ())
        return [*rows[::-1], *(each for each in self._newer if each.content_hash is not None)][-limit:]

    def rejections(self) -> dict[str, dict[str, str | None]]:
        """Return why each rejected message was, by receipt; the last reason where there are several."""
        found = self._about("code IS NOT NULL AND receipt IS NOT NULL", [], lambda each: each.code is not None)
        return {each.receipt or "": {"code": each.code, "field": each.field} for each in found}

    def _fate(self, told: Told) -> Fate:
        if told.key is None:
            return Fate("stored", told.seq)
        rivals = self._about(
            "kind = ? AND message_key = ?",
            [told.kind, told.key],
            lambda each: each.kind == told.kind and each.key == told.key,
        )
        holding = max(rivals, key=lambda each: (*each.rank, -each.seq))
        return Fate("stored", told.seq) if holding.rank == told.rank else Fate("superseded", told.seq, holding.seq)

    def _about(self, condition: str, parameters: Sequence[str], is_meant: Any) -> list[Told]:  # noqa: ANN401 - a predicate
        """Return the events that *condition* finds in the tables and *is_meant* among the newer ones, in order."""
        return [*self._asked(f"{condition} ORDER BY seq", parameters), *filter(is_meant, self._newer)]

    def _asked(self, condition: str, parameters: Sequence[str]) -> list[Told]:
        if self._tables is None:
            return []
        return [Told(**row) for row in self._tables.rows(f"{_ASKED} WHERE {condition}", parameters)]
