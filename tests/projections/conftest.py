"""
Homes as agents leave them, and what the product says of them.
"""

import copy
import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import pytest
import zstandard

from daemon.bootstrap import catch_up, seen_files
from daemon.settings import Settings
from daemon.usage_verb import usage_document
from projections.hashes import FACTS
from projections.read import Tables, Window
from state.paths import StatePaths
from tests.projections.ledger import Ledger
from tests.templates import begin_with_empty_tables

#: Stands in every id of a house; its number takes the place, so that houses of one street share no id.
HOUSE = "aaaaaaaaaaaa"

CLAUDE = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens")
CODEX = ("cache_read_tokens", "output_tokens", "reasoning_tokens")


class Counted:
    """
    What the product says of a home, or of one house of a street; asked when a test looks at it.

    Args:
        published: Tables that nobody replaces any more.
        timezone: Decides what a day is.
    """

    def __init__(self, published, timezone="UTC"):
        self._published = published
        self._timezone = timezone

    @cached_property
    def document(self):
        asked = ("agent", "session", "model", "day", "branch")
        with Tables(self._published) as tables:
            return usage_document(tables, asked, Window(timezone=self._timezone), ())

    @cached_property
    def rows(self):
        return [row for row in self.document["rows"] if row["measurement"] == "measured"]

    @cached_property
    def calls(self):
        return self._asked("SELECT * FROM usage_measured ORDER BY called_at, source_id")

    @cached_property
    def superseded(self):
        return self._asked("SELECT * FROM usage_superseded ORDER BY seq")

    @cached_property
    def checks(self):
        return self._asked("SELECT * FROM reconciliation WHERE reason NOT IN ('unmetered', 'no_own_total')")

    @cached_property
    def sessions(self):
        return self._asked("SELECT * FROM sessions ORDER BY session_id")

    @cached_property
    def facts(self):
        with Tables(self._published) as tables:
            return {name: sorted(map(repr, tables.rows(query))) for name, query in FACTS.items()}

    def _asked(self, query):
        with Tables(self._published) as tables:
            return tables.rows(query)

    def of(self, number):
        """
        Return what is said of one house of a street.
        """

        def own(rows, name):
            here = f"{number:012x}"
            kept = [row for row in rows if (row[name] or "").endswith(here)]
            return [row | {name: row[name].replace(here, HOUSE)} for row in kept]

        part = copy.copy(self)
        part.rows = own(self.rows, "session")
        for name in ("calls", "superseded", "sessions"):
            setattr(part, name, own(getattr(self, name), "session_id"))
        return part

    def claude(self, by=None, agent="claude_code"):
        """
        Add up calls, input, cache writes, cache reads and output, for all or for each value of a dimension.
        """
        return self._sum(agent, by, lambda row: [row["calls"], *(row[name] or 0 for name in CLAUDE)])

    def gptme(self, by=None):
        """
        Add up what gptme states, as for Claude.
        """
        return self.claude(by, "gptme")

    def codex(self, by=None):
        """
        Add up calls, and tokens as Codex states them: input with cached, cached, output with reasoning, reasoning.
        """

        def figures(row):
            whole = sum(row[name] or 0 for name in CLAUDE[:3])
            return [row["calls"], whole, *(row[name] or 0 for name in CODEX)]

        return self._sum("codex", by, figures)

    def _sum(self, agent, by, figures):
        sums: dict[str | None, tuple[int, ...]] = {}
        for row in self.rows:
            if row["agent"] == agent and row["calls"]:
                key = row[by] if by else None
                sums[key] = tuple(map(sum, zip(sums.get(key, (0,) * 5), figures(row), strict=True)))
        return sums if by else sums.get(None, (0,) * 5)

    @property
    def flags(self):
        """
        Count the calls that carry each flag.
        """
        return dict(sum((Counter(row["quality"]) for row in self.rows), Counter()))

    @property
    def lost(self):
        """
        Count why statements were superseded.
        """
        return dict(Counter(row["reason"] for row in self.superseded))


