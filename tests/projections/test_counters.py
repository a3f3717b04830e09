"""
How running totals become calls: the pure fold, rule by rule, and against a model that knows what was spent.

Tokens are written (input, of which cached, output, of which reasoning), as Codex states them.
"""

import itertools
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from projections.counters import Folded, Statement, Stream, Thread, fold

ME = "child"
PARENT = "parent"

#: No tokens at all.
NOTHING = (0, 0, 0, 0)

#: What is stated in the place of a total after a rollback: an estimate of the context.
ROLLED_BACK = {"input": 0, "cached_input": 0, "output": 0, "reasoning_output": 0, "total": 5000}

#: A first response, the second one, and what the two come to.
A = (1000, 400, 200, 50)
B = (1900, 900, 200, 20)
A_AND_B = (2900, 1300, 400, 70)

#: Seconds that a model takes at least, and between two lines of a copied history.
PACE, BURST = 10.0, 0.001

_seqs = itertools.count()


def plus(*vectors):
    """
    Add tokens, field by field.
    """
    return tuple(map(sum, zip(NOTHING, *vectors, strict=True)))


def stated(prefix, tokens):
    """
    State *tokens* under Codex's own names; a dictionary is stated as it is.
    """
    names = ("input", "cached_input", "output", "reasoning_output")
    if not isinstance(tokens, dict):
        tokens = dict(zip(names, tokens, strict=True)) | {"total": tokens[0] + tokens[2]}
    return {f"{prefix}.{name}_tokens": value for name, value in tokens.items()}


class File:
    """
    The statements of one rollout, each written some seconds behind the one before.
    """

    def __init__(self, thread=ME, seconds=0.0, statements=(), name="file"):
        self.thread, self.seconds, self.name = thread, seconds, name
        self.statements: list[Statement] = list(statements)

    def _state(self, kind, pause, **fields):
        self.seconds += pause
        place = len(self.statements)
        micros = round(self.seconds * 1_000_000)
        self.statements.append(
            Statement(**{"seq": next(_seqs), "kind": kind, "offset_bytes": place, "time_micros": micros} | fields)
        )
        return self

    def header(self, of=None, parents=(), end=None, pause=0.0, **fields):
        """
        Begin a session, or the copied history of another one.
        """
        of = of or self.thread
        ancestors = tuple(sorted({of, *parents}))
        return self._state("session", pause, stated_id=of, ancestors=ancestors, history_end_ordinal=end, **fields)

    def turn(self, model=None, pause=0.0, cwd=None):
        """
        Say which model answers from here on.
        """
        return self._state("turn", pause, model=model, cwd=cwd)

    def total(self, tokens=None, last=None, pause=PACE, **fields):
        """
        State a running total, and what the agent calls the last response.
        """
        raw = (stated("total", tokens) if tokens is not None else {}) | (stated("last", last) if last else {})
        return self._state("total", pause, **{"raw": raw} | fields)

    def record(self, response, tokens, of=None, running=None, pause=PACE, witness="ledger", **fields):
        """
        Write one response to the agent's ledger.
        """
        of = of or self.thread
        raw = stated("usage", tokens) | (stated("thread", running) if running else {})
        source_id = f"{of}:{response}"
        return self._state("record", pause, raw=raw, source_id=source_id, thread_id=of, witness=witness, **fields)

    def copied(self, *places, **changes):
        """
        Copy the statements at *places* into another file, as an archive of an earlier day has them.
        """
        copies = [replace(self.statements[place], seq=next(_seqs), **changes) for place in places]
        return File(self.thread, self.seconds, copies, name="copy")

    @property
    def stream(self):
        """
        The file, as the fold takes it.
        """
        return Stream(self.name, self.statements)


def rollout(*responses, thread=ME, seconds=0.0):
    """
    Write a rollout of *responses*, each with its total and its last response.
    """
    file = File(thread, seconds).header().turn("gpt-5.5")
    for running, last in zip(itertools.accumulate(responses, plus), responses, strict=True):
        file.total(running, last)
    return file


def child_of(*replayed, pause=BURST, foreign=True, parents=(PARENT,), seconds=1000.0):
    """
    Begin a thread with a copy of its parent's totals, written in a burst.
    """
    file = File(seconds=seconds).header(parents=parents)
    if foreign:
        file.header(of=PARENT)
    for running, last in zip(itertools.accumulate(replayed, plus), replayed, strict=True):
        file.total(running, last, pause=pause)
    return file


def count(*files, forwarded=(), **parents) -> Folded:
    """
    Fold the thread of *files*; whatever a file's own total holds beyond the count must have a reason.
    """
    ancestors = {name: [each.stream.totals for each in known] for name, known in parents.items()}
    folded = fold(Thread(ME, [each.stream for each in files], list(forwarded), ancestors))

    assert [] == [each for each in folded.reconciliations if each.residual_tokens and each.reason is None]
    return folded


def tokens(vector):
    """
    Write a vector as this module writes tokens.
    """
    return (vector.input, vector.cached, vector.output, vector.reasoning)


def worth(folded):
    """
    List what each call is worth, in the order of the statements.
    """
    return [tokens(call.vector) for call in sorted(folded.calls, key=lambda each: each.value_seq)]


def spent(folded):
    """
    Add what all calls are worth.
    """
    return plus(*worth(folded))


def reasons(folded):
    """
    Count why statements add nothing.
    """
    return dict(Counter(loser.reason for loser in folded.losers))


def flags(folded):
    """
    Name every flag that some call carries.
    """
    return set().union(*(call.flags for call in folded.calls))


# ---- one file: the increase of the total


