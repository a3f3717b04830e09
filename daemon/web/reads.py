"""The routes that read: what a command prints with `--json`, of the tables as they were published last."""

import asyncio
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from daemon import show
from daemon.interrupts import Interrupts
from daemon.lag import lag_events
from daemon.metrics import CONTENT_TYPE, metrics_text
from daemon.settings import Settings
from daemon.web.answers import failed, refused
from daemon.web.bodies import RequestRefused
from daemon.web.parameters import Text, given
from daemon.web.publication import QUESTION_SECONDS_MAX, Publication, QuestionTooLong
from daemon.web.questions import QUESTIONS, Asked, Question
from projections.catalog import layout
from projections.read import Head, NothingPublished, Tables
from state.errors import TallystickError

PREFIX: Final = "/api/v1/"
#: Where Prometheus asks when it is told nothing else.
METRICS_PATH: Final = "/metrics"

#: Questions that are answered at once; others wait for them.
ANSWERS_MAX: Final = 4
#: So much longer than a question may take its answer is waited for, in seconds: it has to end and to be written.
_PATIENCE_SECONDS: Final = 5.0
#: Answers that are kept, in bytes: the same log, the same answer.
_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024

_TAG: Final = re.compile(r'"[^"]*"|\*')

Answer = Callable[[Request], Awaitable[Response]]
OfTables = Callable[[Asked, Tables], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, and by what it is known again; null for one that is of a moment."""

    content: bytes | None
    tag: str | None


class Reads:
    """
    Answers every question of `QUESTIONS`.

    Args:
        settings: The state directory, and the home of whose logs it is.
        is_ending: Whether the server was asked to end, so that nobody is kept waiting.
    """

    def __init__(self, settings: Settings, is_ending: Callable[[], bool]) -> None:
        self._settings = settings
        self._publication = Publication(settings.state.published, is_ending)
        self._publication.prepare()
        self._kept = _Kept()
        self._turns = {False: asyncio.Semaphore(ANSWERS_MAX), True: asyncio.Semaphore(1)}

    def routes(self) -> list[Route]:
        """Return every route of this file; what is more than one name long stands behind what is one."""
        questions = [Route(PREFIX + each.path, self._answering(each), methods=["GET"]) for each in QUESTIONS]
        return [*questions, Route(METRICS_PATH, self._metrics, methods=["GET"])]

    async def _metrics(self, request: Request) -> Response:
        """Answer a scrape with the bytes of `tallystick metrics`."""
        minute, interrupts = _minute(), Interrupts()
        try:
            told = await self._in_turn(
                request, interrupts, is_slow=True, tell=lambda: self._scraped(minute, interrupts)
            )
        except TallystickError as error:
            return failed(error)
        except OSError:
            return refused("unavailable")
        return Response(told.content, media_type=CONTENT_TYPE)

    def _scraped(self, minute: datetime, interrupts: Interrupts) -> Told:
        """Return the metrics; where nothing has changed within the minute they are not computed again."""
        with self._publication.reading(interrupts) as (tables, head):
            lag = self._lag(head)
            known = f"metrics {None if head.mark is None else head.mark.chain} {lag} {minute}"
            content = self._kept.get(known) or metrics_text(tables, lag, minute)
        self._kept.put(known, content)
        return Told(content, None)

    def _lag(self, head: Head) -> int | None:
        try:
            return lag_events(head, self._settings)
        except TallystickError:
            return None  # then neither lag nor head of the log has a sample

    def _answering(self, question: Question) -> Answer:
        async def answer(request: Request) -> Response:
            asked = self._asked(question, request)
            stated = request.headers.get("if-none-match", "")
            try:
                told = await self._in_turn(
                    request,
                    asked.interrupts,
                    is_slow=question.is_slow,
                    tell=lambda: self._told(question, asked, stated),
                )
            except TallystickError as error:
                return failed(error)
            except OSError:
                return refused("unavailable")
            return _response(told)

        return answer

    def _asked(self, question: Question, request: Request) -> Asked:
        named = {name: Text(name, "").read(text) for name, text in request.path_params.items()}
        return Asked(self._settings, {**given(question.parameters, request.query_params), **named}, _minute())

    async def _in_turn(
        self, request: Request, interrupts: Interrupts, *, is_slow: bool, tell: Callable[[], Told]
    ) -> Told:
        """
        Answer when it is its turn; what nobody waits for any more is ended, and has its turn until it has ended.

        Raises:
            RequestRefused: It was not its turn in time.
            QuestionTooLong: The answer took too long.
            ClientDisconnect: Who asked has gone.
        """
        turn = self._turns[is_slow]
        try:
            async with asyncio.timeout(QUESTION_SECONDS_MAX):
                await turn.acquire()
        except TimeoutError:
            raise RequestRefused("busy") from None
        answering = asyncio.ensure_future(run_in_threadpool(tell))

        def ended(done: asyncio.Future[Told]) -> None:
            turn.release()
            if not done.cancelled():
                done.exception()  # looked at, or it would be told with its text when nobody waits any more

        answering.add_done_callback(ended)
        going = asyncio.ensure_future(_gone(request))
        try:
            patience = QUESTION_SECONDS_MAX + _PATIENCE_SECONDS
            done, _ = await asyncio.wait({answering, going}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            going.cancel()
        if answering in done:
            return answering.result()
        interrupts.leave()
        raise ClientDisconnect if going in done else QuestionTooLong

    def _told(self, question: Question, asked: Asked, stated: str) -> Told:
        if question.answer is not None:
            try:
                with self._publication.reading(asked.interrupts) as (tables, head):
                    return self._told_of(tables, _tag(question, asked, head), question.answer, asked, stated)
            except NothingPublished:
                if question.without_tables is None:
                    raise
        assert question.without_tables is not None  # noqa: S101 - who asks no tables answers without them
        return Told(_encoded(question.without_tables(asked)), None)

    def _told_of(self, tables: Tables, tag: str | None, answer: OfTables, asked: Asked, stated: str) -> Told:
        if tag is None:
            return Told(_encoded(answer(asked, tables)), None)
        if _is_known(tag, stated):
            return Told(None, tag)
        content = self._kept.get(tag) or _encoded(answer(asked, tables))
        self._kept.put(tag, content)
        return Told(content, tag)


async def _gone(request: Request) -> None:
    """Return once who asked has gone; a question has no body that could still come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


class _Kept:
    """The last answers, by their tags."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, tag: str) -> bytes | None:
        """Return the answer of this tag; null when it is not kept."""
        with self._lock:
            return self._answers.get(tag)

    def put(self, tag: str, content: bytes) -> None:
        """Keep an answer, and forget the oldest."""
        with self._lock:
            self._bytes += len(content) - len(self._answers.pop(tag, b""))
            self._answers[tag] = content
            while self._bytes > _KEPT_BYTES_MAX:
                self._bytes -= len(self._answers.popitem(last=False)[1])


def _encoded(document: Mapping[str, Any]) -> bytes:
    """Return what the command prints, byte for byte."""
    return f"{show.encoded(document)}\n".encode()


def _tag(question: Question, asked: Asked, head: Head) -> str | None:
    """
    Return what the answer is known by: the log and its last event, and all that it depends on besides.

    The last commit has its place in it too: it may have no event, and say that a file was read to its end.
    """
    if question.depends == "moment":
        return None
    moves: dict[str, Callable[[], object]] = {"window": asked.window, "minute": lambda: asked.minute}
    moving = moves[question.depends]() if question.depends in moves else None
    chain = None if head.mark is None else head.mark.chain
    facts = (chain, layout(), version("tallystick"), question.path, sorted(asked.given.items()), moving)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    log_id = "none" if head.mark is None else head.mark.log_id
    return f'"{log_id}-{"none" if head.seq is None else head.seq}-{digest}"'


def _is_known(tag: str, stated: str) -> bool:
    """Say whether the caller has this answer, as `If-None-Match` says; weak and strong are the same here."""
    return any(each in (tag, "*") for each in _TAG.findall(stated))


def _response(told: Told) -> Response:
    if told.tag is None:
        return Response(told.content, media_type="application/json")
    headers = {"etag": told.tag, "cache-control": "no-cache"}
    if told.content is None:
        return Response(None, 304, headers)
    return Response(told.content, 200, headers, "application/json")
