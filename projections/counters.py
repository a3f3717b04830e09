"""
How running totals become calls: the counting rules of a thread's statements, in file order.

A pure fold: statements in, calls out. It is run again, from the first statement, for every thread that a refresh
touches, so a parent seen late, a second copy of a file or a kill in between changes nothing in the result.

The rules are numbered as in `docs/counting.md`, section "Running totals".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Final, Literal, NamedTuple

#: A total this close below its predecessor is an old figure written late, not a new count (a heuristic).
STALE_RATIO: Final = 0.98

#: Copied history is written in one burst; a call to a model takes longer than this. In microseconds.
BURST_GAP_MICROS: Final = 1_000_000

Rule = Literal["ledger_record", "total_increase", "first_last", "first_total", "sum_of_last"]

Reason = Literal[
    "repeat",  #: the same total written again
    "no_increase",  #: a total that adds nothing
    "stale_total",  #: an old total written late
    "inherited",  #: a copy of another thread's history
    "in_ledger",  #: the agent's own ledger has the same response
    "copy",  #: another file of the thread has the same call
    "rewritten",  #: the file was rewritten, and the later content tells as much
    "same_line",  #: the same line, read twice
    "reparsed",  #: the same line, read by an older parser
]


_PARTS: Final = ("input", "cached_input", "cache_write_input", "output", "reasoning_output", "total")
_NAMES: Final = {
    prefix: tuple(f"{prefix}.{part}_tokens" for part in _PARTS) for prefix in ("total", "last", "usage", "thread")
}
_NOTHING_STATED: Final = [None] * len(_PARTS)


class Vector(NamedTuple):
    """
    Tokens as Codex states them.

    ``input`` includes ``cached`` and ``cache_write``, ``output`` includes ``reasoning``.
    """

    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    total: int

    @classmethod
    def stated(cls, raw: Mapping[str, int], prefix: str) -> "Vector | None":
        """Return the vector stated under *prefix*, ``None`` when nothing is; a part that is not stated is zero."""
        parts = [raw.get(name) for name in _NAMES[prefix]]
        if parts == _NOTHING_STATED:
            return None
        i, c, w, o, r, total = (part or 0 for part in parts)
        return cls(i, c, w, o, r, i + o if parts[5] is None else total)

    @property
    def tokens(self) -> int:
        """What was spent: the two wholes, whatever the stated total says."""
        return self.input + self.output

    @property
    def is_zero(self) -> bool:
        """Whether no part says anything, whatever the total says."""
        return not (self.input or self.cached or self.cache_write or self.output or self.reasoning)

    def is_same_usage(self, other: "Vector") -> bool:
        """Whether both say the same of everything but the stated total."""
        return self._replace(total=0) == other._replace(total=0)

    def covers(self, other: "Vector") -> bool:
        """Whether every field is at least that of *other*."""
        return all(mine >= theirs for mine, theirs in zip(self, other, strict=True))

    def restarts_from(self, other: "Vector") -> bool:
        """Whether the whole has risen and a part has fallen, as no total that goes on can."""
        return self.total >= other.total and not self.covers(other)

    def minus(self, other: "Vector") -> "Vector":
        """Return the increase over *other*, field by field, never below zero."""
        return Vector(*(max(0, mine - theirs) for mine, theirs in zip(self, other, strict=True)))

    def plus(self, other: "Vector") -> "Vector":
        """Return the sum, field by field."""
        return Vector(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


ZERO: Final = Vector(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a thread's file; ``time_micros`` is UTC since 1970, null when the line had no time."""

    seq: int
    kind: Literal["total", "record", "turn", "session"]
    offset_bytes: int
    time_micros: int | None
    ordinal: int | None = None
    raw: Mapping[str, int] = field(default_factory=dict)
    #: record: identity of the response, and the thread it belongs to
    source_id: str | None = None
    thread_id: str | None = None
    witness: str | None = None
    #: turn: what is in force from here on; record: what the record itself says
    model: str | None = None
    cwd: str | None = None
    #: session: its own id in this header, and every id whose history it may carry
    stated_id: str | None = None
    ancestors: tuple[str, ...] = ()
    history_end_ordinal: int | None = None
    agent_version: str | None = None
    git_branch: str | None = None
    git_remote: str | None = None
    parent_id: str | None = None
    #: session: provider of its models; record: the tier of its response
    model_provider: str | None = None
    service_tier: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stream:
    """
    The statements of one file in file order; one generation of one file, under whatever names it had.

    ``places``: every path under which it was read.
    """

    name: str
    statements: Sequence[Statement]
    places: frozenset[str] = frozenset()

    @cached_property
    def totals(self) -> "list[Total]":
        """The running totals, in file order."""
        return [Total.of(each) for each in self.statements if each.kind == "total"]

    def is_rewritten_as(self, other: "Stream") -> bool:
        """
        Whether *other* is a later content of the same file that takes this one's place.

        It begins with a session's header, hence is whole, and tells at least as much. A file that shrank does not: what
        it no longer tells was spent all the same.
        """
        if not (self.places & other.places) or not self.statements or not other.statements:
            return False
        is_later = min(each.seq for each in other.statements) > min(each.seq for each in self.statements)
        is_whole = other.statements[0].kind == "session"
        return is_later and is_whole and len(other.totals) >= len(self.totals) > 0

    @property
    def without_totals(self) -> "Stream":
        """The same file with its ledger alone; records have ids of their own."""
        return Stream(self.name, [each for each in self.statements if each.kind != "total"], self.places)