@pytest.mark.parametrize(
    ("file", "calls", "lost"),
    [
        pytest.param(File().total(A, A).total(A_AND_B, B), [A, B], {}, id="total and last agree"),
        pytest.param(File().total(A).total(A_AND_B), [A, B], {}, id="totals without last"),
        pytest.param(File().total(A, A).total(A, A).total(A_AND_B, B), [A, B], {"repeat": 1}, id="repeated total"),
        pytest.param(File().total(A, A).total(A_AND_B, A), [A, B], {}, id="last is an older response"),
        pytest.param(File().total(A, A).total(A_AND_B, (9, 9, 9, 9)), [A, B], {}, id="last is clipped"),
        pytest.param(File().total(A, NOTHING).total(A_AND_B, NOTHING), [A, B], {}, id="last is zero"),
        pytest.param(File().total(NOTHING, A).total(A, A), [A], {"no_increase": 1}, id="zero before the first total"),
        pytest.param(
            File().total(A, A).total(NOTHING, B).total(A_AND_B, B), [A, B], {"no_increase": 1}, id="zero total"
        ),
        pytest.param(
            File().total(A, A).total(None, B).total(A_AND_B, B), [A, B], {"no_increase": 1}, id="only last, once"
        ),
        pytest.param(File().total(None, A).total(None, A), [A, A], {}, id="only last, always"),
        pytest.param(File().total(None, NOTHING).total(None, B), [B], {"no_increase": 1}, id="only last, zero"),
        pytest.param(File().total(A, A).total(B, B), [A, B], {}, id="restart from a greater total, told by its parts"),
        pytest.param(File().total(A_AND_B, B).total(A, A), [B, A], {}, id="restart from a smaller total"),
        pytest.param(File().total(A_AND_B, B).total(A), [B, A], {}, id="restart without last"),
        pytest.param(File().total(A), [A], {}, id="first total without last"),
        pytest.param(File().total(A, B), [A], {}, id="first total below its last response"),
        pytest.param(File(), [], {}, id="nothing"),
    ],
)
def test_a_call_is_the_increase_of_the_total(file, calls, lost):
    """
    The total never lies about its increase; what the agent calls the last response does.
    """
    folded = count(file)

    assert calls == worth(folded)
    assert lost == reasons(folded)


def test_aborted_call_is_in_the_increase():
    """
    An aborted call writes no event of its own: the next total rises by more than its last response.
    """
    aborted = (500, 0, 20, 0)

    folded = count(File().total(A, A).total(plus(A, aborted, B), B))

    assert plus(A, aborted, B) == spent(folded)


def test_file_that_begins_in_the_middle_counts_its_last_response():
    """
    What lies below the first response of a file was spent elsewhere; the flag says that we did not see where.
    """
    folded = count(File().total(A_AND_B, B).total(plus(A_AND_B, A), A))

    assert [B, A] == worth(folded)
    assert {"inheritance_unknown"} == flags(folded)
    assert [A[0] + A[2]] == [each.baseline_tokens for each in folded.reconciliations]


def test_zero_with_a_context_estimate_starts_the_total_again():
    """
    After a rollback or an overflow the parts are zero and the total is an estimate; the next total counts from zero.
    """
    folded = count(File().total(A_AND_B, A_AND_B).total(ROLLED_BACK, B).total(A, B))

    assert [A_AND_B, A] == worth(folded)
    assert {"no_increase": 1} == reasons(folded)


@pytest.mark.parametrize(
    ("late", "last", "is_stale"),
    [
        pytest.param((980, 0, 0, 0), (980, 0, 0, 0), True, id="98 percent"),
        pytest.param((979, 0, 0, 0), (979, 0, 0, 0), False, id="less, and all of it its last response"),
        pytest.param((800, 0, 0, 0), (100, 0, 0, 0), True, id="two responses make up for it"),
        pytest.param((800, 0, 0, 0), (99, 0, 0, 0), False, id="two responses do not"),
        pytest.param((979, 0, 0, 0), None, False, id="no last response to judge by"),
    ],
)
def test_total_written_late_is_no_new_count(late, last, is_stale):
    """
    A smaller total that nearly reaches its predecessor is an old figure; the high-water mark stays where it was.
    """
    folded = count(File().total((1000, 0, 0, 0)).total(late, last).total((1500, 0, 0, 0)))

    if is_stale:
        assert [(1000, 0, 0, 0), (500, 0, 0, 0)] == worth(folded)
        assert {"stale_total": 1} == reasons(folded)
    else:
        own = last or late
        assert [(1000, 0, 0, 0), own, (1500 - late[0], 0, 0, 0)] == worth(folded)
        assert {} == reasons(folded)


def test_equal_totals_of_two_segments_are_two_calls():
    """
    A count that starts again may pass the very same figures; both were spent.
    """
    folded = count(File().total(A, A).total(A_AND_B, B).total(A, A).total(A_AND_B, B))

    assert [A, B, A, B] == worth(folded)
    assert 4 == len({call.key for call in folded.calls})


# ---- one file: what stands beside the tokens


def test_model_is_that_of_the_turn_in_force():
    """
    A total names no model; it is that of the turn before it, and null before the first turn, never guessed.
    """
    file = File().total(A).turn("gpt-5.5").total(plus(A, A)).turn("gpt-5.6-sol").turn().total(plus(A, A, A))

    assert [None, "gpt-5.5", "gpt-5.6-sol"] == [call.model for call in count(file).calls]


def test_record_names_its_own_model():
    """
    What a record says of its model beats the turn in force.
    """
    file = File().turn("gpt-5.5").record("r1", A, model="gpt-5.6-sol").record("r2", B)

    assert ["gpt-5.6-sol", "gpt-5.5"] == [call.model for call in count(file).calls]


