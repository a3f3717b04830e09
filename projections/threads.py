"""Rows of `thread_statements` to threads, and folded threads back to rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from projections.counters import Call, Folded, Loser, Reason, Statement, Stream, Thread, Total, fold
from state.vocabulary import FLAGS


class Row(NamedTuple):
    """One row of `thread_statements`, column by column."""

    agent: str
    file_thread_id: str | None
    source_generation: str
    seq: int
    kind: str
    basis: str | None
    offset_bytes: int
    time_micros: int | None
    ordinal: int | None
    raw: str | None
    source_id: str | None
    session_id: str | None
    witness: str | None
    model: str | None
    cwd: str | None
    stated_session_id: str | None
    parent_session_id: str | None
    forked_from_id: str | None
    history_base_id: str | None
    history_end_ordinal: int | None
    agent_version: str | None
    git_branch: str | None
    git_remote: str | None
    flags: list[str] | None
    line_hash: str
    parser_version: int
    is_retired: bool
    source_class: str
    source: str
    model_provider: str | None
    service_tier: str | None


@dataclass(slots=True)
class FoldedRows:
    """What the folded threads come to, as rows of the three tables behind them."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    losers: list[dict[str, Any]] = field(default_factory=list)
    reconciliations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tables(self) -> tuple[list[dict[str, Any]], ...]:
        """The rows, in the order of `staging.FOLDED`."""
        return self.calls, self.losers, self.reconciliations


def fold_threads(rows: Iterable[Row], touched: Iterable[tuple[str, str]]) -> FoldedRows:
    """Fold each touched thread of *rows*; ancestors are only looked at."""
    files: dict[tuple[str, str], dict[str, list[Row]]] = {}
    forwarded: dict[tuple[str, str], list[Row]] = {}
    classes: dict[str, str] = {}
    for row in rows:
        classes[row.agent] = row.source_class
        if row.file_thread_id is not None:
            files.setdefault((row.agent, row.file_thread_id), {}).setdefault(row.source_generation, []).append(row)
        if _is_forwarded(row):
            forwarded.setdefault((row.agent, row.session_id or ""), []).append(row)
    out = FoldedRows()
    for key in sorted(touched):
        streams, repeats = _streams(files.get(key, {}))
        others = [_statement(row) for row in forwarded.get(key, ())]
        if not any(stream.statements for stream in streams) and not others:
            out.losers.extend(_loser_rows(key, repeats))
            continue
        folded = fold(Thread(key[1], streams, others, _ancestors(key, streams, files)))
        folded.losers.extend(repeats)
        _append(out, key, folded, classes[key[0]])
    return out


def _is_forwarded(row: Row) -> bool:
    """Whether *row* is a ledger record of another thread than its file's."""
    is_record = row.kind == "usage" and row.basis == "call" and not row.is_retired
    return is_record and row.session_id not in (None, row.file_thread_id)


def _ancestors(
    key: tuple[str, str], streams: Iterable[Stream], files: Mapping[tuple[str, str], Mapping[str, list[Row]]]
) -> dict[str, list[list[Total]]]:
    names = {name for stream in streams for each in stream.statements for name in each.ancestors if name != key[1]}
    known = {name: files[key[0], name] for name in sorted(names) if (key[0], name) in files}
    totals = {name: [stream.totals for stream in _streams(own)[0]] for name, own in known.items()}
    return {name: [each for each in sequences if each] or [[]] for name, sequences in totals.items()}


def _streams(generations: Mapping[str, list[Row]]) -> tuple[list[Stream], list[Loser]]:
    """Return each file's statements in file order; a line that was read twice is there once."""
    streams, repeats = [], []
    for name in sorted(generations):
        kept: dict[int, Row] = {}
        first_at: dict[str, int] = {}
        for row in generations[name]:
            if row.is_retired:
                if row.kind == "usage":
                    repeats.append(Loser(row.seq, None, "reparsed"))
                continue
            # A block of lines may be written twice: the same bytes, their time included, are the same statement.
            earlier = first_at.setdefault(row.line_hash, row.offset_bytes)
            if earlier != row.offset_bytes and row.kind == "usage" and row.time_micros is not None:
                repeats.append(Loser(row.seq, kept[earlier].seq, "same_line"))
                continue
            first = kept.get(row.offset_bytes)
            if first is None:
                kept[row.offset_bytes] = row
                continue
            better, worse = (row, first) if row.parser_version > first.parser_version else (first, row)
            kept[row.offset_bytes] = better
            if worse.kind == "usage":
                reason: Reason = "same_line" if worse.parser_version == better.parser_version else "reparsed"
                repeats.append(Loser(worse.seq, better.seq, reason))
        places = frozenset(row.source for row in kept.values())
        streams.append(Stream(name, [_statement(kept[offset]) for offset in sorted(kept)], places))
    return streams, repeats


