"""
One line for the foot of Claude Code, and completion for the shell.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import _parser
from daemon.completion import SHELLS, script
from daemon.session_totals import SESSIONS_MAX
from tests.daemon.conftest import SESSION, Host, claude_line
from tests.daemon.taken import document

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

    said = f"{stated} · measured: unknown · tallystick UNKNOWN: heartbeat_missing\n"
    assert said == line(host, json.dumps(HANDED).encode())


def test_the_measured_tokens_are_those_of_usage(host: Host) -> None:
    """
    Of the session that is named, by our count and with its class; another session is no zero.
    """
    host.claude().write_bytes(claude_line("msg_a", 5) + claude_line("msg_b", 7, second=1))
    host.claude("22222222-2222-4222-8222-222222222222").write_bytes(claude_line("msg_c", 70, session="another"))
    host.ingest()
    total = document(host, "usage", "--only", f"session={SESSION}", "--json")["totals"]["measured"]["total_tokens"]

    assert 2 * 10 + 5 + 7 == total
    assert f"measured {total:,} tokens · " in line(host, json.dumps({"session_id": SESSION}).encode())
    assert "measured: unknown · " in line(host, b'{"session_id": "nobody"}')
    assert line(host, b"{}").startswith("tallystick ")

    host.claude().write_bytes(host.claude().read_bytes() + claude_line("msg_d", 1, second=2))
    host.ingest()
    assert f"measured {total + 11:,} tokens · " in line(host, json.dumps({"session_id": SESSION}).encode())


def test_a_call_that_is_not_finished_makes_a_lower_bound(host: Host) -> None:
    """
    As `usage` says it: an incomplete call has more output than is known.
    """
    host.claude().write_bytes(claude_line("msg_a", 5) + claude_line("msg_b", 1, second=1, stop=None))
    host.ingest()

    assert 1 == document(host, "usage", "--json")["totals"]["measured"]["incomplete_calls"]
    assert "measured >=26 tokens · " in line(host, json.dumps({"session_id": SESSION}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b'{"schema": "tallystick.session_totals/2", "sessions": {"s": [1, 0]}}',
        b'{"schema": "tallystick.session_totals/1", "sessions": {"s": [null, 0]}}',
        b'{"schema": "tallystick.session_totals/1", "sessions": {"s": 1}}',
        b'{"schema": "tallystick.session_totals/1", "sessions": {"s": [true, 0]}}',
        b'{"schema": "tallystick.session_totals/1", "sessions": {"s": [1, 0], "' + b"x" * 100_000 + b'": [1, 0]}}',
    ],
)
def test_totals_that_are_none_are_unknown(host: Host, content: bytes) -> None:
    """
    Whatever stands in the file, the line is there and says no number that nobody measured.
    """
    host.state.create()
    host.state.session_totals.write_bytes(content)

    assert "measured: unknown · tallystick UNKNOWN: heartbeat_missing\n" == line(host, b'{"session_id": "s"}')


def test_the_file_has_the_last_sessions_and_no_more(host: Host) -> None:
    """
    It is small whatever the history: sessions that nobody works on any more go.
    """
    names = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(SESSIONS_MAX + 5)]
    for number, name in enumerate(names):
        lines = claude_line(f"msg_{number}", 1, session=name, second=0).replace(
            b"T10:00:00", b"T%02d:%02d:00" % divmod(number, 60)
        )
        host.claude(name).write_bytes(lines)
    host.ingest()

    known = json.loads(host.state.session_totals.read_text())

    assert set(names[5:]) == set(known["sessions"])
    assert 0o600 == host.state.session_totals.stat().st_mode & 0o777


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


def completed_by_fish(tmp_path: Path, *words: str) -> set[str]:
    """Return what fish offers for the last of *words*."""
    source = tmp_path / "completion.fish"
    source.write_text(script(_parser(), "fish"))
    asked = f"source {source}; complete -C {shlex.quote(' '.join(('tallystick', *words)))}"
    done = subprocess.run(["fish", "--no-config", "-c", asked], capture_output=True, check=True, cwd=tmp_path)
    assert b"" == done.stderr
    return {offered.partition("\t")[0] for offered in done.stdout.decode().splitlines()}


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_the_same(tmp_path: Path) -> None:
    """
    At each depth what the parser knows there, and files where no word fits.
    """
    (tmp_path / "mine.csv").touch()

    assert {"export", "expect", "explain"} == completed_by_fish(tmp_path, "exp")
    assert {"csv", "ccusage"} == completed_by_fish(tmp_path, "export", "c")
    assert {"--table", "--timezone"} == completed_by_fish(tmp_path, "export", "csv", "--by", "day", "--t")
    assert {"mine.csv"} == completed_by_fish(tmp_path, "export", "csv", "--out", "mine")


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