def test_context_is_that_of_the_threads_own_header():
    """
    The header of a copied history says where the parent ran, not where the child does.
    """
    file = File().header(parents=[PARENT], cwd="/srv/child", agent_version="2").header(of=PARENT, cwd="/srv/parent")

    (call,) = count(file.total(A)).calls

    assert call.context is not None
    assert ("2", "/srv/child", "/srv/child") == (call.context.agent_version, call.context.cwd, call.cwd)


def test_parts_are_kept_inside_their_wholes():
    """
    More cached than input, or more reasoning than output, is impossible: clamped and flagged.
    """
    folded = count(File().total({"input": 10, "cached_input": 99, "output": 5, "reasoning_output": 7, "total": 15}))
    written = count(File().total({"input": 10, "cached_input": 4, "cache_write_input": 99, "output": 5, "total": 15}))

    assert [(10, 10, 5, 5)] == worth(folded)
    assert [6] == [call.vector.cache_write for call in written.calls]
    assert {"clamped"} == flags(folded) == flags(written)


def test_total_that_only_moves_its_parts_is_no_call():
    """
    Cached tokens that are told later cost nothing: input and output did not rise.
    """
    folded = count(File().total((100, 0, 50, 0)).total((100, 60, 50, 0)).total((150, 60, 50, 0)))

    assert [(100, 0, 50, 0), (50, 0, 0, 0)] == worth(folded)
    assert {"no_increase": 1} == reasons(folded)


@pytest.mark.parametrize("kind", ["total", "record"])
def test_total_that_is_not_input_and_output_is_flagged(kind):
    """
    The parts are counted; that the stated total is another one is said beside them.
    """
    odd = {"input": 10, "cached_input": 0, "output": 5, "reasoning_output": 0, "total": 16}
    file = File().total(odd) if kind == "total" else File().record("r", odd)

    (call,) = count(file).calls

    assert ((10, 0, 5, 0), 16) == (tokens(call.vector), call.vector.total)
    assert {"clamped"} == call.flags


def test_part_that_falls_while_the_total_rises_is_clamped():
    """
    A running total's parts never fall; where one does, nothing negative is counted.
    """
    folded = count(File().total((100, 50, 50, 0)).total((90, 50, 80, 0)))

    assert [(100, 50, 50, 0), (0, 0, 30, 0)] == worth(folded)
    assert {"clamped"} == flags(folded)


def test_cache_writes_are_unknown_where_they_are_not_stated():
    """
    Only newer versions state cache writes; before, they are null and not zero.
    """
    stating = {"input": 10, "cached_input": 2, "cache_write_input": 3, "output": 5, "total": 15}

    old, new = count(File().total(A)).calls[0], count(File().total(stating)).calls[0]

    assert (False, True) == (old.has_cache_write, old.has_reasoning)
    assert (True, False, 3) == (new.has_cache_write, new.has_reasoning, new.vector.cache_write)


# ---- the ledger


def ledger(*responses, before=False, file=None):
    """
    Write responses to the ledger, each with its running total just behind it, or just before.
    """
    file = file or File().header()
    for number, (running, tokens) in enumerate(
        zip(itertools.accumulate(responses, plus), responses, strict=True), start=1
    ):
        if before:
            file.total(running, tokens).record(f"r{number}", tokens, running=running, pause=BURST)
        else:
            file.record(f"r{number}", tokens, running=running).total(running, tokens, pause=BURST)
    return file


@pytest.mark.parametrize("before", [False, True])
def test_record_and_total_tell_one_response(before):
    """
    A ledger's record and a running total describe the same response; it is counted from the record.
    """
    folded = count(ledger(A, B, before=before))

    assert [A, B] == worth(folded)
    assert {"ledger_record"} == {call.rule for call in folded.calls}
    assert {"in_ledger": 2} == reasons(folded)


def test_compaction_stands_only_in_the_ledger():
    """
    A compaction's own call never enters the running total; the ledger has it.
    """
    compaction = (3000, 0, 90, 0)
    file = ledger(A).record("compaction", compaction, running=plus(A, compaction)).total(A, A)
    file.record("r2", B, running=plus(A, compaction, B)).total(A_AND_B, B)

    folded = count(file)

    assert plus(A, compaction, B) == spent(folded)
    assert [("ledger", 0)] == [(each.basis, each.residual_tokens) for each in folded.reconciliations]


@pytest.mark.parametrize("copy_first", [False, True])
def test_record_repeated_by_a_compaction_counts_once(copy_first):
    """
    A compaction line repeats the latest record; the record itself is the witness, whichever stands first.
    """
    witnesses = ["ledger_copy", "ledger"] if copy_first else ["ledger", "ledger_copy"]
    file = File()
    for witness in witnesses:
        file.record("r1", A, witness=witness)

    folded = count(file)

    assert [A] == worth(folded)
    assert {"copy": 1} == reasons(folded)
    assert [file.statements[int(copy_first)].seq] == [call.value_seq for call in folded.calls]
    assert [file.statements[0].time_micros] == [call.time_micros for call in folded.calls]


def test_copy_of_a_lost_record_still_counts():
    """
    Where the record's own line is gone, its copy in the compaction line is the only witness.
    """
    assert [A] == worth(count(File().record("r1", A, witness="ledger_copy")))


def test_equal_records_are_two_calls():
    """
    Two responses of the same size have two ids; the ledger never merges by value.
    """
    assert [A, A] == worth(count(ledger(A, A)))


