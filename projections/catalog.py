"""
Which tables there are: reads `sql/` in name order and parses each header.

A header says what a row is, its key, its unit and its source; `docs/projections.md` and the tests are held against it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal, cast, get_args

Refresh = Literal["append", "replace", "step", "view", "part"]

_HEADER: Final = re.compile(r"-- (?P<name>\w+): (?P<what>.+\.)\n(?P<fields>(?:-- \w+: .*\n)+)(?P<notes>(?:--.*\n)*)")
#: A view of which more views than this are bound, again and again, brings them, each once. Fewer are cheaper to bind
#: than longer statements are to read whenever the database is opened.
_BOUND_MAX: Final = 50
_FILE: Final = re.compile(r"\d\d_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Relation:
    """
    One table or view, as its file states it.

    ``refresh``: `append` adds what a refresh staged, `replace` deletes and inserts again the rows of the touched
    ``replace_key``, `step` lives during one refresh only, `view` is computed when read, `part` is none by itself: it
    lives within the views that name it as a source.
    """

    name: str
    what: str
    grain: str
    key: tuple[str, ...]
    unit: str
    source: str
    refresh: Refresh
    replace_key: tuple[str, ...]
    notes: str
    sql: str

    @property
    def driver(self) -> str:
        """The first of its sources: where that has no row, this has none to add."""
        return re.split(r"\W", self.source, maxsplit=1)[0]

    @property
    def sources(self) -> frozenset[str]:
        """The relations that its source names; `finding_*` are all that begin so."""
        named = re.findall(r"[a-z_0-9]+\*?", self.source)
        return frozenset(
            each.name
            for each in relations()
            for name in named
            if each.name == name or (name.endswith("*") and each.name.startswith(name[:-1]))
        )

    @property
    def brings_its_views(self) -> bool:
        """Whether its statement holds every view that it is computed from, and asks for none of them."""
        return self.refresh == "view" and len(_bound(self)) > _BOUND_MAX

    @property
    def statement(self) -> str:
        """
        The query that makes it: its own, behind those of the views and parts that it brings.

        What it brings is bound and planned once. A view within views is bound again wherever it is read, and of the
        last views the database takes longer to bind all that than to answer.
        """
        if not self.brings_its_views:
            return self.sql
        names = set(_bound(self))
        queries = [f"{each.name} AS ({each.sql})" for each in relations() if each.name in names]
        return f"WITH {', '.join(queries)} FROM {self.name}"

    @property
    def definition(self) -> str:
        """
        What its table or view is created as.

        A statement that brings its views is stored as text and parsed when somebody asks. The database reads every view
        whenever it is opened, and a long statement, node by node, costs more than most questions.
        """
        if not self.brings_its_views:
            return self.statement
        text = self.statement.replace("'", "''")
        return f"FROM query('{text}')"

    @property
    def is_table(self) -> bool:
        """Whether its rows are stored."""
        return self.refresh in ("append", "replace")


@cache
def relations() -> tuple[Relation, ...]:
    """Return every relation in build order."""
    folder = files("projections") / "sql"
    names = sorted(entry.name for entry in folder.iterdir() if _FILE.fullmatch(entry.name))
    return tuple(_parse(name, (folder / name).read_text("ascii")) for name in names)


def read_by_several(parts: Sequence[Relation]) -> list[Relation]:
    """Return the views that more than one of *parts* reads, in build order."""
    count = Counter(name for part in parts for name in part.sources)
    return [each for each in relations() if each.refresh == "view" and count[each.name] > 1]


@cache
def reached_from(name: str) -> frozenset[str]:
    """Return *name* and every relation that is made of it, directly or not, as the headers say."""
    reached = {name}
    while more := {each.name for each in relations() if each.sources & reached} - reached:
        reached |= more
    return frozenset(reached)


@cache
def behind(*names: str) -> frozenset[str]:
    """Return the relations that are asked when those of *names* are, or when stored ones are filled."""
    words = set(names)
    found = set()
    for relation in reversed(relations()):  # none asks a later one
        if relation.name in words or relation.refresh not in ("view", "part"):
            found.add(relation.name)
            words.update(() if relation.brings_its_views else re.findall(r"\w+", relation.sql))
    return frozenset(found)


@cache
def _bound(relation: Relation) -> tuple[str, ...]:
    """Return the name of every view or part that is bound when *relation* is, as often as it is; its own first."""
    names, computed = relation.sources, [each for each in relations() if each.refresh in ("view", "part")]
    return (relation.name, *(name for each in computed if each.name in names for name in _bound(each)))


@cache
def layout() -> str:
    """Return the hash that names this layout: every statement and every rule that decides a row."""
    parts = [relation.name + relation.sql for relation in relations()]
    folder = files("projections")
    parts += [(folder / name).read_text("utf-8") for name in ("counters.py", "threads.py", "staging.py", "build.py")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _parse(file_name: str, text: str) -> Relation:
    match = _HEADER.match(text)
    expected = _FILE.fullmatch(file_name)
    if match is None or expected is None or match["name"] != expected[1]:
        message = f"{file_name} has no header of the form that projections/catalog.py reads"
        raise ValueError(message)
    fields = dict(line[3:].split(": ", 1) for line in match["fields"].splitlines())
    refresh, _, replace_key = fields["refresh"].partition(" ")
    return Relation(
        name=match["name"],
        what=match["what"],
        grain=fields["grain"],
        key=_names(fields["key"]),
        unit=fields["unit"],
        source=fields["source"],
        refresh=_refresh(refresh),
        replace_key=_names(replace_key),
        notes=" ".join(line.removeprefix("--").strip() for line in match["notes"].splitlines()).strip(),
        sql=text[match.end() :].strip(),
    )


def _refresh(word: str) -> Refresh:
    for known in get_args(Refresh):
        if word == known:
            return cast("Refresh", word)
    message = f"unknown refresh: {word}"
    raise ValueError(message)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
