"""
`tallystick crosscheck ccusage`: our figures against those of a peer over the same logs, each difference by its class.

For Claude Code the peer's own rule is followed over our evidence, statement by statement: it takes of the lines of one
message, request and session the richest, gives it the day of that line, and knows nothing of copies in other sessions.
What it would count and we do not, or the other way round, has a class by why. Whatever is left between that and what
it says is unexplained: its rule is another than we think, or one of us is wrong. For Codex its figure of each thread is
held against ours: a difference is explained where statements of the thread that do not count here come to it to the
token, in every class; else it is unexplained, and what stands in the thread is named.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any, Final, NamedTuple

from daemon.exports.ccusage import AGENTS, TOKENS, UNKNOWN
from daemon.exports.needle import without_needle
from daemon.exports.peer import Peer
from projections.read import Tables, plain

SCHEMA: Final = "tallystick.crosscheck/1"

#: Why the peer counts something else; the words of `usage_superseded` where a statement gave way, else these.
CLASSES: Final[Mapping[str, str]] = {
    "several_files": "a thread in several files (live, archived, copied): the peer counts each",
    "copy": "a copy in another session (resume, fork): the peer counts it again, we count the call once",
    "side_question": "a side question that repeats its parent's id: the peer counts it again",
    "poorer": "a line of the call that says less: the peer counts it beside the richest one",
    "repeat": "the same figures of the call, written again: the peer counts them again",
    "weaker_witness": "a line of the call that is a mere witness of it",
    "other_line": "the peer takes another line of the call than we do",
    "other_day": "the peer puts the call on the day of its richest line, we on that of its first",
    "not_read": 'lines with a blank behind `"usage":`: the peer looks for these very bytes, and reads no other line',
    "not_a_line": "calls that no line of a log here states: programs' reports, what another host's log says",
    "file_gone": "calls whose file is not there any more: only our evidence has them",
    "not_counted_here": "statements that count nowhere here",
    "stale_total": "an old running total, written late: the peer adds the call that it names last once more",
    "no_increase": "a running total that adds nothing: the peer adds the call that it names last",
    "inherited": "history copied from another thread: the peer counts it in both",
    "rewritten": "totals from before their file was rewritten",
    "in_ledger": "a thread with a ledger of its own: the peer counts its running totals instead",
    "only_there": "threads that only the peer has read",
    "only_here": "threads that the peer does not count: archived, compressed, or gone",
    "unexplained": "left after all of these: its rule is another than we think, or one of us is wrong",
}

UNEXPLAINED: Final = "unexplained"

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")

#: Tokens by our classes, in the order of TOKENS.
Vector = tuple[int, ...]
#: What is compared: a day and a model, or a thread.
Cell = tuple[str, ...]
_NOTHING: Final[Vector] = (0,) * len(TOKENS)


class Statement(NamedTuple):
    """One call of ours, or one entry of the peer: where it counts, and what."""

    seq: int
    call: str
    cell: Cell
    tokens: Vector


@dataclass(slots=True)
class Compared:
    """What one agent comes to on both sides, and the differences by cell and class."""

    agent: str
    ours: dict[Cell, Vector]
    theirs: dict[Cell, Vector]
    by: tuple[str, ...]
    classes: dict[Cell, dict[str, Vector]] = field(default_factory=lambda: defaultdict(dict))
    entries: Counter[str] = field(default_factory=Counter)
    hints: dict[Cell, list[str]] = field(default_factory=dict)

    def add(self, cell: Cell, class_: str, tokens: Vector) -> None:
        """Say that *class_* makes the peer count so much more in *cell*; less where it is negative."""
        self.classes[cell][class_] = _plus(self.classes[cell].get(class_, _NOTHING), tokens)

    def count(self, cell: Cell, class_: str, tokens: Vector) -> None:
        """Say the same of one thing more."""
        self.add(cell, class_, tokens)
        self.entries[class_] += 1

    def explain_rest(self) -> None:
        """Name what no class explains."""
        for cell in {*self.ours, *self.theirs, *self.classes}:
            explained = _sum(self.classes[cell].values())
            rest = _minus(_minus(self.theirs.get(cell, _NOTHING), self.ours.get(cell, _NOTHING)), explained)
            if any(rest):
                self.count(cell, UNEXPLAINED, rest)

    def unexplained_cells(self) -> set[Cell]:
        """Return where something is left that no class explains."""
        return {cell for cell, classes in self.classes.items() if UNEXPLAINED in classes}

    def document(self) -> dict[str, Any]:
        """Return it for JSON; cells without a difference are not listed."""
        made = {class_ for each in self.classes.values() for class_, tokens in each.items() if any(tokens)}
        named = [class_ for class_ in CLASSES if class_ in made]
        totals = {class_: _sum(each.get(class_, _NOTHING) for each in self.classes.values()) for class_ in named}
        ours, theirs = _sum(self.ours.values()), _sum(self.theirs.values())
        return {
            "agent": self.agent,
            "ours": _shown(ours),
            "theirs": _shown(theirs),
            "difference": _shown(_minus(theirs, ours)),
            "classes": [
                {"class": class_, "what": CLASSES[class_], "count": self.entries[class_], **_shown(totals[class_])}
                for class_ in named
            ],
            "cells": [self._cell(cell) for cell in sorted(self.classes) if any(map(any, self.classes[cell].values()))],
        }

    def _cell(self, cell: Cell) -> dict[str, Any]:
        return {
            **dict(zip(self.by, cell, strict=True)),
            "ours": _shown(self.ours.get(cell, _NOTHING)),
            "theirs": _shown(self.theirs.get(cell, _NOTHING)),
            "classes": {class_: _shown(tokens) for class_, tokens in sorted(self.classes[cell].items()) if any(tokens)},
            **({"stands_in_it": self.hints[cell]} if cell in self.hints else {}),
        }


def compared(tables: Tables, peer: Peer) -> dict[str, Any]:
    """
    Return both sides and why they differ, as one document.

    Raises:
        PeerMissing, PeerFailed: There is nothing to compare with.
    """
    version = peer.version()
    usage = tables.head()
    claude = _claude(tables, peer.report(AGENTS["claude_code"], "daily"))
    codex = _codex(tables, peer.report(AGENTS["codex"], "session"))
    codex.explain_rest()
    return {
        "schema": SCHEMA,
        "peer": {"name": "ccusage", "version": version},
        "as_of": {"seq": usage.seq, "at": plain(usage.committed_at)},
        "unread_bytes": tables.sources()["unread_bytes"],
        "agents": [claude.document(), codex.document()],
    }


# -- Claude Code: statement by statement -------------------------------------------------------------------------------


def _claude(tables: Tables, report: Mapping[str, Any]) -> Compared:
    calls = {row["source_id"]: row for row in tables.rows(_CALLS)}
    theirs = _of_days(report)
    found = _followed(calls, tables.rows(_ENTRIES, {"unread": []}), theirs, set())
    odd = found.unexplained_cells()
    if not odd:
        return found
    # To look at every line would be to read all logs once more: only those where something is unexplained are.
    lines = [row for row in tables.rows(_LINES, {"unread": []}) if _statement(row).cell in odd]
    unread = without_needle(tables, [row["seq"] for row in lines])
    again = _followed(calls, tables.rows(_ENTRIES, {"unread": sorted(unread)}), theirs, unread)
    return again if len(again.unexplained_cells()) < len(odd) else found


def _followed(
    calls: Mapping[str, Mapping[str, Any]],
    rows: Iterable[Mapping[str, Any]],
    theirs: dict[Cell, Vector],
    unread: AbstractSet[int],
) -> Compared:
    """Follow the peer's rule over the lines that it counts, but for those that it has not read."""
    entries: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        entries[row["source_id"]].append(row)
    found = Compared("claude_code", _summed(map(_statement, calls.values())), theirs, ("day", "model"))
    for class_, sign, each in _differences(calls, entries, unread):
        found.add(each.cell, class_, each.tokens if sign > 0 else _minus(_NOTHING, each.tokens))
        found.entries[class_] += sign > 0 or class_ in _MISSING
    found.explain_rest()
    return found


