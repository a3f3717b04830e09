"""What the fields of a message owe each other; a field by itself is held against the contract (`state/evidence.py`)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from adapters.provider_usage import normalised
from state.evidence import Allocation, Frozen, RepoFacts, TokenReport
from state.vocabulary import MessageCode

#: Parts of a report that are added up; the others are of which.
_SUMMED: Final = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
_PARTS: Final = ("cache_write_5m_tokens", "cache_write_1h_tokens", "reasoning_tokens", "provider_total_tokens")
#: Rows of an old table that name a source, and hence may be measured.
_SOURCED: Final = (None, "session_backfill", "provider_call")
_NEEDED_OF_MEASURED: Final = ("provider", "source_id", "raw_usage")


class Refused(Exception):
    """A message cannot be taken; ``field`` is a name of ours, or null."""

    def __init__(self, code: MessageCode, field: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


def hold(body: Frozen) -> None:
    """
    Hold the fields of *body* against each other.

    Raises:
        Refused: One contradicts another, or is missing because of another.
    """
    rule = _RULES.get(type(body))
    if rule is not None:
        rule(body)


def implied_revision(body: Frozen) -> int | None:
    """Return the order that *body* states by itself: of a report of tokens its total, as a session only grows."""
    return total_of(body) if isinstance(body, TokenReport) else None


def total_of(report: TokenReport) -> int:
    """Return the sum of the tokens that *report* states."""
    return sum(getattr(report, name) or 0 for name in _SUMMED)


def _hold_tokens(report: TokenReport) -> None:
    if report.measurement == "measured":
        for name in _NEEDED_OF_MEASURED:
            if not getattr(report, name):
                raise Refused("needs_provenance", f"body.{name}")
        if report.source_class == "legacy_post":
            raise Refused("contradicts", "body.source_class")
        if report.legacy_class not in _SOURCED:
            raise Refused("contradicts", "body.legacy_class")
    if report.is_withdrawn and report.legacy_class is None:
        raise Refused("contradicts", "body.is_withdrawn")
    if all(getattr(report, name) is None for name in _SUMMED):
        raise Refused("missing_field", "body.input_tokens")
    if (report.reasoning_tokens or 0) > (report.output_tokens or 0):
        raise Refused("contradicts", "body.reasoning_tokens")
    kept = (report.cache_write_5m_tokens or 0) + (report.cache_write_1h_tokens or 0)
    if kept > (report.cache_write_tokens or 0):
        raise Refused("contradicts", "body.cache_write_tokens")
    _hold_raw_usage(report)


def _hold_raw_usage(report: TokenReport) -> None:
    """Hold the tokens against the provider's own numbers; of an unknown shape, that they are no more."""
    raw_usage = report.raw_usage or {}
    meant = normalised(raw_usage)
    if meant is None:
        if raw_usage and total_of(report) > sum(raw_usage.values()):
            raise Refused("contradicts", "body.raw_usage")
        return
    for name in (*_SUMMED, *_PARTS):
        stated, raw = getattr(report, name), getattr(meant, name)
        if stated is not None and raw is not None and stated != raw:
            raise Refused("contradicts", f"body.{name}")
    for name in _SUMMED:
        if getattr(report, name) and getattr(meant, name) is None:
            raise Refused("contradicts", f"body.{name}")
        if getattr(report, name) is None and getattr(meant, name):
            raise Refused("missing_field", f"body.{name}")


def _hold_allocation(allocation: Allocation) -> None:
    if allocation.session_id is None and allocation.source_id is None:
        raise Refused("needs_target", "body.session_id")
    if allocation.since is not None and allocation.until is not None and allocation.since >= allocation.until:
        raise Refused("contradicts", "body.until")


def _hold_repo(facts: RepoFacts) -> None:
    if not (facts.root_commits or facts.remotes or facts.paths or facts.aliases):
        raise Refused("missing_field", "body.remotes")
    if facts.repo in facts.aliases:
        raise Refused("contradicts", "body.aliases")


_RULES: Final[Mapping[type[Frozen], Callable[[Any], None]]] = {
    TokenReport: _hold_tokens,
    Allocation: _hold_allocation,
    RepoFacts: _hold_repo,
}
