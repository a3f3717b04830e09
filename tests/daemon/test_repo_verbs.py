"""`tallystick repo register | alias`: what belongs to a repository is said once, and can be taken back."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from tests.daemon.conftest import Host
from tests.daemon.repositories import git, repository

DONE, USAGE = 0, 2


@pytest.fixture
def top(tmp_path: Path) -> Path:
    place = repository(tmp_path / "repo", commits=2)
    git(place, "remote", "add", "origin", "https://user:Sw0rdf1sh@host.example/owner/name.git")
    git(place, "remote", "add", "upstream", "https://host.example/other/name.git")
    return place


class Commands:
    """The command line over one host."""

    def __init__(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        self._host = host
        self._capsys = capsys
        self.errors = ""

    def repo(self, *arguments: str | Path, code: int = DONE) -> dict[str, Any]:
        place = ["--home", str(self._host.home), "--state-dir", str(self._host.state.root), "--json"]
        found = main(["repo", *map(str, arguments), *place])
        out, self.errors = self._capsys.readouterr()
        assert (code, self.errors) == (found, self.errors)
        document: dict[str, Any] = json.loads(out) if out else {}
        return document

    def registered(self) -> list[dict[str, Any]]:
        """Return the registrations that hold, as the tables have them."""
        self._host.ingest()
        return self._host.rows(
            "SELECT repo, root_commits, remotes, paths, aliases FROM repo_registrations ORDER BY ALL"
        )


@pytest.fixture
def commands(host: Host, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(host, capsys)


def test_a_checkout_is_registered_by_the_path_of_its_origin(commands: Commands, top: Path) -> None:
    """
    With its first commit, its own remote and its top; what it was forked from belongs to another repository.
    """
    told = commands.repo("register", top)

    expected = {
        "repo": "owner/name",
        "root_commits": [git(top, "rev-list", "HEAD").splitlines()[-1]],
        "remotes": ["host.example/owner/name"],
        "paths": [str(top)],
    }
    assert {"schema": "tallystick.repo.register/1", **expected, "receipt": told["receipt"]} == told
    assert [expected | {"aliases": []}] == commands.registered()


def test_without_a_path_it_is_the_checkout_one_stands_in(
    commands: Commands, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Unless options say what belongs to it: then where one stands says nothing.
    """
    (top / "src").mkdir()
    monkeypatch.chdir(top / "src")

    here = commands.repo("register")
    stated = commands.repo("register", "--name", "x", "--remote", "git@host.example:x/y", "--path", "../src")

    assert [str(top)] == here["paths"]
    assert ([], ["host.example/x/y"], [str(top / "src")]) == (
        stated["root_commits"],
        stated["remotes"],
        stated["paths"],
    )


def test_a_registration_can_be_taken_back_and_made_again(commands: Commands, top: Path) -> None:
    """
    However often: the last word holds, and registering twice is registering once.
    """
    commands.repo("register", top)
    commands.repo("register", top)
    first = len(commands.registered())
    commands.repo("register", top, "--withdraw")
    second = len(commands.registered())
    commands.repo("register", top)
    third = len(commands.registered())

    assert (1, 0, 1) == (first, second, third)


def test_taking_back_what_nobody_registered_is_told(commands: Commands, top: Path) -> None:
    commands.repo("register", top, "--name", "other", "--withdraw")

    assert "no such registration" in commands.errors


def test_further_names_are_registered_one_by_one(commands: Commands) -> None:
    """
    So that one of them can be taken back.
    """
    told = commands.repo("alias", "owner/name", "old-name", "older")
    before = [each["aliases"] for each in commands.registered()]
    commands.repo("alias", "owner/name", "older", "--withdraw")

    assert (["old-name", "older"], 2) == (told["aliases"], len(set(told["receipts"])))
    assert ([["old-name"], ["older"]], [["old-name"]]) == (before, [each["aliases"] for each in commands.registered()])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["register", "{place}"], "no checkout of git"),
        (["register", "{place}/nothing", "--name", "x"], "no checkout of git"),
        (["register", "--remote", "git@host.example:x/y"], "Give --name"),
        (["register", "--name", "no name", "--path", "/srv"], "--name"),
        (["register", "--name", "x", "--root", "abc"], "--root"),
        (["register", "--name", "x", "--remote", ""], "--remote"),
        (["register", "--name", "x", "--path", "/srv/a\nb"], "--path"),
        (["alias", "x", "x"], "OTHER"),
        (["alias", "x", "-x y"], "OTHER"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_the_next_step(
    commands: Commands, host: Host, arguments: list[str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    given = [argument.format(place=tmp_path / "plain") for argument in arguments]
    try:
        commands.repo(*given, code=USAGE)
        told = commands.errors
    except SystemExit as ended:
        told, expected = str(ended.code), "2"

    assert expected in told
    assert not host.state.inbox.exists()


def test_a_checkout_without_a_usable_name_needs_one(commands: Commands, tmp_path: Path) -> None:
    place = repository(tmp_path / "repo")
    git(place, "remote", "add", "origin", "/srv/git/name.git")
    commands.repo("register", place, code=USAGE)
    assert "Give --name" in commands.errors

    told = commands.repo("register", place, "--name", "name")

    assert told["remotes"][0].startswith("hash:")


def test_what_cannot_be_read_of_a_damaged_checkout_is_not_made_up(commands: Commands, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", commits=3)
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{source}", "shallow")

    told = commands.repo("register", tmp_path / "shallow", "--name", "x")

    assert ([], [str(tmp_path / "shallow")]) == (told["root_commits"], told["paths"])
