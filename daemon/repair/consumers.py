"""`tallystick consumer add|list`: who goes by our tables, so that `taint` can name them when a row was wrong."""

import time
from typing import Any, Final, NamedTuple

from adapters.decode import digest
from daemon import show
from daemon.inbox_client import submit
from daemon.message_options import whole_number
from daemon.options import check_words
from daemon.provenance import utc_text
from daemon.settings import Settings
from daemon.window import moment_of
from projections.catalog import relations
from projections.read import Tables, plain

DONE: Final = 0
PRODUCER: Final = "operator"


class Use(NamedTuple):
    """The options of `consumer add`, as words; null where nothing was said."""

    consumer: str
    table: str
    since: str | None
    until: str | None
    up_to: str | None
    is_export: bool
    is_withdrawn: bool


def add(settings: Settings, use: Use, *, as_json: bool) -> int:
    """
    Register a consumer of a table, and print the receipt; without --up-to, as of what the tables hold now.

    Raises:
        BadOption, BadTime, MessageRefused: There is no such table, or a time or a number is none.
    """
    check_words("--table", [use.table], [each.name for each in relations()])
    stated = {
        "consumer": use.consumer,
        "how": "export" if use.is_export else "reader",
        "table": use.table,
        "up_to_seq": _head(settings) if use.up_to is None else whole_number("body.up_to_seq", use.up_to),
        "since": _time("--since", use.since),
        "until": _time("--until", use.until),
        "is_withdrawn": use.is_withdrawn or None,
    }
    body = {name: value for name, value in stated.items() if value is not None}
    key = key_of(body)
    receipt = submit(settings.state, "consumption", body, producer=PRODUCER, key=key, revision=time.time_ns() // 1_000)
    if as_json:
        show.document({"schema": "tallystick.consumer_add/1", "receipt": receipt, "key": key})
    else:
        show.out(receipt)
    return DONE


def list_all(settings: Settings, *, as_json: bool) -> int:
    """Show every registration."""
    with Tables(settings.state.published) as tables:
        rows = tables.rows("SELECT * FROM consumers ORDER BY consumer, table_name, seq")
    if as_json:
        show.document({"schema": "tallystick.consumers/1", "rows": plain(rows)})
    else:
        show.table(("consumer", "how", "table_name", "up_to_seq", "since", "until", "read_at"), rows)
    return DONE


def key_of(body: dict[str, Any]) -> str:
    """Return the key of a registration; every copy that was taken is one of its own, as it stays what it was."""
    meant = ("consumer", "how", "table", "since", "until", *(("up_to_seq",) if body["how"] == "export" else ()))
    return f"consumption:{digest(repr([body.get(name) for name in meant]))}"


def _head(settings: Settings) -> int:
    with Tables(settings.state.published) as tables:
        return tables.head().seq or 0


def _time(option: str, text: str | None) -> str | None:
    moment = moment_of(option, text)
    return None if moment is None else utc_text(moment)
