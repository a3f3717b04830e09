"""What the log says of messages: the published tables are asked, and for what is newer the log itself."""

from collections.abc import Iterable, Mapping, Sequence
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


class _Body(msgspec.Struct):
    """The body of an event about a message; empty for one that has none."""

    seq: int = msgspec.field(name="q")
    body: msgspec.Raw = msgspec.Raw(b"")


_decode_body = msgspec.json.Decoder(_Body).decode
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


def _fate(told: Told, holding: Mapping[tuple[str, str | None], Told]) -> Fate:
    if told.content_hash is None:
        return Fate("rejected", told.seq, code=told.code, field=told.field)
    held = holding.get((told.kind, told.key), told)
    return Fate("stored", told.seq) if held.rank == told.rank else Fate("superseded", told.seq, held.seq)


class Recorded:
    """Everything the log says of messages, while the block lasts."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._held = ExitStack()
        self._tables: Tables | None = None
        self._newer: list[Told] = []
        self._lines: list[bytes] = []

    def __enter__(self) -> Self:
        with ExitStack() as held:
            self._tables, newer = held.enter_context(logged(self._paths, _MARK))
            self._lines = newer
            self._newer = [_decode(line) for line in newer]
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def fate(self, receipt: str) -> Fate | None:
        """Return what became of a receipt; ``None`` when the log does not know it."""
        return self.fates([receipt]).get(receipt)

    def fates(self, receipts: Sequence[str]) -> dict[str, Fate]:
        """Return what became of those receipts that the log knows; the tables are asked once for all of them."""
        if not receipts:
            return {}
        wanted = frozenset(receipts)
        found: dict[str, list[Told]] = {}
        for each in self._about("receipt IN (SELECT unnest(?))", [list(wanted)], lambda each: each.receipt in wanted):
            found.setdefault(each.receipt or "", []).append(each)
        taken = {
            receipt: next((each for each in told if each.content_hash is not None), None)
            for receipt, told in found.items()
        }
        holding = self._holding([each for each in taken.values() if each is not None and each.key is not None])
        return {receipt: _fate(taken[receipt] or told[-1], holding) for receipt, told in found.items()}

    def newest(self, limit: int) -> list[Told]:
        """Return the last messages that were taken, at most *limit*, oldest first."""
        rows = self._asked(f"content_hash IS NOT NULL ORDER BY seq DESC LIMIT {limit:d}", ())
        return [*rows[::-1], *(each for each in self._newer if each.content_hash is not None)][-limit:]

    def held(self, kind: str, prefix: str) -> dict[str, Told]:
        """Return by key the messages of *kind* that hold, of the keys that begin with *prefix*."""
        rivals = self._about(
            "content_hash IS NOT NULL AND kind = ? AND starts_with(message_key, ?)",
            [kind, prefix],
            lambda each: each.content_hash is not None and each.kind == kind and (each.key or "").startswith(prefix),
        )
        return {each.key or "": each for each in sorted(rivals, key=lambda each: each.rank)}

    def bodies(self, told: Iterable[Told]) -> dict[int, bytes]:
        """Return by event the body of each of *told*, as JSON."""
        wanted = frozenset(each.seq for each in told)
        found = {each.seq: bytes(each.body) for each in map(_decode_body, self._lines) if each.seq in wanted}
        if self._tables is not None and len(found) < len(wanted):
            rows = self._tables.rows("SELECT seq, body FROM events WHERE seq IN (SELECT unnest(?))", [list(wanted)])
            found |= {row["seq"]: row["body"].encode() for row in rows}
        return found

    def rejections(self) -> dict[str, dict[str, str | None]]:
        """Return why each rejected message was, by receipt; the last reason where there are several."""
        found = self._about("code IS NOT NULL AND receipt IS NOT NULL", [], lambda each: each.code is not None)
        return {each.receipt or "": {"code": each.code, "field": each.field} for each in found}

    def _holding(self, told: Sequence[Told]) -> dict[tuple[str, str | None], Told]:
        """Return by kind and key of each of *told* the message that holds."""
        wanted = {(each.kind, each.key) for each in told}
        if not wanted:
            return {}
        rivals = self._about(
            "content_hash IS NOT NULL AND message_key IN (SELECT unnest(?))",
            [[key for _, key in wanted]],
            lambda each: each.content_hash is not None,
        )
        holding: dict[tuple[str, str | None], Told] = {}
        for each in rivals:
            name = (each.kind, each.key)
            if name in wanted and (name not in holding or each.rank > holding[name].rank):
                holding[name] = each
        return holding

    def _about(self, condition: str, parameters: Sequence[object], is_meant: Any) -> list[Told]:  # noqa: ANN401 - a predicate
        """Return the events that *condition* finds in the tables and *is_meant* among the newer ones, in order."""
        return [*self._asked(f"{condition} ORDER BY seq", parameters), *filter(is_meant, self._newer)]

    def _asked(self, condition: str, parameters: Sequence[object]) -> list[Told]:
        if self._tables is None:
            return []
        return [Told(**row) for row in self._tables.rows(f"{_ASKED} WHERE {condition}", parameters)]