@pytest.mark.parametrize("before", [False, True])
def test_totals_before_the_ledger_count_as_increases(before):
    """
    A file begun by an older agent has totals first and records later; each response counts once.
    """
    file = File().header().total(A, A).header()
    for number, running in ((1, A_AND_B), (2, plus(A_AND_B, A))):
        own = B if number == 1 else A
        if before:
            file.total(running, own).record(f"r{number}", own, pause=BURST)
        else:
            file.record(f"r{number}", own).total(running, own, pause=BURST)

    folded = count(file)

    assert plus(A, B, A) == spent(folded)
    assert 3 == len(folded.calls)


@pytest.mark.parametrize("before", [False, True])
def test_response_before_the_ledger_may_equal_its_first_record(before):
    """
    Two responses of one size at the border of the ledger are two; the total beside the record tells which is its own.
    """
    file = File().header().total(A, A)
    if before:
        file.total(plus(A, A), A).record("r1", A, pause=BURST)
    else:
        file.record("r1", A).total(plus(A, A), A, pause=BURST)

    assert [A, A] == worth(count(file))


def test_first_record_waits_for_what_its_total_says():
    """
    A response as large as the one before it is its twin, until the next total has risen by both.
    """
    file = File().header().total(A, A).record("r1", A)

    assert [A] == worth(count(file))
    assert [A, A] == worth(count(file.total(plus(A, A), A, pause=BURST)))


def test_first_record_is_no_twin_of_a_response_before_a_rollback():
    """
    A total written between the two belongs to neither.
    """
    file = File().header().total(A, A).total(ROLLED_BACK).record("r1", A)

    assert [A, A] == worth(count(file))


def test_first_record_behind_a_resume_is_no_twin():
    """
    A total is written beside its record: what stands before the header was another response.
    """
    assert [A, A] == worth(count(File().header().total(A, A).header().record("compaction", A)))


def test_total_that_stands_alone_is_no_twin():
    """
    Where nothing is written side by side, the next total tells how many responses there were.
    """
    assert [A, A] == worth(count(File().header().total(A, A).record("r1", A).total(plus(A, A), A)))


@pytest.mark.parametrize("before", [False, True])
def test_equal_responses_in_a_row_are_told_apart_by_their_moment(before):
    """
    Where totals of equal responses stand before and behind the first record, the nearer one is its own.
    """
    file = File().header()
    pauses = (PACE, BURST) if before else (BURST, PACE)
    file.total(A, A).record("r1", A, pause=pauses[1]).total(plus(A, A), A, pause=pauses[0])
    if before:
        file.record("r2", A, pause=BURST)

    assert [A, A] == worth(count(file))


def test_agent_without_a_ledger_may_resume_the_file():
    """
    What an older agent adds behind the ledger is told by its totals alone, measured from the last total before.
    """
    file = ledger(A, B).header().total(A_AND_B, B).total(plus(A_AND_B, A), A).header()
    file.record("r3", B).total(plus(A_AND_B, A, B), B, pause=BURST)

    folded = count(file)

    assert [A, B, A, B] == worth(folded)
    assert ["totals", "ledger"] == [each.basis for each in folded.reconciliations] or not folded.reconciliations[1:]


def test_total_that_starts_again_inside_the_ledger_is_followed():
    """
    The baseline behind a ledger is the last total, also where it had started again or was written late.
    """
    file = ledger(A_AND_B).total((2890, 1300, 400, 70), B).record("r2", A).total(A, A, pause=BURST).header()

    assert plus(A_AND_B, A, B) == spent(count(file.total(plus(A, B), B)))


def test_zero_total_inside_the_ledger_starts_the_baseline_again():
    """
    A rollback's zero is a baseline of zero for what an older agent adds behind the ledger.
    """
    file = ledger(A_AND_B).total(NOTHING).total(ROLLED_BACK).total(None, B).header()

    assert plus(A_AND_B, A) == spent(count(file.total(A, B)))


def test_ledger_is_held_against_its_own_running_sum():
    """
    The last record states what the thread has used; a record that we never saw is a residual.
    """
    file = File().record("r1", A, running=A).record("r3", B, running=plus(A, A, B))

    folded = fold(Thread(ME, [file.stream], [], {}))

    assert [("ledger", A[0] + A[2])] == [(each.basis, each.residual_tokens) for each in folded.reconciliations]


def test_ledger_that_began_elsewhere_has_a_baseline():
    """
    What the thread had used before the first record of a file is no residual.
    """
    (check,) = count(File().record("r2", B, running=A_AND_B)).reconciliations

    assert (A[0] + A[2], 0) == (check.baseline_tokens, check.residual_tokens)


# ---- calls that stand in another thread's file


def forwarded(response="r1", tokens=A, **fields):
    """
    Write a record of this thread into its parent's file.
    """
    return File(PARENT).record(response, tokens, of=ME, **fields).statements


def test_forwarded_record_counts_without_the_childs_file():
    """
    A guardian's calls may stand only in its parent's file; they are the guardian's, and its model is not guessed.
    """
    folded = count(forwarded=forwarded())

    assert [(A, ME, None)] == [(tokens(call.vector), call.thread_id, call.model) for call in folded.calls]


def test_forwarded_record_is_the_childs_own():
    """
    The same response in the child's own ledger is one call.
    """
    folded = count(ledger(A, B), forwarded=forwarded())

    assert [A, B] == worth(folded)
    assert {"in_ledger": 2, "copy": 1} == reasons(folded)


def test_forwarded_record_takes_the_place_of_the_childs_total():
    """
    A child without a ledger states the same response as an increase; once each, never by value alone.
    """
    file = rollout(A, A)

    folded = count(file, forwarded=forwarded("r1"))

    assert [A, A] == worth(folded)
    assert {"ledger_record": 1, "total_increase": 1} == dict(Counter(call.rule for call in folded.calls))
    assert {"gpt-5.5"} == {call.model for call in folded.calls}


