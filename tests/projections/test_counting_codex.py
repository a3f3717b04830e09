"""
Codex's calls in whole homes, through the real product: files in, tokens out.

Tokens are written as Codex states them: (input, of which cached, output, of which reasoning), behind the calls.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

#: Stands in every id; see `conftest.HOUSE`.
HOUSE = "aaaaaaaaaaaa"
T1, T2, T3 = (f"019a0000-000{digit}-7000-8000-{HOUSE}" for digit in "123")
EMPTY: Mapping[str, int] = MappingProxyType({})

A = (1000, 400, 200, 50)
B = (1900, 900, 200, 20)
C = (50, 5, 7, 0)
NOTHING = (0, 0, 0, 0)

#: Seconds that a model takes at least, and between two lines of a copied history.
PACE, BURST = 10.0, 0.001


class House(NamedTuple):
    """
    The files of a home, and what its threads spent, response by response; ``by`` is the same by another dimension.
    """

    files: Mapping[str, list[dict[str, Any]]]
    spent: Mapping[str, Sequence[tuple[int, ...]]]
    flags: Mapping[str, int] = EMPTY
    lost: Mapping[str, int] = EMPTY
    by: Mapping[str, Mapping[str | None, Sequence[tuple[int, ...]]]] = MappingProxyType({})


def at(seconds):
    """
    Write a time as agents do; seconds since ten o'clock.
    """
    return (datetime(2025, 11, 1, 10) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds") + "Z"  # noqa: DTZ001 - UTC


def plus(*vectors):
    """
    Add tokens, field by field.
    """
    return tuple(map(sum, zip(NOTHING, *vectors, strict=True)))


def stated(tokens):
    """
    State *tokens* under Codex's own names; a dictionary is stated as it is.
    """
    if isinstance(tokens, dict):
        return tokens
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    return dict(zip(names, tokens, strict=True)) | {"total_tokens": tokens[0] + tokens[2]}


class Rollout:
    """
    The lines of a thread, each written some seconds behind the one before.
    """

    def __init__(self, thread=T1, seconds=0.0):
        self.thread, self.seconds = thread, seconds
        self.lines: list[dict[str, Any]] = []

    def line(self, kind, payload, pause=0.0, **fields):
        """
        Write a line of any kind.
        """
        self.seconds += pause
        self.lines.append({"timestamp": at(self.seconds), "type": kind, "payload": payload} | fields)
        return self

    def meta(self, of=None, **payload):
        """
        Begin a session, or the copied history of another one.
        """
        own = {"id": of or self.thread, "cwd": "/srv/repo", "cli_version": "0.150.0", "source": "cli"}
        return self.line("session_meta", own | {"git": {"branch": "main"}} | payload)

    def turn(self, model="gpt-5.5", **fields):
        """
        Say which model answers from here on.
        """
        return self.line("turn_context", {"cwd": "/srv/repo", "model": model}, **fields)

    def total(self, tokens=None, last=None, pause=PACE, **fields):
        """
        State a running total, and what the agent calls the last response.
        """
        info = {"total_token_usage": tokens, "last_token_usage": last}
        info = {name: stated(each) for name, each in info.items() if each is not None}
        return self.line("event_msg", {"type": "token_count", "info": info or None}, pause, **fields)

    def record(self, response, tokens, of=None, running=None, pause=PACE, **payload):
        """
        Write one response to the agent's ledger.
        """
        record = {"thread_id": of or self.thread, "response_id": response, "usage": stated(tokens)} | payload
        return self.line(
            "token_usage_record", record | ({"thread_token_usage": stated(running)} if running else {}), pause
        )

    def compacted(self, pause=BURST):
        """
        Compact the context; the line repeats the latest record.
        """
        copy = next(each["payload"] for each in reversed(self.lines) if each["type"] == "token_usage_record")
        return self.line("compacted", {"message": "x", "latest_token_usage_record": copy}, pause)

    def spend(self, *responses, since=NOTHING, pause=PACE):
        """
        Answer as an agent with totals does.
        """
        for response in responses:
            since = plus(since, response)
            self.total(since, response, pause)
        return self


def thread(*responses, of=T1, **fields):
    """
    Write a thread of *responses*.
    """
    return Rollout(of).meta(**fields).turn().spend(*responses)


def forked(*inherited, of=T2, parent=T1, foreign=True, pause=BURST, seconds=1000.0, **fields):
    """
    Begin a thread with a copy of its parent's totals, written in a burst.
    """
    child = Rollout(of, seconds).meta(**({"forked_from_id": parent} | fields))
    if foreign:
        child.meta(of=parent)
    return child.spend(*inherited, pause=pause).turn(pause=PACE)


def ledger(*responses, of=T1, before=False):
    """
    Write responses to the ledger, each with its running total just behind it, or just before.
    """
    rollout, running = Rollout(of).meta().turn(), NOTHING
    for number, response in enumerate(responses, start=1):
        running = plus(running, response)
        if before:
            rollout.total(running, response).record(f"r{number}", response, running=running, pause=BURST)
        else:
            rollout.record(f"r{number}", response, running=running).total(running, response, pause=BURST)
    return rollout


def guarded(*responses):
    """
    Write a parent whose file holds its guardian's records too.
    """
    rollout = Rollout().meta().turn().record("p1", B, running=B)
    for number, response in enumerate(responses, start=1):
        rollout.record(f"r{number}", response, of=T2, parent_thread_id=T1)
    return rollout


def replayed_ledger():
    """
    Write a fork that begins with its parent's first record and total.
    """
    child = Rollout(T2, 1000.0).meta(forked_from_id=T1).meta(of=T1)
    child.record("r1", A, of=T1, pause=BURST).total(A, A, pause=BURST)
    return child.turn().record("c1", C).total(plus(A, C), C, pause=BURST)


def place(of=T1, where="sessions/2025/11/01", ending=".jsonl"):
    """
    Name a thread's file.
    """
    return f".codex/{where}/rollout-2025-11-01T10-00-00-{of}{ending}"


def homes(*rollouts):
    """
    Put each rollout into its live place.
    """
    return {place(rollout.thread): rollout.lines for rollout in rollouts}


def one(rollout, *spent, flags=EMPTY, lost=EMPTY, **by):
    """
    Describe a home with one rollout.
    """
    return House(homes(rollout), {rollout.thread: list(spent)} if spent else {}, flags, lost, by)


# ---- one rollout

ROLLED_BACK = stated(NOTHING) | {"total_tokens": 9000}
IMPOSSIBLE = {"input_tokens": 10, "cached_input_tokens": 99, "output_tokens": 5, "total_tokens": 15}

ONE_FILE = {
    "a call is the increase of the total": one(thread(A, B), A, B),
    "repeated totals are nothing": one(
        Rollout().meta().total(A, A).total(A, A).total(plus(A, B), B).total(plus(A, B), B), A, B, lost={"repeat": 2}
    ),
    "rate limits without totals are nothing": one(Rollout().meta().total().total(A, A).total(), A),
    "totals alone are enough": one(Rollout().meta().total(A).total(plus(A, B)), A, B),
    "last responses alone are their sum": one(Rollout().meta().total(None, A).total(None, A).total(None, B), A, A, B),
    "what the agent calls the last response is not believed": one(
        Rollout().meta().total(A, A).total(plus(A, B), A).total(plus(A, B, C), (9, 9, 9, 9)), A, B, C
    ),
    "an aborted call is in the increase": one(Rollout().meta().total(A, A).total(plus(A, B, C), C), A, plus(B, C)),
    "a zero total is nothing, whatever last says": one(
        Rollout().meta().total(A, A).total(NOTHING, B).total(plus(A, B), B), A, B, lost={"no_increase": 1}
    ),
    "a rollback's estimate begins a new baseline": one(
        Rollout().meta().total(A, A).total(ROLLED_BACK, B).total(C, B).total(plus(C, B), B),
        A,
        C,
        B,
        lost={"no_increase": 1},
    ),
    "an old total written late is nothing": one(
        Rollout().meta().total(A, A).total((1000, 400, 180, 50), A).total(plus(A, B), B), A, B, lost={"stale_total": 1}
    ),
    "a smaller total is a new count": one(Rollout().meta().total(A, A).total(C, C).total(plus(C, A), A), A, C, A),
    "equal totals of two counts are two calls": one(Rollout().meta().spend(A, B).spend(A, B), A, B, A, B),
    "a file that begins in the middle counts its last response": one(
        Rollout().meta().total(plus(A, B), B).total(plus(A, B, C), C), B, C, flags={"inheritance_unknown": 1}
    ),
    "impossible parts are clamped": one(Rollout().meta().total(IMPOSSIBLE), (10, 10, 5, 0), flags={"clamped": 1}),
    "a call without a possible time counts on no day": one(
        Rollout()
        .meta()
        .total(A, A, timestamp=None)
        .total(plus(A, A), A, timestamp="1970-01-01T00:00:00.000Z")
        .total(plus(A, A, A), A, timestamp="2099-01-01T00:00:00.000Z")
        .total(plus(A, A, A, B), B),
        A,
        A,
        A,
        B,
        flags={"time_quality": 3},
        day={None: [A, A, A], "2025-11-01": [B]},
    ),
    "a call has the model of its turn, or none": one(
        Rollout().meta().total(A, A).turn("gpt-5.5").total(plus(A, B), B).turn(None).total(plus(A, B, C), C),
        A,
        B,
        C,
        model={None: [A], "gpt-5.5": [B, C]},
    ),
    "older versions name the model elsewhere": one(
        Rollout().meta().line("turn_context", {"model_info": {"slug": "gpt-5-codex"}}).total(A, A),
        A,
        model={"gpt-5-codex": [A]},
    ),
    "a resume inherits nothing": one(
        thread(A).meta().turn("gpt-5.6-sol").spend(B, since=A), A, B, model={"gpt-5.5": [A], "gpt-5.6-sol": [B]}
    ),
    "history below the stated ordinal is inherited": one(
        Rollout(T2)
        .meta(parent_thread_id=T1, subagent_history_start_ordinal=7)
        .total(A, A, ordinal=5)
        .total(plus(A, B), B, ordinal=6)
        .total(plus(A, B, C), C, ordinal=9),
        C,
        lost={"inherited": 2},
    ),
    "a record and the total behind it are one call": one(ledger(A, A, B), A, A, B, lost={"in_ledger": 3}),
    "a record and the total before it are one call": one(ledger(A, A, B, before=True), A, A, B, lost={"in_ledger": 3}),
    "a compaction stands in the ledger alone, and repeats a record": one(
        ledger(A)
        .record("compaction", B, running=plus(A, B))
        .compacted()
        .total(A, A)
        .record("r2", C, running=plus(A, B, C))
        .total(plus(A, C), C),
        A,
        B,
        C,
        lost={"in_ledger": 3, "copy": 1},
    ),
    "a record's copy in a compaction counts where the record is lost": one(
        Rollout().meta().line("compacted", ledger(A).compacted().lines[-1]["payload"]), A
    ),
    "totals of an older agent and records of a newer one are added": one(
        thread(A, C).meta().record("r1", B).total(plus(A, C, B), B, pause=BURST).record("r2", A),
        A,
        C,
        B,
        A,
        lost={"in_ledger": 1},
    ),
    "they are added also where the total stands before its record": one(
        thread(A, C).total(plus(A, C, B), B).record("r1", B, pause=BURST).total(plus(A, C, B, A), A).record("r2", A),
        A,
        C,
        B,
        A,
        lost={"in_ledger": 2},
    ),
    "the last call before the ledger may equal its first": one(
        thread(A, B).record("r1", B).total(plus(A, B, B), B, pause=BURST), A, B, B, lost={"in_ledger": 1}
    ),
    "an older agent that resumes a ledger is counted by its totals": one(
        ledger(A, B).meta().total(plus(A, B), B).spend(C, since=plus(A, B)), A, B, C, lost={"in_ledger": 2, "repeat": 1}
    ),
    "a record names its own model": one(
        Rollout().meta().turn().record("r1", A, attribution={"model": "gpt-5.6-sol"}).record("r2", B),
        A,
        B,
        model={"gpt-5.6-sol": [A], "gpt-5.5": [B]},
    ),
}


# ---- several files


def part(rollout, length):
    """
    Cut a rollout behind some lines.
    """
    return rollout.lines[:length]


PLAIN, ARCHIVED, COLD = place(), place(T1, "archived_sessions"), place(ending=".jsonl.zst")
KNOWN = thread(A, B)

FILES = {
    "a live, an archived and a compressed copy are one": House(
        {PLAIN: thread(A, B).lines, ARCHIVED: thread(A, B).lines, COLD: thread(A, B).lines},
        {T1: [A, B]},
        lost={"copy": 4},
    ),
    "the longest copy is whole": House(
        {PLAIN: thread(A, B, C).lines, ARCHIVED: part(thread(A, B, C), 4), COLD: part(thread(A, B, C), 3)},
        {T1: [A, B, C]},
        lost={"copy": 3},
    ),
    "an archived or compressed copy may be the longest": House(
        {PLAIN: part(thread(A, B, C), 3), ARCHIVED: part(thread(A, B, C), 4), COLD: thread(A, B, C).lines},
        {T1: [A, B, C]},
        lost={"copy": 3},
    ),
    "the archive alone is enough": House({ARCHIVED: thread(A, B).lines}, {T1: [A, B]}),
    "a compressed file alone is enough": House({COLD: thread(A, B).lines}, {T1: [A, B]}),
    "a compressed file in the archive is enough": House(
        {place(T1, "archived_sessions", ".jsonl.zst"): thread(A, B).lines}, {T1: [A, B]}
    ),
    "copies that go on differently are a conflict": House(
        {PLAIN: thread(A, B).lines, ARCHIVED: thread(A, C).lines}, {T1: [A, B, C]}, {"conflict": 1}, {"copy": 1}
    ),
    "a copy with a damaged line tells less": House(
        {PLAIN: [*part(thread(A, B, C), 3), *thread(A, B, C).lines[4:]], ARCHIVED: thread(A, B, C).lines},
        {T1: [A, B, C]},
        lost={"copy": 2},
    ),
    "a copy under another thread's name adds nothing": House(
        {PLAIN: thread(A, B).lines, place(T2): thread(A, B).lines}, {T1: [A, B]}, lost={"inherited": 2}
    ),
    "unrelated threads with equal totals are two": House(
        homes(thread(A, B), thread(A, B, of=T2)), {T1: [A, B], T2: [A, B]}
    ),
    "a fork in mid history inherits that far": House(
        homes(thread(A, B, A, B), forked(A, B).spend(C, since=plus(A, B))),
        {T1: [A, B, A, B], T2: [C]},
        lost={"inherited": 2},
    ),
    "a fork that never went on spent nothing": House(homes(KNOWN, forked(A, B)), {T1: [A, B]}, lost={"inherited": 2}),
    "a fork goes on with a turn as large as its parent's next": House(
        homes(thread(A, B, C), forked(A, B, seconds=25.0).spend(C, since=plus(A, B))),
        {T1: [A, B, C], T2: [C]},
        lost={"inherited": 2},
    ),
    "a subagent that starts at zero inherits nothing": House(
        homes(KNOWN, thread(C, A, of=T2, parent_thread_id=T1)), {T1: [A, B], T2: [C, A]}
    ),
    "a child of an unknown parent that starts at zero is flagged": House(
        homes(thread(C, A, of=T2, parent_thread_id=T1)), {T2: [C, A]}, {"inheritance_unknown": 2}
    ),
    "a child of an unknown parent that goes on from it counts its own": House(
        homes(Rollout(T2).meta(forked_from_id=T1).total(plus(A, C), C).total(plus(A, C, B), B)),
        {T2: [C, B]},
        {"inheritance_unknown": 2},
    ),
    "siblings with equal turns are both real": House(
        homes(thread(A), forked(A).spend(B, since=A), forked(A, of=T3).spend(B, since=A)),
        {T1: [A], T2: [B], T3: [B]},
        lost={"inherited": 2},
    ),
    "siblings of an unknown parent are both real": House(
        homes(forked(A).spend(B, since=A), forked(A, of=T3).spend(B, since=A)),
        {T2: [B], T3: [B]},
        lost={"inherited": 2},
    ),
    "a fork of a fork inherits from both": House(
        homes(
            thread(A),
            forked(A).spend(B, since=A),
            forked(A, B, of=T3, parent=T2, seconds=2000.0).spend(C, since=plus(A, B)),
        ),
        {T1: [A], T2: [B], T3: [C]},
        lost={"inherited": 3},
    ),
    "a fork of an archived and compressed parent": House(
        {place(T1, "archived_sessions", ".jsonl.zst"): KNOWN.lines}
        | homes(forked(A, B, pause=3.0).spend(C, since=plus(A, B))),
        {T1: [A, B], T2: [C]},
        lost={"inherited": 2},
    ),
    "forwarded calls belong to the child, and no model is guessed": House(
        homes(guarded(A, C)), {T1: [B], T2: [A, C]}, by={"model": {"gpt-5.5": [B], None: [A, C]}}
    ),
    "a forwarded call is counted once with the child's ledger": House(
        homes(guarded(A), ledger(A, C, of=T2)), {T1: [B], T2: [A, C]}, lost={"copy": 1, "in_ledger": 2}
    ),
    "a forwarded call is counted once with the child's totals": House(
        homes(guarded(A), thread(A, C, of=T2)), {T1: [B], T2: [A, C]}, lost={"in_ledger": 1}
    ),
    "a fork's copy of its parent's ledger is the parent's": House(
        homes(replayed_ledger()), {T1: [A], T2: [C]}, lost={"inherited": 1, "in_ledger": 1}
    ),
    "a fork's copy of its parent's ledger adds nothing to the parent's own": House(
        homes(replayed_ledger(), ledger(A, B)), {T1: [A, B], T2: [C]}, lost={"inherited": 1, "in_ledger": 3, "copy": 1}
    ),
}
for known in (True, False):
    for foreign in (True, False):
        for since in (NOTHING, plus(A, B)):
            FILES[
                f"a fork counts its own alone: parent {'known' if known else 'unknown'}, "
                f"{'with' if foreign else 'without'} its header, {'goes on' if since[0] else 'starts at zero'}"
            ] = House(
                homes(forked(A, B, foreign=foreign).spend(C, B, since=since), *([KNOWN] if known else [])),
                ({T1: [A, B]} if known else {}) | {T2: [C, B]},
                lost={"inherited": 2},
            )
PARENTAGES: dict[str, dict[str, Any]] = {
    "a parent's id": {"parent_thread_id": T1},
    "a spawning thread's id": {"source": {"subagent": {"thread_spawn": {"parent_thread_id": T1, "depth": 1}}}},
    "an origin's id": {"forked_from_id": T1},
    "a page of history": {"history_base": {"thread_id": T1}},
}
for name, parentage in PARENTAGES.items():
    FILES[f"a slow replay is known by {name}"] = House(
        homes(
            KNOWN,
            forked(A, B, foreign=False, pause=3.0, **({"forked_from_id": None} | parentage)).spend(C, since=plus(A, B)),
        ),
        {T1: [A, B], T2: [C]},
        lost={"inherited": 2},
    )

HOUSES = ONE_FILE | FILES


@pytest.fixture(scope="module")
def counted(street):
    """
    Count every home of the two tables, in several orders of reading.
    """
    street.settle(house.files for house in HOUSES.values())
    return street.counted()


def summed(spent):
    """
    Add up responses for each key.
    """
    return {key: (len(responses), *plus(*responses)) for key, responses in spent.items()}


@pytest.mark.parametrize("fact", HOUSES)
def test_home_is_counted(counted, fact):
    """
    One home, one rule of counting: what its threads spent, their flags, and why the other statements do not count.
    """
    house, here = HOUSES[fact], counted.of(list(HOUSES).index(fact))

    assert summed(house.spent) == here.codex("session")
    assert house.flags == here.flags
    assert house.lost == here.lost
    assert {name: summed(spent) for name, spent in house.by.items()} == {name: here.codex(name) for name in house.by}


# ---- what is said beside the tokens


def test_every_file_is_held_against_its_own_total(home):
    """
    What a file states as its final total, without what it inherited, is what was counted from it: exactly.
    """
    for path, lines in homes(KNOWN, forked(A, B).spend(C, since=plus(A, B)), ledger(A, B, of=T3)).items():
        home.write(path, *lines)

    checks = {check["source"][-42:-6]: check for check in home.counted().checks}

    assert {T1: ("totals", "exact", 0, 3300), T2: ("totals", "exact", 3300, 57), T3: ("ledger", "exact", 0, 3300)} == {
        name: (check["basis"], check["reason"], check["baseline_tokens"], check["counted_tokens"])
        for name, check in checks.items()
    }


def test_ledger_that_misses_a_record_does_not_come_out(live):
    """
    The thread's running sum holds a response that we never saw: the residual says so.
    """
    live.put(place(), Rollout().meta().record("r1", A, running=A).record("r3", B, running=plus(A, C, B)).lines)

    (check,) = live.read().checks

    assert ("unexplained", 57) == (check["reason"], check["residual_tokens"])


def test_totals_that_do_not_count_carry_no_tokens(live):
    """
    A total is not usage: nobody can add superseded totals by mistake.
    """
    live.put(place(), Rollout().meta().total(A, A).total(A, A).lines)

    (row,) = live.read().superseded

    assert (None, None, "repeat") == (row["input_tokens"], row["output_tokens"], row["reason"])
    assert "total.input_tokens" in row["raw"]


def test_call_knows_its_thread_and_its_parent(live):
    """
    Directory, branch, version and parent are those of the thread's own header; the directory also of the turn.
    """
    child = Rollout(T2).meta(parent_thread_id=T1, cwd="/srv/child").meta(of=T1, cwd="/srv/parent")
    child.line("turn_context", {}).total(A, A)
    live.put(place(T2), child.line("turn_context", {"cwd": "/srv/turn"}).total(plus(A, C), C).lines)

    first, second = live.read().calls

    assert (T1, "/srv/child", "main", "0.150.0") == tuple(
        first[name] for name in ("parent_session_id", "cwd", "git_branch", "agent_version")
    )
    assert "/srv/turn" == second["cwd"]


def test_unstated_parts_are_unknown(live):
    """
    Cache writes are stated by newer versions only, a stated total is not computed.
    """
    live.put(place(), Rollout().meta().total(A).lines)
    bare = {"input_tokens": 10, "output_tokens": 5, "cache_write_input_tokens": 4}
    live.put(place(T2), Rollout(T2).meta().total(bare).lines)

    whole, parts = live.read().calls

    assert (None, 50, 1200) == (whole["cache_write_tokens"], whole["reasoning_tokens"], whole["provider_total_tokens"])
    assert (4, None, None) == (parts["cache_write_tokens"], parts["reasoning_tokens"], parts["provider_total_tokens"])


def test_rollout_without_totals_is_unmetered_not_zero(home):
    """
    Files of mid-2025 and some newer ones have no figures at all.
    """
    mid_2025 = {"id": T1, "timestamp": "2025-07-01T10:00:00.000Z", "instructions": None, "git": {"branch": "main"}}
    home.write(place(T1), mid_2025, {"type": "message", "role": "user"})
    home.write(place(T2), *Rollout(T2).meta().turn().lines)
    home.write(place(T3), *Rollout(T3).meta().total().total().lines)

    counted = home.counted()

    assert [] == counted.rows
    assert 3 == counted.document["unmetered_sources"]
    assert [(name, False, None) for name in (T1, T2, T3)] == [
        (each["session_id"], each["is_metered"], each["total_tokens"]) for each in counted.sessions
    ]


def test_hostile_values_stop_neither_reading_nor_tables(live):
    """
    One line with a time or a number that no column takes must not stop every refresh for good.
    """
    rollout = Rollout().meta(subagent_history_start_ordinal=2**63).total(A, timestamp="2025-W44-6T10:00:00.000Z")
    rollout.turn(ordinal=2**64).total(plus(A, B), ordinal=10**40, timestamp="2025-11-01x10:00:00.000Z")
    live.put(place(), rollout.lines)

    assert {"2025-11-01": (2, *plus(A, B))} == live.read().codex("day")


def test_last_line_counts_before_its_newline_and_once(live):
    """
    A closed object cannot grow into another one; read again with its newline it is the same statement.
    """
    whole = thread(A, B)
    unended = json.dumps(whole.lines[-1]).encode()
    live.put(place(), [*whole.lines[:-1], unended])
    closed = live.read()
    live.put(place(), [*whole.lines[:-1], unended + b"\n"])
    ended = live.read()

    assert (2, *plus(A, B)) == closed.codex() == ended.codex()
    assert {"same_line": 1} == ended.lost


# ---- files that do not stay put


def test_rollout_may_move_and_be_compressed(live):
    """
    Archived, compressed and brought back, a rollout is still one thread.
    """
    whole = thread(A, B, C)
    live.put(PLAIN, part(whole, 3))
    first = live.read()
    live.move(PLAIN, ARCHIVED)
    archived = live.read()
    (live.home / ARCHIVED).unlink()
    live.put(COLD, part(whole, 4))
    compressed = live.read()
    live.put(PLAIN, whole.lines)
    resumed = live.read()

    assert [(1, *A), (1, *A), (2, *plus(A, B)), (3, *plus(A, B, C))] == [
        each.codex() for each in (first, archived, compressed, resumed)
    ]
    assert {} == resumed.flags


@pytest.mark.parametrize("changes", [{"cli_version": "0.151.0"}, {"cwd": "~4:7f3a", "originator": "redacted"}])
def test_rewritten_rollout_counts_once(live, changes):
    """
    Tools rewrite the first line in place, or the whole file: the same totals are the same calls.
    """
    live.put(place(), thread(A, B).lines)
    live.read()
    live.put(place(), [*Rollout().meta(**changes).lines, *thread(A, B, C).lines[1:]])

    counted = live.read()

    assert (3, *plus(A, B, C)) == counted.codex()
    assert {} == counted.flags


def test_truncated_rollout_loses_nothing(live):
    """
    What was cut off had been spent; what is written in its place is spent too.
    """
    live.put(place(), thread(A, B).lines)
    live.read()
    live.put(place(), part(thread(A, B), 3))
    shorter = live.read()
    live.put(place(), thread(A, B, C).lines)

    assert (2, *plus(A, B)) == shorter.codex()
    assert (3, *plus(A, B, C)) == live.read().codex()


def test_deleted_rollout_stays_counted(live):
    """
    Agents delete old logs; evidence stays.
    """
    live.put(place(), thread(A, B).lines)
    live.read()
    (live.home / place()).unlink()

    assert (2, *plus(A, B)) == live.read().codex()


def test_parent_that_is_seen_late_corrects_its_child(live):
    """
    A slow replay of an unknown parent counts as the child's own; as soon as the parent is seen it is the parent's.
    """
    live.put(place(T2), forked(A, B, foreign=False, pause=3.0).spend(C, since=plus(A, B)).lines)
    alone = live.read()
    live.put(place(T1), KNOWN.lines)
    together = live.read()

    assert (summed({T2: [A, B, C]}), {"inheritance_unknown": 3}) == (alone.codex("session"), alone.flags)
    assert (summed({T1: [A, B], T2: [C]}), {}) == (together.codex("session"), together.flags)


def test_ledger_that_is_seen_late_takes_the_place_of_totals(live):
    """
    A child is known by its totals until its parent's file, with the child's forwarded records, is read.
    """
    live.put(place(T2), thread(A, C, of=T2).lines)
    alone = live.read()
    live.put(place(T1), guarded(A).lines)
    together = live.read()

    assert summed({T2: [A, C]}) == alone.codex("session")
    assert summed({T1: [B], T2: [A, C]}) == together.codex("session")
    assert ["ledger_record", "ledger_record", "total_increase"] == sorted(call["rule"] for call in together.calls)


def test_branch_and_remote_of_the_header_are_those_of_its_own_directory(live):
    """
    A session that goes to another directory takes neither along: there may be another repository.
    """
    rollout = Rollout(T1).meta(git={"branch": "feature/A-1", "repository_url": "https://github.com/o/a.git"})
    rollout.total(A, A).line("turn_context", {"cwd": "/srv/other"})
    live.put(place(T1), rollout.total(plus(A, C), C).lines)

    first, second = live.read().calls

    place_of = ("cwd", "git_branch", "git_remote")
    assert ("/srv/repo", "feature/A-1", "github.com/o/a") == tuple(first[name] for name in place_of)
    assert ("/srv/other", None, None) == tuple(second[name] for name in place_of)
