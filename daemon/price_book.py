"""
What the installed price book says of a model: every window of its rates, as evidence.

The book is a package whose data is code: nothing is fetched, and another version is an upgrade of the package. It
takes a third of a second and 30 MB to import, so it is imported where a model is looked up and nowhere else.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from daemon.child import end_with
from daemon.money import micros
from projections.prices import Book, CountedModel
from state.evidence import RateFacts, RateWindow
from state.vocabulary import RATE_MAX

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

NAME: Final = "genai-prices"

#: What the book charges beside tokens of input and output: by these a model cannot be priced from what logs state.
_BEYOND_TOKENS: Final = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok")

#: Each rate of ours, and the book's prices that say it: the first that it names. What has no price of its own costs
#: what the class around it costs.
_PRICES: Final[dict[str, tuple[str, ...]]] = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
}

_DAY_SECONDS: Final = 86_400

#: A day before any price changed.
_BEFORE_ALL: Final = date(2015, 1, 1)

#: From a day on, and before a day; the same in seconds of the day, and in tokens.
Days = tuple[date | None, date | None]
Span = tuple[int | None, int | None]


@cache
def installed() -> Book:
    """Return which book is installed; it is not imported for that."""
    return Book(NAME, version(NAME))


def look_up(models: Sequence[CountedModel]) -> list[RateFacts]:
    """Return what the installed book says of each of *models*, in their order; no windows where it says nothing."""
    return [_looked_up(each) for each in models]


def _looked_up(model: CountedModel) -> RateFacts:
    book = installed()
    provider, found = _matched(model) or (None, None)
    return RateFacts(
        book=book.name,
        book_version=book.version,
        model_provider=model.provider or None,
        model=model.model,
        matched_provider=provider.id if provider is not None else None,
        matched_model=found.id if found is not None else None,
        windows=tuple(_windows(found)) if found is not None else (),
    )


def provider_hint(model: CountedModel) -> str | None:
    """Return the provider under which the book is asked; `litellm` where a model's name begins with its provider's."""
    return model.provider or ("litellm" if "/" in model.model else None)


def _matched(model: CountedModel) -> "tuple[Provider, ModelInfo] | None":
    """Return what the book takes for *model*; null when it knows none at its provider."""
    from genai_prices.data_snapshot import get_snapshot

    if model.model.startswith("hash:"):
        return None  # a name that is not kept: what it matches would be chance
    try:
        return get_snapshot().find_provider_model(model.model, None, provider_hint(model), None)
    except LookupError:
        return None


def _windows(model: "ModelInfo") -> list[RateWindow]:
    """Return the rates of every time and length of context at which they may differ; none when they are not all."""
    found = []
    for days in _eras(model):
        for seconds in _day_parts(model):
            prices = model.get_prices(_moment(days, seconds))
            if any(getattr(prices, name) is not None for name in _BEYOND_TOKENS):
                return []
            found += [_window(prices, days, seconds, tokens) for tokens in _contexts(prices)]
    return found


def _window(prices: "ModelPrice", days: Days, seconds: Span, tokens: Span) -> RateWindow:
    since, until = days
    return RateWindow(
        since=since.isoformat() if since is not None else None,
        until=until.isoformat() if until is not None else None,
        daily_from_seconds=seconds[0],
        daily_until_seconds=seconds[1],
        above_input_tokens=tokens[0],
        up_to_input_tokens=tokens[1],
        **{name: _rate(prices, names, tokens[0]) for name, names in _PRICES.items()},
    )


def _rate(prices: "ModelPrice", names: Sequence[str], above: int | None) -> int | None:
    """Return the price of one class of tokens in micro-dollars, where the context is longer than *above*."""
    from genai_prices.types import TieredPrices

    price = next((each for name in names if (each := getattr(prices, name)) is not None), None)
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if above is not None and above >= tier.start]
        price = reached[-1] if reached else price.base
    rate = None if price is None else micros(price)
    return rate if rate is None or rate <= RATE_MAX else None


def _eras(model: "ModelInfo") -> list[Days]:
    """Return the times between the days on which a price begins, the first and the last without a bound."""
    from genai_prices.types import StartDateConstraint

    starts = {each.start_date for each in _constraints(model) if isinstance(each, StartDateConstraint)}
    return list(pairwise([None, *sorted(starts), None]))


def _day_parts(model: "ModelInfo") -> list[Span]:
    """Return the parts of the day (UTC) between the times at which a price begins or ends; else one without bounds."""
    from genai_prices.types import TimeOfDateConstraint

    daily = [each for each in _constraints(model) if isinstance(each, TimeOfDateConstraint)]
    if not daily:
        return [(None, None)]
    edges = {_second(each) for constraint in daily for each in (constraint.start_time, constraint.end_time)}
    return list(pairwise(sorted({0, *edges, _DAY_SECONDS})))


def _contexts(prices: "ModelPrice") -> list[Span]:
    """Return the lengths of context between the thresholds of all prices, the first and the last without a bound."""
    from genai_prices.types import TieredPrices

    used = {name for names in _PRICES.values() for name in names}
    tiered = [price for name in used if isinstance(price := getattr(prices, name), TieredPrices)]
    return list(pairwise([None, *sorted({tier.start for price in tiered for tier in price.tiers}), None]))


def _constraints(model: "ModelInfo") -> list[object]:
    return [each.constraint for each in model.prices] if isinstance(model.prices, list) else []


def _second(moment: time) -> int:
    """Return the second of the day in UTC; a time without a zone is in UTC."""
    at = datetime.combine(_BEFORE_ALL, moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(
        UTC
    )
    return at.hour * 3600 + at.minute * 60 + at.second


def _moment(days: Days, seconds: Span) -> datetime:
    """Return the first moment of a window."""
    return datetime.combine(days[0] or _BEFORE_ALL, time(), UTC) + timedelta(seconds=seconds[0] or 0)


def main() -> int:
    """
    Look up the models on stdin, one JSON object, for a process that does not want the book in its memory.

    That process names itself on the command line. When it ends, nobody is left to answer, nor to tell.
    """
    import json

    if not end_with(int(sys.argv[1])):
        return 1
    asked = [CountedModel(model, provider) for model, provider in json.load(sys.stdin)]
    json.dump([each.model_dump(mode="json") for each in look_up(asked)], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
