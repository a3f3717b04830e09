"""
What every test gets: a home of its own, and no deadline that measures the machine.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest

import projections.read
from projections.build import Projection

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

# Tests start hundreds of processes. One that may not keep what it has compiled compiles every module again, which takes
# longer than most of what they are started for.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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


def _umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


#: What this process began with, before any command ran in it.
UMASK: Final = _umask()


# A shell starts what runs in its background deaf to Ctrl-C, and nohup deaf to a closed terminal; both are handed on to
# every process that a test starts and tells to end.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """
    Give every test the umask that this process began with: a command that runs in it narrows it for all of it, and
    one that a fixture of a whole module ran would narrow it for good.
    """
    os.umask(UMASK)
    yield
    os.umask(UMASK)


@pytest.fixture(autouse=True, scope="session")
def one_core_for_each_worker() -> Iterator[None]:
    """
    Give the databases of this process one thread, as the daemon's own has: its second one would wait for the core of
    the other worker. Commands that tests start have as many as operators' have.
    """
    defaults = Projection.open.__kwdefaults__
    assert defaults is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(defaults, "threads", 1)
        patch.setitem(projections.read._CLOSED, "threads", 1)
        yield
