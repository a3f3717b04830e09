"""The application: every route, what is said when one fails, and the guard in front of all."""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from daemon.inbox_client import NoRoom, NotSubmitted
from daemon.journal import Journal
from daemon.posts import PostRefused
from daemon.settings import Settings
from daemon.web.answers import RequestCode, refused
from daemon.web.bodies import RequestRefused
from daemon.web.guard import Access, Guard
from daemon.web.openapi import document
from daemon.web.pages import pages
from daemon.web.reads import Reads
from daemon.web.writes import Writes
from state.errors import DiskFull, TallystickError

_FULL = frozenset({"ENOSPC", "EDQUOT", "EFBIG"})


def application(settings: Settings, access: Access, journal: Journal, is_ending: Callable[[], bool]) -> ASGIApp:
    """
    Return the API over one state directory.

    Args:
        settings: The state directory, and the home of whose logs it is.
        access: Who may ask.
        journal: Hears of requests that fail for a defect of ours.
        is_ending: Whether the server was asked to end.
    """
    described = document()

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    page = pages()
    routes = [*Writes(settings.state, is_ending).routes(), *Reads(settings, is_ending).routes(), *page]
    app = Starlette(
        routes=_by_path([*routes, Route("/openapi.json", openapi, methods=["GET"])]),
        exception_handlers=dict.fromkeys(
            (HTTPException, PostRefused, RequestRefused, ClientDisconnect, TallystickError, Exception), _told
        ),
    )
    app.router.redirect_slashes = False  # a redirection would repeat the host that the caller named
    return Guard(app, access, journal, frozenset(route.path for route in page))


def _by_path(routes: Sequence[Route]) -> list[Route]:
    """Return one route for each path, so that a wrong method is told all that are right."""
    together: dict[str, list[Route]] = {}
    for route in routes:
        together.setdefault(route.path, []).append(route)
    return [each[0] if len(each) == 1 else _joined(each) for each in together.values()]


def _joined(routes: Sequence[Route]) -> Route:
    by_method = {method: route.endpoint for route in routes for method in route.methods or ()}

    async def answer(request: Request) -> Response:
        answered: Response = await by_method[request.method](request)
        return answered

    return Route(routes[0].path, answer, methods=[*by_method])


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
