"""Who may write: one process per state directory."""

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

from state.boot import boot_id
from state.errors import LogLocked, StateOnNetwork
from state.files import SAFE_FLAGS, as_known
from state.mounts import network_file_system


@dataclass(frozen=True, slots=True)
class Lock:
    """
    The right to write, held until release or the end of the process.

    The kernel decides by flock; what stands in the file is for people only, so a stale or reused pid means nothing. A
    forked child would hold the lock on: do not fork while it is held.
    """

    path: Path
    descriptor: int

    @classmethod
    def take(cls, path: Path) -> "Lock":
        """
        Take the lock at *path*, or fail at once.

        Raises:
            LogLocked: Another process holds it; its pid is named.
            StateOnNetwork: Another host may hold it as well.
            StateUnusable: The file cannot be opened or locked.
        """
        with as_known(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | SAFE_FLAGS, 0o600)
            try:
                _refuse_network(descriptor, path)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} {boot_id()}\n".encode("ascii"), 0)
            except BlockingIOError:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise LogLocked(pid=holder, path=path) from None
            except (OSError, StateOnNetwork):
                os.close(descriptor)
                raise
        return cls(path, descriptor)

    def is_in_place(self) -> bool:
        """
        Say whether *path* still is the file we hold; if not, the state directory was deleted or replaced under us.
        """
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.descriptor))  # noqa: PTH116 - beside fstat
        except OSError:
            return False

    def release(self) -> None:
        """
        Let others write. The file stays: whoever unlinks a lock lets two processes hold two files of one name.
        """
        os.close(self.descriptor)


def _refuse_network(descriptor: int, path: Path) -> None:
    """
    Raise where another host could be given the same lock.
    """
    if kind := network_file_system(os.fstat(descriptor).st_dev):
        raise StateOnNetwork(path=path, file_system=kind)


def _holder(descriptor: int) -> int | None:
    """
    Read the pid of the holder; None in the instant before it has written it.
    """
    found = re.match(rb"\d{1,10}", os.pread(descriptor, 64, 0))
    return int(found[0]) if found else None
