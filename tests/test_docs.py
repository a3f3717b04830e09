"""The documentation says what the code does."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from adapters.registry import installed
from daemon.cli import main
from projections.catalog import relations
from projections.findings import rules

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", TOP / "docs" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_tables_are_current(render: ModuleType) -> None:
    """
    Every field, column and word in docs/ is that of the code; `make docs` writes them anew.
    """
    stale = [path.name for path in render.documents() if path.read_text() != render.rendered(path.read_text())]

    assert {
        "evidence.md",
        "projections.md",
        "explain.md",
        "inbox.md",
        "daemon.md",
        "findings.md",
        "api.md",
        "privacy.md",
    } <= {path.name for path in render.documents()}
    assert [] == stale


def test_columns_of_the_api_are_those_of_the_database(render: ModuleType) -> None:
    """
    The document of the API says of each row what DuckDB says of its table; `make docs` writes it anew.
    """
    assert render.columns() == render.COLUMNS.read_text()


def test_every_relation_is_documented() -> None:
    """
    A table an operator can see has a section with its grain, key and unit.
    """
    text = (TOP / "docs" / "projections.md").read_text()

    assert [] == [each.name for each in relations() if each.refresh != "step" and f"### `{each.name}`" not in text]


def test_every_rule_of_findings_says_what_to_do() -> None:
    """
    A finding at night is no riddle: its rule stands in docs/findings.md with its severity and a next step.
    """
    text = (TOP / "docs" / "findings.md").read_text()

    assert sorted(rules()) == sorted(re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE))
    assert sorted(rules()) == sorted(re.findall(r"^### `(\w+)` \((?:critical|warning|info)\)", text, re.MULTILINE))


def test_readme_names_only_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Every `tallystick VERB` in README and docs is a verb the program knows.
    """
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE))
    texts = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]

    named = {verb for path in texts for verb in re.findall(r"`?tallystick (\w+)", path.read_text())}

    assert named
    assert set() == {verb for verb in named if verb not in known and verb not in ("is", "and", "knows", "reads")}


def test_readme_names_every_agent() -> None:
    """
    What can be read is said where a newcomer looks first.
    """
    text = (TOP / "README.md").read_text()

    assert [] == [adapter.agent for adapter in installed() if f"`{adapter.agent}`" not in text]
