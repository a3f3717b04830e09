"""What an installed service consists of: the units as they are shipped, and a drop-in that knows this host."""

import os
import pwd
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from daemon.options import BadOption
from daemon.service.errors import CommandMissing, UserUnknown
from daemon.service.standing import USER_UNIT, timer_of
from daemon.settings import Manager, Settings
from state.paths import StatePaths

#: Where an operator's own units of the system are.
SYSTEM_UNITS: Final = Path("/etc/systemd/system")
#: Where the state of an instance of the template is, by user; `StateDirectory=` of the unit says the same.
SYSTEM_STATE: Final = Path("/var/lib/tallystick")
#: Groups what runs for all users of a host.
TARGET_UNIT: Final = "tallystick.target"

_OF_USER: Final = (
    "tallystick.service",
    "tallystick-health.service",
    "tallystick-health.timer",
    "tallystick-reconcile.service",
    "tallystick-reconcile.timer",
    "tallystick-alert@.service",
)
_OF_SYSTEM: Final = (
    "tallystick@.service",
    "tallystick-health@.service",
    "tallystick-health@.timer",
    "tallystick-reconcile@.service",
    "tallystick-reconcile@.timer",
    "tallystick-alert@.service",
    TARGET_UNIT,
)
#: Answers over HTTP, for who asks for that: none of the others needs it.
_WEB_OF_USER: Final = ("tallystick-web.service", "tallystick-web.socket")
_WEB_OF_SYSTEM: Final = ("tallystick-web@.service", "tallystick-web@.socket")
_DROP_IN: Final = "10-host.conf"
_SECRETS: Final = (".ssh", ".gnupg", ".aws", ".kube", ".netrc", ".claude/.credentials.json", ".codex/auth.json")
#: Variables by which agents and their operators move logs; a service has none of those of a shell.
CARRIED: Final = (
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "GPTME_LOGS_DIR",
    "GPTME_LOGS_HOME",
    "OPENCODE_DB",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)
_USER_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Target:
    """
    Whose service it is: this user's own, or one user's instance of the template.

    Args:
        manager: Who runs it.
        user: For whom.
        home: That user's home directory.
        read_home: The home whose logs are read; null for the same.
        state: Where log and tables are kept.
        directory: Where its units are written.
        unit: The daemon's.
        variables: What moves the agents' logs.
        has_web: Whether the API and the dashboard belong to it.
    """

    manager: Manager
    user: str
    home: Path
    read_home: Path | None
    state: StatePaths
    directory: Path
    unit: str
    variables: Mapping[str, str]
    has_web: bool = False

    @property
    def timer(self) -> str:
        """Asks for health."""
        return timer_of(self.unit)

    @property
    def health(self) -> str:
        """Is asked."""
        return self.timer.removesuffix(".timer") + ".service"

    @property
    def reconcile_timer(self) -> str:
        """Has disk, log and tables held against each other, once a day."""
        return timer_of(self.unit, "reconcile")

    @property
    def reconcile(self) -> str:
        """Does it."""
        return self.reconcile_timer.removesuffix(".timer") + ".service"

    @property
    def timers(self) -> tuple[str, ...]:
        """All that is started by the clock."""
        return self.timer, self.reconcile_timer

    @property
    def web(self) -> str:
        """Answers over HTTP, once somebody asks."""
        return f"tallystick-web{self.unit.removeprefix('tallystick')}"

    @property
    def web_socket(self) -> str:
        """Where it is asked."""
        return self.web.removesuffix(".service") + ".socket"

    @property
    def started(self) -> tuple[str, ...]:
        """All that is started when the service is; the others are started by these."""
        return self.unit, *self.timers, *([self.web_socket] if self.has_web else [])

    @property
    def shipped(self) -> tuple[str, ...]:
        """Names of the unit files."""
        of_web = _WEB_OF_USER if self.manager == "user" else _WEB_OF_SYSTEM
        return (_OF_USER if self.manager == "user" else _OF_SYSTEM) + (of_web if self.has_web else ())

    @property
    def drop_ins(self) -> tuple[Path, ...]:
        """What is written for this host and user alone."""
        return tuple(self.directory / f"{unit}.d" / _DROP_IN for unit in self.verbs)

    @property
    def verbs(self) -> Mapping[str, str]:
        """What each service runs."""
        of_web = {self.web: "serve"} if self.has_web else {}
        watching = {self.health: "health", self.reconcile: "reconcile --since 7d --scheduled"}
        return {self.unit: "run", **watching, **of_web}


def own(settings: Settings) -> Target:
    """Return this user's own service."""
    account = pwd.getpwuid(os.geteuid())
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - as systemd's %h: $HOME, else the account's
    return Target(
        manager="user",
        user=account.pw_name,
        home=home,
        read_home=None if settings.home == home.absolute() else settings.home,
        state=settings.state,
        directory=settings.user_units,
        unit=USER_UNIT,
        variables={name: settings.agent_environment[name] for name in CARRIED if settings.agent_environment.get(name)},
    )


