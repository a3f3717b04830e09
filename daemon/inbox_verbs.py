"""What `tallystick inbox submit | status | list` does once its options are read."""

import os
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from daemon import inbox_directory as place
from daemon import show
from daemon.envelope import MESSAGE_BYTES_MAX, is_receipt
from daemon.inbox_client import MessageRefused, outcome, submit
from daemon.message import decoded
from daemon.message_options import content, seconds, whole_number
from daemon.message_rules import Refused
from daemon.settings import Settings
from state.errors import TallystickError

DONE, FINDINGS, UNAVAILABLE = 0, 1, 3

#: At most so many files are shown; all are counted.
SHOWN_MAX: Final = 1_000

_EXIT: Final = {
    "stored": DONE,
    "superseded": DONE,
    "rejected": FINDINGS,
    "unknown": FINDINGS,
    "pending": UNAVAILABLE,
}

_COLUMNS: Final = ("state", "receipt", "size_bytes", "code", "field")


class NoReceipt(TallystickError):
    """
    A receipt is 32 hexadecimal digits, as `tallystick inbox submit` prints it.
    """

    exit_code = 2


def send(
    settings: Settings, kind: str, file: str, *, key: str | None, revision: str | None, producer: str, as_json: bool
) -> int:
    """Put the body in *file* (`-` for standard input) into the inbox, and print the receipt."""
    receipt = submit(
        settings.state, kind, _body(file), producer=producer, key=key, revision=whole_number("revision", revision)
    )
    if as_json:
        show.document({"schema": "tallystick.inbox.submit/1", "receipt": receipt})
    else:
        show.out(receipt)
    return DONE


def status(settings: Settings, receipt: str, wait: str, *, as_json: bool) -> int:
    """Show what became of a receipt; 1 when it was rejected or nobody knows it, 3 while it waits."""
    wait_seconds = seconds(wait)
    if not is_receipt(receipt):
        raise NoReceipt
    found = outcome(settings.state, receipt, wait_seconds=wait_seconds)
    if as_json:
        show.document({"schema": "tallystick.inbox.status/1", **asdict(found)})
    else:
        facts = {name: value for name, value in asdict(found).items() if name not in ("receipt", "state")}
        show.out(" ".join([found.state, *(f"{name}={value}" for name, value in facts.items() if value is not None)]))
    return _EXIT[found.state]


def listing(settings: Settings, *, as_json: bool) -> int:
    """Show the files that wait and those that were rejected; 1 when there are rejected ones."""
    inbox = settings.state.inbox
    pending = _files(inbox)
    rejected = _files(inbox / place.REJECTED)
    rows = [{"state": "pending", **each} for each in pending[:SHOWN_MAX]]
    rows += _with_reasons(settings, rejected[:SHOWN_MAX])
    document: dict[str, Any] = {
        "schema": "tallystick.inbox.list/1",
        "pending": len(pending),
        "rejected": len(rejected),
        "rows": rows,
    }
    if as_json:
        show.document(document)
    else:
        show.table(_COLUMNS, rows)
        show.out(f"{len(pending)} pending, {len(rejected)} rejected")
    return FINDINGS if rejected else DONE


def _files(directory: Path) -> list[dict[str, Any]]:
    """Return receipt and size of every file, by name; the receipt is null where the name is none."""
    if not directory.is_dir():
        return []
    with place.opened(directory), os.scandir(directory) as entries:
        files = sorted(
            (entry.name, entry.stat(follow_symlinks=False))
            for entry in entries
            if not entry.name.startswith(place.HIDDEN) and entry.name != place.REJECTED
        )
    return [
        {"receipt": _receipt_in(name), "size_bytes": each.st_size if stat.S_ISREG(each.st_mode) else None}
        for name, each in files
    ]


def _receipt_in(name: str) -> str | None:
    """Return the receipt that begins a file's name: a rejected one may have a number behind it."""
    first = name.partition(".")[0]
    return first if is_receipt(first) and name.endswith(place.SUFFIX) else None


def _with_reasons(settings: Settings, rejected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not rejected:
        return []
    from daemon.receipts import Recorded

    with Recorded(settings.state) as recorded:
        reasons = recorded.rejections()
    nothing = {"code": None, "field": None}
    return [{"state": "rejected", **each, **reasons.get(each["receipt"], nothing)} for each in rejected]


def _body(file: str) -> dict[str, Any]:
    try:
        return decoded(content(file, MESSAGE_BYTES_MAX, field="body"))
    except Refused as refused:
        raise MessageRefused(field="body", rule=refused.code) from None