@dataclass(frozen=True, slots=True)
class Total:
    """One running total with what the agent calls the last response; either may be missing."""

    statement: Statement
    vector: Vector | None
    last: Vector | None

    @classmethod
    def of(cls, statement: Statement) -> "Total":
        """Read the two vectors of *statement*."""
        return cls(statement, Vector.stated(statement.raw, "total"), Vector.stated(statement.raw, "last"))


@dataclass(frozen=True, slots=True)
class Call:
    """
    One counted call; tokens as Codex states them.

    ``baseline_seq``: the total it is measured from, null for zero. ``is_one_request``: the source states these tokens
    for one response; an increase of which it does not say so may hold several.
    """

    key: str
    rule: Rule
    vector: Vector
    value_seq: int
    baseline_seq: int | None
    time_micros: int | None
    thread_id: str
    model: str | None
    cwd: str | None
    context: Statement | None
    has_cache_write: bool
    has_reasoning: bool
    has_total: bool
    is_one_request: bool
    service_tier: str | None
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Loser:
    """A statement that adds nothing, why, and what stands in its place (null when nothing does)."""

    seq: int
    by_seq: int | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A file's own final total against what was counted from it, in tokens; the residual must be zero."""

    stream: str
    basis: Literal["totals", "ledger"]
    own_total_tokens: int
    baseline_tokens: int
    counted_tokens: int
    reason: str | None

    @property
    def residual_tokens(self) -> int:
        """What the file's own total holds and the count does not."""
        return self.own_total_tokens - self.baseline_tokens - self.counted_tokens


@dataclass(frozen=True, slots=True)
class Folded:
    """What a thread's statements come to."""

    calls: list[Call]
    losers: list[Loser]
    reconciliations: list[Reconciliation]


@dataclass(frozen=True, slots=True)
class Thread:
    """
    All that is known of one thread.

    ``streams``: its own files. ``forwarded``: its ledger records in other threads' files. ``ancestors``: totals of
    each thread whose history it may carry; a thread that was never seen is missing there.
    """

    id: str
    streams: Sequence[Stream]
    forwarded: Sequence[Statement]
    ancestors: Mapping[str, Sequence[Sequence[Total]]]


def fold(thread: Thread) -> Folded:
    """Count *thread*: fold each of its files, then take every call once, from the file that tells most."""
    losers: list[Loser] = []
    streams = list(_current(thread.streams, losers))
    only_last = not any(total.vector for stream in streams for total in stream.totals)
    files = [_StreamFold(thread, stream, only_last=only_last).run() for stream in streams]
    files.sort(key=_tells_most)
    calls: dict[str, Call] = {}
    for position, folded in enumerate(files):
        _merge(calls, losers, folded, is_copy=position > 0)
    _add_forwarded(calls, losers, thread)
    return Folded(list(calls.values()), losers, [each for folded in files for each in folded.reconciliations])


