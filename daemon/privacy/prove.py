"""
`tallystick privacy prove`: canaries in everything that is read, and nowhere in anything that is kept.

Lines of this host's own sources are planted, read by the real commands into a state directory of their own, and every
place where something could have stayed is searched. The search is tried first: one that finds nothing proves nothing.
"""

import base64
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from daemon import show
from daemon.privacy.canary import Canary, forms_of
from daemon.privacy.planting import Planter
from daemon.privacy.plot import PLANTED_MAX, Plot, plant
from daemon.privacy.runs import Runs, Scratch
from daemon.privacy.samples import Sample, samples
from daemon.privacy.search import Hit, Looked, Search
from daemon.settings import Settings
from projections.read import Tables
from state.errors import TallystickError

DONE: Final = 0
FOUND: Final = 1

#: So many finds are named; all are counted.
_NAMED_MAX: Final = 20

#: What producers put there themselves stays there as they wrote it, until an operator removes it.
_OF_PRODUCERS: Final = frozenset({"inbox"})


class SearchBlind(TallystickError):
    """
    The search does not find what was put before its eyes, so that it proves nothing. Report this; no step helps here.
    """

    exit_code = 3


class NothingProved(TallystickError):
    """
    No planted line became evidence, so that finding nothing would mean nothing. `tallystick ingest` says what is wrong.
    """

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Proof:
    """
    What a proof came to.

    ``sinks`` says of each place what was looked at and found; ``places`` names where each canary was put.
    ``events`` are those that came of the planted sources.
    """

    plot: Plot
    places: list[str]
    sinks: Mapping[str, Looked]
    uncaught: list[str]
    events: int

    @property
    def hits(self) -> list[Hit]:
        """Every find."""
        return [hit for looked in self.sinks.values() for hit in looked.hits]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found, and no command ended by an error of its own."""
        return not self.hits and not self.uncaught

    def place(self, hit: Hit) -> str:
        """Return where the canary of a find was put."""
        known = hit.number is not None and hit.number < len(self.places)
        return self.places[hit.number] if known and hit.number is not None else "not known"


def prove(settings: Settings, *, as_json: bool) -> int:
    """Prove it for this host; returns 0 when nothing was found, else 1."""
    with TemporaryDirectory(prefix="tallystick-privacy-") as directory:
        proof = proved(samples(settings), Path(directory))
    _show(proof, as_json=as_json)
    return DONE if proof.is_clean else FOUND


def proved(found: list[Sample], root: Path, planted_max: int = PLANTED_MAX) -> Proof:
    """
    Plant *found* below *root*, run everything over it, and search.

    Raises:
        SearchBlind: The search does not see what it should.
        NothingProved: No planted line became evidence.
    """
    scratch, planter = Scratch(root), Planter(Canary.drawn())
    scratch.create()
    search = Search(planter.canary)
    _try(search, planter.canary, root / "control")
    plot = plant(found, scratch.home, planter, planted_max)
    runs = Runs(scratch, plot.claims)
    runs.submit(planter)
    runs.crash(signal.SIGKILL)
    runs.crash(signal.SIGABRT)
    runs.catch_up()
    runs.ask()
    runs.with_bad_configuration(planter)
    return Proof(plot, planter.places, _searched(search, scratch, runs), runs.said.uncaught, _events(scratch))


def _searched(search: Search, scratch: Scratch, runs: Runs) -> dict[str, Looked]:
    state, said = scratch.state, runs.said
    return {
        "state directory": search.directory(state.root, _OF_PRODUCERS),
        "tables": search.tables(state.projection),
        "published": search.tables(state.published),
        "stdout": search.content(bytes(said.stdout), "stdout"),
        "stderr": search.content(bytes(said.stderr), "stderr"),
        "metrics": search.content(said.metrics, "metrics"),
        "temporary files": search.directory(scratch.work),
    }


def _events(scratch: Scratch) -> int:
    with Tables(scratch.state.published) as tables:
        (row,) = tables.rows("SELECT count(*) AS n FROM events WHERE line_hash IS NOT NULL")
    if not row["n"]:
        raise NothingProved
    return int(row["n"])


def _try(search: Search, canary: Canary, place: Path) -> None:
    """Let *search* look at leaks that were planted: in each encoding, in a file and in a table."""
    place.mkdir()
    for name, leak in leaks(canary):
        (place / name).write_bytes(leak)
    with duckdb.connect(str(place / "leak.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE leak AS SELECT 0 AS number, {'inner': [?]} AS words", [f"words {canary.token}"]
        )
    seen = {hit.encoding for hit in search.directory(place).hits}
    if seen < set(forms_of(canary).names) or not search.tables(place / "leak.duckdb").hits:
        raise SearchBlind(seen=",".join(sorted(seen)))


def leaks(canary: Canary) -> Iterator[tuple[str, bytes]]:
    """Yield the canary as a leak would have it, by encoding, with words around it."""
    words = f"correct {canary.numbered(0)} battery"
    yield "raw", words.encode()
    yield "utf-16-le", words.encode("utf-16-le")
    yield "utf-16-be", words.encode("utf-16-be")
    yield "hex", words.encode().hex().encode()
    yield "url", "".join(f"%{byte:02X}" for byte in words.encode()).encode()
    yield "json", "".join(f"\\u{ord(char):04X}" for char in words).encode()
    for lead in range(3):
        yield f"base64-{lead}", base64.b64encode(b"x" * lead + words.encode())


# -- what is said ----------------------------------------------------------------------------------------------------


def _show(proof: Proof, *, as_json: bool) -> None:
    if as_json:
        show.document(_document(proof))
        return
    planted = ", ".join(f"{name} {lines:,}" for name, lines in sorted(proof.plot.lines.items()))
    show.out(f"{len(proof.places):,} canaries planted ({planted}); {proof.events:,} events came of it")
    rows = [
        {"sink": name, "bytes": looked.size_bytes, "hits": len(looked.hits)} for name, looked in proof.sinks.items()
    ]
    show.table(("sink", "bytes", "hits"), rows)
    for hit in proof.hits[:_NAMED_MAX]:
        show.out(f"leak: {show.safe(hit.where)} ({hit.encoding}), planted at {show.safe(proof.place(hit))}")
    for command in proof.uncaught:
        show.out(f"uncaught: tallystick {command}")
    for name in sorted(proof.plot.skipped):
        show.warn(f"{name} was not proved: no place for its sample in another home")


def _document(proof: Proof) -> dict[str, Any]:
    return {
        "schema": "tallystick.privacy/1",
        "is_clean": proof.is_clean,
        "canaries": len(proof.places),
        "planted_lines": dict(sorted(proof.plot.lines.items())),
        "not_proved": sorted(proof.plot.skipped),
        "events": proof.events,
        "sinks": [
            {"sink": name, "bytes": looked.size_bytes, "hits": len(looked.hits)} for name, looked in proof.sinks.items()
        ],
        "leaks": [
            {"where": hit.where, "encoding": hit.encoding, "planted_at": proof.place(hit)}
            for hit in proof.hits[:_NAMED_MAX]
        ],
        "uncaught": proof.uncaught,
    }
