"""The service under a real systemd: started, watched, killed, asked for its health, and kept from writing elsewhere."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest

from tests.daemon import live
from tests.daemon.conftest import SESSION, claude_line
from tests.systemd.machine import COMMANDS, HOME, USER, USER_ID, Machine, booted

LOG = HOME / f".claude/projects/-srv-repo/{SESSION}.jsonl"
STATE = {"user": HOME / ".local/state/tallystick", "system": Path("/var/lib/tallystick") / USER}
UNIT = {"user": "tallystick.service", "system": f"tallystick@{USER}.service"}
RECONCILE = {"user": "tallystick-reconcile.service", "system": f"tallystick-reconcile@{USER}.service"}
HEALTH = {"user": "tallystick-health.service", "system": f"tallystick-health@{USER}.service"}

WEB = {"user": "tallystick-web", "system": f"tallystick-web@{USER}"}
SOCKET = {"user": f"/run/user/{USER_ID}/tallystick-web.sock", "system": f"/run/tallystick-web/{USER}.sock"}

#: Asks over a unix socket, or posts a body where there is one, and prints status and answer.
ASK = """
import http.client, socket, sys
path, address, *body = sys.argv[1:]
caller = http.client.HTTPConnection("localhost")
caller.sock = socket.socket(socket.AF_UNIX)
caller.sock.connect(path)
caller.request("POST" if body else "GET", address, *body, headers={"Content-Type": "application/json"})
answer = caller.getresponse()
print(answer.status, answer.read().decode())
"""

#: What takes a minute in the product takes seconds here.
QUICK_SERVICE = "[Service]\nRestartSec=200ms\n"
#: Longer than any pause that a busy disk gives a daemon which is well.
QUICK_WATCHDOG = "WatchdogSec=12s\n"
QUICK_TIMER = "[Timer]\nOnActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec=2s\nAccuracySec=10ms\n"
CONFIG = "[health]\nreporting_window_seconds = 12\ndisk_free_mib = 1\n"

#: Run by systemd as a part of the service, where the daemon itself is: what it may write.
PLACES = ("$HOME", "$HOME/.claude", "$HOME/.config", "/tmp", "/var/tmp", "/dev/shm", "/run/user/4242")  # noqa: S108
PROBE = f"""[Service]
ExecStartPost=/bin/sh -c 'for each in {" ".join(PLACES)} %s; do touch "$each/written" && echo "could write $each"; \
done; cat "$HOME/.ssh/id" && echo "could read a key"; true'
"""

Manager = Literal["user", "system"]
T = TypeVar("T")


def until(condition: Callable[[], T], what: str) -> T:
    """Wait for *condition*; each question is a process, so they are not asked in haste."""
    return live.until(condition, what, pause_seconds=0.3)


class Service:
    """The product on a machine, under one of the two managers."""

    def __init__(self, machine: Machine, manager: Manager) -> None:
        self.machine = machine
        self.manager = manager
        self._of = [] if manager == "user" else ["--system", USER]
        self.written = 0

    def install(self, **drop_ins: str) -> None:
        """Install it as an operator does, after everything that makes it quick."""
        folder = f"/etc/systemd/{self.manager}"
        service, timer = ("", "") if self.manager == "user" else ("@", "@")
        texts = {
            f"tallystick{service}.service": QUICK_SERVICE,
            f"tallystick-health{timer}.timer": QUICK_TIMER,
            **drop_ins,
        }
        for unit, text in texts.items():
            self.machine.write(f"{folder}/{unit}.d/50-quick.conf", text, owner="root")
        self.machine.write(HOME / ".config/tallystick/config.toml", CONFIG)
        self.machine.write(HOME / ".ssh/id", "a key\n", mode=0o600)
        self.log()
        run = self.machine.user if self.manager == "user" else self.machine.root
        run("tallystick", "service", "install", *self._of)
        self.is_active()

    def systemctl(self, *words: str, is_fine: bool = False) -> str:
        if self.manager == "user":
            return self.machine.user("systemctl", "--user", *words, is_fine=is_fine)
        return self.machine.root("systemctl", *words, is_fine=is_fine)

    def asked(self, name: str, unit: str | None = None) -> str:
        return self.systemctl("show", f"--property={name}", "--value", unit or UNIT[self.manager]).strip()

    def is_active(self) -> None:
        until(lambda: self.asked("ActiveState") == "active", "the service is active")

    @property
    def pid(self) -> int:
        """Return its process: of the machine's own numbers, and never the 0 or 1 that a signal must not meet."""
        return until(lambda: (pid := int(self.asked("MainPID"))) > 1 and pid, "the service has a process")

    def log(self, calls: int = 1) -> None:
        """Let an agent log calls of 10 + 1 tokens each."""
        for _ in range(calls):
            self.machine.write(LOG, claude_line(f"msg_{self.written}", 1).decode())
            self.written += 1

    def has_counted_everything(self) -> None:
        """Wait until the tables hold every call once."""
        due = (self.written, 11 * self.written)
        until(lambda: self.totals() == due, f"all {self.written} calls are counted")

    def totals(self) -> tuple[int, int] | None:
        said = self.tallystick("usage", "--json")
        measured = json.loads(said)["totals"]["measured"] if said.startswith("{") else None
        return None if measured is None else (measured["calls"], measured["total_tokens"])

    def tallystick(self, *words: str) -> str:
        """Run a command as the user would, whatever it ends with."""
        return self.machine.user("tallystick", *words, "--state-dir", str(STATE[self.manager]), is_fine=True)

    def findings(self) -> dict[str, dict[str, Any]]:
        """Return what `tallystick health` finds, by rule."""
        found = json.loads(self.tallystick("health", "--json"))
        return {each["rule"]: each for each in found["findings"]}

    def health_ends_with(self, status: int) -> None:
        """Wait until the timer has asked, and the answer was this."""
        unit = HEALTH[self.manager]

        def is_so() -> bool:
            said = self.systemctl("show", "--property=ExecMainExitTimestampMonotonic,ExecMainStatus", unit)
            of = dict(line.split("=", 1) for line in said.split())
            return of["ExecMainExitTimestampMonotonic"] != "0" and of["ExecMainStatus"] == str(status)

        try:
            until(is_so, f"health ends with {status}")
        except pytest.fail.Exception:
            said = self.tallystick("health", "--json") + self.systemctl("show", unit) + self.machine.log("-n", "200")
            pytest.fail(f"in vain: health ends with {status}: {said}")

    def reconciles(self, status: int) -> None:
        """Let the daily unit run now: what it finds is a failure, which raises the alarm."""
        unit = RECONCILE[self.manager]
        self.systemctl("start", unit, is_fine=True)
        said = self.machine.log("-n", "50")
        assert str(status) == self.asked("ExecMainStatus", unit), said
        assert ("exit-code" if status else "success") == self.asked("Result", unit), said
        assert self.machine.path(STATE[self.manager] / "reconcile.stamp").exists()

    def answers_over_http(self) -> None:
        """Install the socket, ask it, and see that it started what answers, which writes nothing."""
        run = self.machine.user if self.manager == "user" else self.machine.root
        run("tallystick", "service", "install", "--web", *self._of)
        unit = f"{WEB[self.manager]}.service"
        assert ("active", "inactive") == (
            self.asked("ActiveState", f"{WEB[self.manager]}.socket"),
            self.asked("ActiveState", unit),
        )
        assert 0o600 == self.machine.path(SOCKET[self.manager]).stat().st_mode & 0o777
        status, said = self.over_http("/api/v1/usage")
        assert (200, self.written) == (status, json.loads(said)["totals"]["measured"]["calls"])
        assert "active" == self.asked("ActiveState", unit)
        tokens = json.dumps({"provider": "acme", "source_id": "r-1", "input_tokens": 1, "output_tokens": 1})
        status, said = self.over_http("/api/v1/token-events", tokens)
        assert (503, "unavailable") == (status, json.loads(said)["kind"])

    def over_http(self, address: str, *body: str) -> tuple[int, str]:
        """Ask as the user does; return status and answer."""
        said = self.machine.user(str(COMMANDS / "python"), "-c", ASK, SOCKET[self.manager], address, *body)
        status, _, answer = said.partition(" ")
        return int(status), answer

    def task_without_tokens(self) -> None:
        """Report a turn of an agent of which nothing is measured, and wait until that is in the tables."""
        body = json.dumps({"agent": "codex", "what": "turn_ended"})
        self.machine.write(HOME / "turn.json", body)
        self.tallystick("inbox", "submit", "--kind", "activity", str(HOME / "turn.json"))
        query = "SELECT count(*) AS n FROM flatlines WHERE is_flatline"
        until(lambda: '"n": 1' in self.tallystick("sql", query, "--json"), "the flatline is in the tables")

    def tells(self, text: str) -> None:
        """Wait until the journal says so."""
        until(lambda: text in self.machine.log(), f"the journal says {text}")


