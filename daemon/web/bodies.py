"""What a request carries, read with limits before anything is made of it."""

import asyncio
from typing import Final

from starlette.requests import Request

from daemon.posts import POSTED_BYTES_MAX
from daemon.web.answers import RequestCode
from state.vocabulary import MessageCode

#: So much is read at most of a body that is too long, in bytes.
_READ_BYTES_MAX: Final = 4 * POSTED_BYTES_MAX
#: In which a body has to arrive.
BODY_SECONDS_MAX: Final = 30.0
#: Longest time that a caller may wait for an outcome, in seconds.
WAIT_SECONDS_MAX: Final = 30.0


class RequestRefused(Exception):
    """A request cannot be answered, whatever it states."""

    def __init__(self, code: RequestCode | MessageCode, field: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


async def json_body(request: Request) -> bytes:
    """
    Return the body of a request that says that it is JSON.

    Raises:
        RequestRefused: It says something else, is too long, or does not arrive.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page elsewhere can send a form without asking first, but no JSON.
    if media_type != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
        raise RequestRefused("not_json")
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await _read(request)
    except TimeoutError:
        raise RequestRefused("too_slow") from None


async def _read(request: Request) -> bytes:
    """Read the body; one that is too long to its end, for who still sends does not hear an answer."""
    body = bytearray()
    read_bytes = 0
    async for piece in request.stream():
        read_bytes += len(piece)
        if read_bytes > _READ_BYTES_MAX:
            break
        if read_bytes <= POSTED_BYTES_MAX:
            body += piece
    if read_bytes > POSTED_BYTES_MAX:
        raise RequestRefused("too_long")
    return bytes(body)


def wait_seconds(request: Request) -> float | None:
    """
    Return how long the caller waits for the outcome; ``None`` when it does not ask for it.

    Raises:
        RequestRefused: It is no time, or a longer one than we wait.
    """
    stated = request.query_params.getlist("wait")
    if not stated:
        return None
    try:
        seconds = float(stated[0])
    except ValueError:
        raise RequestRefused("invalid_field", "wait") from None
    if not 0 <= seconds <= WAIT_SECONDS_MAX:  # not a number fails both
        raise RequestRefused("out_of_range", "wait")
    return seconds


def idempotency_key(request: Request) -> str | None:
    """Return what the header of that name says: a word, or one in quotes as its draft standard has it."""
    stated = request.headers.get("idempotency-key")
    if stated is None:
        return None
    is_quoted = len(stated) > 1 and stated[0] == stated[-1] == '"'
    key = stated[1:-1] if is_quoted else stated
    if not key:
        raise RequestRefused("invalid_field", "idempotency_key")
    return key
