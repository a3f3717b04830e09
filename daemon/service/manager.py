"""Asks systemd, through its own commands."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemon.service.errors import SystemdAbsent, SystemdRefused
from daemon.service.installed import Target

#: There where systemd is the first process (sd_booted(3)).
_BOOTED: Final = Path("/run/systemd/system")
#: What systemd is asked of a unit.
_PROPERTIES: Final = "LoadState,UnitFileState,ActiveState,Result,ExecMainStatus"
_SECONDS: Final = 60.0


class Systemd:
    """The manager of one target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._environment = dict(os.environ)
        if target.manager == "user":  # after `su` nobody has set it
            self._environment.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")

    @property
    def is_there(self) -> bool:
        """Whether it answers."""
        if not _BOOTED.is_dir() or shutil.which("systemctl") is None:
            return False
        is_user = self._target.manager == "user"
        return not is_user or Path(self._environment["XDG_RUNTIME_DIR"], "systemd", "private").exists()

    def do(self, verb: str, *arguments: str) -> None:
        """
        Let it do something; what it has to say goes to stderr.

        Raises:
            SystemdAbsent: It does not answer.
            SystemdRefused: It did not do it.
        """
        if not self.is_there:
            raise SystemdAbsent
        code = subprocess.run(  # noqa: S603 - words of ours and the name of an account
            [*self._systemctl, verb, *arguments], check=False, env=self._environment, timeout=None
        ).returncode
        if code:
            raise SystemdRefused(verb=verb, exit_code=code)

    def ask(self, unit: str) -> Mapping[str, str]:
        """Return what it knows of *unit*: `LoadState`, `UnitFileState`, `ActiveState`, `Result`, `ExecMainStatus`."""
        if not self.is_there:
            return {}
        answer = self._asked([*self._systemctl, "show", f"--property={_PROPERTIES}", unit])
        return dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)

    def has_linger(self) -> bool | None:
        """Say whether this user's manager runs without a session; null where nobody can tell."""
        if self._target.manager == "system" or not _BOOTED.is_dir() or shutil.which("loginctl") is None:
            return None
        answer = self._asked(["loginctl", "show-user", "--property=Linger", self._target.user])
        return answer.strip() == "Linger=yes"  # of a user without session and linger it knows nothing

    @property
    def _systemctl(self) -> list[str]:
        return ["systemctl", "--user"] if self._target.manager == "user" else ["systemctl"]

    def _asked(self, command: list[str]) -> str:
        done = subprocess.run(  # noqa: S603 - words of ours and the name of an account
            command, check=False, capture_output=True, text=True, env=self._environment, timeout=_SECONDS
        )
        return done.stdout


def has_namespaces(proc: Path = Path("/proc/sys")) -> bool:
    """Say whether a user without rights may have a user namespace, by the three switches that deny it."""
    denied = {
        "user/max_user_namespaces": "0",
        "kernel/unprivileged_userns_clone": "0",
        "kernel/apparmor_restrict_unprivileged_userns": "1",
    }
    return not any(_said(proc / name) == word for name, word in denied.items())


def _said(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""