#: Classes of what the peer does not count; all others are counted by the entries that it has.
_MISSING: Final = frozenset({"not_a_line", "file_gone", "not_read"})


def _differences(
    calls: Mapping[str, Mapping[str, Any]],
    entries: Mapping[str, list[Mapping[str, Any]]],
    unread: AbstractSet[int],
) -> Iterator[tuple[str, int, Statement]]:
    """Yield what the peer counts more (1) and what it counts less (-1), each with its class."""
    for name in sorted({*calls, *entries}):
        call, mine = calls.get(name), entries.get(name, [])
        counted = None
        if call is not None:
            counted = next((each for each in mine if each["seq"] == call["seq"]), mine[0] if mine else None)
            yield from _pair(call, counted, unread)
        for each in mine:
            if each is not counted:
                reason = each["reason"] if each["reason"] in CLASSES else "not_counted_here"
                yield reason, 1, _statement(each)


def _pair(
    call: Mapping[str, Any], entry: Mapping[str, Any] | None, unread: AbstractSet[int]
) -> Iterator[tuple[str, int, Statement]]:
    ours = _statement(call)
    if entry is None:
        nowhere = "file_gone" if call["is_gone"] else "not_a_line"
        yield "not_read" if call["seq"] in unread else nowhere, -1, ours
        return
    theirs = _statement(entry)
    if (ours.cell, ours.tokens) == (theirs.cell, theirs.tokens):
        return
    class_ = "other_day" if ours.tokens == theirs.tokens and ours.cell[1] == theirs.cell[1] else "other_line"
    yield class_, 1, theirs
    yield class_, -1, ours


