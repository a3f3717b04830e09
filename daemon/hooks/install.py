"""
Puts our hook into an agent's settings, and takes it out; all else in them stays as it is.

The file is replaced as a whole, by rename, after a copy of it was made beside it. What cannot be read is not touched.
"""

import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from daemon.hooks.installed import WANTED, is_own, own_commands
from daemon.hooks.places import codex_directory, hooks_file
from daemon.settings import Settings
from state.errors import TallystickError
from state.files import as_known, publish

#: How long an agent waits for us, in seconds; a thousand times what it takes.
TIMEOUT_SECONDS: Final = 10
BACKUP_SUFFIX: Final = ".before-tallystick"

_BEGIN: Final = "# tallystick: begin\n"
_END: Final = "# tallystick: end\n"
_BLOCK: Final = re.compile(re.escape(_BEGIN) + r".*?" + re.escape(_END), re.DOTALL)
_INDENT: Final = re.compile(r"\n([ \t]+)\S")

Document = dict[str, Any]


class SettingsUnusable(TallystickError):
    """
    The agent's settings are not what they should be; nothing was changed. Correct the file named here, then try again.
    """

    exit_code = 2


class NotifyTaken(TallystickError):
    """
    Codex already notifies another program, and nothing was changed. Let that program also run the line named here.
    """

    exit_code = 2


class NoCommand(TallystickError):
    """
    The command `tallystick` is not found, so an agent could not run it. Install it, then try again with its full path.
    """

    exit_code = 2


def install(settings: Settings, hook: str) -> Path:
    """
    Let the agent of *hook* call us at every event that is wanted, and return the file that says so.

    Raises:
        SettingsUnusable, NoCommand: Nothing was changed.
    """
    command = shlex.join(command_line(settings, hook))
    path = hooks_file(settings, hook)
    _rewrite(path, lambda document: _with(document, hook, command, path))
    return path


def uninstall(settings: Settings, hook: str) -> Path:
    """
    Take our hook out of the settings of the agent of *hook*, and return their file.

    Raises:
        SettingsUnusable: Nothing was changed.
    """
    path = hooks_file(settings, hook)
    if path.exists():
        _rewrite(path, lambda document: _without(document, hook))
    notify = codex_directory(settings) / "config.toml"
    if hook == "codex" and notify.exists():
        _replace(notify, _BLOCK.sub("", _text(notify)))
    return path


def install_notify(settings: Settings) -> Path:
    """
    Let an older Codex, which has no hooks, notify us at the end of a turn; return the file that says so.

    Raises:
        NotifyTaken, SettingsUnusable, NoCommand: Nothing was changed.
    """
    path = codex_directory(settings) / "config.toml"
    line = f"notify = {json.dumps(command_line(settings, 'codex'))}"
    rest = _BLOCK.sub("", _text(path))
    try:
        has_other = "notify" in tomllib.loads(rest)
    except tomllib.TOMLDecodeError:
        raise SettingsUnusable(path=path, reason="no_toml") from None
    if has_other:
        raise NotifyTaken(path=path, line=shlex.join(command_line(settings, "codex")))
    # A key of the top stands before every table: at the end it would belong to the last of them.
    _replace(path, f"{_BEGIN}{line}\n{_END}{rest}")
    return path


def command_line(settings: Settings, hook: str) -> list[str]:
    """
    Return what the agent is to run; the state directory is named, as an agent's environment is not ours.

    Raises:
        NoCommand: It cannot be found.
    """
    called = Path(sys.argv[0])
    beside = Path(sys.executable).parent / "tallystick"
    found = called.absolute() if called.name == "tallystick" and os.access(called, os.X_OK) else None
    program = found or (beside if beside.exists() else None) or shutil.which("tallystick")
    if program is None:
        raise NoCommand
    return [str(program), "hook", hook, "--state-dir", str(settings.state.root)]


def _with(document: Document, hook: str, command: str, path: Path) -> Document:
    wanted = {name: _group(matcher, command) for name, matcher in WANTED[hook].items()}
    if _is_there(wanted, document, hook):
        return document  # where it stands: Codex trusts a hook by its place
    changed = _without(document, hook)
    events = changed.setdefault("hooks", {})
    if not isinstance(events, dict) or not all(isinstance(events.get(name, []), list) for name in WANTED[hook]):
        raise SettingsUnusable(path=path, entry="hooks")
    for name, group in wanted.items():
        events[name] = [*events.get(name, []), group]
    return changed


def _group(matcher: str | None, command: str) -> Document:
    entry = {"type": "command", "command": command, "timeout": TIMEOUT_SECONDS}
    return ({} if matcher is None else {"matcher": matcher}) | {"hooks": [entry]}


def _is_there(wanted: Document, document: Document, hook: str) -> bool:
    """Say whether exactly these groups of ours are in the settings."""
    if len(list(own_commands(document, hook))) != len(wanted):
        return False
    return all(group in document["hooks"].get(name, []) for name, group in wanted.items())


def _without(document: Document, hook: str) -> Document:
    """Return *document* without our entries, and without the groups and events that only they made."""
    events = document.get("hooks")
    if not isinstance(events, dict):
        return dict(document)
    kept: Document = {}
    for name, groups in events.items():
        left = groups
        if isinstance(groups, list):
            left = [each for group in groups if (each := _group_without(group, hook)) is not None]
        if left or not groups:
            kept[name] = left
    changed = {**document, "hooks": kept}
    if not kept and events:
        del changed["hooks"]
    return changed


def _group_without(group: Any, hook: str) -> Any:  # noqa: ANN401 - decoded JSON
    entries = group.get("hooks") if isinstance(group, dict) else None
    if not isinstance(entries, list) or not any(is_own(entry, hook) for entry in entries):
        return group
    left = [entry for entry in entries if not is_own(entry, hook)]
    return {**group, "hooks": left} if left else None


def _rewrite(path: Path, change: Callable[[Document], Document]) -> None:
    text = _text(path)
    try:
        document = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):  # its text would quote the settings
        raise SettingsUnusable(path=path, reason="no_json") from None
    if not isinstance(document, dict):
        raise SettingsUnusable(path=path, reason="no_object")
    changed = change(document)
    if changed != document:
        indent = _INDENT.search(text)
        _replace(path, json.dumps(changed, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n")


def _text(path: Path) -> str:
    """Return what is in a file; nothing where there is none."""
    try:
        with as_known(path):
            return path.read_bytes().decode("utf-8") if path.exists() else ""
    except UnicodeDecodeError:
        raise SettingsUnusable(path=path, reason="no_utf8") from None


def _replace(path: Path, text: str) -> None:
    """Put *text* in the place of a file, whose mode it keeps; a link is followed, for it may lead to one's own copy."""
    target = path.resolve()
    mode = 0o600
    with as_known(path):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.exists():
            mode = target.stat().st_mode & 0o777
            if target.read_bytes() == text.encode():
                return
            backup = target.with_name(target.name + BACKUP_SUFFIX)
            if not backup.exists():  # the first is how its owner had it
                shutil.copy2(target, backup)
    publish(target.with_name(f".{target.name}.{os.getpid()}.tmp"), target, [text.encode()], mode)
    target.chmod(mode)  # our umask is narrower than its owner may want