def _current(streams: Sequence[Stream], losers: list[Loser]) -> Iterator[Stream]:
    """Yield the streams that count: the totals of a content that was rewritten do not."""
    for stream in streams:
        if any(stream.is_rewritten_as(other) for other in streams):
            losers.extend(Loser(total.statement.seq, None, "rewritten") for total in stream.totals)
            yield stream.without_totals
        else:
            yield stream


def _tells_most(folded: Folded) -> tuple[int, list[str]]:
    """Order files of one thread: most calls first; ties by content, never by the order of reading."""
    return (-len(folded.calls), sorted(call.key for call in folded.calls))


def _merge(calls: dict[str, Call], losers: list[Loser], folded: Folded, *, is_copy: bool) -> None:
    """Take from a further file of the thread only the calls that no better file has; those are flagged."""
    losers.extend(folded.losers)
    seen_before = set(calls)
    for call in folded.calls:
        if call.key in seen_before:
            first = calls[call.key]
            losers.append(Loser(call.value_seq, first.value_seq, "copy"))
            calls[call.key] = replace(first, time_micros=_earliest(first.time_micros, call.time_micros))
        elif call.key not in calls:
            calls[call.key] = replace(call, flags=call.flags | {"conflict"}) if is_copy else call


def _earliest(first: int | None, second: int | None) -> int | None:
    known = [each for each in (first, second) if each is not None]
    return min(known) if known else None


def _add_forwarded(calls: dict[str, Call], losers: list[Loser], thread: Thread) -> None:
    """
    Add the calls that only another thread's file has on record.

    The thread's own file may tell the same response as an increase of its total: a record with exactly the tokens of
    such an increase takes its place, once each.
    """
    for statement in sorted(thread.forwarded, key=lambda each: (each.source_id or "", each.witness or "", each.seq)):
        call = _record_call(thread.id, statement, context=None, model=None, cwd=None)
        first = calls.get(call.key)
        if first is not None:
            losers.append(Loser(statement.seq, first.value_seq, "copy"))
            calls[call.key] = replace(first, time_micros=_earliest(first.time_micros, call.time_micros))
            continue
        twin = next(
            (key for key, own in calls.items() if own.rule != "ledger_record" and own.vector == call.vector), None
        )
        if twin is not None:
            own = calls.pop(twin)
            losers.append(Loser(own.value_seq, call.value_seq, "in_ledger"))
            call = replace(call, model=call.model or own.model, cwd=own.cwd, context=own.context)
        calls[call.key] = call


