"""
The daemon's own log: named events with fields, on stderr, for people and for journald.

An event is a word; its fields are numbers, words, ids and paths. No sentence is put together from data, no exception is
attached: their texts quote what they could not read.
"""

import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, Protocol

from daemon.show import safe

Event = Literal[
    "checkout_failed",  #: a checkout could not be read, or what is recorded of them; it is tried again
    "checkout_hangs",  #: a directory of the logs does not answer; only the other checkouts wait for it
    "config_refused",  #: the configuration cannot be read; what it said before holds
    "config_reloaded",  #: the configuration was read again, as SIGHUP asked
    "daemon_started",  #: the log is open, the first sweep begins
    "daemon_ready",  #: the first sweep is done
    "daemon_stopping",  #: asked to end; what was read is committed first
    "daemon_stopped",  #: the log is closed
    "disk_full",  #: nothing more is read until there is room; the sources keep what is unread
    "disk_has_room",  #: reading goes on
    "evidence_retired",  #: old segments were removed, as the configuration says; their totals stay
    "health_silent",  #: nobody has asked for health for two reporting windows: whom it should alarm hears nothing
    "inbox_unusable",  #: nothing is taken from the inbox: others can write to it, or it cannot be read
    "messages_rejected",  #: messages of the inbox were no messages; they are kept aside
    "judge_failed",  #: one judgement of health could not be made; the others were
    "log_damaged",  #: bytes of the log are not what was committed; what was lost is read again from its sources
    "plugin_failed",  #: an adapter of somebody else raised, or said what is no evidence; what it read then is rejected
    "pricing_failed",  #: the price book could not be asked; new models have no cost until it can, it is tried again
    "projection_failed",  #: the tables could not be brought up to the log; they are made anew
    "projection_rebuilt",  #: the tables were made anew from the log
    "published",  #: the published tables were replaced for the first time in this process
    "request_failed",  #: a request to the API met a defect; its caller was told `internal`
    "schedule_overdue",  #: the wall clock or the scheduler stood still; what was due was done unasked
    "segment_compressed",  #: a closed segment was compressed, and compared with what it was
    "segment_sealed",  #: a segment of the log was closed
    "sweep_done",  #: every root was walked; told when it found something new
    "upkeep_failed",  #: sealing, compressing or another job failed; it is tried again
    "watch_blind",  #: changes may go unheard; everything is swept more often
    "watch_sees",  #: changes are heard again
    "worker_stalled",  #: a thread ended or hangs; systemd is told nothing more, and starts the daemon anew
]

#: What journald takes as the level of a line.
_PRIORITY: Final = {"info": "<6>", "warning": "<4>", "error": "<3>"}


class Journal(Protocol):
    """What the daemon tells; structlog's logger fits."""

    def info(self, event: Event, **fields: object) -> None:
        """Tell what is as it should be."""

    def warning(self, event: Event, **fields: object) -> None:
        """Tell what an operator should know."""

    def error(self, event: Event, **fields: object) -> None:
        """Tell what an operator should act on."""


def open_journal() -> Journal:
    """Return the journal: logfmt lines on stderr, with a priority and no time when journald reads them."""
    import structlog

    is_journald = "JOURNAL_STREAM" in os.environ
    render = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)

    def with_priority(logger: object, name: str, fields: MutableMapping[str, Any]) -> str:
        return _PRIORITY[fields.pop("level")] + render(logger, name, fields)

    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _clean,
            *([with_priority] if is_journald else [stamped, render]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    journal: Journal = structlog.get_logger()
    return journal


def _clean(_: object, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let no control character of a file's name act in a terminal."""
    return {name: safe(value) if isinstance(value, str) else value for name, value in fields.items()}
