"""
What is locked, what is explained, and what the wheel carries.
"""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import uv_build

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("daemon", "adapters", "projections", "state")
LOCKS = ("requirements.lock", "requirements-dev.lock")

#: An address, or an option that names one.
ADDRESS = re.compile(r"[a-z+]+://|\bfile:|--(?:default-index|index|extra-index|find-links|trusted-host)\b")

#: Absolute paths below the folders we work in, other than as a part of a longer path.
MACHINE_PATH = re.compile(r"(?<![\w.~/}-])/(?:work|root)/|/\.pyenv/")

#: Text that people write; in logs of fixtures a path is part of what an agent said.
WRITTEN_BY_US = frozenset({".cfg", ".css", ".html", ".ini", ".js", ".lock", ".md", ".py", ".service", ".sh", ".sql"})
WRITTEN_BY_US |= {".socket", ".target", ".timer", ".toml", ".yaml", ".yml", ""}


def tracked(*folders: str) -> list[Path]:
    """
    List the files that git knows under *folders* (all when none is named), committed or staged; skip without git.
    """
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--", *folders], cwd=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or no git checkout: cannot tell our files from others")
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def blocks(lock: str) -> list[str]:
    """
    Split a lock into one text per requirement, its hashes included.
    """
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return re.split(r"\n(?=\S)", text.strip())


def unexplained(toml: str) -> list[str]:
    """
    List the lines of *toml* that set something without a comment beside them or on the line above.
    """
    lines = toml.splitlines()
    silent = []
    for above, line in zip(["", *lines], lines, strict=False):
        stripped = line.strip()
        sets = stripped and not stripped.startswith(("#", "[", "]"))
        if sets and not re.search(r"\S\s+# \S", line) and not above.strip().startswith("# "):
            silent.append(stripped)
    return silent


@pytest.mark.parametrize("lock", LOCKS)
def test_locked_requirement_is_exact_and_hashed(lock):
    """
    A package that was changed on its way here is refused, not installed.
    """
    requirements = blocks(lock)

    assert requirements
    assert [] == [text for text in requirements if not re.match(r"[a-z0-9._-]+==\S+", text)]
    assert [] == [text for text in requirements if "--hash=sha256:" not in text]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_index(lock):
    """
    A lock that names an index sends everyone there, and tells everyone where its author fetches from.
    """
    assert [] == ADDRESS.findall((ROOT / lock).read_text(encoding="utf-8"))


def test_development_lock_holds_what_operators_run():
    """
    Tests run with the very packages of requirements.lock, so that a green test says something about the wheel.
    """
    assert set() == set(blocks("requirements.lock")) - set(blocks("requirements-dev.lock"))


def test_duckdb_is_locked_where_its_extensions_are():
    """
    Quack, DuckLake and Postgres exist as extension wheels of this DuckDB version and no later one.
    """
    assert ["duckdb==1.5.5"] == [text.split()[0] for text in blocks("requirements.lock") if text.startswith("duckdb")]


def test_every_setting_gives_its_reason():
    """
    Who changes a setting reads first why it is so.
    """
    assert [] == unexplained((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_silent_setting_is_found():
    """
    The check above is itself checked.
    """
    toml = '# why\na = 1\nb = 2\nc = "x # no comment"\nd = [\n    "e>=1",  # why\n    "f>=1",\n]\n'

    assert ["b = 2", "d = [", '"f>=1",'] == [line for line in unexplained(toml) if not line.startswith("c")]


def test_every_dependency_gives_its_reason_beside_it():
    """
    A dependency whose reason has gone is found and removed.
    """
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)
    groups = settings["dependency-groups"].values()
    requirements = [*settings["project"]["dependencies"], *(name for group in groups for name in group)]

    silent = [name for name in requirements if not re.search(rf'^ +"{re.escape(name)}", +# \S', text, re.MULTILINE)]

    assert requirements
    assert [] == silent


def test_no_path_of_our_machines_is_written_down():
    """
    What names a folder of its author's machine works there only.
    """
    checkout = str(ROOT)
    texts = {
        path: path.read_text(encoding="utf-8", errors="replace")
        for path in tracked()
        if path.suffix in WRITTEN_BY_US and "fixtures" not in path.parts and path != Path(__file__).resolve()
    }

    found = [str(path) for path, text in texts.items() if MACHINE_PATH.search(text) or checkout in text]

    assert [] == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [("see /{0}/a", True), ('"/{0}/.cache"', True), ("/home/dev/{0}/a", False), ("~/{0}/a", False), ("a/{0}/b", False)],
)
def test_machine_path_is_told_from_other_paths(text, expected):
    """
    The check above is itself checked.
    """
    assert expected == bool(MACHINE_PATH.search(text.format("work")))


def test_wheel_carries_every_file_of_the_packages(tmp_path, monkeypatch):
    """
    SQL, demo logs and pages travel with the code, files in hidden folders and empty ones too.
    """
    expected = {path.relative_to(ROOT).as_posix() for path in tracked(*PACKAGES)}
    if not expected:
        pytest.skip("git knows no file of the packages yet: nothing to compare with")
    # The backend looks for its program on PATH, where an environment that was not activated is missing.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    monkeypatch.chdir(ROOT)

    wheel = tmp_path / uv_build.build_wheel(str(tmp_path))

    assert set() == expected - set(zipfile.ZipFile(wheel).namelist())
