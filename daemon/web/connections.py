"""How long and how often somebody may be connected who has not asked anything yet; whoever that is, nobody knows."""

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections at once. A process has a thousand descriptors, and files of its own to open.
CONNECTIONS_MAX: Final = 200
#: In which the head of a request has to arrive.
HEAD_SECONDS_MAX: Final = 10.0


class Connection(H11Protocol):
    """uvicorn's own, which waits for ever for a request that was begun, and takes every connection there is."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or let it go at once when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._wait_for_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a further request on the same connection has as long as the first."""
        super().data_received(data)
        if self._patience is None and not self._is_answering:
            self._wait_for_a_request()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_a_request(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS_MAX, self._give_up)

    def _give_up(self) -> None:
        self._patience = None
        if not self._is_answering:
            self.transport.abort()
