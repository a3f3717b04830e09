"""
Who took a copy is evidence: `tallystick taint` names the copies in which a row stood that was wrong.

A copy that was taken once is a statement of its own. Who asks for the same again and again is a reader, and said once.
"""

import re
import time
from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from daemon.inbox_client import Sealed, checked, submit_all
from daemon.provenance import utc_text
from daemon.repair.consumers import key_of
from daemon.settings import Settings
from projections.read import Tables, Window

PRODUCER: Final = "export"

_NAMELESS: Final = re.compile(r"[^A-Za-z0-9_.:-]")
_NAME_MAX: Final = 128


def name_of(text: str) -> str:
    """Return *text* as the name of a consumer; what a name cannot hold is an underscore."""
    return _NAMELESS.sub("_", text)[:_NAME_MAX] or "_"


def record_copy(settings: Settings, tables: Tables, name: str, used: Sequence[str], window: Window) -> None:
    """
    Leave the evidence that a copy was taken of what the tables hold now.

    Raises:
        MessageRefused: *name* is no name of a consumer.
        NotSubmitted, InboxUnsafe, StateUnusable: It could not be left; then no copy may be handed out.
    """
    _submit(settings, [_message(tables, name, "export", table, window) for table in used])


def record_reader(settings: Settings, tables: Tables, name: str, used: Sequence[str]) -> None:
    """Leave the evidence that somebody reads these tables from now on, unless they hold it already."""
    known = tables.rows("SELECT table_name FROM consumers WHERE how = 'reader' AND consumer = ?", [name])
    new = [table for table in used if table not in {row["table_name"] for row in known}]
    _submit(settings, [_message(tables, name, "reader", table, Window()) for table in new])


def _message(tables: Tables, name: str, how: str, table: str, window: Window) -> Sealed:
    seq = tables.head().seq or 0
    body: dict[str, Any] = {"consumer": name, "how": how, "table": table, "up_to_seq": seq}
    bounds = (("since", window.since), ("until", window.until))
    body |= {bound: utc_text(at.replace(tzinfo=UTC)) for bound, at in bounds if at is not None}
    # A reader asks before the daemon has read that it does: then this is the same message, and the same file.
    revision = seq if how == "reader" else time.time_ns() // 1_000
    return checked("consumption", body, producer=PRODUCER, key=key_of(body), revision=revision)


def _submit(settings: Settings, messages: Sequence[Sealed]) -> None:
    if messages:
        submit_all(settings.state, messages)
