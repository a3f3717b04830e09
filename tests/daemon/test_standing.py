"""Whether the units are enabled is seen in the very links that systemd reads."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from daemon.service import standing as service
from daemon.service.standing import Standing, standing, timer_of
from tests.daemon.conftest import Host
from tests.daemon.live import needs

AT = datetime(2026, 11, 1, 10, tzinfo=UTC)


def enable(directory: Path, unit: str, wanted_by: str) -> None:
    """Do what `systemctl enable` does."""
    wants = directory / f"{wanted_by}.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / unit).symlink_to(directory / unit)


@pytest.fixture
def units(host: Host) -> Path:
    """A folder of this user's units, with ours in it."""
    directory = host.home / ".config/systemd/user"
    directory.mkdir(parents=True)
    for name in ("tallystick.service", "tallystick-health.timer"):
        (directory / name).touch()
    return directory


def test_without_units_nothing_is_known(host: Host, tmp_path: Path) -> None:
    """
    Where nothing of ours is installed, nothing is disabled: there is no finding, and null is no `false`.
    """
    settings = host.settings._replace(user_units=tmp_path / "none")

    assert Standing(None, None, None, None) == standing(settings, system=(), user=())
    assert [] == service.judge(settings, AT)


def test_a_disabled_timer_is_found_and_enabling_it_takes_the_finding_away(host: Host, units: Path) -> None:
    """
    The links that systemd reads decide; the finding names the command that makes them.
    """
    settings = host.settings._replace(user_units=units, manager="user", unit="tallystick.service")
    enable(units, "tallystick.service", "default.target")

    assert Standing("user", "tallystick.service", is_enabled=True, is_timer_enabled=False) == standing(settings)
    assert [("timer_disabled", "tallystick service start")] == [
        (found.rule, found.next) for found in service.judge(settings, AT)
    ]

    enable(units, "tallystick-health.timer", "timers.target")

    assert Standing("user", "tallystick.service", is_enabled=True, is_timer_enabled=True) == standing(settings)
    assert [] == service.judge(settings, AT)


def test_a_daily_timer_that_is_installed_and_not_enabled_is_found(host: Host, units: Path) -> None:
    """
    An install of before it was shipped has none, and that is no finding.
    """
    settings = host.settings._replace(user_units=units, manager="user", unit="tallystick.service")
    for unit, wanted_by in (("tallystick.service", "default.target"), ("tallystick-health.timer", "timers.target")):
        enable(units, unit, wanted_by)
    assert [] == service.judge(settings, AT)

    (units / "tallystick-reconcile.timer").touch()
    assert ["tallystick-reconcile.timer"] == [found.source for found in service.judge(settings, AT)]

    enable(units, "tallystick-reconcile.timer", "timers.target")
    assert [] == service.judge(settings, AT)


def test_a_daemon_that_somebody_typed_tells_of_the_units_beside_it(host: Host, units: Path) -> None:
    """
    It has no unit of its own, and still sees that those of its user are disabled.
    """
    settings = host.settings._replace(user_units=units)

    assert Standing(None, None, is_enabled=False, is_timer_enabled=False) == standing(settings)
    assert ["timer_disabled"] == [found.rule for found in service.judge(settings, AT, running=units)]
    assert [] == service.judge(settings, AT, running=units / "no systemd runs here")


def test_an_instance_of_the_template_has_its_own_timer(host: Host, tmp_path: Path) -> None:
    """
    What is enabled for one user says nothing of another.
    """
    settings = host.settings._replace(manager="system", unit="tallystick@ann.service")
    enable(tmp_path / "system", "tallystick@ann.service", "tallystick.target")
    enable(tmp_path / "system", "tallystick-health@bob.timer", "tallystick.target")

    assert "tallystick-health@ann.timer" == timer_of("tallystick@ann.service")
    assert Standing("system", "tallystick@ann.service", is_enabled=True, is_timer_enabled=False) == standing(
        settings, system=[tmp_path / "system"]
    )
    assert ["tallystick service start --system ann"] == [found.next for found in service.judge(settings, AT)]


def test_what_cannot_be_seen_is_not_called_disabled() -> None:
    """
    A folder that this user may not read leaves it open; once it may be read, the link in it counts.
    """
    script = (
        "import sys; from pathlib import Path; from daemon.service.standing import is_enabled;"
        " print(is_enabled('tallystick-health.timer', [Path(sys.argv[1])]))"
    )
    somebody = []
    if os.geteuid() == 0:  # who may read everything
        needs("setpriv")
        somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

    with TemporaryDirectory() as units:
        Path(units).chmod(0o755)
        enable(Path(units), "tallystick-health.timer", "timers.target")
        wants = Path(units) / "timers.target.wants"

        def said() -> str:
            command = [*somebody, sys.executable, "-c", script, units]
            path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            return subprocess.run(command, check=True, capture_output=True, text=True, env=path).stdout.strip()

        assert "True" == said()
        wants.chmod(0)
        assert "None" == said()
        wants.chmod(0o755)
