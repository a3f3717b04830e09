"""Who starts the daemon and listens to it, as systemd does."""

import socket
import threading

from tests.daemon.live import until


class Manager:
    """Listens as systemd does, and remembers all that it hears."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._heard: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        """Take each datagram as it comes: who lets them lie keeps others from being sent."""
        while datagram := self._socket.recv(65_536):
            self._heard += datagram.decode().split("\n")

    def heard(self) -> list[str]:
        """Return every line so far."""
        return list(self._heard)

    def waits_for(self, line: str, times: int = 1) -> None:
        until(lambda: sum(each.startswith(line) for each in self.heard()) >= times, f"{line} was said")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._listener.join()
        self._socket.close()
