"""What `tallystick token` does once its options are read."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from daemon import show
from daemon.inbox_client import LOOK_SECONDS, MessageRefused, Outcome, Sealed, submit_all
from daemon.message import decoded_value
from daemon.message_options import content, seconds
from daemon.message_rules import Refused
from daemon.outcomes import known, outcomes, waiting
from daemon.posts import POSTED_BYTES_MAX, PostRefused, sealed_posts
from daemon.settings import Settings

DONE, FINDINGS, UNAVAILABLE = 0, 1, 3

_EXIT: Final = {"rejected": FINDINGS, "unknown": FINDINGS, "pending": UNAVAILABLE}

#: Who writes, where a report does not say so.
_PRODUCER: Final = "operator"


def add(settings: Settings, file: str, wait: str | None, *, as_json: bool) -> int:
    """
    Write the report of tokens in *file* (`-` for standard input), or the list of them: all or none.

    Returns:
        0; and of those who wait, 1 when one was rejected and 3 when one is not taken yet.
    """
    wait_seconds = None if wait is None else seconds(wait)
    messages = _sealed(file)
    receipts = [each.receipt for each in messages]
    before = known(settings.state, receipts) if wait_seconds is not None else set()
    submit_all(settings.state, messages)
    if wait_seconds is None:
        _show([Outcome(each, "pending") for each in receipts], as_json=as_json)
        return DONE
    deadline = time.monotonic() + wait_seconds
    while (unread := waiting(settings.state, receipts)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    found = outcomes(settings.state, receipts, unread, before)
    _show(found, as_json=as_json)
    return max(_EXIT.get(each.state, DONE) for each in found)


def _sealed(file: str) -> list[Sealed]:
    try:
        return sealed_posts("token_event", decoded_value(content(file, POSTED_BYTES_MAX)), _PRODUCER, datetime.now(UTC))
    except Refused as refused:
        raise MessageRefused(rule=refused.code) from None
    except PostRefused as refused:
        facts = {"index": refused.index, "field": refused.field, "rule": refused.code}
        raise MessageRefused(**{name: value for name, value in facts.items() if value is not None}) from None


def _show(found: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        show.document({"schema": "tallystick.token.add/1", "receipts": [asdict(each) for each in found]})
        return
    for each in found:
        facts = [f"{name}={value}" for name, value in asdict(each).items() if value is not None]
        show.out(" ".join([each.receipt, each.state, *facts[2:]]))
