"""
`tallystick taint`: what used a bad row: sessions, tasks, days, copies that were taken and consumers that read.

A row is bad from the event that stated it until it was put right: by a repair, or by the harness itself. Who read a
table that is made of such rows while they were bad has used them; which table is made of which, the headers of
`projections/sql` say.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from daemon import show
from daemon.findings import NoSuchRule, found
from daemon.repair.corrected import STATED, earlier
from daemon.settings import Settings
from projections.catalog import reached_from
from projections.findings import rules
from projections.read import Tables, plain
from state.errors import TallystickError

DONE: Final = 0

_CLAIMED: Final = f"""
{STATED}
SELECT
    s.source || '#' || s.claim_key AS name,
    'claims' AS base,
    s.session_id,
    s.agent,
    [CAST(coalesce(s.started_at, s.recorded_at) AS DATE)] AS days,
    s.seq AS since_seq,
    least(s.corrected_seq, (
        SELECT min(r.seq)
        FROM repairs AS r
        WHERE
            r.claim_source = s.source AND r.claim_key = s.claim_key
            AND r.claimed_path IS NOT DISTINCT FROM s.claimed_path
            AND epoch_ms(r.started_at) IS NOT DISTINCT FROM epoch_ms(s.started_at)
            AND r.seq > s.seq
    )) AS until_seq,
    s.corrected_seq
FROM stated AS s
"""  # noqa: S608 - constants

#: What a record that a finding names says now, whenever it said so.
_OF_FINDING: Final = """
INNER JOIN claims AS c
    ON s.source = c.source AND s.claim_key = c.claim_key AND s.claimed_path IS NOT DISTINCT FROM c.claimed_path
WHERE s.session_id IN (SELECT unnest($sessions))
"""

_OF_SUBJECT: Final = """
WHERE s.session_id = $subject OR EXISTS (
    SELECT 1
    FROM inbox AS i
    WHERE
        -- What a record said after the repair, at the same path and time, was never bad.
        i.kind = 'repair' AND i.seq > s.seq AND (i.body ->> '$.plan_id') = $subject
        AND (i.body ->> '$.claim_source') = s.source AND (i.body ->> '$.claim_key') = s.claim_key
        AND (i.body ->> '$.claimed_path') IS NOT DISTINCT FROM s.claimed_path
        AND epoch_ms(CAST(i.body ->> '$.started_at' AS TIMESTAMP)) IS NOT DISTINCT FROM epoch_ms(s.started_at)
)
"""

_MEASURED: Final = """
SELECT
    u.agent || ' ' || u.session_id AS name,
    'usage_measured' AS base,
    u.session_id,
    u.agent,
    list(DISTINCT CAST(u.called_at AS DATE)) FILTER (WHERE u.called_at IS NOT NULL) AS days,
    (SELECT min(e.seq) FROM events AS e WHERE e.agent = u.agent AND e.session_id = u.session_id) AS since_seq,
    CAST(NULL AS BIGINT) AS until_seq