#: Seconds, for a machine within a machine that others use, too.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with booted(tmp_path / "console") as up:
        yield up


def test_the_user_service_is_ready_counts_and_can_write_nowhere_else(machine: Machine) -> None:
    """
    `service install` is all that it takes; the hardening of a user unit is real, and the service reloads. With `--web`
    a socket waits, and who asks there starts what answers.
    """
    service = Service(machine, "user")
    service.install(**{"tallystick.service": QUICK_SERVICE + PROBE % STATE["user"]})

    assert service.asked("StatusText").startswith("running: log at event")
    service.has_counted_everything()
    service.log(3)
    service.has_counted_everything()
    assert can_write(machine) == [str(STATE["user"])]
    until(lambda: ".ssh/id: " in machine.log(), "the journal tells that a key was tried")
    assert "could read a key" not in machine.log()

    standing = json.loads(machine.user("tallystick", "service", "status", "--json"))
    assert ("active", True, True, None) == (
        standing["state"],
        standing["is_enabled"],
        standing["has_linger"],
        standing["next"],
    )
    assert (True, "active") == (standing["reconcile_timer"]["is_enabled"], standing["reconcile_timer"]["state"])
    service.reconciles(0)
    service.answers_over_http()
    machine.user("tallystick", "service", "reload")
    service.tells("event=config_reloaded")
    service.is_active()


