"""
Usage by dimension, class by class: measured, allocated, estimated and superseded, never summed.

By task or workstream measured usage is sliced: each row of `usage_measured` becomes the shares of its tasks and the
rest that belongs to none, which together are the row.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final

from projections.read import Tables, Window
from state.vocabulary import COST, ESTIMATING_ORIGINS, FLAGS, TOKEN_CLASSES, TOKEN_TOTALS

#: What `usage --by` can group by, and the column behind each.
DIMENSIONS: Final[dict[str, str]] = {
    "day": "day",
    "agent": "agent",
    "source": "source_class",
    "provider": "provider",
    "model": "model",
    "session": "session_id",
    "repo": "repo",
    "branch": "git_branch",
    "task": "task_id",
    "workstream": "workstream_id",
    "host": "host",
}

#: Which rows are asked about: what dimensions (but for day and host) have to be; null for what belongs to none.
Only = Mapping[str, str | None]
EVERYTHING: Final[Only] = MappingProxyType({})
#: By what rows can be chosen.
CHOOSABLE: Final = tuple(name for name in DIMENSIONS if name not in ("day", "host"))

#: Of which dimensions the rows of a class know nothing: whoever chooses by one of them chooses none of these.
LACKING: Final[Mapping[str, frozenset[str]]] = {
    "measured": frozenset({"task", "workstream"}),
    "superseded": frozenset({"repo", "branch", "task", "workstream"}),
}

#: What is asked for an answer, the notes beside it included.
ASKED: Final = (
    "costs",
    "freshness",
    "hidden_calls",
    "prices",
    "rejected",
    "task_reports",
    "token_reports",
    "usage_allocated",
    "usage_attributed",
    "usage_estimated",
    "usage_measured",
    "usage_superseded",
    "usage_unallocated",
)

TOKENS: Final = (*TOKEN_CLASSES, *TOKEN_TOTALS)
#: What they cost, and what reading from a cache saved, in micro-dollars; null where nothing was priced.
MONEY: Final = (COST, "cache_savings_usd_micros")

#: Dimensions that slice rows.
_SLICING: Final = frozenset({"task", "workstream"})


def measured(tables: Tables, by: Sequence[str], window: Window, only: Only = EVERYTHING) -> list[dict[str, Any]]:
    """
    Return measured usage grouped by the dimensions *by*; a sum is null where no source stated the part.

    What it cost is the sum of the calls that were priced; ``unpriced_calls`` are the others.
    By task or workstream ``measurement`` is `allocated` for their shares, and `measured` for what belongs to none.
    """
    named = {*by, *only}
    rows = _calls(tables, named) if _SLICING.isdisjoint(by) else _with(_SLICES, named)
    return _grouped(tables, f"{rows} UNION ALL BY NAME {_HIDDEN_CALLS}", by, window, only)


def allocated(tables: Tables, by: Sequence[str], window: Window, only: Only = EVERYTHING) -> list[dict[str, Any]]:
    """Return the shares of tasks and workstreams, grouped by *by*; their tokens are measured ones."""
    return _grouped(tables, _with(_SHARES, {*by, *only}), by, window, only)


def estimated(tables: Tables, by: Sequence[str], window: Window, only: Only = EVERYTHING) -> list[dict[str, Any]]:
    """Return what was only estimated, grouped by *by*; a sum is null where nobody even guessed the part."""
    if not tables.rows(_ANY_ESTIMATE):
        return _grouped(tables, _NOTHING, by, window, only)  # nearly always: to count them costs more than to see that
    rows = "SELECT *, seq AS value_seq, 1 AS calls FROM usage_estimated"
    return _grouped(tables, _with(rows, {*by, *only} - {"repo"}), by, window, only)


def estimated_tokens(tables: Tables, window: Window, only: Only = EVERYTHING) -> int:
    """Return how many tokens were only estimated, for a note where they are not shown."""
    return estimated(tables, (), window, only)[0]["total_tokens"] or 0


def superseded(tables: Tables, by: Sequence[str], window: Window, only: Only = EVERYTHING) -> list[dict[str, Any]]:
    """Return superseded statements grouped by *by*; a running total has no tokens, and adds none to its group."""
    if "superseded_rows" in tables.settled:
        return _grouped(tables, "SELECT * FROM superseded_rows WHERE reason <> 'same_line'", by, window, only)
    named = {*by, *only}
    rows = _with(_with_source(_STATEMENTS) if "source" in named else _STATEMENTS, named - {"repo"})
    return _grouped(tables, rows, by, window, only)


def unpriced(tables: Tables, window: Window, only: Only = EVERYTHING) -> list[dict[str, Any]]:
    """Return measured calls without a cost by provider, model and reason, the most first; none where *only* slices."""
    if not _SLICING.isdisjoint(only):
        return []
    query = _UNPRICED.format(rows=_calls(tables, {*only}), chosen=_chosen(only))
    return tables.rows(query, {"since": window.since, "until": window.until} | _values(only))


def price_book(tables: Tables) -> str | None:
    """Return which price books hold for the models that were counted, with versions; null when none was asked."""
    names = [row["name"] for row in tables.rows("SELECT DISTINCT book || ' ' || book_version AS name FROM prices")]
    return " + ".join(sorted(names)) or None


def _calls(tables: Tables, named: AbstractSet[str]) -> str:
    """Return the rows of measured calls, with the columns of the dimensions that are named."""
    if "measured_rows" in tables.settled:
        return "SELECT * FROM measured_rows"
    table = "usage_attributed" if "repo" in named else "costs"
    return _with(_CALLS.format(table=table), named - {"repo"})


def rows_with_every_dimension() -> dict[str, str]:
    """
    Return the queries whose rows, once stored, answer by whatever dimension is asked for; by the names they have then.
    """
    flags = [f"is_{flag}" for flag in FLAGS if flag != "hidden_calls"]  # those are no rows of these
    nullable = (*TOKENS, *MONEY, *flags)
    columns = [name for name in DIMENSIONS.values() if name not in ("day", "host", "task_id", "workstream_id")]
    of_calls = ", ".join((*columns, "model_provider", "called_at", "measurement", "calls", "unpriced", *nullable))
    stated = [name for name in columns if name not in ("repo", "git_branch")]
    of_statements = ", ".join((*stated, "called_at", "source_created_at", "reason", "measurement", "calls", *TOKENS))
    calls = _with_provider(_CALLS.format(table="usage_attributed"))
    statements = _with_provider(_with_source(_EVERY_STATEMENT))
    return {
        "measured_rows": f"SELECT {of_calls} FROM ({calls})",  # noqa: S608 - constants
        "superseded_rows": f"SELECT {of_statements} FROM ({statements})",  # noqa: S608 - constants
    }


def _grouped(tables: Tables, rows: str, by: Sequence[str], window: Window, only: Only) -> list[dict[str, Any]]:
    """Return sums of *rows*, one for each group, also of the classes in it; without dimensions one sum of all."""
    dimensions = [DIMENSIONS[name] for name in by]
    names = [f"{column} AS {name}" for name, column in zip(by, dimensions, strict=True)]
    sums = [f"CAST(sum({name}) AS BIGINT) AS {name}" for name in (*TOKENS, *MONEY)]
    without_cost = f"CAST(coalesce(sum(calls) FILTER (WHERE {COST} IS NULL), 0) AS BIGINT) AS unpriced_calls"
    flags = [f"CAST(coalesce(sum(CAST(is_{flag} AS INTEGER)), 0) AS BIGINT) AS {flag}" for flag in FLAGS]
    groups = [*dimensions, "measurement"] if by else []
    selected = [*names, *(["measurement"] if by else []), "CAST(coalesce(sum(calls), 0) AS BIGINT) AS calls"]
    grouping = f"GROUP BY {', '.join(groups)} ORDER BY {', '.join(groups)}" if by else ""
    select = ", ".join((*selected, *sums, without_cost, *flags))
    is_utc = window.timezone == "UTC"  # nearly always, and to look each time up in a zone takes longer than to add
    windowed = _WINDOWED.format(day="called_at" if is_utc else "timezone($timezone, timezone('UTC', called_at))")
    asked = f"WITH rows_ AS ({_NOTHING} UNION ALL BY NAME {rows}), {windowed}"
    query = f"{asked} SELECT {select} FROM windowed WHERE {_chosen(only)} {grouping}"  # noqa: S608 - constants
    parameters = {"since": window.since, "until": window.until} | ({} if is_utc else {"timezone": window.timezone})
    return tables.rows(query, parameters | _values(only))


def _chosen(only: Only) -> str:
    return " AND ".join(["true", *(f"{DIMENSIONS[name]} IS NOT DISTINCT FROM $only_{name}" for name in only)])


def _values(only: Only) -> dict[str, str | None]:
    return {f"only_{name}": value for name, value in only.items()}


def _with(rows: str, named: AbstractSet[str]) -> str:
    """Return *rows* with the columns of those dimensions that are looked up only where they are named."""
    if "repo" in named:
        rows = _with_repo(rows)
    return _with_provider(rows) if "provider" in named else rows


def _with_repo(rows: str) -> str:
    return f"SELECT s.*, a.repo FROM ({rows}) AS s LEFT JOIN usage_attributed AS a ON s.value_seq = a.value_seq"  # noqa: S608 - constants


def _with_provider(rows: str) -> str:
    return f"""
        SELECT s.*, coalesce(r.provider, p.provider) AS provider
        FROM ({rows}) AS s
        LEFT JOIN token_reports AS r ON s.value_seq = r.seq
        LEFT JOIN ({_PROVIDERS}) AS p ON s.agent = p.agent AND s.session_id = p.session_id
    """  # noqa: S608 - constants


def _with_source(rows: str) -> str:
    return f"SELECT s.*, e.source_class FROM ({rows}) AS s LEFT JOIN events AS e ON s.seq = e.seq"  # noqa: S608 - constants


#: Who provided the calls of a session, where its log says so, and says one.
_PROVIDERS: Final = """
    SELECT agent, session_id, any_value(model_provider) AS provider
    FROM events
    WHERE model_provider IS NOT NULL
    GROUP BY agent, session_id
    HAVING count(DISTINCT model_provider) = 1
