"""
A hook that is missing or silent is told within a window, and mended by the command that is printed.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.daemon.conftest import claude_line
from tests.daemon.live import QUICK, Daemon, append, daemon, until
from tests.daemon.test_hook import FIXTURES, hook

PACE = {**QUICK, "judge": 0.2, "surroundings": 0.2}
WINDOW_SECONDS = 2


@contextmanager
def watching(host, *, expected=(), pace=PACE):
    """Give a daemon whose reporting window is short."""
    folder = host.home.parent / "config"
    folder.mkdir(exist_ok=True)
    lines = [
        f"[health]\nreporting_window_seconds = {WINDOW_SECONDS}",
        f"[hooks]\nexpected = {json.dumps(list(expected))}",
    ]
    (folder / "config.toml").write_text("\n".join(lines) + "\n")
    with daemon(host, pace=pace, environment={"CONFIGURATION_DIRECTORY": str(folder)}) as running:
        yield running


def told(running: Daemon, *rules: str) -> dict[str, dict[str, Any]] | None:
    """Return what the last heartbeat says of these rules, by source; null before everybody was asked."""
    signals = running.health().get("signals")
    return None if signals is None else {each["source"]: each for each in signals if each["rule"] in rules}


def finding_of(running: Daemon, rule: str, source: str) -> dict[str, Any]:
    """Wait until health tells of it."""
    return until(lambda: (told(running, rule) or {}).get(source) or {}, f"{rule} of {source} is told")


def typed(command):
    """Type a command into a shell, as an operator does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, shell=True, check=False, capture_output=True, env={**os.environ, "PATH": path})  # noqa: S602 - that is the point


def work(host, number):
    """Let the agent make a call at this moment."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    append(host.claude(), claude_line(f"msg_{number}", 5, timestamp=at))


def waiting(host) -> list[str]:
    return [path.name for path in host.state.inbox.iterdir() if path.suffix == ".json"]


def test_missing_hook_is_told_and_the_printed_command_mends_it(host):
    """
    Expected and not there, then removed by hand: told both times, and gone after what was printed was typed.
    """
    settings = host.home / ".claude/settings.json"
    with watching(host, expected=["claude-code"]) as running:
        for _ in range(2):
            finding = finding_of(running, "hook_missing", "claude-code")
            assert 0 == typed(finding["next"]).returncode
            until(lambda: told(running, "hook_missing") == {}, "hook is in place")
            settings.write_text("{}")

        settings.write_text("{ broken")

        def is_unreadable():
            return "cannot be read" in finding_of(running, "hook_missing", "claude-code")["message"]

        until(is_unreadable, "broken settings are told as such")


def test_hook_that_ran_once_is_expected(host):
    """
    Nobody has to say that a hook is wanted: one that has run and is not in the settings any more is missing.
    """
    with watching(host) as running:
        until(lambda: told(running, "hook_missing") == {}, "nothing is expected")

        hook(host, "codex", given=(FIXTURES / "codex/stop.json").read_bytes())

        finding = finding_of(running, "hook_missing", "codex")
        assert finding["since"] is not None


def test_silent_hook_is_told_while_its_agent_works(host):
    """
    Calls go on and the hook does not: told after a window; one run of it, and it is well again.
    """
    stop = (FIXTURES / "claude-code/stop.json").read_bytes()
    calls = iter(range(10_000))
    with watching(host) as running:
        hook(host, "claude-code", given=stop)

        def is_told():
            work(host, next(calls))
            return (told(running, "hook_stopped") or {}).get("claude-code") or {}

        finding = until(is_told, "silent hook is told")
        assert typed(finding["next"]).returncode in (0, 1)
        assert "hook status claude-code" in finding["next"]

        hook(host, "claude-code", given=b'{"hookEventName": "Stop"}')  # an agent that calls its keys otherwise by now
        hook(host, "claude-code", given=b"no JSON")
        until(lambda: running.health().get("inbox", {}).get("failure") is None and not waiting(host), "both are taken")
        assert told(running, "hook_stopped")

        hook(host, "claude-code", given=stop)
        until(lambda: told(running, "hook_stopped") == {}, "hook runs again")


def test_old_logs_that_are_read_late_accuse_no_hook(host):
    """
    A month of old transcripts is no work of now: an expected hook that never ran is not called silent.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    with watching(host, expected=["claude-code"]) as running:
        running.has_published(1, 15)
        until(lambda: told(running, "hook_missing"), "judges were asked")

        assert {} == told(running, "hook_stopped")