def test_forwarded_record_is_not_merged_by_value():
    """
    Another response of the same size in the child's own ledger is another call.
    """
    assert [A, A] == worth(count(ledger(A), forwarded=forwarded("r9")))


def test_forwarded_copies_count_once_at_their_earliest_time():
    """
    A forwarded record, its copy in a compaction line and its replay in a sibling's file are one call.
    """
    statements = [
        *forwarded(pause=30.0),
        *forwarded(pause=20.0),
        *forwarded(pause=10.0, witness="ledger_copy"),
    ]

    for order in itertools.permutations(statements):
        renumbered = [replace(each, seq=next(_seqs)) for each in order]
        (call,) = count(forwarded=renumbered).calls

        assert (A, 10_000_000) == (tokens(call.vector), call.time_micros)
        assert {"ledger"} == {each.witness for each in renumbered if each.seq == call.value_seq}


def test_other_threads_record_in_this_file_is_not_this_threads():
    """
    A record that a file holds for another thread is counted there.
    """
    assert [] == worth(count(File().record("r1", A, of="guardian")))


# ---- copies of a file


def test_archived_prefix_adds_nothing():
    """
    Plain, compressed and archived copies of a rollout are one; the longest tells everything.
    """
    whole = rollout(A, B)

    for length in range(len(whole.statements) + 1):
        copy = whole.copied(*range(length))
        assert [A, B] == worth(count(whole, copy)) == worth(count(copy, whole))
        assert set() == flags(count(whole, copy))


def test_longest_copy_is_the_value_and_the_earliest_its_time():
    """
    A copy's lines may carry other times; the call keeps the earliest.
    """
    whole = rollout(A, B)

    folded = count(whole, whole.copied(2, time_micros=1))

    assert [1, 20_000_000] == [call.time_micros for call in folded.calls]
    assert [whole.statements[2].seq, whole.statements[3].seq] == [call.value_seq for call in folded.calls]


def test_line_lost_in_one_copy_is_told_by_the_other():
    """
    A copy with a damaged line sees one big increase; the copy that has both lines tells them apart.
    """
    whole = rollout(A, B, A)

    assert [A, B, A] == worth(count(whole.copied(0, 1, 2, 4), whole))


def test_copies_that_disagree_are_both_counted_and_flagged():
    """
    Two files of one thread that go on differently are a conflict: neither is dropped, and the flag is seen.
    """
    folded = count(rollout(A, B), rollout(A, A))

    assert sorted([A, A, B]) == sorted(worth(folded))
    assert [("conflict" in call.flags) for call in folded.calls] == [False, False, True]


def test_unrelated_threads_with_equal_totals_are_two():
    """
    A key names its thread: equal numbers elsewhere never merge.
    """
    mine, theirs = count(rollout(A)), fold(Thread("other", [rollout(A, thread="other").stream], [], {}))

    assert set() == {call.key for call in mine.calls} & {call.key for call in theirs.calls}


# ---- inherited history


def test_known_parents_history_is_removed_exactly():
    """
    The longest prefix equal to the parent's totals is the parent's; each copied line names the one it repeats.
    """
    parent = rollout(A, B, A, thread=PARENT)
    child = child_of(A, B).total(plus(A_AND_B, B), B)

    folded = count(child, parent=[parent])

    assert [B] == worth(folded)
    assert set() == flags(folded)
    assert [each.statement.seq for each in parent.stream.totals[:2]] == [
        loser.by_seq for loser in folded.losers if loser.reason == "inherited"
    ]


@pytest.mark.parametrize("pause", [BURST, 0.5, 3.0])
def test_known_parents_history_may_be_copied_slowly(pause):
    """
    With the parent at hand no time is asked: a replay of half a minute is a replay.
    """
    parent = rollout(A, B, thread=PARENT)

    assert [B] == worth(count(child_of(A, B, pause=pause).total(plus(A_AND_B, B), B), parent=[parent]))


def test_repeats_on_either_side_do_not_end_the_prefix():
    """
    Parent and copy repeat totals at different places.
    """
    parent = File(PARENT).header().total(A, A).total(A, A).total(A_AND_B, B)
    child = child_of(A, B).total(A_AND_B, B, pause=BURST).total(plus(A_AND_B, A), A)

    folded = count(child, parent=[parent])

    assert [A] == worth(folded)
    assert {"inherited": 3} == reasons(folded)


def test_grandchild_is_measured_from_all_it_inherits():
    """
    A fork of a fork copies both histories; only the deepest of its parents has all of it.
    """
    grandparent, parent = rollout(A, thread="grandparent"), rollout(A, B, thread=PARENT)
    child = child_of(A, B, parents=(PARENT, "grandparent")).total(plus(A_AND_B, A), A)

    for known in ({"parent": [parent]}, {"parent": [parent], "grandparent": [grandparent]}):
        assert ([A], set()) == (worth(count(child, **known)), flags(count(child, **known)))


def test_known_parent_says_more_than_a_burst():
    """
    Where a further ancestor is unknown, what the known one says still holds beyond the burst.
    """
    child = child_of(A, parents=(PARENT, "grandparent")).total(A_AND_B, B, pause=3.0)

    folded = count(child.total(plus(A_AND_B, A), A), parent=[rollout(A, B, thread=PARENT)])

    assert ([A], set()) == (worth(folded), flags(folded))


