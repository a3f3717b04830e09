"""What is found before and after something was done, and how the two differ."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple, Self

from daemon.findings import found
from projections.read import Tables


class Finding(NamedTuple):
    """A finding, as far as another one can be the same."""

    id: str
    rule: str
    severity: str
    sessions: frozenset[str]
    evidence: frozenset[str]
    is_acknowledged: bool


class Outlook(NamedTuple):
    """Every finding of some tables."""

    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, tables: Tables) -> Self:
        """Return the findings of *tables*; all rules are run."""
        return cls(
            tuple(
                Finding(
                    row["id"],
                    row["rule"],
                    row["severity"],
                    frozenset(row["sessions"]),
                    frozenset(row["evidence"]),
                    row["acknowledged"],
                )
                for row in found(tables, datetime.now(UTC))
            )
        )

    def counts(self) -> Counter[str]:
        """Return how many findings each rule has."""
        return Counter(each.rule for each in self.findings)

    @property
    def ids(self) -> frozenset[str]:
        """The names of all findings."""
        return frozenset(each.id for each in self.findings)

    def gone_in(self, after: Self) -> Iterator[Finding]:
        """Yield what is not there any more; a finding that only lost some of its sessions is still there."""
        left = [each for each in after.findings if each.id not in self.ids]
        return (
            each
            for each in self.findings
            if each.id not in after.ids
            and not any(new.rule == each.rule and new.sessions <= each.sessions for new in left)
        )

    def new_in(self, after: Self) -> Iterator[Finding]:
        """Yield what was not there; a finding that lost some of its sessions has another id, and is no new one."""
        return (
            each
            for each in after.findings
            if each.id not in self.ids
            and not any(
                old.rule == each.rule and each.sessions <= old.sessions
                for old in self.findings
                if old.id not in after.ids
            )
        )
