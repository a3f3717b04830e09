"""The routes that write: what was posted becomes messages of the inbox, and what became of them is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.envelope import is_receipt
from daemon.inbox_client import Outcome, Sealed, outcome, submit_all
from daemon.message import decoded_value
from daemon.message_rules import Refused
from daemon.outcomes import known, outcomes, waiting
from daemon.posts import PostRefused, sealed_posts
from daemon.web.answers import refused, told
from daemon.web.bodies import idempotency_key, json_body, wait_seconds
from state.paths import StatePaths

#: What is written where.
WRITES: Final[Mapping[str, str]] = {
    "/api/v1/token-events": "token_event",
    "/api/v1/task-events": "task",
    "/api/v1/activity": "activity",
    "/api/v1/repos": "repo",
    "/api/v1/allocations": "allocation",
    # Where old callers write, with and without a slash: many of them do not follow a redirection of a POST.
    "/token-events": "token_event",
    "/token-events/": "token_event",
}
RECEIPT: Final = "/api/v1/receipts/{receipt}"

#: How often a waiting caller's files are looked at, in seconds.
_LOOK_SECONDS: Final = 0.05
#: Who writes, where a statement does not say so.
_PRODUCER: Final = "http"

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Writes:
    """
    Answers what writes, and what asks for a receipt.

    Args:
        paths: The state directory.
        is_ending: Whether the server was asked to end, so that nobody is kept waiting.
    """

    paths: StatePaths
    is_ending: Callable[[], bool]

    def routes(self) -> list[Route]:
        """Return every route of this file."""
        writing = [Route(path, self._writing(kind), methods=["POST"]) for path, kind in WRITES.items()]
        return [*writing, Route(RECEIPT, self._receipt, methods=["GET"])]

    def _writing(self, kind: str) -> Answer:
        async def write(request: Request) -> Response:
            wait = wait_seconds(request)
            body = await json_body(request)
            messages = await run_in_threadpool(_sealed, kind, body, idempotency_key(request))
            receipts = [each.receipt for each in messages]
            before = await run_in_threadpool(known, self.paths, receipts) if wait is not None else set()
            await run_in_threadpool(submit_all, self.paths, messages)
            return told(await self._outcomes(receipts, before, wait))

        return write

    async def _receipt(self, request: Request) -> Response:
        receipt = request.path_params["receipt"]
        if not is_receipt(receipt):
            return refused("not_found")
        unread = await self._unread([receipt], wait_seconds(request) or 0.0)
        found = await run_in_threadpool(outcome, self.paths, receipt) if not unread else Outcome(receipt, "pending")
        return refused("not_found") if found.state == "unknown" else told([found])

    async def _outcomes(self, receipts: Sequence[str], before: AbstractSet[str], wait: float | None) -> list[Outcome]:
        """Return what became of *receipts*, of which *before* were there already, after at most *wait* seconds."""
        if wait is None:
            return [Outcome(each, "pending") for each in receipts]
        unread = await self._unread(receipts, wait)
        return await run_in_threadpool(outcomes, self.paths, receipts, unread, before)

    async def _unread(self, receipts: Sequence[str], wait: float) -> AbstractSet[str]:
        """Return those of *receipts* whose files are still there after *wait* seconds; none as soon as none is."""
        deadline = time.monotonic() + wait
        while unread := await run_in_threadpool(waiting, self.paths, receipts):
            if time.monotonic() >= deadline or self.is_ending():
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return unread


def _sealed(kind: str, body: bytes, idempotency_key: str | None) -> list[Sealed]:
    try:
        written = decoded_value(body)
    except Refused as refusal:
        raise PostRefused(refusal.code) from None
    return sealed_posts(kind, written, _PRODUCER, datetime.now(UTC), idempotency_key)
