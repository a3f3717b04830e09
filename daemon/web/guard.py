"""Who may ask: looked at before anything else is, for every path alike."""

import hmac
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.journal import Journal
from daemon.web.answers import HEADERS, RequestCode, refused

#: Requests at once; each may hold a body in memory.
REQUESTS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Access:
    """
    Who may ask.

    Args:
        hosts: What a request may call us, with the port; null for a unix socket, which no name leads to.
        origins: Pages that may ask.
        token: What a caller has to know; null for a unix socket, whose mode decides.
    """

    hosts: frozenset[str] | None = None
    origins: frozenset[str] = frozenset()
    token: str | None = None

    @classmethod
    def on_port(cls, port: int, token: str) -> "Access":
        """Return the rules of a loopback port: a name that a page elsewhere points at us is none of ours."""
        hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        return cls(hosts, frozenset(f"http://{host}" for host in hosts), token)

    def refusal(self, headers: Headers, *, is_open: bool = False) -> RequestCode | None:
        """Return why a request may not be answered; ``None`` when it may. What *is_open* asks for no token."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1:
            return "missing_host"
        if self.hosts is not None and hosts[0].lower() not in self.hosts:
            return "foreign_host"
        if any(origin not in self.origins for origin in origins):
            return "foreign_origin"
        return None if is_open or self._knows_token(headers.getlist("authorization")) else "needs_token"

    def _knows_token(self, stated: Sequence[str]) -> bool:
        if self.token is None:
            return True
        scheme, _, token = stated[0].partition(" ") if len(stated) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())


class Guard:
    """Lets through what may be asked, puts our headers on every answer, and tells no caller of a defect of ours."""

    def __init__(self, app: ASGIApp, access: Access, journal: Journal, open_paths: frozenset[str]) -> None:
        self._app = app
        self._access = access
        self._journal = journal
        self._open_paths = open_paths
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        is_open = scope["path"] in self._open_paths and scope["method"] in ("GET", "HEAD")
        code = self._access.refusal(Headers(scope=scope), is_open=is_open)
        if code is None and self._requests >= REQUESTS_MAX:
            code = "busy"
        if code is not None:
            how = {"needs_token": {"www-authenticate": "Bearer"}, "busy": {"retry-after": "1"}}
            await refused(code, headers=how.get(code))(scope, receive, _with_headers(send))
            return
        self._requests += 1
        try:
            await self._app(scope, receive, _with_headers(send))
        except Exception as error:  # noqa: BLE001 - its text may quote the request: only its place is told
            self._journal.error("request_failed", error=type(error).__name__, place=_place(error))
        finally:
            self._requests -= 1


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename.rpartition('/')[2]}:{last.lineno}"
