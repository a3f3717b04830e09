"""
Measured usage in the JSON of ccusage, per agent, for what was built on that tool: widgets, status lines, boards.

Its shape has no place for null, for a class, or for what is missing. Tokens that no source stated are 0 in it and named
under `metadata.tallystick`; a cost that is not known is null, never 0. Everything of ours stands under that key.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from daemon.exports.blocks import blocks_of
from daemon.usage_verb import usage_document
from projections.read import Tables, Window, plain
from state.errors import TallystickError

SCHEMA: Final = "tallystick.ccusage/1"

REPORTS: Final = ("daily", "monthly", "session", "blocks")
#: Agents of which that tool has reports of this shape, and what it calls them.
AGENTS: Final[Mapping[str, str]] = {"claude_code": "claude", "codex": "codex"}

#: Its names for our classes of tokens, which do not overlap; they add up to its `totalTokens`.
TOKENS: Final[Mapping[str, str]] = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheCreationTokens": "cache_write_tokens",
    "cacheReadTokens": "cache_read_tokens",
}
_MICROS: Final = 1_000_000

#: What it calls a call without a model or a session without a directory.
UNKNOWN: Final = "unknown"

Row = Mapping[str, Any]


class NothingRead(TallystickError):
    """
    No source of this agent was ever read, and an empty report would look like no usage. Run `tallystick ingest`.
    """

    exit_code = 3


class Asked(NamedTuple):
    """Which report, of which agent and window."""

    report: str
    agent: str
    window: Window


def document(tables: Tables, asked: Asked, now: datetime) -> dict[str, Any]:
    """
    Return one report as ccusage prints it.

    Args:
        tables: Where to look.
        asked: Which report.
        now: Aware UTC; whether a block is still running.

    Raises:
        NothingRead: No source of the agent was ever read.
    """
    if not tables.rows(
        "SELECT 1 FROM high_water_marks WHERE agent = ? AND source_name IS NOT NULL LIMIT 1", [asked.agent]
    ):
        raise NothingRead(agent=asked.agent)
    by = "session" if asked.report == "session" else "day"
    usage = usage_document(tables, (by, "agent", "model"), asked.window, ())
    rows = [row for row in usage["rows"] if row["agent"] == asked.agent and row["calls"]]
    about = _about(usage, rows, asked)
    if asked.report == "blocks":
        found = blocks_of(tables, asked.agent, asked.window, now)
        return {"blocks": found, "metadata": {"tallystick": about | {"basis": "inferred"}}}
    undated = [row for row in rows if row[by] is None]
    grouped = _grouped(rows, asked.report, by)
    shape = _session if asked.report == "session" else _period
    facts = _sessions(tables, asked) if asked.report == "session" else {}
    shown = [shape(asked, name, each, facts.get(name, {})) for name, each in grouped.items()]
    beside = {"withoutPeriod": _figures(undated, asked.agent) if undated else None}
    key = "sessions" if asked.report == "session" else asked.report
    totals = _figures([row for each in grouped.values() for row in each], asked.agent)
    return {key: shown, "totals": totals, "metadata": {"tallystick": about | beside}}


def _about(usage: Row, rows: Sequence[Row], asked: Asked) -> dict[str, Any]:
    """Return what that tool's report has no place for."""
    return {
        "schema": SCHEMA,
        "agent": asked.agent,
        "measurement": "measured",
        "asOfSeq": usage["as_of"]["seq"],
        "asOfAt": usage["as_of"]["at"],
        "priceBook": usage["as_of"]["price_book"],
        "timezone": asked.window.timezone,
        "since": plain(asked.window.since),
        "until": plain(asked.window.until),
        "unmeteredSources": usage["unmetered_sources"],
        "rejectedLines": usage["rejected_lines"],
        "unreadablePaths": usage["unreadable_paths"],
        "unreadBytes": usage["unread_bytes"],
        **_caveats(rows),
    }


def _caveats(rows: Iterable[Row]) -> dict[str, Any]:
    """Return what the figures of *rows* do not say: how many calls, what is a lower bound, what nobody stated."""
    each = list(rows)
    unstated = sorted(name for name, ours in TOKENS.items() if any(row[ours] is None for row in each))
    unpriced = sum(row["unpriced_calls"] for row in each)
    return {
        "calls": sum(row["calls"] for row in each),
        "incompleteCalls": sum(row["incomplete_calls"] for row in each),
        "unpricedCalls": unpriced,
        "unstated": unstated,
    }


