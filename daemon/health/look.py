"""What can be seen of a daemon from outside, by reading files alone: its heartbeat, its process, its disk."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from daemon.health.heard import Heard, hear
from daemon.health.stamps import STAMPS, stamped_at
from daemon.settings import Settings
from state.boot import boot_id
from state.paths import StatePaths

#: More messages than these are not counted: looking must not take long.
COUNTED_MAX: Final = 10_000

#: How the process of a heartbeat is: `stopped` by a signal, `blocked` in a call that the disk does not answer.
Process = Literal["there", "stopped", "blocked", "gone"]


class Looked(NamedTuple):
    """
    What was seen from outside; null for what could not be seen.

    Args:
        heard: The last heartbeat.
        process: How the process that it names is; null when it names none.
        boot_id: This boot of the machine; empty where the kernel does not tell.
        monotonic_seconds: This boot's clock that nobody can set.
        stamps: When each of `STAMPS` ran last, in seconds since the epoch; null for never.
        disk_free_bytes: Room on the disk of the state directory.
        rejected_messages: Files in the inbox that were no messages.
        has_state: Whether there is a state directory.
        own_paths: Which of the places that the heartbeat names belong to this user.
        stamp_failure: Why this run could not leave its own stamp.
        has_unit: Whether units of ours are installed for this user.
    """

    heard: Heard
    process: Process | None
    boot_id: str
    monotonic_seconds: float
    stamps: Mapping[str, float | None]
    disk_free_bytes: int | None
    rejected_messages: int | None
    has_state: bool
    own_paths: frozenset[str]
    stamp_failure: str | None
    has_unit: bool = False


def look(settings: Settings, leave_stamp: Callable[[], str | None] = lambda: None) -> Looked:
    """Look once; the stamps are looked at before *leave_stamp*, which returns why it could not."""
    paths = settings.state
    heard = hear(paths.health)
    stamps = {name: stamped_at(paths, name) for name in STAMPS}
    return Looked(
        heard=heard,
        process=_process(heard),
        boot_id=boot_id(),
        monotonic_seconds=time.monotonic(),
        stamps=stamps,
        disk_free_bytes=_disk_free_bytes(paths),
        rejected_messages=_rejected(paths),
        has_state=paths.root.is_dir(),
        own_paths=frozenset(filter(_is_own, _named(heard))),
        stamp_failure=leave_stamp(),
        has_unit=_has_unit(settings),
    )


def _process(heard: Heard) -> Process | None:
    pid = heard.said.fields.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31:
        return None
    clock = heard.said.fields.get("clock")
    stated = clock if isinstance(clock, dict) else {}
    if stated.get("boot_id") not in (None, "", boot_id()):
        return "gone"  # since then the machine was started anew, and the number may be anybody's
    beat_at = stated.get("boottime_seconds")
    return process(pid, beat_at if isinstance(beat_at, int | float) else None)


def process(pid: int, beat_at: float | None) -> Process:
    """
    Say how a process is, whoever owns it.

    Args:
        pid: Its number.
        beat_at: When it was heard, in seconds since boot: one that began later is another one of the same number.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - `health` is asked for ever
            fields = file.read().rpartition(b")")[2].split()
        state, begun_at = fields[0], int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return "gone"
    if state in (b"Z", b"X") or (beat_at is not None and begun_at > beat_at + 1):
        return "gone"
    return "stopped" if state in (b"T", b"t") else "blocked" if state == b"D" else "there"


def _disk_free_bytes(paths: StatePaths) -> int | None:
    try:
        disk = os.statvfs(paths.root)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _rejected(paths: StatePaths) -> int | None:
    try:
        with os.scandir(paths.inbox / "rejected") as entries:
            return sum(1 for _, _ in zip(entries, range(COUNTED_MAX), strict=False))
    except FileNotFoundError:
        return 0
    except OSError:
        return None


def _named(heard: Heard) -> set[str]:
    """Return the places that the heartbeat names as unreadable."""
    sources = heard.said.fields.get("sources")
    agents = sources.values() if isinstance(sources, dict) else ()
    places = [each.get("unreadable_path") for each in agents if isinstance(each, dict)]
    return {place for place in places if isinstance(place, str) and place.startswith("/") and "\0" not in place}


def _has_unit(settings: Settings) -> bool:
    try:
        return (settings.user_units / "tallystick.service").exists()
    except OSError:
        return False


def _is_own(place: str) -> bool:
    try:
        return os.lstat(place).st_uid == os.geteuid()
    except (OSError, ValueError):
        return False
