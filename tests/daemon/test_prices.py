"""What calls cost: by the rates of their own time, request and cache, or null with a reason."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import price_book
from daemon.bootstrap import catch_up, open_log, refresh_and_publish, seen_files
from daemon.cli import main
from daemon.own_events import own_event
from daemon.price_book import look_up
from daemon.prices import look_up_apart
from daemon.settings import Settings
from projections.catalog import relations
from projections.prices import CountedModel
from state.evidence import RateFacts
from state.vocabulary import MODEL, STANDARD_TIERS, Unpriced
from tests.daemon.conftest import THREAD, Host, claude_line, codex_lines, gptme_lines
from tests.daemon.live import append, daemon, until

BOOK = f"genai-prices {genai_prices.__version__}"
OPUS, SONNET = "claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929"


def call(name: str, model: str, at: str = "2026-11-01T10:00:00.000Z", **usage: Any) -> bytes:
    """Return a line of Claude's with exactly this usage."""
    line = json.loads(claude_line(name, 0, timestamp=at))
    line["message"] |= {"model": model, "usage": {"input_tokens": 0, "output_tokens": 0} | usage}
    return json.dumps(line).encode() + b"\n"


def cached(read: int = 0, short: int = 0, long: int = 0) -> dict[str, Any]:
    return {
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
    }


def costs(host: Host) -> dict[str, tuple[int | None, str | None]]:
    """Return cost and reason of each call."""
    rows = host.rows("SELECT source_id, cost_usd_micros, unpriced FROM costs")
    return {row["source_id"]: (row["cost_usd_micros"], row["unpriced"]) for row in rows}


def configured(host: Host, text: str) -> Settings:
    """Return the settings of *host* with a configuration."""
    file = host.home / "config.toml"
    file.write_text(text)
    return Settings(host.home, host.state, zone="UTC", host="test", config_file=file)


def ingested(host: Host, known: Settings) -> dict[str, Any]:
    """Read by these settings, and return the document of `usage`."""
    catch_up(known, seen_files(known), clock=lambda: host.now)
    return host.usage()


def stated(host: Host) -> list[tuple[str, str, str]]:
    """Return book, version and model of each event that states rates, in order."""
    rows = host.rows("SELECT book, book_version, model FROM rates ORDER BY seq")
    return [(row["book"], row["book_version"], row["model"]) for row in rows]


def test_prices_that_were_checked_by_hand(host: Host) -> None:
    """
    Dollars per million: Opus 4.5 5, 0.5, 6.25, 10, 25; Sonnet 4.5 twice above 200,000 in; o3 10 and 40, then 2 and 8.
    """
    short: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5}
    lines = [
        call("opus", OPUS, input_tokens=1000, output_tokens=500, **cached(10_000, 2000, 3000)),
        call("sonnet_at", SONNET, input_tokens=100, output_tokens=10, **cached(199_900)),
        call("sonnet_above", SONNET, input_tokens=101, output_tokens=10, **cached(199_900)),
        call("o3_before", "o3", "2025-06-09T23:59:59.999Z", **short),
        call("o3_after", "o3", "2025-06-10T00:00:00.000Z", **short),
        call("nothing", OPUS),
    ]
    append(host.claude(), b"".join(lines))
    host.ingest()

    assert {
        "opus": (5_000 + 5_000 + 12_500 + 30_000 + 12_500, None),
        "sonnet_at": (300 + 59_970 + 150, None),
        "sonnet_above": (606 + 119_940 + 225, None),
        "o3_before": (100 + 200, None),
        "o3_after": (20 + 40, None),
        "nothing": (0, None),
    } == costs(host)
    (row,) = host.rows("SELECT sum(cache_savings_usd_micros) AS saved FROM costs WHERE source_id = 'opus'")
    assert 10_000 * 5 - 5_000 == row["saved"]
    document = host.usage("model")
    assert BOOK == document["as_of"]["price_book"]
    assert document["totals"]["measured"]["cost_usd_micros"] == sum(cost or 0 for cost, _ in costs(host).values())
    assert [] == document["unpriced"]


def test_half_a_micro_dollar_is_rounded_up_and_sums_are_sums_of_rows(host: Host) -> None:
    """
    One cached token of Opus 4.5 costs half a micro-dollar: a thousand such calls cost a thousand, and not five hundred.
    """
    append(host.claude(), b"".join(call(f"m{i}", OPUS, **cached(1)) for i in range(1000)))
    host.ingest()

    assert {(1, None)} == set(costs(host).values())
    assert 1000 == host.usage()["totals"]["measured"]["cost_usd_micros"]


