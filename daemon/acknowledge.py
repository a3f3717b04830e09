"""`tallystick findings acknowledge`: an operator says that a finding is known, as one message to the inbox."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from daemon import show
from daemon.findings import NoSuchFinding, found
from daemon.inbox_client import submit
from daemon.provenance import utc_text
from daemon.settings import Settings
from daemon.task_verbs import PRODUCER
from daemon.window import moment_of
from projections.read import Tables
from state.errors import TallystickError
from state.vocabulary import AcknowledgeReason

DONE: Final = 0

REASONS: Final[tuple[str, ...]] = get_args(AcknowledgeReason)

_DURATION: Final = re.compile(r"([+-]?\d{1,5})([dh])")
_UNITS: Final = {"d": "days", "h": "hours"}
#: What nobody looks at for longer than this is known for good: then leave the time out, and say so.
_KNOWN_MAX: Final = timedelta(days=3 * 366)


class NoReason(TallystickError):
    """
    An acknowledgement needs --reason: expected, known_defect, harmless, repaired_elsewhere or not_ours.
    """

    exit_code = 2


class AlreadyOver(TallystickError):
    """
    --until is not in the future. Write a day, a time, or a duration from now on (30d, 12h).
    """

    exit_code = 2


class TooFar(TallystickError):
    """
    --until is more than three years away: nobody would look again. Write a nearer time, or none for known for good.
    """

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The options of `findings acknowledge`, as words; null where nothing was said."""

    finding: str
    reason: str | None
    ticket: str | None
    until: str | None
    is_withdrawn: bool


def acknowledge(settings: Settings, wanted: Acknowledged, *, as_json: bool) -> int:
    """
    Say that a finding is known, or take that back, and print the receipt; the daemon or the next pass reads it.

    Raises:
        NoSuchFinding, NoReason, AlreadyOver, TooFar, BadTime: Something of it is none.
        MessageRefused: The ticket is no id.
    """
    now = datetime.now(UTC)
    rule, reason = _about(settings, wanted.finding, now)
    body = _body(wanted, rule, _reason(wanted, reason), now)
    key, revision = f"finding:{wanted.finding}", time.time_ns() // 1_000
    receipt = submit(settings.state, "acknowledgement", body, producer=PRODUCER, key=key, revision=revision)
    if as_json:
        show.document({"schema": "tallystick.findings.acknowledge/1", "receipt": receipt, "key": key, "body": body})
    else:
        show.out(receipt)
    return DONE


def _about(settings: Settings, finding: str, now: datetime) -> tuple[str, str | None]:
    """Return the rule of a finding, and why it is known already; an acknowledgement outlives what it is about."""
    with Tables(settings.state.published) as tables:
        for row in found(tables, now):
            if row["id"] == finding:
                return row["rule"], row["acknowledged_reason"]
        known = tables.rows("SELECT rule, reason FROM acknowledgements WHERE finding_id = ?", [finding])
    if not known:
        raise NoSuchFinding(finding=finding[:64])
    return known[0]["rule"], known[0]["reason"]


def _reason(wanted: Acknowledged, before: str | None) -> str:
    reason = before if wanted.is_withdrawn and wanted.reason is None else wanted.reason
    if reason not in REASONS:
        raise NoReason(finding=wanted.finding)
    return reason


def _body(wanted: Acknowledged, rule: str, reason: str, now: datetime) -> dict[str, Any]:
    until = _until(wanted.until, now)
    stated = {
        "finding_id": wanted.finding,
        "rule": rule,
        "reason": reason,
        "ticket": wanted.ticket,
        "until": None if until is None else utc_text(until),
        "is_withdrawn": wanted.is_withdrawn or None,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _until(text: str | None, now: datetime) -> datetime | None:
    """Return when it is an alarm again: a duration counts from *now* on."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    until = now + timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else moment_of("--until", text)
    if until is None or until <= now:
        raise AlreadyOver(option="--until")
    if until - now > _KNOWN_MAX:
        raise TooFar(option="--until")
    return until