FROM usage_measured AS u
WHERE u.session_id IN (SELECT unnest($sessions)) AND ($agent IS NULL OR u.agent = $agent)
GROUP BY u.agent, u.session_id
"""

_TASKS: Final = """
SELECT DISTINCT task_id, session_id
FROM (
    SELECT task_id, session_id FROM task_reports
    UNION ALL
    SELECT task_id, session_id FROM usage_allocated
)
WHERE session_id IN (SELECT unnest($sessions)) AND task_id IS NOT NULL
ORDER BY ALL
"""


class NothingKnown(TallystickError):
    """
    No finding, claimed session or plan is called so: ask `tallystick findings` or `tallystick sql 'FROM repairs'`.
    """

    exit_code = 2


class Bad(NamedTuple):
    """A bad row: ``base`` is its table, ``until_seq`` null while it is bad."""

    name: str
    base: str
    session_id: str
    agent: str | None
    days: tuple[date, ...]
    since_seq: int
    until_seq: int | None
    because: str


def taint(settings: Settings, subject: str | None, rule: str | None, *, as_json: bool) -> int:
    """
    Show what used the bad rows of a finding, a rule, a claimed session or a plan; unasked, of every critical finding.

    Raises:
        NothingKnown, NoSuchRule: There is none of this name.
    """
    with Tables(settings.state.published) as tables:
        bad = list(_bad(settings, tables, subject, rule))
        rows = list(_used(tables, bad))
        head = tables.head()
    if as_json:
        as_of = {"seq": head.seq, "at": plain(head.committed_at)}
        subject_of = {"subject": subject, "rule": rule}
        show.document({"schema": "tallystick.taint/1", "as_of": as_of, **subject_of, "rows": plain(rows)})
    elif rows:
        show.table(
            ("what", "name", "bad_rows", "because"), [row | {"because": ", ".join(row["because"])} for row in rows]
        )
    else:
        show.out("nothing is tainted")
    return DONE


def _bad(settings: Settings, tables: Tables, subject: str | None, rule: str | None) -> Iterator[Bad]:
    if rule is not None and rule not in rules():
        raise NoSuchRule(rule=show.safe(rule[:64]))

    def is_asked(finding: Mapping[str, Any]) -> bool:
        # Numbers are wrong in critical ones alone; the others are asked for by name.
        is_meant = finding["severity"] == "critical" or (subject, rule) != (None, None)
        return is_meant and rule in (None, finding["rule"]) and subject in (None, finding["id"])

    findings = [each for each in found(tables, datetime.now(UTC)) if is_asked(each)]
    for finding in findings:
        yield from _of_finding(tables, finding)
    corrected = [(row, each) for row, each in earlier(settings) if is_asked(each._asdict())]
    for row, each in corrected:
        yield from _rows([row | {"base": "claims"}], f"{each.rule} {each.id}")
    if subject is None or findings or corrected:
        return
    rows = tables.rows(f"{_CLAIMED} {_OF_SUBJECT}", {"subject": subject})
    if not rows:
        raise NothingKnown(name=show.safe(subject))
    yield from _rows(rows, subject)


def _of_finding(tables: Tables, finding: Mapping[str, Any]) -> Iterator[Bad]:
    because = f"{finding['rule']} {finding['id']}"
    for row in tables.rows(f"{_CLAIMED} {_OF_FINDING}", {"sessions": finding["sessions"]}):
        # What a finding names is bad still, whatever was repaired of it.
        yield from _rows([row | {"until_seq": row["corrected_seq"]}], because)
    measured = tables.rows(_MEASURED, {"sessions": finding["sessions"], "agent": finding["agent"]})
    yield from _rows(measured, because)


def _rows(rows: Iterable[Mapping[str, Any]], because: str) -> Iterator[Bad]:
    for row in rows:
        stated = {name: row[name] for name in Bad._fields if name not in ("days", "because")}
        yield Bad(**stated, days=tuple(day for day in row["days"] if day is not None), because=because)


def _used(tables: Tables, bad: Sequence[Bad]) -> Iterator[dict[str, Any]]:
    """Yield what used *bad* rows: sessions, tasks, days, copies, readers; each once, with why."""
    sessions: dict[str, list[Bad]] = defaultdict(list)
    days: dict[str, list[Bad]] = defaultdict(list)
    for row in bad:
        sessions[row.session_id].append(row)
        for day in row.days:
            days[day.isoformat()].append(row)
    yield from (_use("session", name, of) for name, of in sorted(sessions.items()))
    tasks: dict[str, list[Bad]] = defaultdict(list)
    for each in tables.rows(_TASKS, {"sessions": sorted(sessions)}):
        tasks[each["task_id"]] += sessions[each["session_id"]]
    yield from (_use("task", name, of) for name, of in sorted(tasks.items()))
    yield from (_use("day", name, of) for name, of in sorted(days.items()))
    for consumer in tables.rows("SELECT * FROM consumers ORDER BY how, consumer, table_name, seq"):
        read = [row for row in bad if _has_read(consumer, row)]
        if read:
            more = {"table": consumer["table_name"], "up_to_seq": consumer["up_to_seq"], "read_at": consumer["read_at"]}
            yield _use("export" if consumer["how"] == "export" else "consumer", consumer["consumer"], read) | more


def _has_read(consumer: dict[str, Any], row: Bad) -> bool:
    """Say whether a consumer had this row before it while it was bad."""
    was_there = consumer["how"] == "reader" or row.since_seq <= consumer["up_to_seq"]
    was_bad = row.until_seq is None or consumer["up_to_seq"] < row.until_seq
    return was_there and was_bad and consumer["table_name"] in reached_from(row.base) and _is_within(consumer, row.days)


def _is_within(consumer: dict[str, Any], days: Sequence[date]) -> bool:
    """Say whether a consumer's bounds leave one of *days* in; a row without a day is left in."""
    since, until = consumer["since"], consumer["until"]
    return not days or any(
        (since is None or day >= since.date()) and (until is None or day <= until.date()) for day in days
    )


def _use(what: str, name: str, rows: Sequence[Bad]) -> dict[str, Any]:
    return {
        "what": what,
        "name": name,
        "bad_rows": len({(row.base, row.name) for row in rows}),
        "because": sorted({row.because for row in rows}),
    }