def test_the_template_is_ready_counts_and_can_write_nowhere_else(machine: Machine) -> None:
    """
    Root installs one user's instance, which runs as that user and keeps its state apart; its health is asked for.
    """
    service = Service(machine, "system")
    service.install(**{"tallystick@.service": QUICK_SERVICE + PROBE % STATE["system"]})

    service.has_counted_everything()
    service.log(3)
    service.has_counted_everything()
    assert can_write(machine) == [str(STATE["system"])]
    until(lambda: ".ssh/id: " in machine.log(), "the journal tells that a key was tried")
    assert "could read a key" not in machine.log()
    assert USER == machine.root("ps", "-o", "user=", "-p", str(service.pid)).strip()
    service.answers_over_http()
    service.health_ends_with(0)
    service.reconciles(0)
    service.task_without_tokens()
    service.reconciles(1)
    service.tells(f"tallystick alarm: {RECONCILE['system']} failed")
    service.systemctl("stop", UNIT["system"])
    service.health_ends_with(2)
    service.tells(f"tallystick alarm: {HEALTH['system']} failed")
    machine.root("sh", "-c", "tallystick service start --system ann")
    service.health_ends_with(0)


def test_a_stopped_process_and_a_killed_one_are_started_again_and_nothing_is_lost(machine: Machine) -> None:
    """
    A process that hangs gives no sign of life: the watchdog ends it. What was logged meanwhile is read, once.
    """
    service = Service(machine, "user")
    service.install(**{"tallystick.service": QUICK_SERVICE + QUICK_WATCHDOG})
    service.has_counted_everything()

    hung = service.pid
    machine.root("kill", "-STOP", str(hung))
    service.log(2)
    until(lambda: service.pid != hung, "the watchdog has ended it, and another one runs")
    service.has_counted_everything()
    assert "Watchdog timeout" in machine.log()

    for _ in range(2):
        killed = service.pid
        service.log(2)
        machine.root("kill", "-KILL", str(killed))
        service.log(2)
        until(lambda killed=killed: service.pid != killed, "another one runs")  # type: ignore[misc]
        service.is_active()
    service.has_counted_everything()
    assert json.loads(service.tallystick("verify", "--sources", "--json"))["ok"]


def test_health_is_asked_for_alarms_and_recovers_by_what_it_prints(machine: Machine) -> None:
    """
    Green while it works; critical when the daemon was stopped, with the alarm in the journal and at the operator's own
    command; a timer that was disabled is found by the daemon. Each finding's command mends it.
    """
    service = Service(machine, "user")
    machine.write(HOME / ".config/tallystick/alert", '#!/bin/sh\necho "$1" >> "$HOME/alarms"\n', mode=0o755)
    service.install()
    service.health_ends_with(0)

    service.systemctl("stop", UNIT["user"])
    service.health_ends_with(2)
    service.tells("tallystick alarm: tallystick-health.service failed")
    until(machine.path(HOME / "alarms").exists, "the operator's command was run")
    assert {"tallystick-health.service"} == set(machine.path(HOME / "alarms").read_text().split())
    machine.user("sh", "-c", service.findings()["daemon_stopped"]["next"])
    service.health_ends_with(0)

    service.systemctl("disable", "--now", "tallystick-health.timer")
    service.systemctl("reload", UNIT["user"])
    until(lambda: "timer_disabled" in service.findings(), "the disabled timer is found")
    machine.user("sh", "-c", service.findings()["timer_disabled"]["next"])
    assert "active" == service.asked("ActiveState", "tallystick-health.timer")
    service.systemctl("reload", UNIT["user"])
    until(lambda: "timer_disabled" not in service.findings(), "the finding is gone")


def can_write(machine: Machine) -> list[str]:
    """Return where a part of the service could write; the log of all places shows that each was tried."""
    until(lambda: machine.log().count("/written': ") >= len(PLACES), "the journal tells of every place")
    return re.findall(r"could write (\S+)", machine.log())
