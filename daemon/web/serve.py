"""`tallystick serve`: puts the API behind a socket, and ends when it is asked to."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from daemon import show
from daemon.journal import open_journal
from daemon.memory import leave_no_core
from daemon.notify import Notify
from daemon.options import BadOption
from daemon.settings import Settings
from daemon.web.app import application
from daemon.web.connections import Connection
from daemon.web.guard import Access
from daemon.web.listening import LOOPBACK, access_token, inherited_socket, loopback_port, unix_socket

#: How long requests may go on after the end was asked for, in seconds.
_END_SECONDS: Final = 5
_PORT_MAX: Final = 65_535


def serve(settings: Settings, socket_path: str | None, port: int | None, *, is_for_a_person: bool = False) -> int:
    """
    Answer until SIGTERM or SIGINT; say on stdout where.

    That is a unix socket, a loopback port, or, where neither is named, what a service manager hands over. The address
    of the dashboard holds the token, so it is said only to a person, and not into somebody's log.
    """
    leave_no_core()
    paths = settings.state
    paths.create()
    handed = inherited_socket(os.environ) if socket_path is None and port is None else None
    if handed is not None:
        with handed:
            return _answer_handed(settings, handed)
    if port is not None:
        if port > _PORT_MAX:
            raise BadOption(option="--port", can_be=f"0 to {_PORT_MAX}")
        token = access_token(paths.api_token)
        with loopback_port(port) as listener:
            return _answer_on_port(settings, listener, token, is_told=is_for_a_person)
    path = Path(socket_path).absolute() if socket_path else settings.api_socket
    with unix_socket(path) as listener:
        return _answer(settings, listener, Access(), str(path))


def _answer_handed(settings: Settings, listener: socket.socket) -> int:
    if listener.family == socket.AF_INET:
        return _answer_on_port(settings, listener, access_token(settings.state.api_token))
    return _answer(settings, listener, Access(), str(listener.getsockname()))


def _answer_on_port(settings: Settings, listener: socket.socket, token: str, *, is_told: bool = False) -> int:
    number = listener.getsockname()[1]
    where = f"http://{LOOPBACK}:{number}"
    page = f"\nthe dashboard, in a browser of this machine: {where}/#token={token}" if is_told else ""
    return _answer(settings, listener, Access.on_port(number, token), where + page)


def _answer(settings: Settings, listener: socket.socket, access: Access, where: str) -> int:
    app = application(settings, access, open_journal(), lambda: server.should_exit)
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,  # it would log what was asked for
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_END_SECONDS,
    )
    server = _Server(config, where)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.end)
    asyncio.run(server.serve(sockets=[listener]))
    return 0


class _Server(uvicorn.Server):
    """Uvicorn, but for signals: it would end the process by the one it got, and we end with 0."""

    def __init__(self, config: uvicorn.Config, where: str) -> None:
        super().__init__(config)
        self._where = where

    def end(self, _: int, __: FrameType | None) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        show.out(self._where)
        show.flush()
        Notify(os.environ).tell("READY=1")
