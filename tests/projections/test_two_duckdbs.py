"""The tables do not depend on the version of the database that makes them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from daemon.bootstrap import catch_up, seen_files
from daemon.settings import Settings
from state.paths import StatePaths

TOP = Path(__file__).parents[2]

#: Prints the version and both hashes of tables rebuilt from the log below the directory given.
REBUILD = """
import json, sys, duckdb
from pathlib import Path
from projections.build import Projection
from projections.hashes import facts_hash, tables_hash
from state.paths import StatePaths
paths = StatePaths(Path(sys.argv[1]))
with Projection.open(paths) as projection:
    projection.refresh(paths.log_directory)
    print(json.dumps([duckdb.__version__, tables_hash(projection.connection), facts_hash(projection.connection)]))
"""


def other_interpreter() -> Path:
    """Return the interpreter of the environment with the other DuckDB."""
    found = [TOP / name / "bin" / "python" for name in (".venv-duckdb2", ".venv")]
    others = [path for path in found if path.exists() and path.parent != Path(sys.executable).parent]
    if not others:
        pytest.skip("only one environment here; `make test-duckdb2` builds the other")
    return others[0]


def test_two_versions_of_duckdb_make_the_same_tables(tmp_path: Path) -> None:
    """
    One log, rebuilt by DuckDB 1.5 and by 2.x, gives the same hashes over every row.
    """
    other = other_interpreter()
    paths = StatePaths(tmp_path / "state")
    settings = Settings(TOP / "daemon" / "demo_logs" / "home", paths, zone="UTC", host="test")
    catch_up(settings, seen_files(settings))
    answers: list[list[str]] = []
    for interpreter in (Path(sys.executable), other):
        copy = StatePaths(tmp_path / f"copy{len(answers)}")
        copy.create()
        shutil.copytree(paths.log_directory, copy.log_directory, dirs_exist_ok=True)
        run = subprocess.run(
            [interpreter, "-c", REBUILD, str(copy.root)], capture_output=True, text=True, check=True, cwd=TOP
        )
        answers.append(json.loads(run.stdout))

    assert duckdb.__version__ == answers[0][0] != answers[1][0]
    assert answers[0][1:] == answers[1][1:]