def _statement(row: Mapping[str, Any]) -> Statement:
    at: datetime | None = row["at"]
    cell = ("" if at is None else at.date().isoformat(), row["model"] or UNKNOWN)
    return Statement(row["seq"], row["source_id"], cell, _tokens(row))


def _of_days(report: Mapping[str, Any]) -> dict[Cell, Vector]:
    """Return the peer's figures by day and model."""
    found: dict[Cell, Vector] = defaultdict(lambda: _NOTHING)
    for day in report.get("daily", []):
        for model in day["modelBreakdowns"]:
            found[day["date"], model["modelName"]] = _theirs(model)
        # What stands in the day and in none of its models is a call without one.
        rest = _minus(_theirs(day), _sum(map(_theirs, day["modelBreakdowns"])))
        if any(rest):
            found[day["date"], UNKNOWN] = _plus(found[day["date"], UNKNOWN], rest)
    return dict(found)


_CALLS: Final = """
    WITH gone AS (
        SELECT source
        FROM high_water_marks
        GROUP BY source
        HAVING bool_and(state <> 'present')
    )
    SELECT
        u.source_id,
        u.value_seq AS seq,
        u.called_at AS at,
        u.model,
        u.input_tokens,
        u.output_tokens,
        u.cache_write_tokens,
        u.cache_read_tokens,
        e.source IN (SELECT source FROM gone) AS is_gone
    FROM usage_measured AS u
    LEFT JOIN events AS e ON u.value_seq = e.seq
    WHERE u.agent = 'claude_code'
"""

#: The lines that it reads. What a parent says of the progress of a subagent is none of the subagent's own to it.
_LINES: Final = """
    WITH present AS (
        SELECT source
        FROM high_water_marks
        WHERE state = 'present'
    ),
    lines AS (
        SELECT
            e.seq,
            e.source_id,
            e.request_id,
            e.source_created_at AS at,
            e.model,
            coalesce(e.is_sidechain, false) AND NOT (e.witness = 'progress' AND e.source_role = 'main') AS is_sidechain,
            e.input_tokens,
            e.output_tokens,
            e.cache_write_tokens,
            e.cache_read_tokens,
            s.reason,
            coalesce(e.stated_session_id, e.session_id) AS session_id,
            CASE WHEN starts_with(e.source_id, 'uuid:') THEN e.seq END AS apart,
            CASE WHEN e.request_id IS NULL THEN e.source_created_at END AS apart_at
        FROM events AS e
        LEFT JOIN superseded AS s ON e.seq = s.seq
        WHERE
            e.kind = 'usage'
            AND e.agent = 'claude_code'
            AND e.witness IN ('transcript', 'progress')
            AND e.source IN (SELECT source FROM present)
            AND coalesce(s.reason, '') NOT IN ('same_line', 'reparsed')
            AND NOT list_contains($unread, e.seq)
    )
    SELECT *
    FROM lines
"""

#: Those of them that it counts, by the rule of its daily report: a line without an id is a call of its own to it, and
#: so are lines without a request at several times.
_ENTRIES: Final = f"""
    WITH lines AS ({_LINES}),
    ranked AS (
        SELECT
            *,
            row_number() OVER (
                PARTITION BY source_id, request_id, session_id, apart, apart_at
                ORDER BY
                    is_sidechain,
                    coalesce(input_tokens, 0) + coalesce(output_tokens, 0) + coalesce(cache_write_tokens, 0)
                    + coalesce(cache_read_tokens, 0) DESC,
                    seq
            ) AS place
        FROM lines
    )
    SELECT *
    FROM ranked
    WHERE place = 1
    ORDER BY source_id, seq
"""  # noqa: S608 - constants


# -- Codex: thread by thread ------------------------------------------------------------------------------------------


def _codex(tables: Tables, report: Mapping[str, Any]) -> Compared:
    ours: dict[Cell, Vector] = {(row["session_id"] or UNKNOWN,): _tokens(row) for row in tables.rows(_THREADS)}
    files = _of_threads(report)
    theirs = {thread: _sum(each) for thread, each in files.items()}
    found = Compared("codex", ours, theirs, ("session",))
    for thread in theirs.keys() - ours.keys():
        found.count(thread, "only_there", theirs[thread])
    for thread in ours.keys() - theirs.keys():
        found.count(thread, "only_here", _minus(_NOTHING, ours[thread]))
    reasons = _reasons(tables)
    for thread in ours.keys() & theirs.keys():
        known = reasons.get(thread, {})
        # Of one thread the fullest file counts here; the peer counts each.
        several = {"several_files": _minus(theirs[thread], max(files[thread], key=sum))}
        for class_, tokens in _explained(_minus(theirs[thread], ours[thread]), known | several).items():
            found.count(thread, class_, tokens)
        if known:
            found.hints[thread] = sorted(known)
    return found


