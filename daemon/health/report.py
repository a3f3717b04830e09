"""How findings are shown: one line for a monitoring system, or one JSON document."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from daemon.health.case import SILENT_SECONDS, Case, presence_in
from daemon.health.finding import Finding, State, by_severity, worst
from daemon.health.heard import is_word
from daemon.health.rules import RULES

#: Name and version of what `health --json` prints.
SCHEMA: Final = "tallystick.health/1"
#: What monitoring systems take for an answer.
EXIT_CODES: Final[dict[State, int]] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}


def line(case: Case, findings: Sequence[Finding]) -> str:
    """Return the line: state, worst finding in words of ours, and figures; no path and no text of anybody."""
    return f"TALLYSTICK {worst(findings).upper()} - {_words(findings)} | {_figures(case, findings)}"


def document(case: Case, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the same as one document."""
    age = case.age_seconds
    return {
        "schema": SCHEMA,
        "state": worst(findings),
        "line": line(case, findings),
        "findings": [finding.document() for finding in by_severity(findings)],
        "sources": _sources(case),
        "heartbeat_age_seconds": None if age is None else round(age),
        "last_runs": {name: _run(case, at) for name, at in case.looked.stamps.items()},
    }


def _words(findings: Sequence[Finding]) -> str:
    if not findings:
        return "the daemon reads, and nothing is wrong"
    first = by_severity(findings)[0]
    about = f" ({first.source})" if is_word(first.source) else ""
    more = f", +{len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{first.rule}{about}: {RULES[first.rule].means}{more}"


def _figures(case: Case, findings: Sequence[Finding]) -> str:
    """Return the figures as `label=value[unit];warn;critical;min`; ``U`` for what is not known."""
    silent = round(min(SILENT_SECONDS, case.window_seconds))
    window, room = round(case.window_seconds), round(case.disk_free_bytes)
    is_there = presence_in(case) == "there"
    backlog = _sum(case, "backlog_bytes") if is_there else None
    lag = case.said.number("tables", "lag_events") if is_there else None
    asked = case.looked.stamps.get("health")
    asked_age = None if asked is None else max(case.now.timestamp() - asked, 0)
    return " ".join(
        (
            f"heartbeat_age={_figure(case.age_seconds, 's')};;{silent};0",
            f"backlog={_figure(backlog, 'B')};;;0",
            f"lag={_figure(lag)};;;0",
            f"disk_free={_figure(case.looked.disk_free_bytes, 'B')};{room}:;;0",
            f"health_age={_figure(asked_age, 's')};{2 * window};;0",
            f"findings={len(findings)};;;0",
        )
    )


def _figure(value: float | None, unit: str = "") -> str:
    return "U" if value is None else f"{round(value)}{unit}"


def _sum(case: Case, name: str) -> float:
    return sum(case.said.number("sources", agent, name) or 0 for agent in case.said.names("sources"))


def _sources(case: Case) -> dict[str, dict[str, Any]]:
    """Return what the heartbeat says of each agent: figures and stored paths."""
    if case.looked.heard.problem is not None:
        return {}
    return {agent: _source(case, agent) for agent in case.said.names("sources")}


def _source(case: Case, agent: str) -> dict[str, Any]:
    stated = case.said.fields["sources"][agent]
    names = [name for name in stated if is_word(name)] if isinstance(stated, dict) else []
    asked = {name: (case.said.path if name.endswith("_path") else case.said.number) for name in names}
    return {name: ask("sources", agent, name) for name, ask in asked.items()}


def _run(case: Case, at: float | None) -> dict[str, Any] | None:
    if at is None:
        return None
    shown = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return {"at": shown, "age_seconds": max(round(case.now.timestamp() - at), 0)}