def _statement(row: Row) -> Statement:
    ancestors = (row.parent_session_id, row.forked_from_id, row.history_base_id, row.stated_session_id)
    return Statement(
        seq=row.seq,
        kind=_kind(row),
        offset_bytes=row.offset_bytes,
        time_micros=row.time_micros,
        ordinal=row.ordinal,
        raw=msgspec.json.decode(row.raw, type=dict[str, int]) if row.raw else {},
        source_id=row.source_id,
        thread_id=row.session_id,
        witness=row.witness,
        model=row.model,
        cwd=row.cwd,
        stated_id=row.stated_session_id,
        ancestors=tuple(sorted({each for each in ancestors if each})) if row.kind == "session" else (),
        history_end_ordinal=row.history_end_ordinal,
        agent_version=row.agent_version,
        git_branch=row.git_branch,
        git_remote=row.git_remote,
        parent_id=row.parent_session_id or row.forked_from_id,
        flags=tuple(row.flags or ()),
        model_provider=row.model_provider,
        service_tier=row.service_tier,
    )


def _kind(row: Row) -> Any:  # noqa: ANN401 - one of four words; mypy cannot see it through the database
    if row.kind != "usage":
        return row.kind
    return "total" if row.basis == "counter" else "record"


def _append(out: FoldedRows, key: tuple[str, str], folded: Folded, source_class: str) -> None:
    agent, thread_id = key
    place = {"agent": agent, "thread_id": thread_id}
    out.calls.extend(place | {"source_class": source_class} | _call_row(call) for call in folded.calls)
    out.losers.extend(_loser_rows(key, folded.losers))
    out.reconciliations.extend(
        place
        | {
            "source_generation": each.stream,
            "basis": each.basis,
            "own_total_tokens": each.own_total_tokens,
            "baseline_tokens": each.baseline_tokens,
            "counted_tokens": each.counted_tokens,
            "reason": each.reason,
        }
        for each in folded.reconciliations
    )


def _loser_rows(key: tuple[str, str], losers: Iterable[Loser]) -> list[dict[str, Any]]:
    place = {"agent": key[0], "thread_id": key[1]}
    return [place | {"seq": each.seq, "by_seq": each.by_seq, "reason": each.reason} for each in losers]


def _call_row(call: Call) -> dict[str, Any]:
    vector, context = call.vector, call.context
    # Branch and remote are of the directory that the header names, and of no other that the session went to.
    is_there = context is not None and call.cwd in (None, context.cwd)
    flags = {flag for flag in call.flags if flag in FLAGS}
    return {
        "source_id": call.key,
        "rule": call.rule,
        "confidence": "stated" if call.rule == "ledger_record" else "counted",
        "session_id": call.thread_id,
        "parent_session_id": context.parent_id if context else None,
        "time_micros": call.time_micros,
        "model": call.model,
        "model_provider": context.model_provider if context else None,
        "service_tier": call.service_tier,
        "requests": 1 if call.is_one_request else None,
        "agent_version": context.agent_version if context else None,
        "cwd": call.cwd or (context.cwd if context else None),
        "git_branch": context.git_branch if context and is_there else None,
        "git_remote": context.git_remote if context and is_there else None,
        "input_tokens": vector.input - vector.cached - vector.cache_write,
        "cache_read_tokens": vector.cached,
        "cache_write_tokens": vector.cache_write if call.has_cache_write else None,
        "output_tokens": vector.output,
        "reasoning_tokens": vector.reasoning if call.has_reasoning else None,
        "provider_total_tokens": vector.total if call.has_total else None,
        "is_clamped": "clamped" in flags,
        "is_inheritance_unknown": "inheritance_unknown" in flags,
        "is_conflict": "conflict" in flags,
        "value_seq": call.value_seq,
        "baseline_seq": call.baseline_seq,
    }
