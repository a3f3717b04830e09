"""What the tables say of claims: which of them a finding is about, and which log is certain to be theirs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from daemon.repair.matching import (
    CLOCKS_DIFFER,
    NAMES_RUN_TYPE,
    Known,
    Loop,
    Match,
    Session,
    Unplaced,
    loop_of,
    matched,
    window,
)
from daemon.repair.outlook import Finding, Outlook
from daemon.repair.runs import Log, read_logs
from projections.read import Tables

#: Rules that say of a claim that it points at the wrong log.
RULES: Final = ("shared_trajectory", "eval_trajectory", "trajectory_missing", "trajectory_outside_time")

_CLAIMS: Final = """
SELECT
    c.source AS claim_source,
    c.claim_key,
    c.session_id,
    c.agent,
    c.run_type,
    c.model,
    c.started_at,
    c.ended_at,
    c.claimed_path,
    c.trajectory_path,
    coalesce(c.trajectory_source, c.trajectory_path) AS log_path,
    t.agent AS log_agent,
    t.session_id AS log_session_id,
    EXISTS (
        SELECT 1 FROM doubtful_times AS d
        WHERE d.source = c.source AND d.claim_key = c.claim_key AND d.field <> 'recorded_at'
    ) AS is_time_doubtful,
    c.recorded_at,
    c.ingested_at,
    -- Null where nothing is doubtful; noon stands for some time of its day, the others for any time before.
    (
        SELECT bool_and(d.is_noon)
        FROM (
            SELECT bool_or(reason = 'noon') AS is_noon FROM doubtful_times
            WHERE source = c.source AND claim_key = c.claim_key
            GROUP BY field
        ) AS d
    ) AS is_day_known
FROM claims AS c
LEFT JOIN trajectories AS t ON c.trajectory_source = t.source
ORDER BY c.started_at NULLS LAST, c.source, c.claim_key
"""

Key = tuple[str, str]


class Case(NamedTuple):
    """A claim, and the findings that say it points at the wrong log; without any it is healthy, as far as is known."""

    row: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @property
    def key(self) -> Key:
        """Its file, and its name in there."""
        return self.row["claim_source"], self.row["claim_key"]

    @property
    def is_pinned(self) -> bool:
        """Whether it has a log that nobody else may have."""
        return not self.findings and self.row["log_session_id"] is not None

    @property
    def wants_log(self) -> bool:
        """Whether a log may turn out to be its own: what it has is wrong, or it has none."""
        return bool(self.findings) or self.row["trajectory_path"] is None


class Cases(NamedTuple):
    """Every claim, and every log that could be one's."""

    cases: Sequence[Case]
    logs: Sequence[Log]

    def matches(self, within: timedelta, reopened: Iterable[Key] = ()) -> dict[Key, Match]:
        """
        Return for each claim that wants a log what is certain of it.

        Claims that point nowhere take part: one of them may be the owner. *reopened* are treated as if they had
        nothing.
        """
        anew = frozenset(reopened)
        pinned = {
            (case.row["log_agent"], case.row["log_session_id"])
            for case in self.cases
            if case.is_pinned and case.key not in anew
        }
        runs = [log.run for log in self.logs if (log.agent, log.session_id) not in pinned]
        known = list(self._known(anew))
        wanting = [case for case in self.cases if case.wants_log or case.key in anew]
        unplaced = [each for each in (_unplaced(case.row, within) for case in wanting) if each is not None]
        sessions = {case.key: _session(case.row) for case in wanting}
        # Two records of one session are one session: neither takes the log from the other.
        asked = {each.key: each for each in sessions.values() if isinstance(each, Session)}
        found = matched(asked.values(), runs, within, known, unplaced)
        return {key: found[each.key] if isinstance(each, Session) else each for key, each in sessions.items()}

    def _known(self, anew: frozenset[Key]) -> Iterator[Known]:
        """Yield the claims whose logs are not in question and began with them, but for *anew*."""
        moments = {(log.agent, log.session_id): log.run.moments[0] for log in self.logs}
        for case in self.cases:
            moment = moments.get((case.row["log_agent"], case.row["log_session_id"]))
            session = _session(case.row)
            if not case.is_pinned or case.key in anew or moment is None or not isinstance(session, Session):
                continue
            # A log that is older than its session was resumed in it, and says nothing of the order of runs.
            if moment >= session.start - CLOCKS_DIFFER:
                yield Known(session.loop, session.start, moment)

    def logs_by_path(self) -> dict[str, Log]:
        """Return the logs by what names their runs in a match."""
        return {log.run.key: log for log in self.logs}


