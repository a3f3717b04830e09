"""What `tallystick task report | allocate` does once its options are read: one message to the inbox each."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from daemon import show
from daemon.inbox_client import checked, submit
from daemon.message import check
from daemon.message_keys import allocation_key
from daemon.message_options import whole_number
from daemon.provenance import utc_text
from daemon.settings import Settings
from daemon.window import moment_of

DONE: Final = 0

#: Who says what an operator types.
PRODUCER: Final = "operator"

#: In the place of a task: it is none.
NO_TASK: Final = "-"


@dataclass(frozen=True, slots=True)
class Report:
    """The options of `task report`, as words; null where nothing was said."""

    task: str
    status: str
    session: str | None
    agent: str | None
    workstream: str | None
    repo: str | None
    at: str | None
    origin: str | None
    estimated_input_tokens: str | None
    estimated_output_tokens: str | None
    key: str | None
    revision: str | None

    def body(self) -> dict[str, Any]:
        """
        Return the body of the message.

        Raises:
            BadTime, MessageRefused: A time or a number is none.
        """
        return _known(
            task_id=self.task,
            status=self.status,
            session_id=self.session,
            agent=self.agent,
            workstream_id=self.workstream,
            repo=self.repo,
            origin=self.origin,
            estimated_input_tokens=whole_number("body.estimated_input_tokens", self.estimated_input_tokens),
            estimated_output_tokens=whole_number("body.estimated_output_tokens", self.estimated_output_tokens),
            at=_time("--at", self.at),
        )


@dataclass(frozen=True, slots=True)
class Declaration:
    """The options of `task allocate`, as words; one of ``session`` and ``call`` is null."""

    task: str
    session: str | None
    call: str | None
    agent: str | None
    since: str | None
    until: str | None
    permille: str | None
    workstream: str | None
    is_withdrawn: bool

    def body(self) -> dict[str, Any]:
        """
        Return the body of the message.

        Raises:
            BadTime, MessageRefused: A time or a number is none.
        """
        return _known(
            session_id=self.session,
            source_id=self.call,
            agent=self.agent,
            since=_time("--since", self.since),
            until=_time("--until", self.until),
            task_id=None if self.task == NO_TASK else self.task,
            workstream_id=self.workstream,
            permille=whole_number("body.permille", self.permille),
            is_withdrawn=self.is_withdrawn or None,
        )


def report(settings: Settings, wanted: Report, *, as_json: bool) -> int:
    """Say what a task has come to, and print the receipt."""
    revision = whole_number("revision", wanted.revision)
    receipt = submit(settings.state, "task", wanted.body(), producer=PRODUCER, key=wanted.key, revision=revision)
    _sent("tallystick.task.report/1", receipt, wanted.key, revision, as_json=as_json)
    return DONE


def allocate(settings: Settings, wanted: Declaration, *, is_asking: bool, as_json: bool) -> int:
    """Declare to which task tokens belong, and print the receipt; when only asking, write nothing."""
    body = wanted.body()
    key, revision = allocation_key(body), time.time_ns() // 1_000
    if is_asking:
        content = checked("allocation", body, producer=PRODUCER, key=key, revision=revision).content
        return what_if(settings, content, as_json=as_json)
    receipt = submit(settings.state, "allocation", body, producer=PRODUCER, key=key, revision=revision)
    _sent("tallystick.task.allocate/1", receipt, key, revision, as_json=as_json)
    return DONE


def what_if(settings: Settings, content: bytes, *, as_json: bool) -> int:
    """Show whose tokens would be others' if this message were in the log; nothing is written."""
    from daemon.what_if import what_would_change

    changes = what_would_change(settings, check(content).event("0" * 32, datetime.now(UTC)))
    if as_json:
        show.document({"schema": "tallystick.task.what_if/1", "body": json.loads(content)["body"], "rows": changes})
    elif changes:
        show.table(tuple(changes[0]), changes)
    else:
        show.out("nothing would change")
    return DONE


def _sent(schema: str, receipt: str, key: str | None, revision: int | None, *, as_json: bool) -> None:
    if as_json:
        show.document({"schema": schema, "receipt": receipt, "key": key, "revision": revision})
    else:
        show.out(receipt)


def _known(**stated: object) -> dict[str, Any]:
    return {name: value for name, value in stated.items() if value is not None}


def _time(option: str, text: str | None) -> str | None:
    moment = moment_of(option, text)
    return None if moment is None else utc_text(moment)
