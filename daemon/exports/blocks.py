"""
Blocks of five hours as ccusage cuts them: no log says when a window of a subscription begins, so they are inferred.

A block begins at the full hour (UTC) of its first call, and ends five hours later. A call behind its end, or more than
five hours after the call before it, begins the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from projections.catalog import relations
from projections.read import Tables, Window, plain

BLOCK: Final = timedelta(hours=5)
_MICROS: Final = 1_000_000

Call = Mapping[str, Any]


def blocks_of(tables: Tables, agent: str, window: Window, now: datetime) -> list[dict[str, Any]]:
    """Return the blocks of an agent's calls, and the gaps between them; calls without a time are in none."""
    moment = now.astimezone(UTC).replace(tzinfo=None)
    blocks = list(_cut(_calls(tables, agent, window)))
    shown: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if number and block[0]["called_at"] - blocks[number - 1][-1]["called_at"] > BLOCK:
            shown.append(_gap(blocks[number - 1][-1]["called_at"] + BLOCK, block[0]["called_at"]))
        shown.append(_block(block, moment))
    return shown


def _calls(tables: Tables, agent: str, window: Window) -> list[dict[str, Any]]:
    priced = "costs" if any(each.name == "costs" for each in relations()) else "usage_measured"
    parameters = {"agent": agent, "since": window.since, "until": window.until}
    return tables.rows(_CALLS.format(table=priced), parameters)


_CALLS: Final = """
    SELECT *
    FROM {table}
    WHERE
        agent = $agent
        AND called_at IS NOT NULL
        AND ($since IS NULL OR called_at >= $since)
        AND ($until IS NULL OR called_at < $until)
    ORDER BY called_at, source_id
"""


def _cut(calls: Iterable[Call]) -> Iterator[list[Call]]:
    block: list[Call] = []
    for call in calls:
        at = call["called_at"]
        if block and (at - _hour(block[0]) > BLOCK or at - block[-1]["called_at"] > BLOCK):
            yield block
            block = []
        block.append(call)
    if block:
        yield block


def _hour(call: Call) -> datetime:
    at: datetime = call["called_at"]
    return at.replace(minute=0, second=0, microsecond=0)


def _block(calls: Sequence[Call], now: datetime) -> dict[str, Any]:
    start, last = _hour(calls[0]), calls[-1]["called_at"]
    end = start + BLOCK
    is_active = now - last < BLOCK and now < end
    counts = {theirs: sum(call[ours] or 0 for call in calls) for theirs, ours in _COUNTS.items()}
    total = sum(call["total_tokens"] for call in calls)
    cost = _cost(calls)
    rate = _rate(calls, total, counts, cost) if is_active else None
    unpriced = sum(call.get("cost_usd_micros") is None for call in calls)
    incomplete = sum(bool(call["is_incomplete"]) for call in calls)
    return {
        "id": plain(start),
        "startTime": plain(start),
        "endTime": plain(end),
        "actualEndTime": plain(last),
        "isActive": is_active,
        "isGap": False,
        "entries": len(calls),
        "tokenCounts": counts,
        "totalTokens": total,
        "costUSD": cost,
        "models": list(dict.fromkeys(call["model"] or "unknown" for call in calls)),
        "burnRate": rate,
        "projection": None if rate is None else _projection(total, cost, rate, end - now),
        "metadata": {"tallystick": {"incompleteCalls": incomplete, "unpricedCalls": unpriced}},
    }


_COUNTS: Final[Mapping[str, str]] = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheCreationInputTokens": "cache_write_tokens",
    "cacheReadInputTokens": "cache_read_tokens",
}


def _cost(calls: Iterable[Call]) -> float | None:
    known = [call["cost_usd_micros"] for call in calls if call.get("cost_usd_micros") is not None]
    return sum(known) / _MICROS if known else None


def _rate(calls: Sequence[Call], total: int, counts: Mapping[str, int], cost: float | None) -> dict[str, Any] | None:
    """Return tokens and dollars by time between first and last call; null where no time lies between."""
    minutes = (calls[-1]["called_at"] - calls[0]["called_at"]).total_seconds() / 60
    if minutes <= 0:
        return None
    return {
        "tokensPerMinute": total / minutes,
        "tokensPerMinuteForIndicator": (counts["inputTokens"] + counts["outputTokens"]) / minutes,
        "costPerHour": None if cost is None else cost / minutes * 60,
    }


def _projection(total: int, cost: float | None, rate: Mapping[str, Any], left: timedelta) -> dict[str, Any]:
    minutes = left.total_seconds() / 60
    per_hour = rate["costPerHour"]
    return {
        "totalTokens": round(total + rate["tokensPerMinute"] * minutes),
        "totalCost": None if cost is None or per_hour is None else round(cost + per_hour / 60 * minutes, 2),
        "remainingMinutes": round(minutes),
    }


def _gap(start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "id": f"gap-{plain(start)}",
        "startTime": plain(start),
        "endTime": plain(end),
        "actualEndTime": None,
        "isActive": False,
        "isGap": True,
        "entries": 0,
        "tokenCounts": dict.fromkeys(_COUNTS, 0),
        "totalTokens": 0,
        "costUSD": 0,
        "models": [],
        "burnRate": None,
        "projection": None,
    }
