"""The units as they are shipped: systemd understands every line, and the template is as closed as it can be."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parent.parent.parent / "systemd"
SERVICES = (
    "tallystick.service",
    "tallystick@.service",
    "tallystick-health.service",
    "tallystick-health@.service",
    "tallystick-reconcile.service",
    "tallystick-reconcile@.service",
    "tallystick-web.service",
    "tallystick-web@.service",
)
#: What the units run, and the targets of systemd itself that they name.
COMMANDS = ("usr/local/bin/tallystick", "root/.local/bin/tallystick", "bin/sh", "bin/kill")
TARGETS = ("basic", "default", "multi-user", "nss-user-lookup", "remote-fs", "shutdown", "sockets", "sysinit", "timers")
#: Lines that take something away.
HARDENING = re.compile(
    r"^(?:Lock|MemoryDeny|NoNew|Private|Protect|ReadOnly|Restrict(?!art)|SystemCall).*", re.MULTILINE
)


@pytest.fixture(autouse=True)
def systemd_analyze() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")


def unit_names() -> list[str]:
    """Name every unit, templates as an instance of theirs."""
    return [path.name.replace("@.", "@ann.") for path in sorted(UNITS.iterdir())]


def verified(root: Path, *units: str) -> tuple[int, str]:
    """Return how `systemd-analyze verify` ends over the units of *root*, and all that it says."""
    done = subprocess.run(
        ["systemd-analyze", f"--root={root}", "verify", *units],
        capture_output=True, text=True, check=False, env={**os.environ, "HOME": "/root"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with our units, the commands that they run, and nothing else."""
    for command in COMMANDS:
        path = tmp_path / command
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    own = tmp_path / "usr/lib/systemd/system"
    own.mkdir(parents=True)
    for target in TARGETS:
        (own / f"{target}.target").write_text("[Unit]\nDescription=-\n")
    shutil.copytree(UNITS, tmp_path / "etc/systemd/system")
    return tmp_path


def test_systemd_understands_every_unit(root: Path) -> None:
    """
    `verify` has nothing to say: no misspelt name, no command that is not there, no unknown unit.
    """
    assert 16 == len(unit_names())
    assert (0, "") == verified(root, *unit_names())


def test_a_misspelt_line_would_be_noticed(root: Path) -> None:
    """
    The check above is itself checked: systemd ignores what it does not know, and says so.
    """
    unit = root / "etc/systemd/system/tallystick@.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=", "ProtectsSystem="))

    assert "'ProtectsSystem'" in verified(root, "tallystick@ann.service")[1]


@pytest.mark.parametrize("unit", [name for name in SERVICES if "@" in name])
def test_the_exposure_of_a_template_is_half_a_point_at_most(unit: str) -> None:
    """
    Of ten; what is left is a daemon that reads homes and talks to systemd.
    """
    asked = ["systemd-analyze", "security", "--offline=true", "--threshold=5", "--no-pager", str(UNITS / unit)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)

    assert re.search(r"Overall exposure level for \S+: 0\.[0-5] ", done.stdout), done.stdout[-300:] + done.stderr
    assert 0 == done.returncode


def test_all_services_are_hardened_alike() -> None:
    """
    What the daemon may not do, those that look at it may not do either, and the templates allow less still.
    """
    hardening = {name: set(HARDENING.findall((UNITS / name).read_text())) for name in SERVICES}

    assert "PrivateUsers=yes" in hardening["tallystick.service"]
    for watcher in ("health", "reconcile", "web"):
        assert hardening["tallystick.service"] == hardening[f"tallystick-{watcher}.service"]
        assert hardening["tallystick@.service"] == hardening[f"tallystick-{watcher}@.service"]
    assert hardening["tallystick.service"] < hardening["tallystick@.service"]


@pytest.mark.parametrize("name", ["tallystick-web.service", "tallystick-web@.service"])
def test_what_answers_over_http_may_write_nowhere(name: str) -> None:
    """
    No place is opened to it, its state directory is not made by it, and only its user may ask.
    """
    service = (UNITS / name).read_text()
    socket = (UNITS / name.replace(".service", ".socket")).read_text()

    assert [] == re.findall(r"^(?:ReadWritePaths|\w*Directory|BindPaths|PrivateTmp)=.*", service, re.MULTILINE)
    assert "\nProtectSystem=strict\nProtectHome=read-only\n" in service
    assert "\nSocketMode=0600\n" in socket
    assert (
        1 == len(re.findall(r"^Listen\w+=(?:%t|/run)/", socket, re.MULTILINE)) == len(re.findall("(?m)^Listen", socket))
    )
    assert ("@" in name) == ("\nSocketUser=%i\n" in socket)


@pytest.mark.parametrize("name", SERVICES)
def test_every_failure_raises_the_alarm(name: str) -> None:
    """
    The daemon that was started too often, a health that is critical or unknown, and whatever the daily reconcile finds:
    a warning of health is no failure, a finding of the reconcile is.
    """
    text = (UNITS / name).read_text()

    assert "\nOnFailure=tallystick-alert@%n.service\n" in text
    # It hides what says which boot this is, without which no heartbeat can be judged.
    assert "ProcSubset" not in text
    if "reconcile" in name:
        assert "SuccessExitStatus" not in text
        assert "\nStartLimitIntervalSec=0\n" in text
    if "health" in name:
        assert "\nSuccessExitStatus=1\n" in text
        assert "\nStartLimitIntervalSec=0\n" in text


@pytest.mark.parametrize("name", ["tallystick-reconcile.timer", "tallystick-reconcile@.timer"])
def test_the_reconcile_is_daily_and_made_up_for(name: str) -> None:
    """
    A machine that was off at midnight reconciles when it is on again.
    """
    text = (UNITS / name).read_text()

    assert "\nOnCalendar=daily\n" in text
    assert "\nPersistent=true\n" in text
