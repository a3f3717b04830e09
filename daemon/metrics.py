"""
What Prometheus scrapes: totals, freshness and findings of the published tables, as gauges and counters.

Totals are gauges: a better statement of a call makes one shrink, which Prometheus would take for the reset of a
counter. Only what is appended is counted. No label names a session, so that there are never more series than agents and
models. What is null has no sample: a part that no source stated is not zero.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from adapters.registry import installed
from daemon.findings import ALARMING, alarming, found
from daemon.usage_verb import usage_document
from projections.findings import severities
from projections.read import Tables, Window

#: What the answer says of itself over HTTP.
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

#: Classes of tokens that do not overlap: they add up to the total.
CATEGORIES: Final[Mapping[str, str]] = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
}


class Described(NamedTuple):
    """One metric: what it says, its labels, and whether it only grows."""

    what: str
    labels: tuple[str, ...] = ()
    is_counter: bool = False


#: Every metric; `docs/exports.md`, the dashboard in `contrib/` and the answer are held against this.
METRICS: Final[Mapping[str, Described]] = {
    "tallystick_evidence_tokens": Described(
        "Tokens by class: the categories add up, the classes must not be added; allocated ones are measured ones.",
        ("class", "source", "model", "category"),
    ),
    "tallystick_evidence_calls": Described(
        "Calls, reports or statements behind these tokens.", ("class", "source", "model")
    ),
    "tallystick_incomplete_calls": Described("Measured calls whose output is a lower bound.", ("source", "model")),
    "tallystick_cost_usd_micros": Described(
        "Cost of the measured calls that have a price, in millionths of a dollar.", ("source", "model")
    ),
    "tallystick_unpriced_calls": Described("Measured calls without a price; they cost something.", ("source", "model")),
    "tallystick_evidence_events_total": Described(
        "Events in the tables, by kind; fewer only when old evidence was retired.", ("class", "source"), is_counter=True
    ),
    "tallystick_parse_errors_total": Described(
        "Readings of lines that could not be read.", ("source", "reason"), is_counter=True
    ),
    "tallystick_source_last_event_timestamp_seconds": Described(
        "Time of the newest usage that a source states.", ("source",)
    ),
    "tallystick_source_last_ingest_timestamp_seconds": Described("When usage of a source was last read.", ("source",)),
    "tallystick_source_backlog_bytes": Described("Bytes of a source's files that are not read yet.", ("source",)),
    "tallystick_source_high_water_offset_bytes": Described("Bytes of a source's files that are read.", ("source",)),
    "tallystick_source_files": Described("Files of a source that are there.", ("source",)),
    "tallystick_unmetered_files": Described("Files of a source that state no usage.", ("source",)),
    "tallystick_unreadable_paths": Described("Places of a source that could not be read.", ("source",)),
    "tallystick_findings": Described(
        "Findings that alarm: neither acknowledged nor information.", ("rule", "severity")
    ),
    "tallystick_projection_lag_events": Described("Events of the log that the tables do not hold yet."),
    "tallystick_projection_sequence": Described("Last event that the tables hold."),
    "tallystick_projection_timestamp_seconds": Described("Time of the last commit that the tables hold."),
    "tallystick_log_head_sequence": Described("Last event of the log."),
    "tallystick_build_info": Described(
        "Which program, parsers and prices these figures are of.", ("version", "parser_version", "price_book")
    ),
}

Labels = tuple[str, ...]
Samples = dict[str, dict[Labels, float]]


def metrics_text(tables: Tables, lag_events: int | None, now: datetime | None = None) -> bytes:
    """
    Return every metric in Prometheus' text format, the same for the same tables, lag and findings.

    Args:
        tables: Where to look.
        lag_events: How many events of the log the tables do not hold; null when the log cannot be read: then neither
            lag nor head of the log has a sample.
        now: Aware UTC, for what was acknowledged until some time; the clock's when null.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Tables(_samples(tables, lag_events, now or datetime.now(UTC))))
    return generate_latest(registry)