def _grouped(rows: Iterable[Row], report: str, by: str) -> dict[str, list[Row]]:
    """Return the rows of each day, month or session; what belongs to none is in none."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row[by] is not None:
            grouped[row[by][:7] if report == "monthly" else row[by]].append(row)
    return dict(sorted(grouped.items()))


def _period(asked: Asked, name: str, rows: Sequence[Row], _: Row) -> dict[str, Any]:
    key = "month" if asked.report == "monthly" else "date"
    return {key: name, **_summed(rows, asked.agent)}


def _session(asked: Asked, name: str, rows: Sequence[Row], facts: Row) -> dict[str, Any]:
    last = plain(facts.get("last_call_at"))
    folder = facts.get("folder")
    summed = _summed(rows, asked.agent)
    if asked.agent == "codex":
        return {
            "sessionId": name,
            "sessionFile": facts.get("file"),
            "directory": folder,
            "lastActivity": last,
            **summed,
        }
    first = plain(facts.get("first_call_at"))
    return {"sessionId": name, "projectPath": folder, "firstActivity": first, "lastActivity": last, **summed}


def _summed(rows: Sequence[Row], agent: str) -> dict[str, Any]:
    """Return the figures of one period or session and of its models, the largest first."""
    largest_first = sorted(_by_model(rows).items(), key=lambda each: -_total(each[1]))
    models = {name: _figures(each, agent) for name, each in largest_first}
    figures = _figures(rows, agent) | {"metadata": {"tallystick": _caveats(rows)}}
    if agent == "codex":
        return figures | {"models": {name: _without_cost(each) for name, each in models.items()}}
    breakdowns = [{"modelName": name, **_with_cost(each)} for name, each in models.items()]
    return figures | {"modelsUsed": list(models), "modelBreakdowns": breakdowns}


def _by_model(rows: Iterable[Row]) -> dict[str, list[Row]]:
    models: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        models[row["model"] or UNKNOWN].append(row)
    return models


def _total(rows: Iterable[Row]) -> int:
    return sum(row["total_tokens"] or 0 for row in rows)


def _without_cost(figures: Row) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "costUSD"} | {"isFallback": False}


def _with_cost(figures: Row) -> dict[str, Any]:
    kept = {name: value for name, value in figures.items() if name in TOKENS}
    return kept | {"cost": figures["totalCost"]}


def _figures(rows: Iterable[Row], agent: str) -> dict[str, Any]:
    """Return tokens by that tool's names, and the cost: of the calls with a price, null where none has one."""
    each = list(rows)
    figures: dict[str, Any] = {name: sum(row[ours] or 0 for row in each) for name, ours in TOKENS.items()}
    figures["totalTokens"] = _total(each)
    if agent == "codex":
        figures["reasoningOutputTokens"] = sum(row["reasoning_tokens"] or 0 for row in each)
    return figures | {"costUSD" if agent == "codex" else "totalCost": dollars(each)}


def dollars(rows: Iterable[Row]) -> float | None:
    """Return what *rows* cost in dollars: of those with a price, null where none has one, 0 where there is no row."""
    costs = [row["cost_usd_micros"] for row in rows]
    known = [cost for cost in costs if cost is not None]
    return None if costs and not known else sum(known) / _MICROS


def _sessions(tables: Tables, asked: Asked) -> dict[str, Row]:
    """Return of each session when it called first and last, and where its own file is."""
    parameters = {"agent": asked.agent, "since": asked.window.since, "until": asked.window.until}
    return {row["session_id"]: row for row in tables.rows(_SESSIONS, parameters)}


_SESSIONS: Final = r"""
    WITH called AS (
        SELECT session_id, min(called_at) AS first_call_at, max(called_at) AS last_call_at
        FROM usage_measured
        WHERE
            agent = $agent
            AND ($since IS NULL OR called_at >= $since)
            AND ($until IS NULL OR called_at < $until)
        GROUP BY session_id
    ),
    files AS (
        SELECT session_id, min(source) AS source
        FROM high_water_marks
        WHERE agent = $agent AND source_role = 'main' AND source_name IS NOT NULL
        GROUP BY session_id
    )
    SELECT
        c.session_id,
        c.first_call_at,
        c.last_call_at,
        regexp_extract(f.source, '([^/]+?)(\.jsonl)?(\.zst)?$', 1) AS file,
        CASE WHEN $agent = 'codex'
            THEN regexp_extract(f.source, 'sessions/(.+)/[^/]+$', 1)
            ELSE regexp_extract(f.source, '([^/]+)/[^/]+$', 1)
        END AS folder
    FROM called AS c
    LEFT JOIN files AS f ON c.session_id = f.session_id
"""