def _explained(difference: Vector, candidates: Mapping[str, Vector]) -> Mapping[str, Vector]:
    """Return the fewest candidates that are *difference* to the token in every class; none where none are."""
    worth = {class_: tokens for class_, tokens in candidates.items() if any(tokens) and class_ in CLASSES}
    order = [class_ for class_ in CLASSES if class_ in worth]
    for count in range(1, len(order) + 1):
        for chosen in combinations(order, count):
            if _sum(worth[class_] for class_ in chosen) == difference:
                return {class_: worth[class_] for class_ in chosen}
    return {}


def _of_threads(report: Mapping[str, Any]) -> dict[Cell, list[Vector]]:
    """Return what the peer says of each file, by thread."""
    files: dict[Cell, list[Vector]] = defaultdict(list)
    for each in report.get("sessions", []):
        named = _UUID.findall(each["sessionId"])
        files[named[-1] if named else each["sessionId"],].append(_theirs(each))
    return files


def _reasons(tables: Tables) -> dict[Cell, dict[str, Vector]]:
    """Return by thread and reason what statements that do not count here come to, each as the call it names last."""
    found: dict[Cell, dict[str, Vector]] = defaultdict(dict)
    for row in tables.rows(_REASONS):
        found[row["thread_id"],][row["reason"]] = _tokens(row)
    ledgers: dict[Cell, Vector] = {(row["thread_id"],): _tokens(row) for row in tables.rows(_LEDGERS)}
    for thread, counted in ledgers.items():
        if "in_ledger" in found[thread]:  # the totals instead of the ledger, not beside it
            found[thread]["in_ledger"] = _minus(found[thread]["in_ledger"], counted)
    return found


_THREADS: Final = """
    SELECT
        session_id,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
        CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens
    FROM usage_measured
    WHERE agent = 'codex'
    GROUP BY session_id
"""

_LEDGERS: Final = """
    SELECT
        thread_id,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
        CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens
    FROM thread_calls
    WHERE agent = 'codex' AND rule = 'ledger_record'
    GROUP BY thread_id
"""

#: As Codex states them, what is read from the cache and written to it is part of the input.
_REASONS: Final = """
    WITH stated AS (
        SELECT
            t.thread_id,
            t.reason,
            coalesce(CAST(e.raw ->> '$."last.input_tokens"' AS BIGINT), 0) AS input,
            coalesce(CAST(e.raw ->> '$."last.cached_input_tokens"' AS BIGINT), 0) AS cached,
            coalesce(CAST(e.raw ->> '$."last.cache_write_input_tokens"' AS BIGINT), 0) AS written,
            coalesce(CAST(e.raw ->> '$."last.output_tokens"' AS BIGINT), 0) AS output
        FROM superseded_totals AS t
        INNER JOIN events AS e ON t.seq = e.seq
        WHERE t.agent = 'codex'
    )
    SELECT
        thread_id,
        reason,
        CAST(sum(input - cached - written) AS BIGINT) AS input_tokens,
        CAST(sum(output) AS BIGINT) AS output_tokens,
        CAST(sum(written) AS BIGINT) AS cache_write_tokens,
        CAST(sum(cached) AS BIGINT) AS cache_read_tokens
    FROM stated
    GROUP BY thread_id, reason
"""


# -- sums --------------------------------------------------------------------------------------------------------------


def _tokens(row: Mapping[str, Any]) -> Vector:
    return tuple(row[name] or 0 for name in TOKENS.values())


def _theirs(row: Mapping[str, Any]) -> Vector:
    return tuple(row[name] for name in TOKENS)


def _summed(statements: Iterable[Statement]) -> dict[Cell, Vector]:
    found: dict[Cell, Vector] = defaultdict(lambda: _NOTHING)
    for each in statements:
        found[each.cell] = _plus(found[each.cell], each.tokens)
    return dict(found)


def _sum(vectors: Iterable[Vector]) -> Vector:
    total = _NOTHING
    for each in vectors:
        total = _plus(total, each)
    return total


def _plus(one: Vector, other: Vector) -> Vector:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _minus(one: Vector, other: Vector) -> Vector:
    return tuple(a - b for a, b in zip(one, other, strict=True))


def _shown(tokens: Vector) -> dict[str, int]:
    return {**dict(zip(TOKENS.values(), tokens, strict=True)), "total_tokens": sum(tokens)}
