"""Whether the units are enabled, as the links say that systemd itself reads: asked every minute, without a process."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from daemon.health.finding import Finding
from daemon.settings import Manager, Settings

USER_UNIT: Final = "tallystick.service"
#: Is there where systemd runs the machine.
RUNNING: Final = Path("/run/systemd/system")

#: Where systemd looks for units of all users, and of the system; an operator's own come first.
_USER: Final = tuple(Path(each) for each in ("/etc/systemd/user", "/run/systemd/user", "/usr/lib/systemd/user"))
_SYSTEM: Final = tuple(Path(each) for each in ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"))


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What runs this process, and what will run it after a boot.

    Args:
        manager: Whose unit this process is; null for none: somebody typed `tallystick run`.
        unit: Its name; null for none.
        is_enabled: Whether the unit will be started with its host or user; where no unit runs this process, that of
            this user. Null where none is installed, or it cannot be seen.
        is_timer_enabled: The same of the timer that asks for health.
    """

    manager: Manager | None = None
    unit: str | None = None
    is_enabled: bool | None = None
    is_timer_enabled: bool | None = None

    def document(self) -> dict[str, Any]:
        """Return what the heartbeat shows."""
        return asdict(self)


def standing(settings: Settings, system: Sequence[Path] = _SYSTEM, user: Sequence[Path] = _USER) -> Standing:
    """Look what is enabled now."""
    directories = _directories(settings, system, user)
    unit = settings.unit or USER_UNIT
    if settings.unit is None and not any(_is_there(each / unit) for each in directories):
        return Standing()
    return Standing(
        settings.manager, settings.unit, is_enabled(unit, directories), is_enabled(timer_of(unit), directories)
    )


def _directories(settings: Settings, system: Sequence[Path] = _SYSTEM, user: Sequence[Path] = _USER) -> Sequence[Path]:
    return system if settings.manager == "system" else (settings.user_units, *user)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a home that this user may not enter holds no unit of this user
        return False


def timer_of(unit: str, watcher: str = "health") -> str:
    """Return the timer of a *watcher* over what *unit* runs: `...-health@U.timer` for `tallystick@U.service`."""
    stem = unit.removesuffix(".service")
    return f"tallystick-{watcher}{stem.removeprefix('tallystick')}.timer"


def is_enabled(unit: str, directories: Iterable[Path]) -> bool | None:
    """Say whether anything wants *unit*; null where that cannot be seen."""
    try:
        return any((wants / unit).is_symlink() for directory in directories for wants in _wants(directory))
    except OSError:
        return None


def _wants(directory: Path) -> Iterator[Path]:
    try:
        entries = list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (entry for entry in entries if entry.suffix in (".wants", ".requires"))


#: What nobody is told while a timer is disabled.
_UNTOLD: Final = {
    "health": "no alarm of health reaches anybody",
    "reconcile": "nobody holds disk, log and tables against each other",
}


def judge(settings: Settings, _: datetime, running: Path = RUNNING) -> list[Finding]:
    """Return that nobody asks for health, or reconciles: what nobody asks for nobody is told."""
    if not (settings.unit or running.is_dir()):
        return []  # where no systemd runs, nothing could enable them
    user = (settings.unit or "").partition("@")[2].removesuffix(".service")
    command = f"tallystick service start --system {user}" if user else "tallystick service start"
    return [
        Finding("timer_disabled", timer, None, f"{timer} is not enabled: {untold}", command)
        for timer, untold in _disabled(settings)
    ]


def _disabled(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the timers that are installed and not enabled; an older install may have one of them only."""
    unit, directories = settings.unit or USER_UNIT, _directories(settings)
    if standing(settings).is_timer_enabled is False:
        yield timer_of(unit), _UNTOLD["health"]
    timer = timer_of(unit, "reconcile")
    name = timer if "@" not in timer else f"{timer.partition('@')[0]}@.timer"
    if any(_is_there(each / name) for each in directories) and is_enabled(timer, directories) is False:
        yield timer, _UNTOLD["reconcile"]
