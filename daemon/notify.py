"""What a service tells systemd (`Type=notify`): sd_notify(3) is a datagram on a socket."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

#: A manager under load has a full queue: so long is waited for room in it, in seconds, as READY=1 is said once only.
_SECONDS: Final = 5.0


class Notify:
    """
    The service manager, or nobody: where no socket is named, nothing is said.

    ``watchdog_seconds`` is within how long it wants to hear `WATCHDOG=1`; null when it does not.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        named = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{named[1:]}" if named.startswith("@") else named
        self._status = ""
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environment.get("WATCHDOG_USEC", "") if named and is_meant else ""
        self.watchdog_seconds = int(usec) / 1e6 if usec.isdecimal() and int(usec) else None

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Say *lines* (`READY=1`). What does not arrive is made up for: a silent service is started anew."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SECONDS)
                sender.sendto("\n".join(lines).encode(), self._address)

    def tell_status(self, status: str) -> None:
        """Say in a sentence without paths what it does, for `systemctl status`; the same one only once."""
        if status != self._status:
            self._status = status
            self.tell(f"STATUS={status}")

    def extend(self, seconds: float) -> None:
        """Ask for so much time for what is under way."""
        self.tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `READY=1` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
