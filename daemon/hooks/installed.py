"""
What an agent's settings say of our hook: whether they name it, for which events, and whether what they name is there.

Asked by the daemon now and then: one small file is read, and nothing is run.
"""

import json
import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from daemon.git_files import read_small
from daemon.hooks.places import codex_directory, hooks_file
from daemon.settings import Settings

#: Which events of each agent call us, with the tools that are meant; null for all.
WANTED: Final[Mapping[str, Mapping[str, str | None]]] = {
    "claude-code": {
        "SessionStart": None,
        "UserPromptSubmit": None,
        "PostToolUse": "Bash|mcp__.*|TodoWrite|TaskCreate|TaskUpdate",
        "Stop": None,
        "SubagentStop": None,
        "SessionEnd": None,
    },
    "codex": {"SessionStart": None, "UserPromptSubmit": None, "PostToolUse": None, "Stop": None},
}

#: The key of Codex' configuration that names one program to be told of each turn.
NOTIFY: Final = "notify"

#: Longest file of settings that is read, in bytes.
SETTINGS_BYTES_MAX: Final = 16 * 1024 * 1024

State = Literal[
    "installed",  #: every event that is wanted names a command of ours that is there
    "missing",  #: no event names our hook
    "incomplete",  #: some of the wanted events name it
    "command_gone",  #: what is named is not there, or cannot be run
    "disabled",  #: the settings switch every hook off
    "unreadable",  #: the settings cannot be read, or are no JSON object
]


@dataclass(frozen=True, slots=True)
class Installed:
    """What the settings in *path* say; ``command`` is null where they name none of ours."""

    hook: str
    path: Path
    state: State
    command: str | None = None


def installed(settings: Settings, hook: str) -> Installed:
    """Look at the settings of the agent of *hook*."""
    path = hooks_file(settings, hook)
    try:
        document = _document(path)
        named = dict(own_commands(document, hook)) or (_in_toml(settings) if hook == "codex" else {})
    except (OSError, ValueError, RecursionError):  # their text may quote the settings
        return Installed(hook, path, "unreadable")
    if not named:
        return Installed(hook, path, "missing")
    if isinstance(document, dict) and document.get("disableAllHooks") is True:
        return Installed(hook, path, "disabled", next(iter(named.values())))
    command = next(iter(named.values()))
    if not all(_can_be_run(each) for each in named.values()):
        return Installed(hook, path, "command_gone", command)
    is_whole = named.keys() >= WANTED[hook].keys() or NOTIFY in named
    return Installed(hook, path, "installed" if is_whole else "incomplete", command)


def _document(path: Path) -> object:
    content = read_small(os.fspath(path), SETTINGS_BYTES_MAX)
    return None if content is None else json.loads(content)


def _in_toml(settings: Settings) -> dict[str, str]:
    """Return what Codex' configuration names of ours: hooks written down there, or its older `notify`."""
    content = read_small(os.fspath(codex_directory(settings) / "config.toml"), SETTINGS_BYTES_MAX)
    document = tomllib.loads((content or b"").decode("utf-8"))
    notify = document.get(NOTIFY)
    command = shlex.join(notify) if isinstance(notify, list) and all(isinstance(each, str) for each in notify) else ""
    own = {NOTIFY: command} if is_own({"command": command}, "codex") else {}
    return dict(own_commands(document, "codex")) | own


def own_commands(document: object, hook: str) -> Iterator[tuple[str, str]]:
    """Yield the events of *document* that call *hook*, each with the command line."""
    events = document.get("hooks") if isinstance(document, dict) else None
    for event, groups in events.items() if isinstance(events, dict) else ():
        for group in groups if isinstance(groups, list) else ():
            entries = group.get("hooks") if isinstance(group, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                if is_own(entry, hook):
                    yield event, entry["command"]


def is_own(entry: Any, hook: str) -> bool:  # noqa: ANN401 - decoded JSON
    """Say whether an entry of an agent's settings calls *hook* of ours, wherever our command lies."""
    command = entry.get("command") if isinstance(entry, dict) else None
    words = _words(command) if isinstance(command, str) else []
    return words[1:3] == ["hook", hook] and words[0].rpartition("/")[2] == "tallystick"


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _can_be_run(command: str) -> bool:
    """Say whether the program is there; one that is looked for on the agent's PATH is believed: it is not ours."""
    program = _words(command)[0]
    return "/" not in program or (os.path.isfile(program) and os.access(program, os.X_OK))  # noqa: PTH113 - text of somebody's settings
