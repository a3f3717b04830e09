"""`tallystick service`: writes the units, and lets systemd do the rest."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from daemon import show
from daemon.service.condition import Condition, condition
from daemon.service.errors import NotInstalled, SystemdAbsent
from daemon.service.installed import (
    SYSTEM_STATE,
    SYSTEM_UNITS,
    TARGET_UNIT,
    Target,
    as_before,
    command,
    instance,
    own,
    written,
)
from daemon.service.manager import Systemd, has_namespaces
from daemon.service.standing import is_enabled
from daemon.settings import Settings, options

DONE, FINDINGS = 0, 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of whose service is meant; nulls for what it leaves open."""

    user: str | None
    home: str | None
    state_directory: str | None


def target(settings: Settings, asked: Asked) -> Target:
    """Return whose service is meant: of the user named, else this user's own, else this user's instance if there is."""
    if asked.user is not None:
        return instance(asked.user, asked.home, asked.state_directory)
    mine = own(settings)
    its_unit = f"tallystick@{mine.user}.service"
    if not (mine.directory / mine.unit).exists() and is_enabled(its_unit, [SYSTEM_UNITS]):
        return instance(mine.user, asked.home, asked.state_directory)
    return mine


def install(settings: Settings, asked: Asked, *, is_starting: bool, has_web: bool = False) -> int:
    """
    Write the units, enable and start them, and say what is missing; those of the API where *has_web*, or once had.

    Raises:
        SystemdAbsent: The units are written; nobody is there to start them.
    """
    of = _to_install(settings, asked)
    of = replace(of, has_web=of.has_web or has_web)
    texts = list(written(of, command(of), has_namespaces=has_namespaces()))
    _make_state_directory(of)
    with _readable():
        changed = [path for path, text in texts if _write(path, text)]
    for path in changed:
        show.out(f"wrote {path}")
    show.out(f"{len(texts) - len(changed)} files were as they should be; state: {of.state.root}")
    if not is_starting:
        return DONE
    systemd = Systemd(of)
    if not systemd.is_there:
        raise SystemdAbsent
    systemd.do("daemon-reload")
    is_stale = changed and systemd.ask(of.unit).get("ActiveState") in ("active", "activating")
    _enable(of, systemd)
    if is_stale:  # it was started from the old text
        systemd.do("restart", "--no-block", of.unit)
    if changed and of.has_web:
        systemd.do("try-restart", "--no-block", of.web)
    return _tell(_found(settings, of))


def show_units(settings: Settings, asked: Asked) -> int:
    """Print what `install` would write, and where."""
    of = _to_install(settings, asked)
    for path, text in written(of, command(of), has_namespaces=has_namespaces()):
        show.out(f"# {path}\n{text}")
    return DONE


def _to_install(settings: Settings, asked: Asked) -> Target:
    """Return the service that is asked for, with what an earlier install was told and nobody says now."""
    of = instance(asked.user, asked.home, asked.state_directory) if asked.user is not None else own(settings)
    return _as_before(of, settings, asked)


def _as_before(of: Target, settings: Settings, asked: Asked) -> Target:
    is_named = asked.state_directory is not None or "--state-dir" in options(settings)
    return as_before(of, keeps_state=not is_named, keeps_home=asked.home is None)


def status(settings: Settings, asked: Asked, *, as_json: bool) -> int:
    """Print how the service stands: 0 when all is well, 1 when a step is missing, 3 where no systemd answers."""
    found = _found(settings, _as_before(target(settings, asked), settings, asked))
    if as_json:
        show.document(found.document())
    else:
        _print(found)
    if found.is_installed and not found.has_systemd:
        return SystemdAbsent.exit_code
    return FINDINGS if any(found.steps()) else DONE


def start(settings: Settings, asked: Asked) -> int:
    """Enable and start all that belongs to an installed service."""
    of = _installed(settings, asked)
    systemd = Systemd(of)
    _enable(of, systemd)
    return _tell(_found(settings, of))


def restart(settings: Settings, asked: Asked) -> int:
    """End the daemon and start it again, also one that has failed too often."""
    of = _installed(settings, asked)
    systemd = Systemd(of)
    _forget_failures(systemd, of)
    systemd.do("restart", "--no-block", of.unit)
    return _tell(_found(settings, of))


def reload(settings: Settings, asked: Asked) -> int:
    """
    Let the daemon read its configuration again.

    Raises:
        ConfigUnusable: It cannot be read; the daemon was not asked.
    """
    from daemon.config import read_config

    of = _installed(settings, asked)
    if of.manager == "user":
        read_config(settings.config_file)
    Systemd(of).do("reload", of.unit)
    return DONE