class Live:
    """
    A home on disk, and the product that reads it; the home may change between two readings.
    """

    def __init__(self, folder, zone="UTC"):
        self._folder = folder
        self._readings = 0
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.settings = Settings(self.home, StatePaths(folder / "state"), zone, "host")
        begin_with_empty_tables(self.settings.state)

    def put(self, path, lines):
        """
        Write a log in place; a line is bytes, or an object to be written as JSON.
        """
        target = self.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        content = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        target.write_bytes(zstandard.compress(content) if path.endswith(".zst") else content)

    def move(self, path, to):
        """
        Move a log to another place.
        """
        (self.home / to).parent.mkdir(parents=True, exist_ok=True)
        (self.home / path).rename(self.home / to)

    def read(self, *, is_reversed=False, timezone="UTC") -> Counted:
        """
        Read everything new, and say what is counted.
        """
        seen = seen_files(self.settings)
        catch_up(self.settings, seen[::-1] if is_reversed else seen)
        self._readings += 1
        kept = self._folder / f"reading-{self._readings}.duckdb"
        os.link(self.settings.state.published, kept)  # the next reading publishes another file in its place
        return Counted(kept, timezone)


class Home:
    """
    A home that is read in several orders, which must all come to the same.
    """

    def __init__(self, folder):
        self._folder = folder
        self.files: dict[str, list[object]] = {}
        self._ranks: dict[str, int] = {}
        self.zone = "UTC"

    def write(self, path, *lines):
        """
        Put a log in its place.
        """
        self._ranks[path] = len(self.files)
        self.files[path] = list(lines)

    def counted(self) -> Counted:
        """
        Count the home in every order; no file's own total may hold more than was counted from it.
        """
        first, *others = (self._read(number, *goes) for number, goes in enumerate(self._orders()))

        for other in others:
            assert first.facts == other.facts
        for each in (first, *others):
            assert [] == [check for check in each.checks if check["reason"] == "unexplained"]
        return first

    def _orders(self):
        """
        Yield what is there at each reading, and whether the files are read from behind.

        At once; and in three goes: half of every other file of a house, then the whole of it and half of the rest,
        then everything.
        """
        yield [(self.files, False)]
        plain = {name: lines for name, lines in self.files.items() if not name.endswith(".zst")}
        halves = {name: lines[: len(lines) // 2] for name, lines in plain.items()}
        for turn in (0, 1) if len(self.files) > 1 else ():
            early = {name for name in plain if self._ranks[name] % 2 == turn}
            first = {name: halves[name] for name in early}
            second = {name: plain[name] if name in early else halves[name] for name in plain}
            yield [(first, True), (second, True), (self.files, True)]

    def _read(self, number, *goes) -> Counted:
        live = Live(self._folder / str(number), self.zone)
        for files, is_reversed in goes:
            for name, lines in files.items():
                live.put(name, lines)
            counted = live.read(is_reversed=is_reversed)
        return counted


class Street(Home):
    """
    Many homes that are read as one, for the time it takes to read one; no house knows of another.
    """

    def settle(self, houses):
        """
        Write the files of each house under ids of its own.
        """
        for number, files in enumerate(houses):
            for rank, (path, lines) in enumerate(files.items()):
                here = _of(path, number)
                self.write(here, *(_of(json.dumps(line), number).encode() + b"\n" for line in lines))
                self._ranks[here] = rank


def _of(text, number):
    """
    Make every id in *text* that of house *number*.
    """
    for name in ("msg_", "u-"):
        text = text.replace(f'"{name}', f'"{name}{number}-')
    return text.replace(HOUSE, f"{number:012x}")


@pytest.fixture
def home(tmp_path) -> Home:
    """
    An empty home.
    """
    return Home(tmp_path)


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Street:
    """
    A street without houses, for the tests of one module.
    """
    return Street(tmp_path_factory.mktemp("street"))


@pytest.fixture
def live(tmp_path) -> Live:
    """
    An empty home on disk.
    """
    return Live(tmp_path)


@pytest.fixture
def ledger(live) -> Iterator[Ledger]:
    """
    An empty log, for events that a test puts together by hand.
    """
    ledger = Ledger(live)
    yield ledger
    ledger.close()
