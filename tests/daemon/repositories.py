"""Real repositories of git, made in a test's own folder and without anybody's configuration."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_WITHOUT_CONFIGURATION: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "LC_ALL": "C",
}


def git(place: Path | bytes, *arguments: str | bytes, environment: Mapping[str, str] | None = None) -> str:
    """Run git in *place* and return what it prints."""
    done = subprocess.run(
        [b"git", b"-C", os.fsencode(place), "-c", "protocol.file.allow=always", *arguments],
        check=True,
        capture_output=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        | _WITHOUT_CONFIGURATION
        | dict(environment or {}),
    )
    return os.fsdecode(done.stdout).rstrip("\n")


def repository(place: Path, *options: str, commits: int = 1) -> Path:
    """Make a repository with some commits on `main`."""
    place.mkdir(parents=True, exist_ok=True)
    git(place, "init", "--quiet", "--initial-branch", "main", *options)
    for number in range(commits):
        commit(place, f"commit {number} of {place}")
    return place


def commit(place: Path, message: str, *, at: str | None = None) -> str:
    """Make a commit with *message*, verbatim, at a time as git takes it; return its name."""
    when = {"GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at} if at else {}
    options = ("--quiet", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-m", message)
    git(place, "commit", *options, environment=when)
    return git(place, "rev-parse", "HEAD")
