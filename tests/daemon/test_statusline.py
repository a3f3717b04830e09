"""
One line for the foot of Claude Code, and completion for the shell.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import _parser
from daemon.completion import SHELLS, script
from tests.daemon.conftest import Host

HANDED = {
    "session_id": "s",
    "model": {"id": "claude-opus-4-5", "display_name": "Opus 4.5"},
    "cost": {"total_cost_usd": 0.4213},
    "context_window": {"used_percentage": 31.4},
    "rate_limits": {"five_hour": {"used_percentage": 23.5, "resets_at": 1795400000}},
}


def line(host: Host, handed: bytes) -> str:
    words = [sys.executable, "-m", "daemon.command", "statusline", "--state-dir", str(host.state.root)]
    done = subprocess.run(words, input=handed, capture_output=True, check=True, env=os.environ | {"TZ": "UTC"})
    assert b"" == done.stderr
    return done.stdout.decode()


def test_what_the_agent_states_is_shown_beside_our_verdict(host: Host) -> None:
    """
    Its own figures are called its own; without a daemon our part says that nobody knows.
    """
    stated = "Opus 4.5 · $0.42 by its own count · context 31% · 5h 24% until Mon 02:13"

    assert f"{stated} · tallystick UNKNOWN: heartbeat_missing\n" == line(host, json.dumps(HANDED).encode())


@pytest.mark.parametrize(
    "handed",
    [
        b"",
        b"not json",
        b"[1]",
        b'{"model": "x", "cost": {"total_cost_usd": "much"}, "rate_limits": {"five_hour": null}}',
        b'{"cost": {"total_cost_usd": true}}',
    ],
)
def test_what_is_not_stated_is_left_out(host: Host, handed: bytes) -> None:
    """
    No zero and no traceback: what is left is our own verdict.
    """
    assert "tallystick UNKNOWN: heartbeat_missing\n" == line(host, handed)


def test_nothing_of_the_agent_acts_on_the_terminal(host: Host) -> None:
    """
    A name with a control character in it is shown without.
    """
    assert line(host, json.dumps({"model": {"display_name": "x\x1b[31m"}}).encode()).startswith("x?[31m · ")


def test_the_line_opens_no_table_and_needs_no_parser(host: Host) -> None:
    """
    It is asked at every message: neither database nor parser nor models are imported for it.
    """
    asked = (
        "import sys; sys.argv = ['tallystick', 'statusline', '--state-dir', sys.argv[1]];"
        "from daemon.command import main; main();"
        "print([name for name in ('duckdb', 'argparse', 'pydantic', 'msgspec', 'daemon.cli') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", asked, str(host.state.root)], input=b"{}", capture_output=True, check=True
    )

    assert "[]" == done.stdout.decode().splitlines()[-1]


def completed(tmp_path: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of *words*."""
    source = tmp_path / "completion.bash"
    source.write_text(script(_parser(), "bash"))
    asked = (
        f'source {source}; COMP_WORDS=(tallystick "$@"); COMP_CWORD=$#; _tallystick; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", asked, "bash", *words], capture_output=True, check=True, cwd=tmp_path)
    return set(done.stdout.decode().split())


def test_a_shell_completes_commands_words_and_options(tmp_path: Path) -> None:
    """
    At each depth what the parser knows there, and nothing of another command.
    """
    assert {"export", "expect", "explain"} == completed(tmp_path, "exp")
    assert {"csv", "ccusage"} == completed(tmp_path, "export", "c")
    assert {"daily"} == completed(tmp_path, "export", "ccusage", "d")
    assert {"--table", "--timezone"} == completed(tmp_path, "export", "csv", "--t")
    assert {"--table", "--timezone"} == completed(tmp_path, "export", "csv", "--by", "day", "--t")
    assert "--textfile" in completed(tmp_path, "metrics", "--")


def test_where_no_word_fits_files_are_completed(tmp_path: Path) -> None:
    """
    The value of `--out` is a file.
    """
    (tmp_path / "mine.csv").touch()

    assert {"mine.csv"} == completed(tmp_path, "export", "csv", "--out", "mine")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_in_the_script(shell: str, capsys: Any) -> None:
    """
    Made from the parser, so that no command is forgotten.
    """
    text = script(_parser(), shell)

    assert [] == [
        path for path in ("/usage", "/export/ccusage", "/service/install", "/hook/claude-code") if path not in text
    ]
