"""`tallystick serve` as a process of its own: started, asked, and ended."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from state.paths import StatePaths
from tests.daemon.live import DEADLINE_SECONDS


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> tuple[str, str | None, int | None]:
        error = self.document["error"]
        return error["code"], error["field"], error["index"]

    @property
    def receipts(self) -> list[str]:
        return [each["receipt"] for each in self.document["receipts"]]

    @property
    def states(self) -> list[str]:
        return [each["state"] for each in self.document["receipts"]]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Served:
    """
    One server; `where` is what it printed: the path of its socket, or an address.

    A unix socket's path has 107 bytes at most, and a test's folder may be longer: it is put elsewhere.
    """

    def __init__(self, state: StatePaths, *options: str, wrapper: tuple[str, ...] = ()) -> None:
        self.state = state
        command = [sys.executable, "-m", "daemon.cli", "serve", "--state-dir", str(state.root), *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [*wrapper, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.where = self.process.stdout.readline().strip()

    def connection(self) -> http.client.HTTPConnection:
        if self.where.startswith("/"):
            return _UnixConnection(self.where)
        return http.client.HTTPConnection(self.where.removeprefix("http://"), timeout=DEADLINE_SECONDS)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request; what is no bytes is sent as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        stated = {"Content-Type": "application/json"} if content is not None else {}
        with_token = {} if self.where.startswith("/") else {"Authorization": f"Bearer {self.token}"}
        connection = self.connection()
        try:
            connection.request(method, path, content, stated | with_token | dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    @property
    def token(self) -> str:
        return self.state.api_token.read_text().strip()

    def stop(self) -> tuple[int, str]:
        """Ask it to end; returns its exit code and what it told."""
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, told


@contextmanager
def served(state: StatePaths, *options: str, wrapper: tuple[str, ...] = ()) -> Iterator[Served]:
    """Give a running server; however the test ends, none is left."""
    with tempfile.TemporaryDirectory(prefix="ts-") as short:
        where = () if options or wrapper else ("--socket", str(Path(short) / "api.sock"))
        server = Served(state, *where, *options, wrapper=wrapper)
        try:
            assert server.where, server.process.communicate()[1]
            yield server
        finally:
            server.process.kill()
            server.process.wait()