"""

#: A row with every column that may be asked for, so that a class without one has it null; and no such row.
_NOTHING: Final = f"""
    SELECT
        {", ".join(f"CAST(NULL AS VARCHAR) AS {name}" for name in DIMENSIONS.values() if name not in ("day", "host"))},
        CAST(NULL AS TIMESTAMP) AS called_at,
        CAST(NULL AS VARCHAR) AS measurement,
        CAST(NULL AS BIGINT) AS calls,
        {", ".join(f"CAST(NULL AS BIGINT) AS {name}" for name in (*TOKENS, *MONEY))},
        {", ".join(f"CAST(NULL AS BOOLEAN) AS is_{flag}" for flag in FLAGS)}
    WHERE false
"""

_WINDOWED: Final = """
    windowed AS (
        SELECT
            *,
            CAST({day} AS DATE) AS day,
            (SELECT min(host) FROM logs) AS host
        FROM rows_
        WHERE ($since IS NULL OR called_at >= $since) AND ($until IS NULL OR called_at < $until)
    )
"""

_CALLS: Final = "SELECT *, 1 AS calls FROM {table}"

_UNPRICED: Final = """
    SELECT model_provider, model, unpriced AS reason, count(*) AS calls
    FROM ({rows})
    WHERE
        unpriced IS NOT NULL
        AND ($since IS NULL OR called_at >= $since)
        AND ($until IS NULL OR called_at < $until)
        AND {chosen}
    GROUP BY model_provider, model, unpriced
    ORDER BY calls DESC, model, model_provider, reason
