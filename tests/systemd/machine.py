"""A machine whose first process is systemd, booted in seconds and gone with its test."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from tests.daemon.live import until

TOP: Final = Path(__file__).resolve().parent.parent.parent
#: The user of the machine, and what is there for that user.
USER: Final = "ann"
USER_ID: Final = 4242
HOME: Final = Path("/home/ann")
#: This installation's own command, as the units run it.
COMMANDS: Final = Path(sys.executable).parent

_NEEDS: Final = ("systemd-nspawn", "dbus-daemon", "nsenter", "unshare", "setpriv", "runuser", "useradd")
#: With mounts and processes of its own: whoever ends the first of them ends all, and so does the end of this process.
_ALONE: Final = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
)
#: Longer than any command here takes, in seconds.
_SECONDS: Final = 60.0


def skip_where_none_can_boot() -> None:
    """Say what is missing for a machine, if anything is."""
    if os.geteuid() != 0:
        pytest.skip("only root may boot a machine")
    missing = [command for command in _NEEDS if shutil.which(command) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install systemd-container dbus dbus-user-session")
    if not (COMMANDS / "tallystick").exists():
        pytest.skip(f"no command tallystick in {COMMANDS}")
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"this container may not mount: {tried.stderr.strip()}")


class Machine:
    """A booted machine, and commands run in it."""

    def __init__(self, console: Path) -> None:
        self._console = console
        name = f"tallystick-{uuid4().hex[:12]}"
        shown = {str(path) for path in (TOP, Path(sys.prefix), Path(sys.base_prefix))}
        with console.open("wb") as output:
            self._nspawn = subprocess.Popen(
                [*_ALONE, "sh", str(Path(__file__).with_name("boot.sh")), name, *sorted(shown)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def booted(self) -> "Machine":
        """Wait until it has booted, and until its user's manager runs."""
        until(self._has_booted, "the machine has booted")
        self.root("systemctl", "is-system-running", "--wait", is_fine=True)  # whatever else this host has
        until(lambda: self.path(f"/run/user/{USER_ID}/systemd/private").is_socket(), "the user's manager runs")
        return self

    def end(self) -> None:
        """Switch it off, and see that it is."""
        init = self._init
        self._nspawn.kill()
        self._nspawn.wait()
        until(lambda: init is None or not Path(f"/proc/{init}").exists(), "the machine is gone")

    def _has_booted(self) -> bool:
        assert self._nspawn.poll() is None, self._console.read_text()
        return self._init is not None and self.path("/run/systemd/private").is_socket()

    @property
    def _init(self) -> int | None:
        """Return the machine's first process, as this one sees it."""
        with contextlib.suppress(OSError):  # while it boots, children come and go
            for outer in _children(self._nspawn.pid):
                for child in _children(outer):
                    if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                        return child
        return None

    def path(self, inside: str | Path) -> Path:
        """Return where a path of the machine is for this process."""
        return Path(f"/proc/{self._init}/root{inside}")

    def root(self, *command: str, is_fine: bool = False) -> str:
        """Run a command as root, and return what it prints; unless *is_fine*, it must succeed."""
        return self._run(command, {"HOME": "/root"}, is_fine=is_fine)

    def user(self, *command: str, is_fine: bool = False) -> str:
        """Run a command as the machine's user."""
        given = {"HOME": str(HOME), "XDG_RUNTIME_DIR": f"/run/user/{USER_ID}", "USER": USER}
        return self._run(["runuser", "-u", USER, "--", *command], given, is_fine=is_fine)

    def _run(self, command: "tuple[str, ...] | list[str]", given: Mapping[str, str], *, is_fine: bool) -> str:
        init = self._init
        assert init, "the machine is gone"
        path = f"{COMMANDS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        done = subprocess.run(
            ["nsenter", f"--target={init}", "-m", "-u", "-i", "-n", "-p", "-C", "--", *command],
            env={"PATH": path, "LANG": "C.UTF-8", **given},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert is_fine or not done.returncode, f"{command}: {done.stdout}{done.stderr}{self.log()}"
        return done.stdout

    def log(self, *about: str) -> str:
        """Return its journal, or what of it is *about* something."""
        init = self._init
        asked = ["nsenter", f"--target={init}", "-m", "-p", "--", "journalctl", "--no-pager", *about]
        return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=_SECONDS).stdout

    def write(self, path: str | Path, text: str, *, owner: str = USER, mode: int = 0o644) -> None:
        """Write a file, for root or for the machine's user; what is missing above it is theirs, too."""
        inside = self.path(path)
        made = [each for each in (inside, *inside.parents) if not each.exists()]
        inside.parent.mkdir(parents=True, exist_ok=True)
        with inside.open("a", encoding="utf-8") as file:
            file.write(text)
        inside.chmod(mode)
        for each in made:
            os.chown(each, *((USER_ID, USER_ID) if owner == USER else (0, 0)))


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@contextmanager
def booted(console: Path) -> Iterator[Machine]:
    """Give a machine; however the test ends, none is left."""
    skip_where_none_can_boot()
    machine = Machine(console)
    try:
        yield machine.booted()
    finally:
        machine.end()
