"""
What is wrong, how bad it is, since when, and the cheapest next command.

Plain data: `tallystick health` answers within 100 ms and imports nothing heavy.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from daemon.health.rules import RULES, Rule

Severity = Literal["warning", "unknown", "critical"]
State = Literal["ok", "warning", "critical", "unknown"]

#: Worst first. A warning is no failure to a timer, so what nobody can tell outranks it: it must not stay green.
_RANK: Final[tuple[Severity, ...]] = ("critical", "unknown", "warning")


class Finding(NamedTuple):
    """
    One thing that is wrong.

    Args:
        rule: Its name in `RULES`; findings are told apart by rule and source.
        source: What it is about: an agent, a thread, a hook, a place; null when it is about all.
        since: Since when, UTC in ISO 8601; null when that is not known.
        message: One sentence for people: numbers, words, ids and stored paths, never text of anybody.
        next: The cheapest command that shows or mends it, as typed into a shell.
        severity: Null for the rule's own.
    """

    rule: Rule
    source: str | None
    since: str | None
    message: str
    next: str
    severity: Severity | None = None

    @property
    def id(self) -> str:
        """The same for the same thing found again: 12 hexadecimal digits of a hash over rule and source."""
        import hashlib  # only `--json` shows it

        return hashlib.sha256(f"{self.rule}\0{self.source or ''}".encode()).hexdigest()[:12]

    @property
    def rank(self) -> Severity:
        """How bad it is."""
        return self.severity or RULES[self.rule].severity

    def document(self) -> dict[str, Any]:
        """Return it as `health --json` shows it."""
        return {"id": self.id, **self._asdict(), "severity": self.rank}


def read_finding(stated: Mapping[str, Any]) -> Finding | None:
    """Return a finding as another process wrote it; ``None`` for what is none, or of a rule that we do not know."""
    rule, severity = stated.get("rule"), stated.get("severity")
    source, since, message, then = (stated.get(name) for name in ("source", "since", "message", "next"))
    if not isinstance(rule, str) or rule not in RULES or severity not in (None, *_RANK):
        return None
    if not (isinstance(message, str) and isinstance(then, str)):
        return None
    if not (isinstance(source, str | None) and isinstance(since, str | None)):
        return None
    return Finding(rule, source, since, message, then, severity)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return *findings*, the worst first; those of one severity as they came."""
    return sorted(findings, key=lambda finding: _RANK.index(finding.rank))


def worst(findings: Iterable[Finding]) -> State:
    """Return the state that the worst of *findings* makes; ``ok`` for none."""
    ranks = {finding.rank for finding in findings}
    return next((rank for rank in _RANK if rank in ranks), "ok")