def test_what_has_no_price_is_null_with_a_reason_and_never_zero(host: Host) -> None:
    """
    Unknown models, tiers of which the book says nothing, and answers without a price are counted and named.
    """
    standard: dict[str, Any] = {"service_tier": "standard", "speed": "standard", "inference_geo": "not_available"}
    used: dict[str, Any] = {"input_tokens": 1_000_000, "output_tokens": 0}
    lines = [
        call("plain", OPUS, **used, **standard),
        call("unknown", "acme-1", **used),
        call("fast", OPUS, **used, **(standard | {"speed": "fast"})),
        call("batch", OPUS, **used, **(standard | {"service_tier": "batch"})),
        call("region", OPUS, **used, **(standard | {"inference_geo": "us"})),
        json.dumps(
            json.loads(call("half", OPUS)) | {"message": {"id": "half", "model": OPUS, "usage": {"input_tokens": 4}}}
        ).encode()
        + b"\n",
        call("timeless", "o3", "no time", **used),
        call("absurd", OPUS, input_tokens=9 * 10**9 + 1, output_tokens=0),
        call("embedding", "openai/text-embedding-3-small", input_tokens=1, output_tokens=1),
    ]
    append(host.claude(), b"".join(lines))
    append(host.gptme(), gptme_lines([7]))
    host.ingest()

    found = costs(host)
    gptme = next(name for name in found if name.startswith("gptme:"))
    assert {
        "plain": (5_000_000, None),
        "unknown": (None, "unknown_model"),
        "fast": (None, "service_tier"),
        "batch": (None, "service_tier"),
        "region": (None, "service_tier"),
        "half": (None, "tokens_unknown"),
        "timeless": (None, "time_unknown"),
        "absurd": (None, "out_of_range"),
        "embedding": (None, "rate_missing"),
        gptme: (None, "unknown_model"),
    } == found
    document = host.usage("agent")
    by_agent = {row["agent"]: (row["cost_usd_micros"], row["unpriced_calls"]) for row in document["rows"]}
    assert {"claude_code": (5_000_000, 8), "gptme": (None, 1)} == by_agent
    assert 9 == sum(each["calls"] for each in document["unpriced"]) == document["totals"]["measured"]["unpriced_calls"]
    assert {"model_provider": None, "model": "acme-1", "reason": "unknown_model", "calls": 1} in document["unpriced"]


