"""
The cheapest next command, as it is typed into a shell.

It depends on who keeps the daemon running: systemd, or nobody.
"""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from daemon.health.heard import Said


class Steps(NamedTuple):
    """
    Commands for one state directory.

    Args:
        state_directory: Where it is.
        options: Those that a command needs to mean the same home and state directory.
        manager: `user` or `system` where systemd keeps the daemon running; null where nobody does.
        unit: Its unit; null beside null.
    """

    state_directory: str
    options: Sequence[str] = ()
    manager: str | None = None
    unit: str | None = None

    def ask(self, *words: str) -> str:
        """Return a command of ours."""
        return shlex.join(["tallystick", *words, *self.options])

    def start(self) -> str:
        """Return what starts the daemon."""
        return self._service("start") or self.ask("run")

    def restart(self, pid: int | None, *, is_hung: bool = False) -> str:
        """Return what ends the daemon, if it is there, and starts it; one that hangs does not hear a request to end."""
        managed = self._service("restart")
        if managed is not None or pid is None:
            return managed or self.start()
        kill = f"kill -9 {pid}" if is_hung else f"kill {pid}"
        return f"{kill} && tail --pid={pid} -f /dev/null && {self.start()}"

    def go_on(self, pid: int) -> str:
        """Return what lets a process go on that a signal has stopped."""
        return f"kill -CONT {pid}"

    def log(self) -> str:
        """Return what shows the daemon's own log; without systemd it went to where its stderr goes."""
        if self.manager is None or self.unit is None:
            return self.ask("status")
        user = ["--user"] if self.manager == "user" else []
        return shlex.join(["journalctl", *user, "-u", self.unit, "-n", "50", "--no-pager"])

    def show(self, path: str) -> str:
        """Return what shows whose a place is, and how large."""
        return shlex.join(["ls", "-ld", path])

    def list_state(self) -> str:
        """Return what shows whose the files of the state directory are, how large, and what stands in their place."""
        return shlex.join(["ls", "-la", self.state_directory])

    def disk(self) -> str:
        """Return what shows how full the disk of the state directory is."""
        return shlex.join(["df", "-h", self.state_directory])

    def close_to_others(self, path: str) -> str:
        """Return what makes a directory this user's alone."""
        return shlex.join(["chmod", "0700", path])

    def health_timer(self) -> str:
        """Return what shows the timer that asks for health, or asks once where there is none."""
        return self.ask("service", "status") if self.manager is not None else f"{self.ask('health')} </dev/null"

    def timers(self) -> str:
        """Return what shows when timers ran and will run."""
        user = ["--user"] if self.manager == "user" else []
        return shlex.join(["systemctl", *user, "list-timers", "--all", "--no-pager", "tallystick*"])

    def let_read(self, path: str, *, is_own: bool) -> str:
        """Return what lets this user read its own place, or shows whose it is."""
        return shlex.join(["chmod", "u+rwX", path]) if is_own else self.show(path)

    def _service(self, verb: str) -> str | None:
        """Return what asks systemd; our own verb, as systemd itself refuses to start what has failed too often."""
        if self.manager is None or self.unit is None:
            return None
        user = self.unit.partition("@")[2].removesuffix(".service")
        return shlex.join(["tallystick", "service", verb, *(["--system", user] if self.manager == "system" else [])])


def steps(said: Said, state_directory: str, options: Sequence[str]) -> Steps:
    """Return the commands for the daemon that *said* something last."""
    if not said.has("service"):
        return Steps(state_directory, options)
    manager, unit = said.word("service", "manager"), said.word("service", "unit")
    is_kept = manager in ("user", "system")
    return Steps(state_directory, options, manager, unit) if is_kept else Steps(state_directory, options)
