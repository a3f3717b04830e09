"""The author's guide can be followed: what it shows is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import main

TOP = Path(__file__).parent.parent
GUIDE = (TOP / "docs" / "adding-an-agent.md").read_text("utf-8")
TALLYSTICK = Path(sys.executable).with_name("tallystick")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """
    Write every file of the guide, as an author would.
    """
    for name, content in re.findall(r"<!-- file: (\S+) -->\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def shown(mark: str) -> tuple[list[str], str]:
    """
    Return the command behind a mark of the guide, and what it prints there.
    """
    match = re.search(rf"<!-- {mark} -->\n\n```console\n\$ (.*?)\n(.*?)```", GUIDE, re.DOTALL)
    assert match is not None
    return match[1].split()[1:], match[2]


def run(desk: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run tallystick at the author's desk.
    """
    return subprocess.run(
        [TALLYSTICK, *arguments, "--state-dir", "state"],
        cwd=desk,
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def installed(desk: Path, name: str = "tern", target: str = "tern:ADAPTER") -> str:
    """
    Install the author's package as pip would: a module and its metadata; returns the folder for the path of imports.
    """
    site = desk / f"site-{name}"
    metadata = site / f"tallystick_{name}-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "tern.py").write_text((desk / "tern.py").read_text())
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tallystick-{name}\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[tallystick.adapters]\n{name} = {target}\n")
    return str(site)


def test_the_sample_is_checked_as_the_guide_shows(desk: Path) -> None:
    """
    An adapter that is installed nowhere runs over a sample, and prints what the guide prints.
    """
    command, expected = shown("run")

    done = run(desk, *command)

    assert 0 == done.returncode, done.stderr
    assert expected == done.stdout.replace(f"{desk}/sample/.tern/logs/", "")


def test_an_installed_plug_in_is_listed_and_read(desk: Path) -> None:
    """
    A distribution with an entry point adds an agent, and the sample comes to what the guide shows.
    """
    assert 'tern = "tern:ADAPTER"' in GUIDE
    path = installed(desk)

    listed = run(desk, "adapters", "list", "--home", "sample", PYTHONPATH=path)
    read = run(desk, "ingest", "--home", "sample", PYTHONPATH=path)
    command, expected = shown("run installed")
    usage = run(desk, *command, PYTHONPATH=path)

    assert 0 == listed.returncode, listed.stderr
    assert re.search(r"^tern +tern +lines +tern_log +1 +tallystick-tern 0.1.0 +1 ", listed.stdout, re.MULTILINE)
    assert 0 == read.returncode, read.stderr
    assert expected.splitlines()[:2] == usage.stdout.splitlines()[:2]
    assert usage.stdout.splitlines()[2].startswith(expected.splitlines()[2])


def test_a_broken_plug_in_ends_nothing_and_is_named(desk: Path) -> None:
    """
    What a stranger's package does on import keeps no log from being read, and is no secret.
    """
    path = installed(desk)
    (Path(path) / "tern.py").write_text("raise RuntimeError('a secret of the author')\n")

    listed = run(desk, "adapters", "list", "--home", "sample", PYTHONPATH=path)
    read = run(desk, "ingest", "--home", "sample", PYTHONPATH=path)

    assert (1, 1) == (listed.returncode, read.returncode)
    for done in (listed, read):
        assert "plug-in tern of tallystick-tern 0.1.0 reads nothing: cannot be imported: RuntimeError" in done.stderr
        assert "secret" not in done.stdout + done.stderr
    assert "claude_code" in listed.stdout


def test_what_is_no_adapter_is_named_with_what_is_missing(desk: Path) -> None:
    """
    An entry point may lead to anything; the list says what it lacks.
    """
    path = installed(desk, target="tern:Line")

    listed = run(desk, "adapters", "list", "--home", "sample", PYTHONPATH=path)

    assert 1 == listed.returncode
    assert "reads nothing: kind is none of lines, document, rows" in listed.stderr


def test_two_adapters_of_one_name_are_an_error(desk: Path) -> None:
    """
    Nobody could say which one read a file: nothing is read, and both are listed.
    """
    path = os.pathsep.join([installed(desk), installed(desk, name="tern2")])

    listed = run(desk, "adapters", "list", "--home", "sample", PYTHONPATH=path)
    read = run(desk, "ingest", "--home", "sample", PYTHONPATH=path)

    assert (1, 3) == (listed.returncode, read.returncode)
    assert "two adapters are called tern" in listed.stderr
    assert "names=tern" in read.stderr


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (("model=model_name(read.model)", "model=read.model"), "sound:"),
        (('f"tern:{identity(read.id)}"', "read.id"), "no_words:"),
        (("if isinstance(read, LineRejected):", "if False:"), "no_exception:"),
        (("read = decode(line)", "self.seen = getattr(self, 'seen', 0) + 1; read = decode(line)"), None),
        (
            (
                'source_id=f"tern:',
                "source_id=f\"tern:{self.__dict__.update(n=self.__dict__.get('n', 0) + 1) or self.n}",
            ),
            "pure:",
        ),
        (("identity(stem))", "None)"), "session:"),
    ],
)
def test_the_kit_finds_what_an_adapter_breaks(
    desk: Path,
    change: tuple[str, str],
    finding: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Each check of the kit can fail, and only an adapter that breaks its promise makes it.
    """
    text = (desk / "tern.py").read_text()
    assert change[0] in text
    (desk / "tern.py").write_text(text.replace(*change))
    sample = "sample/.tern/logs/s-0002.jsonl"
    (desk / sample).write_text(
        '{"type": "answer", "id": "a-9", "at": "2026-11-01T10:00:00Z", "model": "a m\\u00f6del", "usage": {"in": 1}}\n'
    )

    monkeypatch.chdir(desk)
    code = main(["adapters", "check", "--module", "tern.py", sample, "--state-dir", "state"])

    told = capsys.readouterr().out
    assert (finding is not None) == (code == 1), told
    assert finding is None or f"    {finding}" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["list", "tern.py"],
        ["check", "sample/.tern/logs/s-0001.jsonl", "--adapter", "nobody"],
        ["check", "nothing.jsonl", "--module", "tern.py"],
        ["check", "tern.py", "--module", "pyproject.toml"],
    ],
)
def test_what_cannot_be_asked_is_said(desk: Path, arguments: list[str]) -> None:
    """
    A wrong option is exit code 2, and the last line says what is wrong.
    """
    done = run(desk, "adapters", *arguments)

    assert 2 == done.returncode
    assert done.stderr.splitlines()[-1].startswith("tallystick")
    assert "Traceback" not in done.stderr
