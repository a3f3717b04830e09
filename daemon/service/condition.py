"""How a service stands: what is installed, enabled and running, and the next step where something is missing."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from daemon.service.installed import Target
from daemon.service.manager import Systemd, has_namespaces
from daemon.service.standing import is_enabled

SCHEMA: Final = "tallystick.service/1"
#: States of a daemon that runs, or of one that is being started again.
_BUSY: Final = ("active", "activating", "reloading", "deactivating")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit; ``state`` and ``result`` are systemd's words, null where it does not run or does not know the unit."""

    name: str
    is_enabled: bool | None
    state: str | None
    result: str | None
    exit_status: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is missing, and the command that mends it; null where no command can."""

    message: str
    next: str | None


@dataclass(frozen=True, slots=True)
class Condition:
    """
    All that `service status` tells; with ``options`` a command means the same home and state directory.

    ``web`` is the socket of the API and what it starts; empty where they were not asked for.
    """

    target: Target
    options: Sequence[str]
    is_installed: bool
    has_systemd: bool
    daemon: Unit
    timer: Unit
    health: Unit
    reconcile_timer: Unit
    reconcile: Unit
    web: tuple[Unit, ...]
    has_linger: bool | None
    has_namespaces: bool

    def document(self) -> dict[str, Any]:
        """Return it for `--json`; null is not known."""
        steps = list(self.steps())
        return {
            "schema": SCHEMA,
            "manager": self.target.manager,
            "unit": self.daemon.name,
            "state_directory": str(self.target.state.root),
            "is_installed": self.is_installed,
            "is_systemd_running": self.has_systemd,
            "is_enabled": self.daemon.is_enabled,
            "state": self.daemon.state,
            "result": self.daemon.result,
            "has_linger": self.has_linger,
            "has_user_namespaces": self.has_namespaces,
            "timer": _starter(self.timer),
            "health": _service(self.health),
            "reconcile_timer": _starter(self.reconcile_timer),
            "reconcile": _service(self.reconcile),
            "web_socket": _starter(self.web[0]) if self.web else None,
            "web": _service(self.web[1]) if self.web else None,
            "findings": [{"message": step.message, "next": step.next} for step in steps],
            "next": next((step.next for step in steps if step.next is not None), None),
        }

    def steps(self) -> Iterator[Step]:
        """Return what is missing, the first that has to be mended first."""
        if not self.is_installed:
            yield Step(f"{self.daemon.name} is not installed", self._command("install", *self.options))
            return
        if not self.has_systemd:
            run = shlex.join(["tallystick", "run", *self.options])
            yield Step("systemd does not answer here: nothing starts the daemon by itself", run)
            return
        yield from self._of_daemon()
        if not self.timer.is_enabled or self.timer.state != "active":
            yield Step(f"{self.timer.name} does not ask for health: no alarm reaches anybody", self._command("start"))
        if not self.reconcile_timer.is_enabled or self.reconcile_timer.state != "active":
            message = f"{self.reconcile_timer.name} does not ask once a day whether disk, log and tables agree"
            yield Step(message, self._command("start"))
        if self.web and (not self.web[0].is_enabled or self.web[0].state != "active"):
            yield Step(f"{self.web[0].name} does not listen: nobody answers over HTTP", self._command("start"))
        if self.has_linger is False:
            message = f"without linger the daemon ends when {self.target.user} logs out"
            yield Step(message, f"loginctl enable-linger {self.target.user}")
        if self.target.manager == "user" and not self.has_namespaces:
            yield Step("user namespaces are denied: nothing keeps the daemon from writing elsewhere", None)

    def _of_daemon(self) -> Iterator[Step]:
        if self.daemon.state == "failed":
            message = f"{self.daemon.name} failed ({self.daemon.result}): its log says why; then start it"
            journal = "journalctl --user" if self.target.manager == "user" else "journalctl"
            yield Step(message, f"{journal} --no-pager --lines=20 --unit={self.daemon.name}")
        elif self.daemon.state not in _BUSY:
            yield Step(f"{self.daemon.name} does not run", self._command("start"))
        elif not self.daemon.is_enabled:
            yield Step(f"{self.daemon.name} runs, and will not after a boot", self._command("start"))

    def _command(self, verb: str, *options: str) -> str:
        of = ["--system", self.target.user] if self.target.manager == "system" else []
        return shlex.join(["tallystick", "service", verb, *of, *options])


def _starter(unit: Unit) -> dict[str, Any]:
    return {"unit": unit.name, "is_enabled": unit.is_enabled, "state": unit.state}


def _service(unit: Unit) -> dict[str, Any]:
    return {"unit": unit.name, "result": unit.result, "exit_status": unit.exit_status}


def condition(target: Target, options: Sequence[str]) -> Condition:
    """Look how the service of *target* stands; with *options* a command means the same home and state directory."""
    systemd = Systemd(target)
    return Condition(
        target=target,
        options=options,
        is_installed=all((target.directory / name).exists() for name in target.shipped),
        has_systemd=systemd.is_there,
        daemon=_unit(target, systemd, target.unit),
        timer=_unit(target, systemd, target.timer),
        health=_unit(target, systemd, target.health),
        reconcile_timer=_unit(target, systemd, target.reconcile_timer),
        reconcile=_unit(target, systemd, target.reconcile),
        web=tuple(_unit(target, systemd, name) for name in (target.web_socket, target.web) if target.has_web),
        has_linger=systemd.has_linger(),
        has_namespaces=has_namespaces(),
    )


def _unit(target: Target, systemd: Systemd, name: str) -> Unit:
    said = systemd.ask(name)
    status = said.get("ExecMainStatus", "")
    is_known = said.get("LoadState") == "loaded"
    return Unit(
        name=name,
        is_enabled=is_enabled(name, [target.directory]),
        state=said.get("ActiveState") if is_known else None,
        result=said.get("Result") if is_known else None,
        exit_status=int(status) if is_known and status.isdecimal() else None,
    )