class _Tables(Collector):
    """Hands on what was computed: no metric of ours lives longer than one answer."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        for name, described in METRICS.items():
            family = (CounterMetricFamily if described.is_counter else GaugeMetricFamily)(
                name, described.what, labels=described.labels
            )
            for labels, value in sorted(self._samples.get(name, {}).items()):
                family.add_metric(labels, value)
            yield family


def _samples(tables: Tables, lag_events: int | None, now: datetime) -> Samples:
    usage = usage_document(tables, ("agent", "model"), Window(), ("estimated", "superseded"))
    head = tables.head()
    samples: Samples = {name: {} for name in METRICS}
    for name, labels, value in (
        *_of_usage(usage["rows"]),
        *_of_events(tables),
        *_of_sources(tables),
        *_of_findings(tables, now),
        ("tallystick_projection_lag_events", (), lag_events),
        ("tallystick_projection_sequence", (), head.seq),
        ("tallystick_projection_timestamp_seconds", (), _epoch(head.committed_at)),
        ("tallystick_log_head_sequence", (), None if lag_events is None else _last(head.seq, lag_events)),
        ("tallystick_build_info", _build(usage["as_of"]["price_book"]), 1),
    ):
        if value is not None:
            samples[name][labels] = samples[name].get(labels, 0) + value
    return samples


Sample = tuple[str, Labels, float | None]


def _of_usage(rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    for row in rows:
        source, model, class_ = row["agent"] or "", row["model"] or "", row["measurement"]
        if not row["calls"]:
            continue  # what is known to be missing: no statement of tokens
        for category, name in CATEGORIES.items():
            yield "tallystick_evidence_tokens", (class_, source, model, category), row[name]
        yield "tallystick_evidence_calls", (class_, source, model), row["calls"]
        if class_ == "measured":
            yield "tallystick_incomplete_calls", (source, model), row["incomplete_calls"]
            yield "tallystick_cost_usd_micros", (source, model), row["cost_usd_micros"]
            yield "tallystick_unpriced_calls", (source, model), row["unpriced_calls"]


def _of_events(tables: Tables) -> Iterator[Sample]:
    for row in tables.rows("SELECT kind, agent, count(*) AS events FROM events GROUP BY ALL"):
        yield "tallystick_evidence_events_total", (row["kind"], row["agent"] or ""), row["events"]
    for row in tables.rows("SELECT agent, code, count(*) AS readings FROM rejected GROUP BY ALL"):
        yield "tallystick_parse_errors_total", (row["agent"] or "", row["code"] or ""), row["readings"]


def _of_sources(tables: Tables) -> Iterator[Sample]:
    for row in tables.freshness():
        source = (row["agent"],)
        yield "tallystick_source_last_event_timestamp_seconds", source, _epoch(row["newest_source_event_at"])
        yield "tallystick_source_last_ingest_timestamp_seconds", source, _epoch(row["newest_ingest_at"])
        yield "tallystick_source_backlog_bytes", source, row["backlog_bytes"]
        yield "tallystick_source_files", source, row["files"]
        yield "tallystick_unmetered_files", source, row["unmetered_files"]
        yield "tallystick_unreadable_paths", source, row["unreadable_paths"]
    for row in tables.rows(_READ):
        yield "tallystick_source_high_water_offset_bytes", (row["agent"],), row["offset_bytes"]


_READ: Final = """
    SELECT agent, CAST(sum(offset_bytes) AS BIGINT) AS offset_bytes
    FROM high_water_marks
    WHERE source_name IS NOT NULL AND state = 'present'
    GROUP BY agent
"""


def _of_findings(tables: Tables, now: datetime) -> Iterator[Sample]:
    """Yield how many findings of each rule alarm, also of those that found nothing: an alert needs a series."""
    counted = Counter(row["rule"] for row in alarming(found(tables, now)))
    for rule, severity in severities().items():
        if severity in ALARMING:
            yield "tallystick_findings", (rule, severity), counted[rule]


def _build(price_book: str | None) -> Labels:
    parsers = ",".join(f"{each.parser}={each.parser_version}" for each in installed())
    return version("tallystick"), parsers, price_book or ""


def _epoch(moment: datetime | None) -> float | None:
    """Return a naive UTC time of the tables in seconds."""
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _last(seq: int | None, lag_events: int) -> int:
    return lag_events + (-1 if seq is None else seq)