class _StreamFold:
    """The fold over one file: what is in force, how far the total has come, what was counted."""

    def __init__(self, thread: Thread, stream: Stream, *, only_last: bool) -> None:
        self._thread = thread
        self._stream = stream
        self._only_last = only_last
        self._context: Statement | None = None
        self._model: str | None = None
        self._cwd: str | None = None
        self._previous = ZERO
        self._previous_seq: int | None = None
        self._first_of_segment = True
        self._segment = 0
        self._segment_finals: list[int] = []
        self._baseline_tokens = 0
        self._records: dict[str, Call] = {}
        self._in_ledger: int | None = None
        self._latest: Call | None = None
        self._calls: dict[str, Call] = {}
        self._losers: list[Loser] = []
        self._last_index = 0

    def run(self) -> Folded:
        """Fold the file and check it against its own total."""
        inheritance = inherited(self._thread, self._stream)
        self._stream_flags = frozenset({"inheritance_unknown"}) if inheritance.is_unknown else frozenset()
        totals = enumerate(self._stream.totals)
        for place, statement in enumerate(self._stream.statements):
            if statement.kind == "session":
                self._take_session(statement)
            elif statement.kind == "turn":
                self._model, self._cwd = statement.model or self._model, statement.cwd or self._cwd
            elif statement.kind == "record":
                self._take_record(statement, place)
            else:
                index, total = next(totals)
                if index < inheritance.count:
                    self._inherit(total, inheritance.source_seqs[index])
                elif self._in_ledger is not None:
                    self._lose(total, self._in_ledger, "in_ledger")
                    self._follow(total)
                else:
                    self._take_total(total, at_boundary=inheritance.count > 0 and not self._calls)
        return Folded([*self._calls.values(), *self._records.values()], self._losers, list(self._reconcile()))

    def _take_session(self, statement: Statement) -> None:
        if statement.stated_id in (None, self._thread.id):
            self._in_ledger = self._latest = None  # resumed, perhaps by an older agent that keeps no ledger
        elif self._context is not None:
            return
        self._context = statement
        self._cwd = self._cwd or statement.cwd

    def _take_record(self, statement: Statement, place: int) -> None:
        if statement.thread_id != self._thread.id:
            return  # a forwarded child's call, or a copied parent's: it is counted in its own thread
        if not self._records and _is_below(statement, _history_end(self._thread.id, self._stream.statements)):
            self._losers.append(Loser(statement.seq, None, "inherited"))
            return
        call = _record_call(self._thread.id, statement, self._context, self._model, self._cwd)
        first = self._records.get(call.key)
        if first is not None:
            self._records[call.key] = keep = _better_record(first, call)
            drop = call if keep.value_seq == first.value_seq else first
            self._losers.append(Loser(drop.value_seq, keep.value_seq, "copy"))
            return
        if self._in_ledger is None:
            self._drop_twin(call, place)
        self._records[call.key] = call
        self._in_ledger = call.value_seq

    def _drop_twin(self, record: Call, place: int) -> None:
        """
        Take the record where a total written just before it tells the same response.

        A record's total stands right beside it, before or behind. Where the next one rises by the record's tokens and
        is not farther from it in time, it is that one, and the call before was another of the same size.
        """
        last = self._latest
        if last is None or last.vector != record.vector or last.value_seq != self._previous_seq:
            return
        following = self._next_total(place)
        is_twin = True
        if following is not None and following.vector == self._previous.plus(record.vector):
            is_before = _is_beside(last.time_micros, record.time_micros)
            is_twin = is_before and not _is_beside(record.time_micros, following.statement.time_micros)
        if is_twin:
            del self._calls[last.key]
            self._baseline_tokens += last.vector.tokens
            self._losers.append(Loser(last.value_seq, record.value_seq, "in_ledger"))

    def _next_total(self, place: int) -> Total | None:
        """Return the next total stated behind *place*; null when there is none."""
        for statement in self._stream.statements[place + 1 :]:
            if statement.kind == "total" and (total := Total.of(statement)).vector is not None:
                return total
        return None

    def _inherit(self, total: Total, source_seq: int | None) -> None:
        self._lose(total, source_seq, "inherited")
        self._follow(total)

    def _take_total(self, total: Total, *, at_boundary: bool) -> None:
        vector, last = total.vector, total.last
        if vector is None:
            self._take_last(total)
        elif vector.is_zero:
            self._lose(total, None, "no_increase")
            if vector.total > 0 and not self._first_of_segment:
                self._start_segment(ZERO, None, is_first=False)
        elif self._first_of_segment:
            self._take_first(total, vector)
        elif vector == self._previous:
            self._lose(total, self._previous_seq, "repeat")
        elif last == vector and (at_boundary or vector.restarts_from(self._previous)):
            # Counted from zero again: a total that goes on would exceed its own last response.
            self._start_segment(ZERO, None, is_first=True)
            self._take_first(total, vector)
        elif vector.total >= self._previous.total:
            self._take_increase(total, vector)
        elif _is_stale(vector, last, self._previous):
            self._lose(total, self._previous_seq, "stale_total")
        else:
            self._start_segment(ZERO, None, is_first=True)
            self._take_first(total, vector)

    def _follow(self, total: Total) -> None:
        """Move the high-water mark past a total whose responses are counted elsewhere: what it adds is a baseline."""
        vector = total.vector
        if vector is None or (vector.is_zero and not vector.total):
            return
        if vector.is_zero:
            self._start_segment(ZERO, None, is_first=False)
            return
        if vector.total < self._previous.total:
            if _is_stale(vector, total.last, self._previous):
                return
            self._start_segment(ZERO, None, is_first=True)
        self._baseline_tokens += vector.tokens - self._previous.tokens
        self._previous, self._previous_seq, self._first_of_segment = vector, total.statement.seq, False

    def _lose(self, total: Total, by_seq: int | None, reason: Reason) -> None:
        self._losers.append(Loser(total.statement.seq, by_seq, reason))

    def _start_segment(self, baseline: Vector, baseline_seq: int | None, *, is_first: bool) -> None:
        self._segment_finals.append(self._previous.tokens)
        self._segment += 1
        self._previous, self._previous_seq, self._first_of_segment = baseline, baseline_seq, is_first

    def _take_first(self, total: Total, vector: Vector) -> None:
        """Rule 6: the first total of a segment is worth its last response; what lies below it is a baseline."""
        last, flags = total.last, set()
        if last is not None and not last.is_zero and vector.covers(last._replace(total=0)):
            worth: Vector = last
            rule: Rule = "first_last"
            base = vector.minus(last)
            if not base.is_zero:
                flags.add("inheritance_unknown")
                self._baseline_tokens += base.tokens
        else:
            worth, rule = vector, "first_total"
        self._count(total, worth, rule, None, vector, flags)

    def _take_increase(self, total: Total, vector: Vector) -> None:
        flags = set() if vector.covers(self._previous) else {"clamped"}
        increase = vector.minus(self._previous)
        if not (increase.input or increase.output):
            self._lose(total, self._previous_seq, "no_increase")
            self._previous, self._previous_seq = vector, total.statement.seq
            return
        self._count(total, increase, "total_increase", self._previous_seq, vector, flags)

    def _take_last(self, total: Total) -> None:
        """Rule 8: an agent that never states a total is counted by its last responses."""
        last = total.last
        if not self._only_last or last is None or last.is_zero:
            self._lose(total, None, "no_increase")
            return
        key = f"{self._thread.id}:last:{self._last_index}:{_content(last)}"
        self._last_index += 1
        self._calls[key] = self._call(key, "sum_of_last", total, last, None, set())

    def _count(
        self, total: Total, worth: Vector, rule: Rule, baseline_seq: int | None, vector: Vector, flags: set[str]
    ) -> None:
        key = f"{self._thread.id}:{self._segment}:{_content(vector)}"
        if vector.total != vector.tokens:
            flags.add("clamped")
        self._latest = self._calls[key] = self._call(key, rule, total, worth, baseline_seq, flags)
        self._previous, self._previous_seq, self._first_of_segment = vector, total.statement.seq, False

    def _call(
        self, key: str, rule: Rule, total: Total, worth: Vector, baseline_seq: int | None, flags: set[str]
    ) -> Call:
        kept, clamped = _clamped(worth)
        prefix = "last" if rule in ("first_last", "sum_of_last") else "total"
        return Call(
            key=key,
            rule=rule,
            vector=kept,
            value_seq=total.statement.seq,
            baseline_seq=baseline_seq,
            time_micros=total.statement.time_micros,
            thread_id=self._thread.id,
            model=self._model,
            cwd=self._cwd,
            context=self._context,
            has_cache_write=f"{prefix}.cache_write_input_tokens" in total.statement.raw,
            has_reasoning=f"{prefix}.reasoning_output_tokens" in total.statement.raw,
            has_total=f"{prefix}.total_tokens" in total.statement.raw,
            is_one_request=total.last is not None and total.last.is_same_usage(worth),
            service_tier=None,
            flags=self._stream_flags | flags | set(total.statement.flags) | ({"clamped"} if clamped else set()),
        )

    def _reconcile(self) -> Iterator[Reconciliation]:
        """Hold what was counted against the file's own final figures."""
        counted = sum(call.vector.tokens for call in self._calls.values())
        if self._calls and not self._only_last:
            own = sum(self._segment_finals) + self._previous.tokens
            reason = "clamped" if any("clamped" in call.flags for call in self._calls.values()) else None
            yield Reconciliation(self._stream.name, "totals", own, self._baseline_tokens, counted, reason)
        if self._records:
            ledger = sum(call.vector.tokens for call in self._records.values())
            stated = self._final_ledger()
            if stated is not None:
                base = self._ledger_base()
                yield Reconciliation(self._stream.name, "ledger", stated.tokens, base, ledger, None)

    def _own_records(self) -> list[Statement]:
        return [each for each in self._stream.statements if each.kind == "record" and each.thread_id == self._thread.id]

    def _final_ledger(self) -> Vector | None:
        return Vector.stated(self._own_records()[-1].raw, "thread")

    def _ledger_base(self) -> int:
        """Return what the thread's ledger already held before the first record of this file."""
        first = self._own_records()[0]
        thread, usage = Vector.stated(first.raw, "thread"), Vector.stated(first.raw, "usage")
        if thread is None or usage is None:
            return 0
        return max(0, thread.tokens - usage.tokens)


