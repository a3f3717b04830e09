"""Paths and limits; no other module reads the environment."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from state.paths import StatePaths

#: Whose units systemd runs.
Manager = Literal["user", "system"]


class Settings(NamedTuple):
    """
    Where to read, where to write, and what the agents' own variables say.

    ``agent_environment`` is empty for a home that is not this process's own: another user's logs are not where this
    user's variables point. ``config_file`` need not exist. ``manager`` and ``unit`` say what runs this process; null
    for a command that somebody typed. ``user_units`` is where this user's own units are. ``claims`` are files of
    records that a command named, beside those of the configuration. ``runtime`` is the directory that a service manager
    makes for what lives as long as the service; null without one.
    """

    home: Path
    state: StatePaths
    zone: str
    host: str
    config_file: Path = Path("/nonexistent/tallystick/config.toml")
    agent_environment: Mapping[str, str] = MappingProxyType({})
    manager: Manager | None = None
    unit: str | None = None
    user_units: Path = Path("/nonexistent/systemd/user")
    claims: tuple[str, ...] = ()
    runtime: Path | None = None

    @property
    def api_socket(self) -> Path:
        """Where `tallystick serve` answers when nothing else is said."""
        return self.state.api_socket if self.runtime is None else self.runtime / self.state.api_socket.name


def load(home: str | None, state_directory: str | None, zone: str | None = None) -> Settings:
    """
    Combine options, environment and defaults.

    Args:
        home: ``--home``; null for TALLYSTICK_HOME, else this user's own.
        state_directory: ``--state-dir``; null for TALLYSTICK_STATE_DIR, systemd's STATE_DIRECTORY, else XDG.
        zone: Given by who reads no logs, as looking it up takes longer than reading a heartbeat.
    """
    environment = os.environ
    own_home = Path(environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    chosen = Path(home or environment.get("TALLYSTICK_HOME") or own_home).absolute()
    is_own = chosen == own_home.absolute()
    return Settings(
        home=chosen,
        state=StatePaths(_state_directory(state_directory, environment, own_home)),
        zone=zone or _zone(environment),
        host=os.uname().nodename,
        config_file=_config_file(environment, own_home),
        agent_environment=dict(environment) if is_own else {},
        manager=_manager(environment),
        unit=environment.get("TALLYSTICK_UNIT") if _manager(environment) else None,
        user_units=_config_home(environment, own_home) / "systemd" / "user",
        runtime=_runtime(environment),
    )


def options(settings: Settings) -> list[str]:
    """Return the options with which a command typed into this user's shell means the same home and state directory."""
    environment = os.environ
    own_home = Path(environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    # Variables of a service are not there in a shell, and those of this shell may not be in the next one.
    bare = {name: value for name, value in environment.items() if name == "XDG_STATE_HOME"}
    home = [] if settings.home == own_home.absolute() else ["--home", str(settings.home)]
    is_usual = settings.state.root == _state_directory(None, bare, own_home)
    return [*home, *([] if is_usual else ["--state-dir", str(settings.state.root)])]


def _state_directory(option: str | None, environment: Mapping[str, str], own_home: Path) -> Path:
    named = option or environment.get("TALLYSTICK_STATE_DIR") or environment.get("STATE_DIRECTORY", "").split(":")[0]
    if named:
        return Path(named).absolute()
    base = environment.get("XDG_STATE_HOME") or own_home / ".local" / "state"
    return Path(base) / "tallystick"


def _runtime(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(named) if named else None


def _config_file(environment: Mapping[str, str], own_home: Path) -> Path:
    named = environment.get("CONFIGURATION_DIRECTORY", "").split(":")[0]
    base = Path(named) if named else _config_home(environment, own_home) / "tallystick"
    return base / "config.toml"


def _config_home(environment: Mapping[str, str], own_home: Path) -> Path:
    return Path(environment.get("XDG_CONFIG_HOME") or own_home / ".config")


def _manager(environment: Mapping[str, str]) -> Manager | None:
    """Return whose unit runs this process, as our units say."""
    named = environment.get("TALLYSTICK_MANAGER")
    return "user" if named == "user" else "system" if named == "system" else None


def _zone(environment: Mapping[str, str]) -> str:
    """Return the IANA name of this host's zone: some agents write local times without one."""
    named = environment.get("TZ", "").removeprefix(":")
    if named and _is_zone(named):
        return named
    target = os.path.realpath("/etc/localtime")
    name = target.partition("/zoneinfo/")[2]
    return name if name and _is_zone(name) else "UTC"


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