def read_cases(tables: Tables, outlook: Outlook, zone: str) -> Cases:
    """Return what the tables say of claims; what somebody has acknowledged is no finding."""
    of_session: dict[str, list[Finding]] = defaultdict(list)
    for finding in outlook.findings:
        if finding.rule in RULES and not finding.is_acknowledged:
            for session_id in finding.sessions:
                of_session[session_id].append(finding)
    rows = tables.rows(_CLAIMS)
    cases = [Case(row, tuple(each for each in of_session[row["session_id"]] if _is_about(each, row))) for row in rows]
    return Cases(cases, list(read_logs(tables, zone)))


def _is_about(finding: Finding, claim: Mapping[str, Any]) -> bool:
    """Say whether a finding of this claim's session is about this record of it."""
    if finding.rule == "trajectory_missing":
        return claim["trajectory_path"] is not None and claim["log_session_id"] is None
    return f"path:{claim['log_path']}" in finding.evidence


def _session(claim: Mapping[str, Any]) -> Session | Match:
    """Return the session that a claim tells of, or why it cannot be matched."""
    loop = loop_of(claim["agent"], claim["run_type"])
    if loop is None:
        return Match(None, "no_loop")
    if claim["started_at"] is None:
        return Match(None, "no_time")
    if claim["is_time_doubtful"]:
        return Match(None, "doubtful_time")
    key = repr((claim["session_id"], loop, claim["started_at"], claim["ended_at"], claim["model"]))
    return Session(key, loop, claim["started_at"], claim["ended_at"], claim["model"])


#: No session takes longer, here as for `trajectory_outside_time`.
_SESSION_MAX: Final = timedelta(days=1)

#: A time that is noon stands for any time of its day.
_HALF_A_DAY: Final = timedelta(hours=12)


def _unplaced(claim: Mapping[str, Any], within: timedelta) -> Unplaced | None:
    """Return what a claim may own beside what it is matched with; null when it is matched with all of that."""
    session, model = _session(claim), claim["model"]
    loop = loop_of(claim["agent"], claim["run_type"])
    agent, run_type = loop or (None, None)
    if isinstance(session, Session):
        # Names of runs bear a type, and which one it is the claim does not say.
        is_of_any_type = loop == Loop(NAMES_RUN_TYPE, None)
        return Unplaced(agent, None, model, *window(session, within), loop) if is_of_any_type else None
    return Unplaced(agent, run_type, model, *_began(claim, within))


def _began(claim: Mapping[str, Any], within: timedelta) -> tuple[datetime | None, datetime | None]:
    """Return when the log of a claim began at the earliest and the latest, for all that it says of times."""
    if claim["started_at"] is not None and not claim["is_time_doubtful"]:
        return window(Session("", Loop("", None), claim["started_at"], claim["ended_at"]), within)
    stated = [claim[name] for name in ("started_at", "ended_at", "recorded_at") if claim[name] is not None]
    if not stated:  # it was over when we read of it
        return None, claim["ingested_at"]
    if claim["is_day_known"] is None:
        return min(stated) - _SESSION_MAX, max(stated) + CLOCKS_DIFFER
    earliest = min(stated) - _HALF_A_DAY - _SESSION_MAX
    return earliest if claim["is_day_known"] else None, max(stated) + _HALF_A_DAY