def uninstall(settings: Settings, asked: Asked) -> int:
    """Stop and disable the service, and remove its units; log and tables stay."""
    of = _as_before(target(settings, asked), settings, asked)
    systemd = Systemd(of)
    own_files = _of_its_own(of)
    if systemd.is_there and (of.directory / of.shipped[0]).exists():
        is_last = of.directory / TARGET_UNIT in own_files
        # An install of before a timer was shipped has none, and systemd disables nothing when one unit is unknown.
        loaded = [unit for unit in of.started[1:] if systemd.ask(unit).get("LoadState") == "loaded"]
        systemd.do("disable", "--quiet", "--now", *loaded, of.unit, *([TARGET_UNIT] if is_last else []))
        if of.has_web:  # it lives on without its socket
            systemd.do("stop", of.web)
    removed = [path for path in own_files if _remove(path)]
    for path in removed:
        show.out(f"removed {path}")
    if systemd.is_there:
        systemd.do("daemon-reload")
        _forget_failures(systemd, of)
    show.out(f"log and tables stay in {of.state.root}")
    return DONE


def _installed(settings: Settings, asked: Asked) -> Target:
    """Return whose service is meant, if it is installed and somebody can act on it."""
    of = _as_before(target(settings, asked), settings, asked)
    if not (of.directory / of.shipped[0]).exists():
        raise NotInstalled(directory=of.directory)
    return of


def _enable(of: Target, systemd: Systemd) -> None:
    """Enable and start everything; nobody waits for the first sweep."""
    with _readable():
        if of.manager == "system":
            systemd.do("enable", "--quiet", TARGET_UNIT)
        systemd.do("enable", "--quiet", *of.started)
    _forget_failures(systemd, of)
    systemd.do("start", "--no-block", *of.started)


def _forget_failures(systemd: Systemd, of: Target) -> None:
    """Let a unit that has failed too often be started again; of one that is not loaded there is nothing to forget."""
    for unit in of.verbs:
        if systemd.ask(unit).get("ActiveState") == "failed":
            systemd.do("reset-failed", unit)


def _of_its_own(of: Target) -> list[Path]:
    """Return the files that nobody else's service needs: instances of other users share the template."""
    others = {each.name for each in of.directory.glob("tallystick@?*.service.d")} - {f"{of.unit}.d"}
    shared = [] if of.manager == "system" and others else [of.directory / name for name in of.shipped]
    return [*of.drop_ins, *shared]


def _make_state_directory(of: Target) -> None:
    """Make the state directory: a unit whose writable paths are not there does not start."""
    if of.manager == "user":
        of.state.create()
    elif not of.state.root.is_relative_to(Path("/var/lib/tallystick")) and not of.state.root.exists():
        of.state.root.mkdir(mode=0o700, parents=True)
        shutil.chown(of.state.root, of.user)


@contextmanager
def _readable() -> Iterator[None]:
    """Let everybody read what is written: systemd shows it anyway, and an instance looks whether it is enabled."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _write(path: Path, text: str) -> bool:
    """Put *text* there whole; false when it stood there already."""
    with suppress(OSError):
        if path.read_text("utf-8") == text:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(text, "utf-8")
    aside.rename(path)
    return True


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    if path.parent.suffix == ".d":
        with suppress(OSError):  # other drop-ins are the operator's
            path.parent.rmdir()
    return True


def _found(settings: Settings, of: Target) -> Condition:
    """Look how it stands."""
    if of.manager == "user":
        return condition(of, options(settings._replace(home=of.read_home or of.home, state=of.state)))
    home = [] if of.read_home is None else ["--home", str(of.read_home)]
    state = [] if of.state.root == SYSTEM_STATE / of.user else ["--state-dir", str(of.state.root)]
    return condition(of, [*home, *state])


def _tell(found: Condition) -> int:
    """Print how it stands after something was done; what is missing is no failure of that."""
    _print(found)
    return DONE


def _print(found: Condition) -> None:
    columns = ("unit", "enabled", "state", "result")
    rows = [
        {"unit": each.name, "enabled": each.is_enabled, "state": each.state, "result": each.result}
        for each in (found.daemon, found.timer, found.reconcile_timer, *found.web[:1])
    ]
    rows += [  # their timers, and the socket, start them
        {"unit": each.name, "enabled": None, "state": each.state, "result": each.result}
        for each in (found.health, found.reconcile, *found.web[1:])
    ]
    show.table(columns, rows)
    show.out(f"linger: {show.cell(found.has_linger)}   state directory: {found.target.state.root}")
    for step in found.steps():
        show.out(f"{step.message}\n    next: {step.next}" if step.next is not None else step.message)


#: What needs to know no more than whose service is meant.
PLAIN: Final[Mapping[str, Callable[[Settings, Asked], int]]] = {
    "show": show_units,
    "start": start,
    "restart": restart,
    "reload": reload,
    "uninstall": uninstall,
}