"""

_SHARES: Final = "SELECT *, 1 AS calls FROM usage_allocated"

_SLICES: Final = f"{_SHARES} UNION ALL BY NAME SELECT * FROM usage_unallocated"  # noqa: S608 - constants

_ANY_ESTIMATE: Final = f"""
    SELECT 1 FROM token_reports WHERE measurement = 'estimated'
    UNION ALL
    SELECT 1 FROM task_reports WHERE status = 'completed' AND origin IN {ESTIMATING_ORIGINS}
    LIMIT 1
"""  # noqa: S608 - constants

_HIDDEN_CALLS: Final = """
    SELECT agent, session_id, git_branch, called_at, 'measured' AS measurement, 0 AS calls, true AS is_hidden_calls
    FROM hidden_calls
"""

_EVERY_STATEMENT: Final = """
    SELECT
        *,
        seq AS value_seq,
        source_created_at AS called_at,
        1 AS calls,
        total_without_cache_read_tokens + coalesce(cache_read_tokens, 0) AS total_tokens
    FROM (
        SELECT
            *,
            CASE
                WHEN coalesce(input_tokens, cache_read_tokens, cache_write_tokens, output_tokens) IS NOT NULL
                    THEN coalesce(input_tokens, 0) + coalesce(cache_write_tokens, 0) + coalesce(output_tokens, 0)
            END AS total_without_cache_read_tokens
        FROM usage_superseded
    )
"""

# Several lines of one statement are no statements that something beat.
_STATEMENTS: Final = f"{_EVERY_STATEMENT} WHERE reason <> 'same_line'"