def test_unknown_ancestor_is_looked_for_beside_a_known_one():
    """
    A known parent that is not repeated does not rule out the copy of an unknown one.
    """
    child = child_of(A, B, parents=(PARENT, "grandparent")).total(plus(A_AND_B, A), A)

    assert [A] == worth(count(child, parent=[rollout(B, thread=PARENT)]))


def test_copied_total_written_late_is_no_baseline():
    """
    The child goes on from the high-water mark of what it inherits, not from an old total copied with it.
    """
    late = (2890, 1300, 400, 70)
    parent = rollout(A, B, thread=PARENT).total(late, B)
    child = child_of(A, B).total(late, B, pause=BURST).total(plus(A_AND_B, A), A)

    assert [A] == worth(count(child, parent=[parent]))


def test_empty_totals_do_not_end_the_burst():
    """
    Zero, and a last response without a total, say nothing about where the count stands.
    """
    child = child_of(A).total(NOTHING, B, pause=BURST).total(None, B, pause=BURST).total(A_AND_B, B, pause=BURST)

    assert [A] == worth(count(child.total(plus(A_AND_B, A), A)))


def test_longest_file_of_a_parent_decides():
    """
    A parent's archived copy may end before the child's history does.
    """
    parent = rollout(A, B, thread=PARENT)

    assert [A] == worth(
        count(child_of(A, B).total(plus(A_AND_B, A), A), parent=[parent.copied(0, 1, 2), parent, parent.copied(0)])
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("own", [A, (2880, 1300, 400, 70), plus(A_AND_B, A)])
def test_child_may_start_again_at_zero(known, own):
    """
    Behind its inherited prefix a child goes on from it or starts at zero, also with a first response beyond it.
    """
    child = child_of(A, B).total(own, own).total(plus(own, B), B)

    folded = count(child, **({"parent": [rollout(A, B, thread=PARENT)]} if known else {}))

    assert [own, B] == worth(folded)


def test_zero_at_the_border_does_not_hide_that_the_child_starts_again():
    """
    An empty total between the copied history and the child's first own one says nothing about where it counts from.
    """
    child = child_of(A).total(NOTHING, A).total(A, A, pause=BURST).total(A_AND_B, A_AND_B)

    assert [A_AND_B] == worth(count(child, parent=[rollout(A, thread=PARENT)]))


@pytest.mark.parametrize("foreign", [True, False])
@pytest.mark.parametrize("pause", [BURST, 0.5, 0.999])
def test_unknown_parents_history_is_one_burst(pause, foreign):
    """
    Nobody answers within a second: what was written in one burst was copied.
    """
    folded = count(
        child_of(A, B, A, pause=pause, foreign=foreign).turn("gpt-5.5", pause=PACE).total(plus(A, B, A, B), B)
    )

    assert [B] == worth(folded)
    assert {"inherited": 3} == reasons(folded)
    assert set() == flags(folded)


def test_copied_turns_do_not_end_the_burst():
    """
    The parent's own turns are copied too: a turn by itself proves nothing.
    """
    child = child_of(A).turn("gpt-5.5", pause=BURST).total(A_AND_B, B, pause=BURST)

    assert [A] == worth(count(child.turn("gpt-5.5", pause=PACE).total(plus(A_AND_B, A), A)))


@pytest.mark.parametrize("own", [plus(A_AND_B, A), A])
def test_totals_before_the_first_turn_are_copied_at_whatever_pace(own):
    """
    No answer comes before a turn: what stands between a foreign header and the next turn took half a minute to copy.
    """
    child = child_of(A, B, pause=3.0).turn("gpt-5.5", pause=PACE).total(own, A)

    assert ([A], {"inherited": 2}) == (worth(count(child)), reasons(count(child)))


def test_turn_before_the_copied_history_is_none_of_its_own():
    """
    Only a turn behind the foreign header ends what was copied.
    """
    child = File().header(parents=[PARENT]).turn("gpt-5.5").header(of=PARENT).total(A, A).turn(pause=PACE)

    assert [B] == worth(count(child.total(A_AND_B, B)))


def test_totals_behind_a_copied_turn_need_their_parent():
    """
    A slow copy that goes on behind a turn cannot be told from own answers: it counts.
    """
    child = child_of(A, pause=3.0).turn("gpt-5.5", pause=3.0).total(A_AND_B, B, pause=3.0)

    assert [B] == worth(count(child))
    assert [] == worth(count(child, parent=[rollout(A, B, thread=PARENT)]))


def test_burst_ends_where_the_total_starts_again():
    """
    A child that answers quickly and counts from zero is told by its smaller total.
    """
    assert [A, B] == worth(count(child_of(A_AND_B).total(A, A, pause=BURST).total(A_AND_B, B)))


def test_burst_without_a_foreign_header_needs_two_totals():
    """
    Several totals in a burst are a copy; a single one may be the child's own first response.
    """
    two = child_of(A, B, foreign=False).total(plus(A_AND_B, A), A)
    one = child_of(A, foreign=False).total(A_AND_B, B)

    assert ([A], set()) == (worth(count(two)), flags(count(two)))
    assert ([A, B], {"inheritance_unknown"}) == (worth(count(one)), flags(count(one)))


def test_child_of_an_unknown_parent_that_starts_at_zero_is_flagged():
    """
    No signal applies: the tokens are its own, and the flag says that a copy could not be ruled out.
    """
    folded = count(child_of(foreign=False).total(A, A).total(A_AND_B, B))

    assert [A, B] == worth(folded)
    assert {"inheritance_unknown"} == flags(folded)


def test_child_of_a_known_parent_that_starts_at_zero_is_certain():
    """
    The parent is known and is not repeated: nothing was inherited.
    """
    folded = count(child_of().total(B, B), parent=[rollout(A, thread=PARENT)])

    assert ([B], set()) == (worth(folded), flags(folded))


@pytest.mark.parametrize("foreign", [True, False])
def test_siblings_of_equal_turns_are_both_real(foreign):
    """
    The parent goes on with a turn of the same size as the child's: it came later, so the child did not copy it.
    """
    parent = rollout(A, thread=PARENT).total(A_AND_B, B, pause=2000.0)

    assert [B] == worth(count(child_of(A, foreign=foreign).total(A_AND_B, B), parent=[parent]))


def test_resumed_file_inherits_nothing():
    """
    Several headers of the same id are a resume, not a copy.
    """
    folded = count(rollout(A).header().total(A_AND_B, B, pause=BURST))

    assert ([A, B], set()) == (worth(folded), flags(folded))


# ---- ordinals


def numbered(end, *ordinals):
    """
    Write a child whose header says where its own history begins, and totals with these numbers.
    """
    file = File().header(parents=[PARENT], end=end)
    for ordinal, running in zip(ordinals, itertools.accumulate(itertools.repeat(A), plus), strict=False):
        file.total(running, A, ordinal=ordinal)
    return file


@pytest.mark.parametrize(("end", "calls"), [(0, 3), (5, 3), (6, 2), (8, 0)])
def test_ordinal_below_the_stated_start_is_inherited(end, calls):
    """
    Where the header states the first own ordinal, neither parent nor pace is asked.
    """
    folded = count(numbered(end, 5, 6, 7), parent=[rollout(B, thread=PARENT)])

    assert [A] * calls == worth(folded)
    assert set() == flags(folded)


def test_ordinal_used_again_behind_the_start_is_own():
    """
    Ordinals may be reused: only the leading ones are inherited.
    """
    assert [A, A] == worth(count(numbered(6, 5, 6, 5)))


def test_missing_ordinal_leaves_it_to_the_other_signals():
    """
    Without a number on every total the parent decides.
    """
    child = numbered(6, 5, None, None)

    assert [A] == worth(count(child, parent=[rollout(A, A, thread=PARENT)]))


def test_start_stated_by_a_copied_header_is_the_parents():
    """
    The header in a copied history speaks of the parent's own numbers.
    """
    child = File().header(parents=[PARENT]).header(of=PARENT, end=100).total(A, A, ordinal=5)

    assert [A] == worth(count(child, parent=[rollout(B, thread=PARENT)]))


def test_record_below_the_stated_start_is_a_copy():
    """
    A ledger's earlier page may be repeated in front of a thread's own records.
    """
    file = File().header(parents=[PARENT], end=6)
    file.record("r1", A, ordinal=5).record("r2", B, ordinal=6).record("r3", B, ordinal=5)

    folded = count(file)

    assert [B, B] == worth(folded)
    assert {"inherited": 1} == reasons(folded)


# ---- a model that knows what was spent

RESPONSES = st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 800), st.integers(0, 800)).map(
    lambda drawn: (drawn[0] + 1, min(drawn[1], drawn[0] + 1), drawn[2], min(drawn[3], drawn[2]))
)
LASTS = st.none() | RESPONSES
ACTIONS = st.one_of(
    st.tuples(st.just("spend"), RESPONSES, LASTS),
    st.tuples(st.just("spend"), RESPONSES, st.just("own")),
    st.tuples(st.just("repeat"), LASTS),
    st.tuples(st.just("late"), st.integers(0, 20)),
    st.tuples(st.just("restart"), RESPONSES, st.booleans()),
    st.tuples(st.just("empty"), LASTS),
    st.tuples(st.just("roll_back"), LASTS),
    st.tuples(st.just("last_only"), RESPONSES),
)