def _better_record(first: Call, second: Call) -> Call:
    """Return the record, not the copy that a compaction line made of it, with the earlier time of both."""
    better = second if "ledger_copy" in first.flags and "ledger_copy" not in second.flags else first
    return replace(better, time_micros=_earliest(first.time_micros, second.time_micros))


def _record_call(
    thread_id: str, statement: Statement, context: Statement | None, model: str | None, cwd: str | None
) -> Call:
    kept, clamped = _clamped(Vector.stated(statement.raw, "usage") or ZERO)
    marks = {"ledger_copy"} if statement.witness == "ledger_copy" else set()
    return Call(
        key=statement.source_id or "",
        rule="ledger_record",
        vector=kept,
        value_seq=statement.seq,
        baseline_seq=None,
        time_micros=statement.time_micros,
        thread_id=thread_id,
        model=statement.model or model,
        cwd=cwd,
        context=context,
        has_cache_write="usage.cache_write_input_tokens" in statement.raw,
        has_reasoning="usage.reasoning_output_tokens" in statement.raw,
        has_total="usage.total_tokens" in statement.raw,
        is_one_request=True,
        service_tier=statement.service_tier,
        flags=frozenset(marks | set(statement.flags) | ({"clamped"} if clamped else set())),
    )


def _clamped(vector: Vector) -> tuple[Vector, bool]:
    """Return *vector* with its parts inside their wholes, and whether what was stated contradicts itself."""
    cached = min(vector.cached, vector.input)
    written = min(vector.cache_write, vector.input - cached)
    reasoning = min(vector.reasoning, vector.output)
    kept = Vector(vector.input, cached, written, vector.output, reasoning, vector.total)
    return kept, kept != vector or vector.total != vector.tokens


