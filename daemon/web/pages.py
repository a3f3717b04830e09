"""The files of the page, as they are: nothing in them is anybody's, so no token is asked for."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

#: What may be served; what has another suffix is no part of the page.
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}

#: A page of ours loads what is ours: no script of anybody else's, no frame, no form, no request to another host.
_POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

#: Where the files are found, `/` but for `index.html`.
PREFIX: Final = "/static/"


def pages() -> list[Route]:
    """Return a route for each file; `index.html` is at `/`."""
    return [_page(path, file) for path, file in sorted(_files())]


def _files() -> Iterator[tuple[str, Traversable]]:
    folder = files("daemon.web") / "static"
    for name, file in _below("", folder):
        yield "/" if name == "index.html" else PREFIX + name, file


def _below(prefix: str, folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(f"{prefix}{entry.name}/", entry)
        elif entry.name.rpartition(".")[2] in MEDIA_TYPES:
            yield prefix + entry.name, entry


def _page(path: str, file: Traversable) -> Route:
    content = file.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache", "content-security-policy": _POLICY}
    media_type = MEDIA_TYPES[file.name.rpartition(".")[2]]

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        return Response(content, 200, headers, media_type)

    return Route(path, answer, methods=["GET"])