def whole(vector):
    """
    Return input and output together.
    """
    return vector[0] + vector[2]


@dataclass
class Agent:
    """
    A well-behaved agent with its quirks: writes totals to *file* and remembers what it really spent.
    """

    file: File
    running: tuple[int, ...] = NOTHING
    is_first: bool = True
    pause: float = PACE

    def __post_init__(self):
        self.own: list[tuple[int, ...]] = []
        self.stated: list[tuple[tuple[int, ...], tuple[int, ...] | None]] = []

    @property
    def spent(self):
        return plus(*self.own)

    def act(self, actions):
        for name, *arguments in actions:
            getattr(self, name)(*arguments)
        return self

    def _state(self, last):
        self.stated.append((self.running, last))
        self.file.total(self.running, last, pause=self.pause)

    def spend(self, response, last):
        self.running = plus(self.running, response)
        self.own.append(response)
        # The first total of a count is measured by its last response, which is then the whole of it.
        is_own = last == "own" or (self.is_first and last is not None)
        self.is_first = False
        self._state(response if is_own else last)

    def repeat(self, last):
        if self.stated:
            self._state(last)

    def late(self, back):
        """
        Write an older total again, near enough to be known as one.
        """
        older, last = self.stated[-1 - back] if back < len(self.stated) else (NOTHING, None)
        latest = whole(last) if last else 0
        near = whole(older) >= 0.98 * whole(self.running)
        made_up = whole(older) + 2 * latest >= whole(self.running) and whole(older) > latest
        if 0 < whole(older) < whole(self.running) and (near or made_up):
            self.file.total(older, last, pause=self.pause)

    def restart(self, response, has_last):
        """
        Count from zero again, by a total too small to be an old one.
        """
        if self.is_first or whole(response) >= 0.98 * whole(self.running):
            return
        self.running, self.stated = response, []
        self.own.append(response)
        self._state(response if has_last else None)

    def empty(self, last):
        self.file.total(NOTHING, last, pause=self.pause)

    def roll_back(self, last):
        """
        State an estimate of the context instead of a total; the count begins at zero.
        """
        self.file.total(ROLLED_BACK, last, pause=self.pause)
        if not self.is_first:
            self.running, self.stated = NOTHING, []

    def last_only(self, last):
        self.file.total(None, last, pause=self.pause)