def _content(vector: Vector) -> str:
    return ".".join(str(part) for part in vector)


def _is_stale(vector: Vector, last: Vector | None, previous: Vector) -> bool:
    """Rule 7: a smaller total is an old one written late, when it nearly reaches its predecessor."""
    latest = last.total if last is not None else 0
    near = vector.total >= STALE_RATIO * previous.total
    return near or (vector.total + 2 * latest >= previous.total and vector.total > latest)


@dataclass(frozen=True, slots=True)
class Inheritance:
    """How many leading totals of a file are copied history, whose they are, and whether that could be told."""

    count: int = 0
    source_seqs: tuple[int | None, ...] = ()
    is_unknown: bool = False


def inherited(thread: Thread, stream: Stream) -> Inheritance:
    """
    Tell copied history from the thread's own, by the best signal there is.

    A foreign header or a parent's id is a reason to look, not a proof. Signals, best first: the stated ordinal where
    own history begins; the longest prefix equal to a known parent's totals; one burst of writing. Where none
    applies, the totals are the thread's own and the uncertainty is flagged.
    """
    sessions = [each for each in stream.statements if each.kind == "session"]
    ancestors = {name for each in sessions for name in each.ancestors if name != thread.id}
    if not ancestors:
        return Inheritance()
    totals = stream.totals
    by_ordinal = _below_ordinal(_history_end(thread.id, sessions), totals)
    if by_ordinal is not None:
        return Inheritance(by_ordinal, (None,) * by_ordinal)
    best: tuple[int | None, ...] = ()
    for name in sorted(ancestors):
        for known in thread.ancestors.get(name, ()):
            best = max(best, _equal_prefix(sessions, totals, known), key=len)
    if all(thread.ancestors.get(name) for name in ancestors):
        return Inheritance(len(best), best)
    burst = _burst(thread, stream)
    if burst > len(best):
        return Inheritance(burst, best + (None,) * (burst - len(best)))
    return Inheritance(len(best), best, is_unknown=not best)