def instance(user: str, home: str | None, state_directory: str | None) -> Target:
    """
    Return one user's instance of the template.

    Args:
        user: Name of the account.
        home: ``--home``, another home than the account's.
        state_directory: ``--state-dir``; null for the template's own.

    Raises:
        UserUnknown: There is no such account.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise UserUnknown(user=user) from None
    if not _USER_NAME.fullmatch(user):
        raise UserUnknown(user=user)
    return Target(
        manager="system",
        user=user,
        home=Path(account.pw_dir),
        read_home=Path(home).absolute() if home else None,
        state=StatePaths(Path(state_directory).absolute() if state_directory else SYSTEM_STATE / user),
        directory=SYSTEM_UNITS,
        unit=f"tallystick@{user}.service",
        variables={},
    )


def as_before(target: Target, *, keeps_state: bool, keeps_home: bool) -> Target:
    """Return *target* with what an earlier install carried and nobody names now: an upgrade must not move the log."""
    before = _carried(target.drop_ins[0])
    variables = {name: value for name, value in before.items() if name in CARRIED} | dict(target.variables)
    state, home = before.get("TALLYSTICK_STATE_DIR"), before.get("TALLYSTICK_HOME")
    has_web = target.has_web or (target.directory / f"{target.web}.d" / _DROP_IN).exists()
    return replace(
        target,
        has_web=has_web,
        variables=variables,
        state=StatePaths(Path(state)) if keeps_state and state else target.state,
        read_home=Path(home) if keeps_home and home else target.read_home,
    )


def _carried(drop_in: Path) -> dict[str, str]:
    """Return the variables that a drop-in of ours sets; none where there is no such file."""
    try:
        lines = drop_in.read_text("utf-8").splitlines()
    except (OSError, UnicodeError):
        return {}
    words = (line.removeprefix("Environment=") for line in lines if line.startswith('Environment="'))
    pairs = (_unquoted(word).partition("=") for word in words)
    return {name: value for name, _, value in pairs}


def _unquoted(word: str) -> str:
    """Return what `quoted` made *word* of."""
    return re.sub(r"\\(.)", r"\1", word[1:-1]).replace("%%", "%")


def written(target: Target, command: Path, *, has_namespaces: bool) -> Iterator[tuple[Path, str]]:
    """Return every file of the service, as path and text: units as they are shipped, then what knows this host."""
    for name in target.shipped:
        yield target.directory / name, files("daemon.service").joinpath("units", name).read_text("utf-8")
    for path, (unit, verb) in zip(target.drop_ins, target.verbs.items(), strict=True):
        yield path, _drop_in(target, command, verb, has_namespaces=has_namespaces, is_writing=unit != target.web)


def _drop_in(target: Target, command: Path, verb: str, *, has_namespaces: bool, is_writing: bool) -> str:
    lines = [
        "# Written by `tallystick service install`, and anew by the next one: what is yours belongs into another file.",
        "[Service]",
        "ExecStart=",
        f"ExecStart={quoted(str(command)).replace('$', '$$')} {verb}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(_environment(target).items())),
    ]
    if not is_writing:
        pass  # the state directory is as closed to it as everything else
    elif target.manager == "user":
        lines += ["ReadWritePaths=", f"ReadWritePaths={quoted(str(target.state.root))}"]
    elif target.state.root != SYSTEM_STATE / target.user:
        lines += ["StateDirectory=", f"ReadWritePaths={quoted(str(target.state.root))}"]
    if target.manager == "system":
        lines += [f"InaccessiblePaths={quoted(f'-{target.home / secret}')}" for secret in _SECRETS]
    elif not has_namespaces:
        lines += [
            "# User namespaces are denied here: without them a user's manager can protect no file.",
            *("PrivateUsers=no", "ProtectSystem=no", "ProtectHome=no", "ReadWritePaths=", "InaccessiblePaths="),
        ]
    return "\n".join(lines) + "\n"


def _environment(target: Target) -> dict[str, str]:
    is_named = target.manager == "user" or target.state.root != SYSTEM_STATE / target.user
    return {
        **target.variables,
        **({"TALLYSTICK_STATE_DIR": str(target.state.root)} if is_named else {}),
        **({"TALLYSTICK_HOME": str(target.read_home)} if target.read_home is not None else {}),
    }


def quoted(text: str) -> str:
    """
    Return *text* as one word of a unit file.

    Raises:
        BadOption: It has a control character, which no unit file can hold.
    """
    if not text.isprintable():
        raise BadOption(option="path", can_be="without control characters")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def command(target: Target) -> Path:
    """
    Return the absolute path of this very command, as it was called: behind a link an upgrade puts the next version.

    Raises:
        CommandMissing: There is none that the user could run.
    """
    called, beside = Path(sys.argv[0]), Path(sys.executable).parent / "tallystick"
    named = called if called.name == "tallystick" and called.exists() else beside
    found = named if named.exists() else Path(shutil.which("tallystick") or "/nonexistent/tallystick")
    found = found.absolute()
    if not os.access(found, os.X_OK):
        raise CommandMissing(path=found)
    if target.manager == "system" and not _is_open_to(pwd.getpwnam(target.user).pw_uid, found):
        raise CommandMissing(path=found, user=target.user)
    return found


def _is_open_to(user_id: int, path: Path) -> bool:
    """Say whether a user may get at *path* and the interpreter beside it: what root may says nothing of others."""
    reals = {each.resolve() for each in (path, path.parent / "python") if each.exists()}
    ways = {way for real in reals for way in (real, *real.parents)} | set(path.parents)
    return user_id == 0 or all(_may_enter(user_id, way.stat()) for way in ways)


def _may_enter(user_id: int, status: os.stat_result) -> bool:
    return bool(status.st_mode & (0o100 if status.st_uid == user_id else 0o001))
