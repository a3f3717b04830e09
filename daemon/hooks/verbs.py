"""What `tallystick hook install | uninstall | status` does once its options are read."""

from daemon import show
from daemon.hooks.agents import AGENTS
from daemon.hooks.install import install, install_notify, uninstall
from daemon.hooks.installed import installed
from daemon.settings import Settings

DONE, FINDINGS = 0, 1

_COLUMNS = ("hook", "state", "settings", "command")


def add(settings: Settings, hook: str, *, is_notify: bool, as_json: bool) -> int:
    """Put our hook into the agent's settings, and say where and what is left to do."""
    path = install_notify(settings) if is_notify else install(settings, hook)
    if as_json:
        show.document({"schema": "tallystick.hook.install/1", "hook": hook, "settings": str(path)})
        return DONE
    show.out(f"installed: {show.safe(str(path))}")
    if hook == "codex" and not is_notify:
        show.out("Codex runs a hook only once it is trusted: type /hooks in Codex, and trust those of tallystick")
    else:
        show.out("sessions that are open go on without it: it holds from the next one on")
    return DONE


def remove(settings: Settings, hook: str, *, as_json: bool) -> int:
    """Take our hook out of the agent's settings."""
    path = uninstall(settings, hook)
    if as_json:
        show.document({"schema": "tallystick.hook.uninstall/1", "hook": hook, "settings": str(path)})
    else:
        show.out(f"not in it any more: {show.safe(str(path))}")
    return DONE


def status(settings: Settings, hook: str | None, *, as_json: bool) -> int:
    """Show what the settings of one agent, or of each, say of our hook; 1 when one of them is not in place."""
    found = [installed(settings, name) for name in ([hook] if hook is not None else AGENTS)]
    rows = [
        {"hook": each.hook, "state": each.state, "settings": str(each.path), "command": each.command} for each in found
    ]
    if as_json:
        show.document({"schema": "tallystick.hook.status/1", "rows": rows})
    else:
        show.table(_COLUMNS, rows)
    return DONE if all(each.state == "installed" for each in found) else FINDINGS
