"""Trailers are those that git finds."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.trailers import trailers


def by_git(message: str) -> list[tuple[str, str]]:
    """Return what `git interpret-trailers --parse` prints; spaces around a value are none of it."""
    command = ["git", "interpret-trailers", "--parse", "--no-divider"]
    done = subprocess.run(command, input=message.encode(), check=True, capture_output=True)
    pairs = (line.partition(":") for line in done.stdout.decode().split("\n") if line)
    return [(key.strip(), value.strip()) for key, _, value in pairs]


CASES = (
    "title\n\nTask: T-1\n",
    "title\n\nbody\n\nTask: T-1\nWorkstream: w\n",
    "title\n\nbody\nTask: T-1\n",
    "title\nTask: T-1\n",
    "Task: T-1\n",
    "title\n\nTask: T-1\n\nlast words\n",
    "title\n\nTask: T-1\nno trailer\n",
    "title\n\nTask: T-1\nno trailer\nSigned-off-by: a <a@example.com>\n",
    "title\n\none\ntwo\nthree\nfour\nTask: T-1\nSigned-off-by: a <a@example.com>\nfive\nsix\nseven\n",
    "title\n\n(cherry picked from commit abc)\nTask: T-1\n",
    "title\n\nTask: T-1\n  and more\nOther : x\n",
    "title\n\n  Task: T-1\n",
    "title\n\nTask: T-1\n# comment\n\n# more\n",
    "title\n\nTask:T-1\n\n\n\n",
    "title\n\nTask= T-1\n",
    "title\n\nTask:\n",
    "title\n\nTa sk: T-1\n",
    "\n\ntitle\n\nTask: T-1\n",
    "title\n \nTask: T-1",
    "",
)


@pytest.mark.parametrize("message", CASES)
def test_a_block_of_trailers_is_what_git_takes_for_one(message: str) -> None:
    assert by_git(message) == list(trailers(message))


LINE = st.sampled_from(
    (
        "",
        " ",
        "word",
        "some words here",
        "Task: T-1",
        "Workstream:w",
        "Key : v",
        " more",
        "\tmore",
        "Signed-off-by: a <b@c>",
        "(cherry picked from commit abc)",
        "---",
        ": x",
        "a b: c",
        "http://x",
    )
)


@settings(max_examples=150)
@given(lines=st.lists(LINE, max_size=9))
def test_any_message_is_read_as_git_reads_it(lines: list[str]) -> None:
    message = "\n".join(lines) + "\n"

    assert by_git(message) == list(trailers(message))
