"""From a total back to the bytes: every call behind a day, session, call or event, with its byte ranges."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from daemon import cursors
from daemon.belonging import belonging
from daemon.locate import Located, Locator, Place
from daemon.window import check_zone
from projections.read import Tables, plain
from state.errors import TallystickError
from state.vocabulary import COST

#: What to compute from the JSON at the ranges; `docs/explain.md` has the object each role names.
FORMULAS: Final[dict[str, str]] = {
    "richest_line": "usage of value",
    "ledger_record": "usage of value",
    "first_last": "last of value",
    "sum_of_last": "last of value",
    "first_total": "total of value",
    "total_increase": "total of value - total of baseline",
    "report": "tokens of the message",
}

#: In which order calls are shown, and the types of that key.
_ORDER: Final = {"agent": "VARCHAR", "called_at": "TIMESTAMP", "source_id": "VARCHAR"}

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_EVENT: Final = re.compile(r"#?(\d{1,18})")


class NothingToExplain(TallystickError):
    """
    Nothing that was counted has this name. `tallystick usage --by day,session,repo,task` lists what there is.
    """

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained; ``agent`` narrows it."""

    what: str
    agent: str | None = None
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Part:
    """Of many calls, those behind ``after`` (the `next` of the part before), so many at most; null for all."""

    after: str | None = None
    calls_max: int | None = None


def explain(tables: Tables, question: Question, part: Part = Part()) -> dict[str, Any]:
    """
    Return the calls behind *question*, each with its rule, its byte ranges and where those bytes are now.

    Totals are of all calls, whatever *part* of them is shown.

    Raises:
        NothingToExplain: Nothing has that name.
    """
    behind = _calls(tables, question)
    if not behind:
        raise NothingToExplain(what=question.what[:128])
    left = _left(behind, part.after)
    calls = left[: part.calls_max]
    events = _events(tables, calls)
    located = _located(tables, events)
    losers = _losers(tables, calls)
    owners = belonging(tables, calls)
    prices = _prices(tables, calls)
    rows = [
        _row(call, events, located, losers) | {"price": prices.get(_window(call))} | owners[call["value_seq"]]
        for call in calls
    ]
    return {
        "schema": "tallystick.explain/1",
        "what": question.what,
        "rows": rows,
        "next": None if len(calls) == len(left) else cursors.written([calls[-1][name] for name in _ORDER]),
        "totals": _totals(behind),
        "allocated_tokens": _allocated(tables, behind, question.what),
    }


def _left(calls: list[dict[str, Any]], after: str | None) -> list[dict[str, Any]]:
    """Return the calls behind *after*, also where that one is not counted any more."""
    if after is None:
        return calls
    place = _place(cursors.read(after, tuple(_ORDER.values())))
    return [call for call in calls if _place([call[name] for name in _ORDER]) > place]


