"""
Which rates are to be stated: those of every counted model that is not priced by the book that holds.

A cost is no evidence: it can be made again. The rates that it is made with are, for the next version of a book may say
something else of the same day. The operator's own prices are a book of their own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import duckdb

from daemon import price_book
from daemon.own_events import own_event
from daemon.settings import Settings
from projections.prices import Book, CountedModel, books, counted_models, reported_models
from state.evidence import RateFacts

Clock = Callable[[], datetime]
LookUp = Callable[[Sequence[CountedModel]], list[RateFacts]]

#: A look into the book takes a second; so long is waited for it, in seconds.
_LOOK_UP_SECONDS: Final = 20.0


class Pricer:
    """
    Says which rates are to be written.

    Args:
        clock: Aware time.
        own: The operator's own prices; a model has those of its provider before those of any.
        look_up: Asks the installed book.
    """

    def __init__(self, clock: Clock, own: Sequence[RateFacts] = (), look_up: LookUp = price_book.look_up) -> None:
        self._clock = clock
        self._own = tuple(own)
        self._look_up = look_up
        self._reported: set[CountedModel] = set()
        self._reported_until_seq = -1
        self._handed: dict[CountedModel, Book] = {}

    def obey(self, own: Sequence[RateFacts]) -> None:
        """Price by these prices of the operator's from now on."""
        self._own = tuple(own)

    def events(self, connection: duckdb.DuckDBPyConnection, up_to_seq: int) -> list[bytes]:
        """
        Return the events that state rates which no event states yet, nor one that is on its way.

        Args:
            connection: Tables that hold the log up to *up_to_seq*.
            up_to_seq: Last event in them; -1 for none.
        """
        stated = books(connection)
        self._handed = {model: book for model, book in self._handed.items() if stated.get(model) != book}
        known = stated | self._handed
        wanted = {model: self._book(model) for model in self._models(connection, up_to_seq)}
        new = {model: book for model, book in wanted.items() if known.get(model) != book}
        if not new:
            return []
        facts = self._facts(sorted(new))
        self._handed |= new
        return [own_event("rates", each, self._clock()) for each in facts]

    @property
    def is_waiting(self) -> bool:
        """Whether rates were handed over that the tables did not hold when they were asked last."""
        return bool(self._handed)

    def _models(self, connection: duckdb.DuckDBPyConnection, up_to_seq: int) -> set[CountedModel]:
        """Return every counted model; messages are read once, they are many and stay as they are."""
        self._reported |= reported_models(connection, self._reported_until_seq)
        self._reported_until_seq = up_to_seq
        return counted_models(connection) | self._reported

    def _book(self, model: CountedModel) -> Book:
        own = self._own_price(model)
        return price_book.installed() if own is None else Book(own.book, own.book_version)

    def _own_price(self, model: CountedModel) -> RateFacts | None:
        fitting = [
            each
            for each in self._own
            if each.model == model.model and each.model_provider in (None, model.provider or None)
        ]
        return max(fitting, key=lambda each: each.model_provider is not None, default=None)

    def _facts(self, models: Sequence[CountedModel]) -> list[RateFacts]:
        own = {model: price for model in models if (price := self._own_price(model)) is not None}
        asked = [model for model in models if model not in own]
        found = dict(zip(asked, self._look_up(asked), strict=True)) if asked else {}
        return [
            found[model] if model in found else own[model].model_copy(update={"model_provider": model.provider or None})
            for model in models
        ]


def own_prices(settings: Settings) -> tuple[RateFacts, ...]:
    """
    Return the operator's own prices.

    Raises:
        ConfigUnusable: The configuration cannot be read.
    """
    if not settings.config_file.exists():
        return ()
    from daemon.config import read_config

    return read_config(settings.config_file).own_prices()


def look_up_apart(models: Sequence[CountedModel]) -> list[RateFacts]:
    """
    Ask the book in a process of its own: a daemon keeps neither its memory nor the second that it takes to import.

    Raises:
        OSError, subprocess.SubprocessError, ValueError: It was not answered.
    """
    # A group of its own: Ctrl-C in a terminal is for the daemon, which has its answer in a second.
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "daemon.price_book", str(os.getpid())],
        input=json.dumps([[each.model, each.provider] for each in models]).encode("ascii"),
        stdout=subprocess.PIPE,
        check=True,
        timeout=_LOOK_UP_SECONDS,
        process_group=0,
    )
    return [RateFacts.model_validate(each) for each in json.loads(done.stdout)]