def _history_end(thread_id: str, statements: Iterable[Statement]) -> int | None:
    """Return the ordinal where the thread's own history begins, as its own header states it; null when it does not."""
    own = (each for each in statements if each.kind == "session" and each.stated_id in (None, thread_id))
    return next((each.history_end_ordinal for each in own if each.history_end_ordinal is not None), None)


def _is_below(statement: Statement, end: int | None) -> bool:
    return end is not None and statement.ordinal is not None and statement.ordinal < end


def _below_ordinal(end: int | None, totals: Sequence[Total]) -> int | None:
    """Return how many leading totals lie below *end*; ``None`` when it, or any of their ordinals, is not stated."""
    if end is None or any(total.statement.ordinal is None for total in totals):
        return None
    return sum(1 for _ in takewhile(lambda total: _is_below(total.statement, end), totals))


def _equal_prefix(
    sessions: Sequence[Statement], totals: Sequence[Total], parent: Sequence[Total]
) -> tuple[int | None, ...]:
    """
    Return, for the longest prefix of *totals* that repeats *parent*'s, the parent's statement behind each.

    Repeated totals are folded on both sides. A total that the parent wrote only after the child began, and that the
    child wrote at its own pace, is the child's own turn of the same size.
    """
    born = next((each.time_micros for each in sessions if each.time_micros is not None), None)
    sources: list[int | None] = []
    theirs = iter(_runs(parent))
    previous: int | None = born
    for run in _runs(totals):
        original = next(theirs, None)
        if original is None or original[0].vector != run[0].vector:
            break
        if _is_own_pace(original[0], run[0], born, previous):
            break
        sources.extend(original[0].statement.seq for _ in run)
        previous = run[-1].statement.time_micros
    return tuple(sources)


def _runs(totals: Sequence[Total]) -> Iterator[list[Total]]:
    """Yield totals in runs of equal vectors."""
    run: list[Total] = []
    for total in totals:
        if run and total.vector != run[0].vector:
            yield run
            run = []
        run.append(total)
    if run:
        yield run


def _is_own_pace(original: Total, total: Total, born: int | None, previous: int | None) -> bool:
    """
    Whether *total* is the child's own turn though the parent has one of the same size.

    The parent wrote it only after the child began, so it was not there to be copied; and the child wrote it at
    another moment than the parent, and slower than copies are written.
    """
    theirs, own = original.statement.time_micros, total.statement.time_micros
    was_there = born is None or theirs is None or theirs <= born
    return not was_there and theirs != own and not _is_beside(previous, own)


def _is_beside(previous: int | None, now: int | None) -> bool:
    """Whether *now* follows *previous* faster than a model can answer; unknown times do not tell."""
    return previous is None or now is None or now - previous < BURST_GAP_MICROS


def _burst(thread: Thread, stream: Stream) -> int:
    """
    Return how many leading totals were written in one burst, as copied history is.

    Behind a foreign header one total is enough; without one only several in a burst prove a copy. What stands between
    a foreign header and the next turn is copied at whatever pace: no answer comes before a turn has begun.
    """
    foreign = [each for each in stream.statements if each.kind == "session" and each.stated_id not in (None, thread.id)]
    totals = stream.totals
    copied = _before_next_turn(stream, foreign[0]) if foreign else 0
    count, before = 0, ZERO
    previous = foreign[0].time_micros if foreign else next((t.statement.time_micros for t in totals), None)
    for total in totals:
        now, vector = total.statement.time_micros, total.vector
        vector = before if vector is None or vector.is_zero else vector
        is_burst = now is not None and previous is not None and now - previous < BURST_GAP_MICROS
        if count >= copied and not (is_burst and vector.total >= STALE_RATIO * before.total):
            break
        count, previous, before = count + 1, now, vector
    distinct = len({total.vector for total in totals[:count]})
    return count if foreign or distinct > 1 else 0


def _before_next_turn(stream: Stream, header: Statement) -> int:
    """Return how many totals stand before the first turn behind *header*; 0 when no turn follows."""
    place = next(
        (s.offset_bytes for s in stream.statements if s.kind == "turn" and s.offset_bytes > header.offset_bytes), -1
    )
    return sum(total.statement.offset_bytes < place for total in stream.totals)