def _place(key: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return *key* as something that has an order: null stands last."""
    return [(1,) if value is None else (0, value) for value in key]


def _allocated(tables: Tables, calls: Iterable[dict[str, Any]], what: str) -> int | None:
    """Return how many of the tokens belong to the task or workstream that was asked for; null when it was none."""
    query = """
        SELECT CAST(sum(total_tokens) AS BIGINT) AS tokens
        FROM usage_allocated
        WHERE $what IN (task_id, workstream_id) AND value_seq IN (SELECT unnest($wanted))
    """
    tokens: int | None = tables.rows(query, {"what": what, "wanted": [call["value_seq"] for call in calls]})[0][
        "tokens"
    ]
    return tokens


#: The calls behind a day, an event, a call or session by its id, or behind a task, workstream or repository. What does
#: not count is behind its winner.
_CALLS: Final[dict[str, str]] = {
    "day": """
        SELECT * FROM costs
        WHERE CAST(timezone($timezone, timezone('UTC', called_at)) AS DATE) = CAST($what AS DATE)
            AND called_at BETWEEN CAST($what AS DATE) - 1 AND CAST($what AS DATE) + 2
            AND ($agent IS NULL OR agent = $agent)
        ORDER BY agent, called_at, source_id
    """,
    "event": """
        SELECT * FROM costs
        WHERE (
                $what IN (value_seq, baseline_seq, owner_seq)
                OR (agent, source_id) IN (SELECT (agent, source_id) FROM events WHERE seq = $what)
                OR value_seq IN (SELECT by_seq FROM superseded WHERE seq = $what)
                OR value_seq IN (SELECT value_seq FROM usage_allocated WHERE list_contains(evidence_seqs, $what))
                OR value_seq IN (SELECT value_seq FROM usage_attributed WHERE checkout_seq = $what)
            )
            AND ($agent IS NULL OR agent = $agent)
        ORDER BY agent, called_at, source_id
    """,
    "name": """
        SELECT * FROM costs
        WHERE (source_id = $what OR session_id = $what) AND ($agent IS NULL OR agent = $agent)
        ORDER BY agent, called_at, source_id
    """,
    "owner": """
        SELECT * FROM costs
        WHERE (
                value_seq IN (SELECT value_seq FROM usage_attributed WHERE repo = $what)
                OR value_seq IN (SELECT value_seq FROM usage_allocated WHERE task_id = $what OR workstream_id = $what)
            )
            AND ($agent IS NULL OR agent = $agent)
        ORDER BY agent, called_at, source_id
    """,
}


def _calls(tables: Tables, question: Question) -> list[dict[str, Any]]:
    shared = {"what": question.what, "agent": question.agent}
    if _DAY.fullmatch(question.what):
        _check_day(question.what)
        check_zone(tables, question.timezone)
        return tables.rows(_CALLS["day"], shared | {"timezone": question.timezone})
    if match := _EVENT.fullmatch(question.what):
        return tables.rows(_CALLS["event"], shared | {"what": int(match[1])})
    return tables.rows(_CALLS["name"], shared) or tables.rows(_CALLS["owner"], shared)


def _check_day(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise NothingToExplain(what=text) from None


def _events(tables: Tables, calls: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    wanted = sorted({seq for call in calls for seq in (call["value_seq"], call["baseline_seq"]) if seq is not None})
    rows = tables.rows(
        """
        SELECT
            seq, log_id, source, offset_bytes, length_bytes, item_key, line_hash, parser, parser_version, ingested_at,
            producer, receipt
        FROM events WHERE seq IN (SELECT unnest($wanted))
        """,
        {"wanted": wanted},
    )
    return {row["seq"]: row for row in rows}


def _located(tables: Tables, events: dict[int, dict[str, Any]]) -> dict[int, Located]:
    places = [
        Place(
            row["seq"],
            row["source"],
            row["offset_bytes"],
            row["length_bytes"],
            row["line_hash"],
            item_key=row["item_key"],
            parser=row["parser"],
        )
        for row in events.values()
        if row["source"] is not None
    ]
    return {each.place.seq: each for each in Locator(tables, salt="").locate(places)}


def _losers(tables: Tables, calls: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return what each call superseded, by its identity."""
    rows = tables.rows(
        """
        SELECT agent, source_id, seq, by_seq, reason, source, offset_bytes, length_bytes, item_key
        FROM usage_superseded
        WHERE source_id IN (SELECT unnest($wanted))
        ORDER BY seq
        """,
        {"wanted": [call["source_id"] for call in calls]},
    )
    losers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        losers.setdefault((row["agent"], row["source_id"]), []).append(row)
    return losers


def _window(call: dict[str, Any]) -> tuple[int | None, int | None]:
    return call["rates_seq"], call["window_number"]


def _prices(tables: Tables, calls: list[dict[str, Any]]) -> dict[tuple[int | None, int | None], dict[str, Any]]:
    """Return what the price books say of the models of *calls*, by event and window."""
    wanted = sorted({call["rates_seq"] for call in calls if call["rates_seq"] is not None})
    rows = tables.rows("SELECT * FROM prices WHERE rates_seq IN (SELECT unnest($wanted))", {"wanted": wanted})
    return {
        (row["rates_seq"], row["window_number"]): {name: plain(value) for name, value in row.items()} for row in rows
    }


def _row(
    call: dict[str, Any],
    events: dict[int, dict[str, Any]],
    located: dict[int, Located],
    losers: dict[tuple[str, str], list[dict[str, Any]]],
) -> dict[str, Any]:
    evidence = [
        _evidence(role, events[seq], located.get(seq))
        for role, seq in (("value", call["value_seq"]), ("baseline", call["baseline_seq"]))
        if seq is not None
    ]
    shown = {name: plain(value) for name, value in call.items() if not name.startswith("is_")}
    flags = [name[3:] for name, value in call.items() if name.startswith("is_") and value]
    superseded = [
        {name: value for name, value in row.items() if name not in ("agent", "source_id")}
        for row in losers.get((call["agent"], call["source_id"]), ())
    ]
    return shown | {
        "flags": flags,
        "formula": FORMULAS[call["rule"]],
        "evidence": evidence,
        "superseded": superseded,
    }


def _evidence(role: str, event: dict[str, Any], located: Located | None) -> dict[str, Any]:
    """Return one event and where its bytes are now; a message has no other place than the log itself."""
    return (
        {"role": role}
        | {name: plain(value) for name, value in event.items()}
        | {
            "outcome": located.outcome if located else "message",
            "readable_at": located.path if located else None,
        }
    )


def _totals(calls: list[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in calls[0] if name.endswith("_tokens") and name != "provider_total_tokens"]
    sums = {name: [call[name] for call in calls if call[name] is not None] for name in names}
    priced = [call[COST] for call in calls if call[COST] is not None]
    return (
        {"calls": len(calls)}
        | {name: sum(values) if values else None for name, values in sums.items()}
        | {COST: sum(priced) if priced else None, "unpriced_calls": len(calls) - len(priced)}
    )