def facts(folded):
    """
    Say what is counted, without the sequence numbers.
    """
    return sorted(
        (call.key, call.rule, call.vector, call.time_micros or 0, call.model or "", sorted(call.flags))
        for call in folded.calls
    )


SPENDING = st.lists(ACTIONS, max_size=12).filter(lambda actions: any(action[0] == "spend" for action in actions))


@given(SPENDING)
def test_what_a_thread_spent_is_counted(actions):
    """
    Whatever is repeated, written late, zero, rolled back or started again: the count is what was spent, per field.
    """
    agent = Agent(File().header()).act(actions)

    folded = count(agent.file)

    assert agent.spent == spent(folded)
    assert agent.own == worth(folded)


@given(SPENDING, st.data())
def test_a_file_that_grows_takes_nothing_back(actions, data):
    """
    What was counted from the first lines of a file is still counted from all of them.
    """
    file = Agent(File().header()).act([("spend", A, None), *actions]).file
    length = data.draw(st.integers(0, len(file.statements)))
    assume(any(each.raw.keys() & {"total.input_tokens"} for each in file.statements[:length]))

    before = count(file.copied(*range(length)))

    assert {call[:4] for call in facts(before)} <= {call[:4] for call in facts(count(file))}


@given(SPENDING, st.data())
def test_copies_and_their_order_change_nothing(actions, data):
    """
    Archived, compressed and cut copies of a file, read in any order, come to what the file comes to.
    """
    file = Agent(File().header()).act(actions).file
    lengths = data.draw(st.lists(st.integers(0, len(file.statements)), max_size=3))
    streams = [file, *(file.copied(*range(length)) for length in lengths)]

    counts = [facts(count(*order)) for order in itertools.permutations(streams)]

    assert [facts(count(file))] * len(counts) == counts


def is_told_by_a_burst(actions):
    """
    Whether a copy of these actions is one rising count: where it starts again, only the parent can tell.
    """
    return not {"restart", "roll_back"} & {action[0] for action in actions}


@given(st.lists(ACTIONS, max_size=6), SPENDING, st.lists(ACTIONS, max_size=4), st.booleans(), st.booleans())
def test_what_a_fork_spent_is_counted_once(inherited, own, later, restarts, foreign):
    """
    A fork replays its parent in a burst and goes on or starts at zero: it spent its own turns, whoever is known.
    """
    parent = Agent(File(PARENT).header()).act(inherited)
    child = File(seconds=parent.file.seconds + 100).header(parents=[PARENT])
    born = child.seconds
    if foreign:
        child.header(of=PARENT)
    for each in parent.file.statements[1:]:
        child.total(raw=each.raw, pause=BURST)
    agent = Agent(child, running=parent.running, is_first=parent.is_first)
    if restarts:
        first = (997, 3, 101, 1)
        assume(first != parent.running)
        agent.running, agent.is_first = NOTHING, True
        agent.spend(first, "own")
    agent.act(own)
    parent.file.seconds = born + 3.3
    parent.act(later)

    known = count(child, parent=[parent.file])
    unknown = fold(Thread(ME, [child.stream], [], {}))

    assert agent.own == worth(known)
    assert set() == flags(known)
    if foreign and is_told_by_a_burst(inherited):
        assert agent.own == worth(unknown)


LEDGER = st.lists(st.tuples(RESPONSES, st.sampled_from(["before", "behind", "compaction", "copied"])), max_size=5)
SPANS = st.lists(st.tuples(SPENDING, LEDGER), min_size=1, max_size=3)


@given(SPANS)
def test_what_a_thread_with_a_ledger_spent_is_counted(spans):
    """
    Totals, then records, then totals again, as agents with and without a ledger resume the file: each call once.
    """
    agent, records, number = Agent(File()), [], 0
    for actions, ledger_span in spans:
        agent.file.header(pause=PACE)
        agent.act(actions)
        agent.file.header(pause=PACE)
        for response, kind in ledger_span:
            number += 1
            records.append(response)
            if kind != "compaction":
                agent.running, agent.is_first = plus(agent.running, response), False
            if kind == "before":
                agent.file.total(agent.running, response)
                agent.file.record(f"r{number}", response, pause=BURST)
            else:
                agent.file.record(f"r{number}", response)
            if kind == "copied":
                agent.file.record(f"r{number}", response, witness="ledger_copy", pause=BURST)
            if kind in ("behind", "copied"):
                agent.file.total(agent.running, response, pause=BURST)
        agent.stated = []

    folded = count(agent.file)

    assert plus(*agent.own, *records) == spent(folded)
    assert len(agent.own) + len(records) == len(folded.calls)


@given(st.lists(st.tuples(st.sampled_from(["r1", "r2", "r3"]), st.integers(0, 3)), max_size=6), st.randoms())
def test_order_of_forwarded_records_changes_nothing(records, chance: random.Random):
    """
    Records of this thread in other files may be read in any order, before and after its own file.
    """
    sizes = {"r1": A, "r2": B, "r3": A}
    statements = [
        *(each for name, pause in records for each in forwarded(name, sizes[name], pause=pause)),
    ]
    shuffled = chance.sample(statements, len(statements))

    assert facts(count(rollout(A, B, A), forwarded=statements)) == facts(count(rollout(A, B, A), forwarded=shuffled))
    assert plus(A, B, A) == spent(count(rollout(A, B, A), forwarded=statements))
