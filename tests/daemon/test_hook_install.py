"""
Putting the hook into an agent's settings, and taking it out, without touching anything else in them.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from daemon.health.hooks import Hooks
from daemon.health.limits import Limits
from daemon.hooks.install import BACKUP_SUFFIX
from daemon.hooks.installed import WANTED, installed
from projections.read import Tables

COMMAND = Path(sys.executable).parent / "tallystick"


def said(host, *words):
    return main([*words, "--home", str(host.home), "--state-dir", str(host.state.root)])


def claude(host):
    path = host.home / ".claude/settings.json"
    path.parent.mkdir(exist_ok=True)
    return path


def codex(host, name="hooks.json"):
    path = host.home / ".codex" / name
    path.parent.mkdir(exist_ok=True)
    return path


def other(command="notify-send done"):
    return {"hooks": [{"type": "command", "command": command}]}


@pytest.mark.parametrize("agent", WANTED)
def test_installed_hook_is_what_the_agent_then_runs(host, agent):
    """
    The command in the settings, run as a shell runs it, leaves its evidence in this state directory.
    """
    assert 0 == said(host, "hook", "install", agent)
    found = installed(host.settings, agent)

    assert found.command is not None
    event = b'{"hook_event_name":"Stop"}'
    ran = subprocess.run(found.command, shell=True, input=event, capture_output=True, check=True)  # noqa: S602 - as an agent does

    assert ("installed", b"", b"") == (found.state, ran.stdout, ran.stderr)
    assert 2 == len(list(host.state.inbox.glob("*.json")))
    assert 0 == said(host, "hook", "status", agent)


def test_everything_else_in_the_settings_stays(host):
    """
    Other hooks, other keys, their order and the indentation; and taken out again, all is as it was.
    """
    settings = claude(host)
    before: dict[str, Any] = {
        "model": "opus",
        "hooks": {"Stop": [other()], "PreToolUse": [{"matcher": "Bash", **other("check \u00e9")}]},
        "cleanupPeriodDays": 99,
    }
    settings.write_text(json.dumps(before, indent=4, ensure_ascii=False) + "\n")
    settings.chmod(0o640)
    text = settings.read_text()

    said(host, "hook", "install", "claude-code")
    once = settings.read_text()
    said(host, "hook", "install", "claude-code")

    after = json.loads(once)
    assert once == settings.read_text()
    assert list(before) == list(after)
    assert before["hooks"]["Stop"][0] == after["hooks"]["Stop"][0]
    assert before["hooks"]["PreToolUse"] == after["hooks"]["PreToolUse"]
    assert '\n    "model"' in once
    assert "check \u00e9" in once
    assert 0o640 == settings.stat().st_mode & 0o777
    assert text == settings.with_name(settings.name + BACKUP_SUFFIX).read_text()
    assert 0 == said(host, "hook", "uninstall", "claude-code")
    assert text == settings.read_text()


def test_the_copy_of_the_settings_stays_as_their_owner_had_them(host):
    """
    A later install finds settings with our hook in them: they never take the place of the first copy.
    """
    settings = claude(host)
    settings.write_text('{"model": "opus"}')
    kept = settings.with_name(settings.name + BACKUP_SUFFIX)
    said(host, "hook", "install", "claude-code")
    settings.write_text(settings.read_text().replace("opus", "haiku"))

    said(host, "hook", "uninstall", "claude-code")
    said(host, "hook", "install", "claude-code")

    assert '{"model": "opus"}' == kept.read_text()
    assert "haiku" in settings.read_text()


def test_a_moved_command_takes_the_place_of_the_old_one(host):
    """
    After an upgrade that moved the program there is one hook for each event, not two.
    """
    settings = claude(host)
    said(host, "hook", "install", "claude-code")
    settings.write_text(settings.read_text().replace(str(COMMAND), "/gone/bin/tallystick"))
    assert "command_gone" == installed(host.settings, "claude-code").state
    assert 1 == said(host, "hook", "status", "claude-code")

    said(host, "hook", "install", "claude-code")

    assert "installed" == installed(host.settings, "claude-code").state
    assert "/gone" not in settings.read_text()
    assert {1} == {len(groups) for groups in json.loads(settings.read_text())["hooks"].values()}


def test_tools_that_are_meant_now_take_the_place_of_those_that_were(host):
    """
    A hook that an older version installed for fewer tools is brought up by installing again.
    """
    settings = claude(host)
    said(host, "hook", "install", "claude-code")
    whole = settings.read_text()
    settings.write_text(whole.replace("Bash|mcp__.*", "Bash"))

    said(host, "hook", "install", "claude-code")

    assert json.loads(whole) == json.loads(settings.read_text())


def test_a_link_to_the_settings_is_followed(host):
    """
    Settings that are kept in a repository and linked stay a link.
    """
    kept = host.home / "dotfiles.json"
    kept.write_text("{}")
    claude(host).symlink_to(kept)

    said(host, "hook", "install", "claude-code")

    assert claude(host).is_symlink()
    assert "tallystick" in kept.read_text()


@pytest.mark.parametrize("content", ["{", "[]", '{"hooks": []}', '{"hooks": {"Stop": {}}}', "\udcff"])
def test_settings_that_cannot_be_read_are_not_touched(host, capsys, content):
    """
    Nothing is repaired by guessing: exit code 2, the file named, its bytes as they were, none of them in the message.
    """
    raw = content.encode("utf-8", "surrogateescape")
    claude(host).write_bytes(raw)

    code = said(host, "hook", "install", "claude-code")

    assert (2, raw) == (code, claude(host).read_bytes())
    assert "settings.json" in capsys.readouterr().err
    assert [claude(host)] == list(claude(host).parent.iterdir())


def test_hook_of_another_home_is_found_by_the_agents_own_variable(own_home, monkeypatch, tmp_path):
    """
    An operator who moved Claude Code or Codex has the hook where they look for it.
    """
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))

    assert 0 == main(["hook", "install", "claude-code"])
    assert 0 == main(["hook", "install", "codex"])

    assert (tmp_path / "claude/settings.json").exists()
    assert (tmp_path / "codex/hooks.json").exists()


def test_notify_of_an_older_codex_stands_above_every_table(host):
    """
    The line is a key of the top, whatever tables follow; installed twice it stands once, taken out it is gone.
    """
    config = codex(host, "config.toml")
    before = 'model = "gpt-5.5"\n\n[history]\npersistence = "save-all"\n'
    config.write_text(before)

    for _ in range(2):
        assert 0 == said(host, "hook", "install", "codex", "--notify")

    assert "installed" == installed(host.settings, "codex").state
    assert shlex.split(installed(host.settings, "codex").command)[:3] == [str(COMMAND), "hook", "codex"]
    assert 1 == config.read_text().count("notify =")
    assert 0 == said(host, "hook", "uninstall", "codex")
    assert before == config.read_text()


def test_notify_of_another_program_is_left_alone(host, capsys):
    """
    Codex has one `notify`: the operator is told the line that the other program has to run.
    """
    config = codex(host, "config.toml")
    config.write_text('notify = ["other"]\n')

    assert 2 == said(host, "hook", "install", "codex", "--notify")

    assert f"{COMMAND} hook codex" in capsys.readouterr().err
    assert 'notify = ["other"]\n' == config.read_text()


@pytest.mark.parametrize("agent", WANTED)
def test_settings_that_are_a_pipe_keep_nobody_waiting(host, agent):
    """
    The daemon looks at this file again and again: what never answers is no settings.
    """
    os.mkfifo(claude(host) if agent == "claude-code" else codex(host))

    assert "missing" == installed(host.settings, agent).state


def test_status_says_which_events_are_missing(host, capsys):
    """
    A hook that somebody took out of half of its events is not in place.
    """
    said(host, "hook", "install", "claude-code")
    document = json.loads(claude(host).read_text())
    del document["hooks"]["PostToolUse"]
    claude(host).write_text(json.dumps(document))
    capsys.readouterr()

    assert 1 == said(host, "hook", "status", "--json")

    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"claude-code": "incomplete", "codex": "missing"} == {row["hook"]: row["state"] for row in rows}


def test_hooks_that_are_switched_off_are_not_in_place(host, capsys):
    """
    `disableAllHooks` of the agent leaves ours in the settings and runs none: status and health say so.
    """
    said(host, "hook", "install", "claude-code")
    document = json.loads(claude(host).read_text())
    claude(host).write_text(json.dumps(document | {"disableAllHooks": True}))
    capsys.readouterr()

    assert 1 == said(host, "hook", "status", "claude-code", "--json")
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "disabled" == row["state"]
    assert "tallystick" in row["command"]
    host.ingest()
    with Tables(host.state.published) as tables:
        (finding,) = Hooks(host.settings, Limits(expected_hooks=("claude-code",)))(tables.connection, host.now)
    assert ("hook_missing", "claude-code") == (finding.rule, finding.source)
    assert "disableAllHooks" in finding.message

    claude(host).write_text(json.dumps(document | {"disableAllHooks": False}))
    assert 0 == said(host, "hook", "status", "claude-code")
