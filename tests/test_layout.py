"""
Which file may stand where, and which may import what.
"""

import ast
import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("daemon", "adapters", "projections", "state")

#: What an adapter may not import, but for `state.vocabulary`: our other rooms, the database, the watcher.
CLOSED_TO_ADAPTERS = frozenset({"daemon", "projections", "state", "duckdb", "watchdog"})
OPEN_TO_ADAPTERS = "state.vocabulary"

#: A full stop or question mark with more behind it; "e.g. a file" is no end of a sentence.
SECOND_SENTENCE = re.compile(r"[.?!] +[A-Z`]")


def modules(folder: Path) -> list[Path]:
    """
    List every Python file under *folder*, in name order; caches and environments are no part of it.
    """
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported(source: str, package: str) -> Iterator[str]:
    """
    Name everything that *source* imports, at whatever depth, as absolute dotted names.

    Args:
        source: Python text of one module.
        package: Dotted name of the package the module stands in, for relative imports.

    Returns:
        `from a import b` gives "a.b": b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def trespasses(source: str, package: str) -> set[str]:
    """
    Name what *source* imports and an adapter may not.
    """
    return {
        name
        for name in imported(source, package)
        if name.split(".")[0] in CLOSED_TO_ADAPTERS and not f"{name}.".startswith(f"{OPEN_TO_ADAPTERS}.")
    }


def is_one_sentence(line: str) -> bool:
    """
    Say whether *line* is one sentence: it ends like one, and no other begins in it.
    """
    return line.endswith((".", "?")) and not SECOND_SENTENCE.search(line)


@pytest.mark.parametrize("name", PACKAGES)
def test_import_name_belongs_to_us_alone(name):
    """
    Another distribution with a package of this name would be imported in our place; use an own environment.
    """
    owners = set(importlib.metadata.packages_distributions().get(name, []))

    # An editable install lists no owner.
    assert owners <= {"tallystick"}


@pytest.mark.parametrize("name", PACKAGES)
def test_package_under_test_is_this_checkout(name):
    """
    A copied `.venv` still points at the checkout it was made in, and tests that one; `make clean` cures it.
    """
    found = importlib.import_module(name).__file__

    assert found is not None
    assert ROOT / name == Path(found).parent


def test_systemd_holds_no_python():
    """
    `import systemd` would find our folder instead of the binding that the operator has installed.
    """
    assert [] == modules(ROOT / "systemd")


def test_test_folders_are_no_packages():
    """
    A package tests/adapters would be imported in place of adapters.
    """
    assert [] == sorted((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("path", modules(ROOT / "adapters"), ids=lambda path: path.name)
def test_adapter_sees_nothing_but_the_vocabulary(path):
    """
    An adapter that could reach log, database or watcher could say where a line came from, which only its reader knows.
    """
    package = ".".join(path.relative_to(ROOT).parent.parts)

    assert set() == trespasses(path.read_text(encoding="utf-8"), package)


def test_vocabulary_imports_nothing_of_ours():
    """
    What the vocabulary imported would be open to adapters by a detour.
    """
    source = (ROOT / "state" / "vocabulary.py").read_text(encoding="utf-8")

    ours = {name for name in imported(source, "state") if name.split(".")[0] in {*PACKAGES, "duckdb", "watchdog"}}

    assert set() == ours


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import state.log", {"state.log"}),
        ("import state", {"state"}),
        ("from state import log, vocabulary", {"state.log"}),
        ("from state.log import Log", {"state.log.Log"}),
        ("from state.vocabulary_of_others import x", {"state.vocabulary_of_others.x"}),
        ("def late():\n    import duckdb as db", {"duckdb"}),
        ("from watchdog.observers import Observer", {"watchdog.observers.Observer"}),
        ("from state.vocabulary import Agent", set()),
        ("import state.vocabulary", set()),
        ("from state import vocabulary", set()),
        ("from . import contract\nfrom .contract import Line", set()),
        ("import msgspec, statement", set()),
    ],
)
def test_trespass_is_seen_however_it_is_spelt(source, expected):
    """
    The check of the adapters is itself checked: each spelling of a forbidden import is found, no allowed one is.
    """
    assert expected == trespasses(source, "adapters")


@pytest.mark.parametrize(
    "path",
    [path for name in (*PACKAGES, "tests", "benchmarks") for path in modules(ROOT / name)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_module_says_in_one_sentence_what_it_is_for(path):
    """
    A reader who opens a file learns from its first line what to ask it.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring, "the module has no docstring"
    assert is_one_sentence(docstring.splitlines()[0]), docstring.splitlines()[0]