def test_an_increase_that_may_hold_several_requests_is_priced_where_their_length_does_not_matter(host: Host) -> None:
    """
    Of gpt-5.5 more than 272,000 in cost twice as much: an increase beyond that is one such request only if it says so.
    """
    lines = [json.loads(line) for line in codex_lines([100_000, 500_000, 900_000, 910_000]).splitlines()]
    for line in lines[-2:]:  # what the last two say of the last response is not what the total rose by
        line["payload"]["info"]["last_token_usage"] |= {"input_tokens": 7, "total_tokens": 7}
    append(host.codex(), b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    host.ingest()

    rows = host.rows("SELECT input_tokens, requests, cost_usd_micros, unpriced FROM costs ORDER BY called_at")
    assert [
        (100_000, 1, 500_000, None),
        (400_000, 1, 4_000_000, None),
        (400_000, None, None, "context_tier"),
        (10_000, None, 50_000, None),
    ] == [tuple(row.values()) for row in rows]


def test_a_provider_that_the_log_names_is_the_one_that_is_asked(host: Host) -> None:
    """
    A model that is served by somebody else does not cost what its maker charges.
    """
    for number, provider in enumerate(("openai", "our-proxy")):
        thread = THREAD[:-1] + str(number)
        header, *rest = codex_lines([1000], thread=thread).splitlines(keepends=True)
        named = json.loads(header)
        named["payload"]["model_provider"] = provider
        append(host.codex(thread), json.dumps(named).encode() + b"\n" + b"".join(rest))
    host.ingest()

    rows = host.rows("SELECT model_provider, cost_usd_micros, unpriced FROM costs ORDER BY model_provider")
    assert [("openai", 5000, None), ("our-proxy", None, "unknown_model")] == [tuple(row.values()) for row in rows]


def test_prices_of_the_operators_own_go_before_the_book_and_are_evidence_like_it(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A rate that is not said leaves calls that need it unpriced; without the entry the book holds again.
    """
    used: dict[str, Any] = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    append(host.claude(), call("plain", "acme-1", **used) + call("cached", "acme-1", **used, **cached(5)))
    append(host.claude(), call("opus", OPUS, **used))
    host.ingest()
    assert [("genai-prices", "acme-1"), ("genai-prices", OPUS)] == [(book, model) for book, _, model in stated(host)]

    first = '[[prices]]\nmodel = "acme-1"\ninput = 0.000001\noutput = 2\n'
    own = f'{first}[[prices]]\nmodel = "{OPUS}"\ninput = 1\noutput = 1\n'
    document = ingested(host, configured(host, own))
    assert {"plain": (2_000_001, None), "cached": (None, "rate_missing"), "opus": (2_000_000, None)} == costs(host)
    versions = sorted(version for book, version, _ in stated(host) if book == "config")
    assert " + ".join(f"config {version}" for version in versions) == document["as_of"]["price_book"]

    assert 4 == len(stated(host))
    ingested(host, configured(host, own))
    assert 4 == len(stated(host))

    ingested(host, configured(host, first))
    assert (30_000_000, None) == costs(host)["opus"]
    assert ("genai-prices", OPUS) == (stated(host)[-1][0], stated(host)[-1][2])
    capsys.readouterr()
    main(["explain", "plain", "--home", str(host.home), "--state-dir", str(host.state.root)])
    assert "cost 2.000001 USD by config" in capsys.readouterr().out


def test_another_version_of_the_book_prices_anew_and_what_was_believed_is_explained(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The same tokens, another cost: `restatements` names the price book, and the log up to then has the old cost.
    """
    append(host.claude(), call("a", OPUS, input_tokens=1000, output_tokens=1000))
    for day in (20, 21):
        host.now = datetime(2026, 11, day, 12, tzinfo=UTC)
        host.ingest()
    seq = host.usage()["as_of"]["seq"]
    config = configured(host, f'[[prices]]\nmodel = "{OPUS}"\ninput = 1\noutput = 1\n')
    ingested(host, config)
    assert 2000 == host.usage()["totals"]["measured"]["cost_usd_micros"]

    capsys.readouterr()
    options = ["--home", str(host.home), "--state-dir", str(host.state.root), "--json"]
    assert 0 == main(["restatements", *options])
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (30_000, 2000) == (row["then"]["cost_usd_micros"], row["now"]["cost_usd_micros"])
    assert [("price_book", 1, 0, -28_000)] == [
        (why["cause"], why["parts"], why["difference"]["total_tokens"], why["difference"]["cost_usd_micros"])
        for why in row["why"]
    ]
    assert 0 == main(["usage", "--as-of", str(seq), *options])
    then = json.loads(capsys.readouterr().out)
    assert (30_000, BOOK) == (then["totals"]["measured"]["cost_usd_micros"], then["as_of"]["price_book"])


def test_rates_of_an_older_version_give_way_and_stay(host: Host) -> None:
    """
    The newest statement of a model's rates holds; the older one is in the log for ever.
    """
    append(host.claude(), call("a", OPUS, input_tokens=1000))
    host.ingest()
    (facts,) = look_up([CountedModel(OPUS)])
    window = facts.windows[0].model_copy(update={"input": 10**6})
    old = facts.model_copy(update={"book_version": "0.0.1", "windows": (window,)})
    with open_log(host.settings, lambda: host.now) as log:
        log.append([own_event("rates", old, host.now)], {})
        refresh_and_publish(host.settings)
    assert {"a": (1000, None)} == costs(host)

    host.ingest()

    assert {"a": (5000, None)} == costs(host)
    assert [genai_prices.__version__, "0.0.1", genai_prices.__version__] == [version for _, version, _ in stated(host)]


def test_rates_are_stated_once_and_a_rebuild_comes_to_the_same(host: Host) -> None:
    """
    What is new is priced when it comes; the tables made anew from the log say the same.
    """
    for number, model in enumerate((OPUS, SONNET, OPUS, "acme-1")):
        append(host.claude(), call(f"m{number}", model, input_tokens=1000))
        host.ingest()
    assert [OPUS, SONNET, "acme-1"] == [model for _, _, model in stated(host)]
    before, asked = host.tables_hash(), costs(host)

    refresh_and_publish(host.settings, anew=True)

    assert (before, asked) == (host.tables_hash(), costs(host))


def test_what_tasks_cost_and_the_rest_is_what_all_costs(host: Host) -> None:
    """
    A share of a call has its share of the cost, in whole micro-dollars; by task and by repository nothing is lost.
    """
    lines = [call(f"m{i}", OPUS, input_tokens=i, output_tokens=1, **cached(7 * i)) for i in range(1, 8)]
    append(host.claude(), b"".join(lines) + call("x", "acme-1", input_tokens=5))
    for number, permille in enumerate((333, 250)):
        host.submit(
            "allocation",
            {"session_id": "11111111-1111-4111-8111-111111111111", "task_id": f"T-{number}", "permille": permille},
        )
    host.ingest()

    whole = host.usage()["totals"]["measured"]
    for by in ("task", "repo", "workstream"):
        rows = host.usage(by)["rows"]
        for name in ("cost_usd_micros", "cache_savings_usd_micros"):
            assert whole[name] == sum(row[name] or 0 for row in rows)
    assert {"T-0", "T-1", None} == {row["task"] for row in host.usage("task")["rows"]}


def test_a_table_names_the_book_and_says_where_a_cost_is_no_sum_of_all(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Dollars stand under the name of the price book; a row with calls that have no price says at least.
    """
    append(host.claude(), call("a", OPUS, input_tokens=1234) + call("b", "acme-1", input_tokens=1))
    host.ingest()
    main(["usage", "--by", "model", "--home", str(host.home), "--state-dir", str(host.state.root)])

    told = capsys.readouterr().out
    assert f"usd ({BOOK})" in told
    assert "cost >=0.006170 USD" in told
    assert "1 calls have no price (acme-1: unknown_model)" in told


def test_a_daemon_states_the_rates_of_what_it_reads(host: Host) -> None:
    """
    It asks the book in a process of its own, after its first sweep.
    """
    append(host.claude(), call("a", OPUS, input_tokens=1000))
    with daemon(host) as running:
        running.ready()
        until(lambda: host.state.published.exists() and costs(host) == {"a": (5000, None)}, "the call is priced")
        assert 0 == running.stop()


def test_a_process_of_its_own_says_what_the_book_says() -> None:
    """
    Whoever does not want the book in memory gets the same answer, unknown models included.
    """
    asked = [
        CountedModel("o3"),
        CountedModel("gpt-5-codex", "openai"),
        CountedModel("<synthetic>"),
        CountedModel("o3", "acme"),
    ]
    facts = look_up(asked[:2] + asked[3:])

    assert facts == look_up_apart(asked[:2] + asked[3:])
    assert ["o3", "gpt-5", None] == [each.matched_model for each in facts]


@cache
def book() -> tuple[CountedModel, ...]:
    """Return every model of the book that its own name finds."""
    providers = data_snapshot.get_snapshot().providers
    named = [CountedModel(model.id, provider.id) for provider in providers for model in provider.models]
    asked = [each for each in named if MODEL.fullmatch(each.model)]
    return tuple(each for each, facts in zip(asked, look_up(asked), strict=True) if facts.matched_model is not None)


def some_calls(seed: int, number: int) -> list[tuple[CountedModel, datetime, list[int]]]:
    """Return random calls: model, time, and tokens in, read, written for five minutes and for an hour, and out."""
    rng = random.Random(seed)
    known = rng.sample(book(), 30)

    def tokens() -> int:
        return rng.choice((0, rng.randrange(300), rng.randrange(300_000), rng.randrange(2_000_000)))

    first = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        (rng.choice(known), first + timedelta(seconds=rng.randrange(94_000_000)), [tokens() for _ in range(5)])
        for _ in range(number)
    ]


def priced(facts: Sequence[RateFacts], calls: Sequence[Sequence[Any]]) -> list[tuple[int | None, str | None]]:
    """Price calls by the very statements of the tables."""
    sql = {each.name: each.sql for each in relations()}
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE staged (log_id VARCHAR, seq BIGINT, ingested_at TIMESTAMP, kind VARCHAR, body JSON)"
        )
        rows = [["l", seq, None, "rates", each.model_dump_json(exclude_none=True)] for seq, each in enumerate(facts)]
        connection.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute(
            "CREATE TABLE usage_measured (number BIGINT, model VARCHAR, model_provider VARCHAR, service_tier VARCHAR, "
            "requests BIGINT, called_at TIMESTAMP, total_tokens BIGINT, input_tokens BIGINT, "
            "cache_read_tokens BIGINT, cache_write_tokens BIGINT, "
            "cache_write_5m_tokens BIGINT, cache_write_1h_tokens BIGINT, output_tokens BIGINT)"
        )
        connection.executemany("INSERT INTO usage_measured VALUES (?, ?, ?, NULL, 1, ?, ?, ?, ?, ?, ?, ?, ?)", calls)
        for name in ("rates", "prices", "costs"):
            connection.execute(f"CREATE VIEW {name} AS {sql[name]}")
        return connection.execute("SELECT cost_usd_micros, unpriced FROM costs ORDER BY number").fetchall()


def is_whole(prices: ModelPrice) -> bool:
    """Say whether no price has more than six decimals; what has them is a number that somebody divided."""
    each = [price for price in vars(prices).values() if price is not None]
    flat = [
        one
        for price in each
        for one in ([price.base, *(tier.price for tier in price.tiers)] if isinstance(price, TieredPrices) else [price])
    ]
    return all(one == round(one, 6) for one in flat)


def is_priceable(prices: ModelPrice) -> bool:
    """Say whether a book's prices are all of input and output tokens, and name both."""
    beyond = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok")
    is_whole = prices.input_mtok is not None and prices.output_mtok is not None
    return is_whole and all(getattr(prices, name) is None for name in beyond)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_every_call_costs_what_the_book_itself_computes(seed: int) -> None:
    """
    Any model, time, context and cache: at most half a micro-dollar beside it, which is our rounding; and a hair per
    token of a model with a price of more than six decimals.
    """
    drawn = some_calls(seed, 100)
    calls, expected = [], []
    for number, (model, at, (new, read, short, long, out)) in enumerate(drawn):
        naive = at.replace(tzinfo=None)
        calls.append(
            [
                number,
                model.model,
                model.provider,
                naive,
                sum(drawn[number][2]),
                new,
                read,
                short + long,
                short,
                long,
                out,
            ]
        )
        used = genai_prices.Usage(
            input_tokens=new + read + short + long,
            cache_read_tokens=read,
            cache_write_tokens=short + long,
            cache_write_5m_tokens=short,
            cache_write_1h_tokens=long,
            output_tokens=out,
        )
        expected.append(
            genai_prices.calc_price(used, model.model, provider_id=model.provider, genai_request_timestamp=at)
        )

    models = sorted({model for model, _, _ in drawn})
    for place, ((cost, unpriced), theirs) in enumerate(zip(priced(look_up(models), calls), expected, strict=True)):
        if cost is None:
            assert unpriced == "rate_missing"
            assert not is_priceable(theirs.model_price)
        else:
            hair = 0 if is_whole(theirs.model_price) else Decimal(sum(drawn[place][2])) / 2_000_000
            assert abs(cost - theirs.total_price * 1_000_000) <= Decimal("0.5") + hair


@given(st.integers(0, 10**6), st.integers(0, 86_400 * 3000), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_windows_of_a_model_exclude_each_other_and_leave_nothing_out(number: int, second: int, tokens: int) -> None:
    """
    A call is in exactly one window of a model that has any: no call is priced twice, none falls between.
    """
    at = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    (facts,) = look_up([book()[number % len(book())]])
    day, seconds = at.date().isoformat(), at.hour * 3600 + at.minute * 60 + at.second
    holding = [
        each
        for each in facts.windows
        if (each.since is None or day >= each.since)
        and (each.until is None or day < each.until)
        and (each.daily_from_seconds is None or seconds >= each.daily_from_seconds)
        and (each.daily_until_seconds is None or seconds < each.daily_until_seconds)
        and (each.above_input_tokens is None or tokens > each.above_input_tokens)
        and (each.up_to_input_tokens is None or tokens <= each.up_to_input_tokens)
    ]
    assert len(holding) == (1 if facts.windows else 0)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and not buried."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def has_ended(pid: int) -> bool:
    """Return whether a process runs no more, buried or not."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("after_seconds", [0, 0.05, 0.3])
def test_a_look_into_the_book_ends_with_whoever_asked(tmp_path: Path, after_seconds: float) -> None:
    """
    A daemon that is killed leaves no process behind, and none that complains in its journal.
    """
    asking = "from daemon.prices import *\nwhile True: look_up_apart([CountedModel('gpt-5', None)])"
    with (tmp_path / "told").open("wb") as told, subprocess.Popen([sys.executable, "-c", asking], stderr=told) as asker:
        try:
            (child,) = until(lambda: children(asker.pid), "a process that looks")
            time.sleep(after_seconds)
        finally:
            asker.kill()
    until(lambda: has_ended(child), "its end")

    assert "" == (tmp_path / "told").read_text()


def test_words_of_the_tables_are_those_of_the_vocabulary() -> None:
    """
    The view names a reason by its word, and holds for standard what the vocabulary does.
    """
    sql = next(each.sql for each in relations() if each.name == "costs")

    assert all(f"'{word}'" in sql for word in Unpriced.__args__)  # type: ignore[attr-defined]
    assert f"NOT IN {STANDARD_TIERS}" in sql


def test_the_installed_book_is_the_one_that_is_asked() -> None:
    """
    Its version is told without importing it.
    """
    assert BOOK == f"{price_book.installed().name} {price_book.installed().version}"
