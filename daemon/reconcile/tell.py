"""A report as an operator reads it: a line for each part, marked where it is a reason to look."""

from collections import Counter
from collections.abc import Iterator, Sequence

from daemon import show
from daemon.reconcile.counted import Counted
from daemon.reconcile.disk import Gap
from daemon.reconcile.report import Report

#: So many rows of a part are shown; all are counted.
_SHOWN_MAX = 10


def tell(report: Report) -> None:
    """Print it."""
    for name, text, is_alarm in _lines(report):
        show.out(show.safe(f"{'x' if is_alarm else '+'} {name:15} {text}"))
    show.out(_verdict(report))


def _lines(report: Report) -> Iterator[tuple[str, str, bool]]:
    disk = report.disk
    text = f"{disk.on_disk:,} on disk, {disk.ingested:,} ingested, {disk.stale:,} stale"
    yield "sessions", f"{text}, {disk.in_progress:,} being written" if disk.in_progress else text, not disk.on_disk
    yield from _gaps("gaps", "logs can still be read", disk.recoverable)
    yield from _gaps("lost", "logs went while they were being read", disk.by("gone"))
    yield from _gaps("unreadable", "places cannot be read", disk.by("unreadable"))
    if report.recovered:
        yield "recovered", f"{len(report.recovered):,} logs were read", False
    if report.counted is None:
        yield "tables", "there are none: nothing was ever read", True
        return
    yield from _counted(report, report.counted)


def _gaps(name: str, what: str, gaps: Sequence[Gap]) -> Iterator[tuple[str, str, bool]]:
    by_agent = ", ".join(f"{agent} {count}" for agent, count in sorted(Counter(gap.agent for gap in gaps).items()))
    yield name, f"{len(gaps):,} {what}" + (f": {by_agent}" if by_agent else ""), bool(gaps)
    for gap in gaps[:_SHOWN_MAX]:
        lost = "" if gap.unread_bytes is None else f" ({gap.unread_bytes:,} bytes)"
        yield "", f"{gap.reason} {gap.source}{lost}", True


def _counted(report: Report, counted: Counted) -> Iterator[tuple[str, str, bool]]:
    days = report.document()["flatline_days"]
    yield "flatline days", f"{len(days):,}", bool(days)
    for day in days[:_SHOWN_MAX]:
        signs = f"{day['tasks']} tasks, {day['activities']} turns, {day['commits']} commits"
        growth = f"{day['silent_tallies']} tallies of growing files"
        unread = f"; {day['unread_logs']} unread logs" if day["unread_logs"] else ""
        yield "", f"{day['day']} {day['agent'] or 'of the host'}: {signs}, {growth}, 0 measured{unread}", True
    text = f"{counted.counted_twice:,} of {counted.source_ids:,} source ids; {counted.disagreeing:,} are disputed"
    yield "duplicates", text, bool(counted.counted_twice)
    of = counted.fallbacks
    rule, decision = of.get("measured_since", 0), of.get("operator_decision", 0)
    text = f"{counted.fallback_events:,}: {rule:,} superseded by what was measured, {decision:,} by decision"
    text = f"{text}, {counted.counting_fallbacks:,} count as estimates, {len(counted.leaked):,} of them leaked"
    yield "fallbacks", text, bool(counted.leaked)
    for row in counted.leaked[:_SHOWN_MAX]:
        named = [f"{name} {row[key]}" for name, key in (("task", "task_id"), ("session", "session_id")) if row[key]]
        yield "", f"{row['source_class']} #{row['seq']} of {', '.join(named)}, beside #{row['beside_seq']}", True
    by_reason = ", ".join(f"{reason} {count:,}" for reason, count in counted.superseded.items())
    yield "superseded", f"{counted.superseded_rows:,} rows" + (f": {by_reason}" if by_reason else ""), False
    tokens = counted.unattributed_tokens
    more = "" if tokens is None else f" with {tokens:,} tokens"
    yield "unattributed", f"{counted.unattributed_sessions:,} sessions{more}", False
    yield "no provenance", f"{counted.without_provenance:,} reports name no source", False
    yield "findings", f"{len(report.findings):,} that nobody has acknowledged", bool(report.findings)
    rules = Counter((row["rule"], row["severity"]) for row in report.findings)
    for (rule_name, severity), number in sorted(rules.items()):
        yield "", f"{severity} {rule_name}: {number:,}; next: tallystick findings", True


def _verdict(report: Report) -> str:
    decided = f"{report.proposed:,} decisions about fallbacks"
    if report.is_applied:
        return f"applied: {len(report.recovered):,} logs read, {decided} written"
    changes = len(report.disk.recoverable) + report.proposed
    if not changes:
        return "dry run: nothing to apply"
    return f"dry run: {len(report.disk.recoverable):,} logs to read, {decided}; nothing was changed. Apply with --apply"
