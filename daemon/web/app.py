"""The application: every route, what is said when one fails, and the guard in front of all."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from daemon.inbox_client import NoRoom, NotSubmitted
from daemon.journal import Journal
from daemon.posts import PostRefused
from daemon.web.answers import RequestCode, refused
from daemon.web.bodies import RequestRefused
from daemon.web.guard import Access, Guard
from daemon.web.openapi import document
from daemon.web.writes import Writes
from state.errors import DiskFull, TallystickError
from state.paths import StatePaths

_FULL = frozenset({"ENOSPC", "EDQUOT", "EFBIG"})


def application(paths: StatePaths, access: Access, journal: Journal, is_ending: Callable[[], bool]) -> ASGIApp:
    """
    Return the API over one state directory.

    Args:
        paths: The state directory.
        access: Who may ask.
        journal: Hears of requests that fail for a defect of ours.
        is_ending: Whether the server was asked to end.
    """
    described = document()

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    app = Starlette(
        routes=[*Writes(paths, is_ending).routes(), Route("/openapi.json", openapi, methods=["GET"])],
        exception_handlers=dict.fromkeys(
            (HTTPException, PostRefused, RequestRefused, ClientDisconnect, TallystickError, Exception), _told
        ),
    )
    app.router.redirect_slashes = False  # a redirection would repeat the host that the caller named
    return Guard(app, access, journal)


def _told(_: Request, error: Exception) -> Response:
    """Say why a request failed, by a code; an error's own text names what is the operator's or the caller's."""
    match error:
        case HTTPException():
            return refused("wrong_method" if error.status_code == 405 else "not_found", headers=error.headers)
        case PostRefused():
            return refused(error.code, error.field, error.index)
        case RequestRefused():
            return refused(error.code, error.field)
        case ClientDisconnect():
            return refused("too_slow")  # nobody hears it
        case TallystickError():
            return refused(_failure(error))
    return refused("internal")


def _failure(error: TallystickError) -> RequestCode:
    if isinstance(error, NoRoom | DiskFull) or error.facts.get("reason") in _FULL:
        return "no_room"
    return "not_durable" if isinstance(error, NotSubmitted) else "unavailable"
