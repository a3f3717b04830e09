"""
What every test gets: a home of its own, and no deadline that measures the machine.
"""

import os
from pathlib import Path

import hypothesis
import pytest

#: Settings of the operator's own shell and service manager, which must not reach a test.
FOREIGN = (
    "CONFIGURATION_DIRECTORY",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "TALLYSTICK_",
    "WATCHDOG_",
    "XDG_",
)

# A property that is slow on a shared two-core machine is not wrong; pytest-timeout stops what hangs. What else CI's
# own profile sets (no random seed) stays: it is loaded by hypothesis itself where CI is set.
if "CI" not in os.environ:
    hypothesis.settings.register_profile("tallystick", deadline=None)
    hypothesis.settings.load_profile("tallystick")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Point home and state at an empty folder: no test reads the operator's logs or writes to their state.

    Returns:
        The empty home.
    """
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    return home
