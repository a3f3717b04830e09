"""
What is retired and what remains come to what was measured before, and no number that remains changes.
"""

import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from daemon.bootstrap import open_log, seen_files, utc_now
from daemon.config import PriceConfig
from daemon.envelope import SCHEMA
from daemon.ingest import Ingest
from daemon.message import check
from daemon.own_events import own_event
from projections.build import Projection
from projections.hashes import tables_hash
from projections.retention import greatest_boundary, retire_old, totals_before
from state.errors import LogBroken
from state.paths import StatePaths
from state.retention import Limit, boundaries
from state.sealing import compress
from state.tombstones import RETIRED_CLASSES, tombstones
from state.walk import header_of, segments
from tests.projections.ledger import Ledger, call, checkout, commit, declare, named, register, report, rules, tokens
from tests.templates import begin_with_empty_tables

FOREVER = datetime.max.replace(tzinfo=UTC)

GROUPS = f"""
    SELECT
        agent, day, model, sum(calls), sum(incomplete_calls), {", ".join(f"sum({name})" for name in RETIRED_CLASSES)}
    FROM groups
    GROUP BY ALL
    ORDER BY ALL
"""  # noqa: S608 - names from constants

MEASURED = """
    SELECT CAST(called_at AS DATE) AS day, 1 AS calls, CAST(is_incomplete AS INTEGER) AS incomplete_calls, *
    FROM costs
"""

REBUILD = """
import sys
from pathlib import Path
from projections.build import Projection
from state.paths import StatePaths
paths = StatePaths(Path(sys.argv[1]))
with Projection.open(paths) as projection:
    projection.refresh(paths.log_directory)
"""


class Days:
    """
    A home that is written day by day; each day ends a segment of the log.
    """

    def __init__(self, live) -> None:
        self.live = live
        self.paths: StatePaths = live.settings.state
        self.day = 0
        self.starts: list[int] = []  #: with which sequence number each day begins
        self._lines: dict[str, list[object]] = {}

    def write(self, path, *lines) -> None:
        """
        Append to a log of an agent.
        """
        self._lines.setdefault(path, []).extend(lines)
        self.live.put(path, self._lines[path])

    def at(self, seconds: int, day: int | None = None) -> str:
        """
        Name a time of today, or of another day.
        """
        start = datetime(2026, 3, 1 + (self.day if day is None else day), 12, tzinfo=UTC)
        return (start + timedelta(seconds=seconds)).isoformat().replace("+00:00", ".000Z")

    def claude(self, session: int, call: str, output: int, seconds: int = 1, **fields) -> None:
        """
        Write one line of an answer.
        """
        name = f"{session:08}-1111-4111-8111-111111111111"
        usage = {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": output}
        message = {"id": call, "model": "m-1", "stop_reason": "end_turn", "usage": usage} | fields
        line = {
            "type": "assistant",
            "uuid": f"u-{call}-{output}",
            "sessionId": name,
            "timestamp": self.at(seconds),
            "requestId": f"req_{call}",
            "message": message,
        }
        self.write(f".claude/projects/-srv/{name}.jsonl", line)

    def codex(self, thread: int, *totals: int, parent: int | None = None, copied: tuple[int, ...] = ()) -> None:
        """
        Go on with a thread: running totals, behind those that it copied from its parent when it began.
        """
        name = codex_id(thread)
        path = f".codex/sessions/2026/03/01/rollout-2026-03-01T10-00-00-{name}.jsonl"
        if path not in self._lines:
            meta = {"id": name, "forked_from_id": None if parent is None else codex_id(parent)}
            self.write(path, {"type": "session_meta", "timestamp": self.at(0), "payload": meta})
            self.write(path, *(running(self.at(0), total) for total in copied))
        self.write(path, *(running(self.at(10 * number + 10), total) for number, total in enumerate(totals)))

    def end(self, *, is_compressed: bool = True) -> None:
        """
        Read what is new, and begin the next day in a new segment.
        """
        with open_log(self.live.settings) as log:
            Ingest(log, utc_now, lambda _: None).run(seen_files(self.live.settings))
            log.roll()
            self.starts.append(log.head.seq + 1)
        if is_compressed:
            list(compress(self.paths.log_directory))
        self.day += 1

    def limit(self) -> Limit:
        """
        Say that everything may go that has been read.
        """
        with Projection.open(self.paths) as projection:
            return limit_of(projection, self.paths)

    def retire(self):
        """
        Retire what may go.
        """
        with open_log(self.live.settings), Projection.open(self.paths) as projection:
            return retire_old(projection, self.paths, FOREVER, utc_now)

    def asked(self, query: str, parameters=()) -> list[tuple[object, ...]]:
        """
        Ask the writer's own tables.
        """
        with Projection.open(self.paths) as projection:
            projection.refresh(self.paths.log_directory)
            return projection.connection.execute(query, parameters).fetchall()

    def measured(self) -> list[tuple[object, ...]]:
        """
        Sum what is measured, per agent, day and model.
        """
        return self.asked(f"WITH groups AS ({MEASURED}) {GROUPS}")

    def measured_and_retired(self) -> list[tuple[object, ...]]:
        """
        Sum what is measured and what was retired.
        """
        return self.asked(f"WITH groups AS ({MEASURED} UNION ALL BY NAME SELECT * FROM retired) {GROUPS}")  # noqa: S608

    def calls(self, from_seq: int = 0) -> list[tuple[object, ...]]:
        """
        List every column of every call that was stated from there on.
        """
        return self.asked("SELECT * FROM usage_measured WHERE value_seq >= ? ORDER BY agent, source_id", [from_seq])

    def hash(self, root=None) -> str:
        """
        Bring the tables up to the log, and say what they hold.
        """
        paths = StatePaths(root) if root else self.paths
        with Projection.open(paths) as projection:
            projection.refresh(paths.log_directory)
            return tables_hash(projection.connection)

    def rebuilt_hash(self, folder) -> str:
        """
        Say what tables hold that are made from a copy of the log alone.
        """
        shutil.rmtree(folder, ignore_errors=True)
        begin_with_empty_tables(StatePaths(folder))
        shutil.copytree(self.paths.log_directory, folder / "log", dirs_exist_ok=True)
        return self.hash(folder)


def limit_of(projection, paths) -> Limit:
    """
    Say that everything may go that these tables have read.
    """
    projection.refresh(paths.log_directory)
    mark = projection.mark()
    assert mark
    return Limit(FOREVER, (mark,))


def codex_id(thread: int) -> str:
    """
    Name a thread.
    """
    return f"{thread:08}-0001-7000-8000-000000000001"


def running(moment: str, total: int) -> dict[str, object]:
    """
    Make a running total.
    """
    info = {"total_token_usage": {"input_tokens": total, "output_tokens": total // 10, "total_tokens": total}}
    return {"type": "event_msg", "timestamp": moment, "payload": {"type": "token_count", "info": info}}


@pytest.fixture
def days(live) -> Days:
    """
    A home of six days, of which some cannot be parted.

    A thread goes on from day 0 to 1, a call is streamed from day 2 to 3, and a thread of day 4 is a fork of one of
    day 3. One session of Claude Code writes every day.
    """
    days = Days(live)
    for day in range(6):
        days.claude(1, f"msg_long{day}", 20 + day)
        days.claude(10 + day, f"msg_{day}", 1, stop_reason=None)
        days.claude(10 + day, f"msg_{day}", 100 + day, seconds=2)
        if day in (0, 1):
            days.codex(1, 1000 * (day + 1), 1000 * (day + 1) + 300)
        if day in (2, 3):
            days.claude(2, "msg_slow", 1 if day == 2 else 400, stop_reason=None if day == 2 else "end_turn")
        if day == 3:
            days.codex(3, 500, 900)
        if day == 4:
            days.codex(4, 1200, parent=3, copied=(500, 900))
        days.end()
    return days


def test_no_call_no_thread_and_no_lineage_is_parted(days):
    """
    Of the boundaries that are allowed, the greatest that parts nothing is taken; none when all of them do.
    """
    found = boundaries(days.paths.log_directory, days.limit())
    assert found == days.starts
    with Projection.open(days.paths) as projection:
        taken = [greatest_boundary(projection.connection, found[: number + 1]) for number in range(6)]
        none = greatest_boundary(projection.connection, [])

    assert taken == [None, found[1], found[1], found[1], found[4], found[5]]
    assert none is None


@pytest.mark.parametrize("kept_days", [4, 3, 1, 0])
def test_retired_and_measured_are_what_was_measured(days, kept_days):
    """
    Per agent, day and model, in every class of tokens; and what remains is column by column what it was.
    """
    before, all_calls = days.measured(), days.calls()
    first_kept_seq = {4: days.starts[1], 3: days.starts[1], 1: days.starts[4], 0: days.starts[5]}[kept_days]
    remaining = days.calls(first_kept_seq)
    cutoff = days.starts[5 - kept_days]
    closed = closing_times(days)

    with open_log(days.live.settings), Projection.open(days.paths) as projection:
        tombstone = retire_old(projection, days.paths, closed[cutoff], utc_now)

    assert tombstone
    assert tombstone.last_seq == first_kept_seq - 1
    assert days.measured_and_retired() == before
    assert days.calls() == remaining
    assert len(remaining) < len(all_calls)
    assert sum(total.calls for total in tombstone.totals) == len(all_calls) - len(remaining)


def closing_times(days) -> dict[int, datetime]:
    """
    Say when the segment before each first sequence number was closed.
    """
    headers = [header_of(each) for each in segments(days.paths.log_directory)]
    return {each.base: datetime.fromisoformat(each.t) for each in headers if each}


def test_days_that_straddle_are_in_both(days):
    """
    The same day and model: some calls have evidence, some are retired.
    """
    days.claude(1, "msg_late", 7, seconds=50, model="m-1")
    days.write(
        ".claude/projects/-srv/00000099-1111-4111-8111-111111111111.jsonl",
        {
            "type": "assistant",
            "uuid": "u-late",
            "sessionId": "00000099-1111-4111-8111-111111111111",
            "timestamp": days.at(60, day=0),
            "requestId": "r",
            "message": {"id": "msg_found", "model": "m-1", "stop_reason": "end_turn", "usage": {"output_tokens": 11}},
        },
    )
    days.live.read()
    before = days.measured()

    days.retire()

    where = "WHERE day = DATE '2026-03-01' AND agent = 'claude_code'"
    assert days.asked(f"SELECT calls FROM retired {where}") == [(2,)]  # noqa: S608 - a constant
    assert days.asked(f"SELECT calls FROM usage_daily {where}") == [(1,)]  # noqa: S608 - a constant
    assert days.measured_and_retired() == before


def test_null_stays_null_and_zero_stays_zero(days):
    """
    What no source stated is not made up by a tombstone.
    """
    days.claude(50, "msg_zero", 0, usage={"input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 5})
    days.end()

    days.retire()

    assert days.asked(
        "SELECT DISTINCT reasoning_tokens, cache_write_5m_tokens FROM retired WHERE agent = 'claude_code'"
    ) == [(None, None)]
    assert days.asked(
        "SELECT cache_write_tokens, calls FROM retired WHERE agent = 'claude_code' AND cache_write_tokens IS NOT NULL"
    ) == [(0, 1)]


def test_measured_covers_only_what_has_evidence_and_retired_is_a_class_of_its_own(days):
    """
    Nothing sums the two by itself.
    """
    before = days.measured()
    days.retire()

    assert days.measured() == []
    assert days.asked("SELECT DISTINCT measurement FROM retired") == [("retired",)]
    assert days.asked("SELECT count(*) FROM usage_daily") == [(0,)]
    assert days.measured_and_retired() == before


def test_refresh_equals_rebuild_before_and_after_each_retirement(days, tmp_path):
    """
    The tables are a function of the log: its segments and its tombstones.
    """
    assert days.hash() == days.rebuilt_hash(tmp_path / "copy")
    before = days.measured()
    days.retire()
    assert days.hash() == days.rebuilt_hash(tmp_path / "copy")
    days.claude(70, "msg_new", 9)
    days.live.read()
    assert days.hash() == days.rebuilt_hash(tmp_path / "copy")
    days.end()
    days.codex(8, 100, 400)
    days.end(is_compressed=False)
    both = days.measured_and_retired()
    days.retire()

    assert days.hash() == days.rebuilt_hash(tmp_path / "copy")
    assert days.measured_and_retired() == both
    assert len(both) > len(before)
    assert len(tombstones(days.paths.log_directory)) == 2
    assert days.asked("SELECT count(DISTINCT first_seq) FROM retired") == [(2,)]


def test_tables_that_were_open_meanwhile_are_made_anew_by_their_next_refresh(days, tmp_path):
    """
    Nobody has to tell them.
    """
    with Projection.open(days.paths) as projection:
        limit = limit_of(projection, days.paths)
        with open_log(days.live.settings):
            other = StatePaths(tmp_path / "other")
            other.create()
            with Projection(other.projection, other.temporary) as second:
                second._create(days.paths.log_directory)
                assert retire_old(second, days.paths, FOREVER, utc_now, limit.marks) is not None

        added = projection.refresh(days.paths.log_directory)

        assert added == 0
        assert projection.connection.execute("SELECT count(*) FROM usage_measured").fetchall() == [(0,)]
        assert tables_hash(projection.connection) == days.rebuilt_hash(tmp_path / "copy")


def test_refresh_that_was_killed_after_a_retirement_is_done_again(days, tmp_path):
    """
    The tables are empty, or whole; never half of both.
    """
    expected = None
    for delay in (0.35, 0.6):
        folder = tmp_path / f"state-{delay}"
        shutil.copytree(days.paths.root, folder)
        paths = StatePaths(folder)
        with Projection.open(paths) as projection:
            retire_old(projection, paths, FOREVER, utc_now)
        shutil.copy(days.paths.projection, paths.projection)  # as if no table had been made anew
        child = subprocess.Popen([sys.executable, "-c", REBUILD, str(folder)])
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

        found = days.asked("SELECT count(*) FROM calls"), rows_of(paths, "SELECT count(*) FROM calls")

        assert found[1] == [(0,)]
        assert rows_of(paths, "SELECT sum(calls) FROM retired") == days.asked("SELECT count(*) FROM usage_measured")
        expected = expected or found
        assert found == expected


def rows_of(paths: StatePaths, query: str) -> list[tuple[object, ...]]:
    with Projection.open(paths) as projection:
        projection.refresh(paths.log_directory)
        return projection.connection.execute(query).fetchall()


def test_damaged_tombstone_is_told_and_its_totals_are_not_left_out(days):
    """
    Tables without them would look complete.
    """
    days.retire()
    days.claude(70, "msg_new", 9)
    days.end()
    days.retire()
    path = min(days.paths.log_directory.glob("*.tombstone.json"))
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content.replace(b'"calls":', b'"Calls":', 1))
    Projection.discard(days.paths)

    with pytest.raises(LogBroken, match="reason=tombstone"):
        days.measured()
    path.write_bytes(content)
    assert days.measured_and_retired()


def test_nothing_is_retired_twice_and_nothing_when_nothing_may_go(days):
    """
    A second call finds nothing to do; an age that nothing has reached, neither.
    """
    with open_log(days.live.settings), Projection.open(days.paths) as projection:
        assert retire_old(projection, days.paths, datetime(2020, 1, 1, tzinfo=UTC), utc_now) is None
    assert days.retire() is not None
    assert days.retire() is None
    assert len(tombstones(days.paths.log_directory)) == 1


def test_table_that_lags_keeps_its_evidence(days):
    """
    The published tables have not seen what came after: it stays until they have.
    """
    (slow,) = days.limit().marks
    for number in range(2):
        days.claude(80 + number, f"msg_more{number}", 5)
        days.end()

    with open_log(days.live.settings), Projection.open(days.paths) as projection:
        tombstone = retire_old(projection, days.paths, FOREVER, utc_now, [slow])

    assert tombstone
    assert tombstone.last_seq + 1 <= slow.segment
    assert days.asked("SELECT count(*) FROM usage_measured") == [(2,)]


@pytest.mark.parametrize("same", [[("k", 2), ("k", 1)], [(None, None), (None, None)]])
def test_messages_of_one_key_are_not_parted(live, same):
    """
    An older revision that came later would hold in place of the newer one; a message that was read twice is one.
    """
    days = Days(live)
    for key, revision in (same[0], ("other", 0), same[1]):
        message = {"schema": SCHEMA, "kind": "hook_run", "producer": "test", "key": key, "revision": revision}
        message = {name: value for name, value in message.items() if value is not None}
        message["body"] = {"hook": "h", "outcome": "ok"}
        checked = check(json.dumps(message).encode())
        with open_log(live.settings) as log:
            log.append([checked.event(checked.receipt or "0" * 32, utc_now())], {})
        days.end()

    with Projection.open(days.paths) as projection:
        found = boundaries(days.paths.log_directory, limit_of(projection, days.paths))
        taken = [greatest_boundary(projection.connection, found[: number + 1]) for number in range(3)]

    assert taken == [None, None, found[2]]


def test_empty_log_has_nothing_to_retire(live):
    """
    Not even a table.
    """
    with open_log(live.settings), Projection.open(live.settings.state) as projection:
        assert retire_old(projection, live.settings.state, FOREVER, utc_now) is None
        assert totals_before(projection.connection, 0) == []


@pytest.mark.parametrize(
    ("seed", "rounds"), [(0, 6), *(pytest.param(seed, 12, marks=pytest.mark.slow) for seed in range(12))]
)
def test_random_homes_come_to_the_same_however_often_they_are_retired(live, tmp_path, seed, rounds):
    """
    Calls, copies, threads, forks and damage at random; a retirement now and then.
    """
    days, dice = Days(live), random.Random(seed)
    totals: dict[int, list[int]] = {}
    for _ in range(rounds):
        for _ in range(dice.randrange(1, 6)):
            if dice.random() < 0.6:
                # A call is known for a day or two: then its number does not come again.
                call = days.day * 3 + dice.randrange(5)
                days.claude(dice.randrange(4), f"msg_{call}", dice.choice((1, 40, 300)), dice.randrange(600))
            else:
                thread = days.day // 3 * 3 + dice.randrange(4)
                parent = dice.choice([None, *[each for each in totals if each != thread]][-3:])
                copied = tuple(totals.get(parent or 0, ())) if thread not in totals else ()
                own = totals.setdefault(thread, list(copied))
                own.append((own or [0])[-1] + dice.choice((0, 50, 170)))
                days.codex(thread, own[-1], parent=parent, copied=copied)
        days.end(is_compressed=dice.random() < 0.7)
        if dice.random() < 0.4:
            before, first_kept_seq = days.measured_and_retired(), None
            with Projection.open(days.paths) as projection:
                found = boundaries(days.paths.log_directory, limit_of(projection, days.paths))
                first_kept_seq = greatest_boundary(projection.connection, found)
            remaining = days.calls(first_kept_seq or 0)
            tombstone = days.retire()
            assert (tombstone and tombstone.last_seq + 1) == first_kept_seq
            assert days.measured_and_retired() == before
            assert days.calls() == remaining
            assert days.hash() == days.rebuilt_hash(tmp_path / "copy")
    assert tombstones(days.paths.log_directory)


@pytest.mark.parametrize("is_compressed", [True, False])
def test_who_owns_what_remains_is_known_when_its_evidence_was_retired(live, is_compressed):
    """
    Registrations, declarations, reports, checkouts, commits, named tasks and rules stay in the tombstone; twice, too.
    """
    said = [
        register("app", remotes=["github.com/acme/app"]),
        checkout("/w/app", remotes={"origin": "github.com/acme/app"}),
        declare("T-1", session_id="declared", permille=400),
        report("T-2", "completed", at=90, session_id="reported"),
        named("T-3", 0, "named"),
        commit("/w/app", 80, "T-4"),
        rules(branch_pattern="(B-[0-9]+)"),
        call("old", session="gone"),
    ]
    ledger = Ledger(live)
    for events in (said, [call("other", session="gone too")]):
        ledger.write(events)
        with open_log(live.settings) as log:
            log.roll()
        if is_compressed:
            list(compress(live.settings.state.log_directory))
    ledger.write(
        [
            call("a", at=60, session="declared"),
            call("b", at=60, session="reported"),
            call("c", at=60, session="named"),
            call("d", at=60, session="x", cwd="/w/app"),
            call("e", at=60, session="y", git_branch="B-7"),
        ]
    )
    owned = (ledger.repos(), ledger.tasks(), ledger.rows("SELECT * FROM tasks ORDER BY ALL"))
    assert {"a", "b", "c", "d", "e"} == set(ledger.tasks())
    ledger.close()
    with open_log(live.settings) as log:
        log.roll()

    with open_log(live.settings), Projection.open(live.settings.state) as projection:
        tombstone = retire_old(projection, live.settings.state, closing_time_of(live, 2), utc_now)
    ledger.write([])

    assert tombstone
    assert 7 == len(tombstone.kept)
    assert {"a", "b", "c", "d", "e"} == {name for (name,) in ledger.rows("SELECT source_id FROM usage_measured")}
    left = [{name: each for name, each in owner.items() if name in "abcde"} for owner in owned[:2]]
    assert left == [ledger.repos(), ledger.tasks()]
    assert owned[2] == ledger.rows("SELECT * FROM tasks ORDER BY ALL")
    ledger.close()


def closing_time_of(live, number: int) -> datetime:
    """
    Say when the segment before the one with this number was closed.
    """
    header = header_of(segments(live.settings.state.log_directory)[number])
    assert header
    return datetime.fromisoformat(header.t)


def test_a_report_is_retired_together_with_what_an_agents_log_says_of_it(live):
    """
    What gave way to a log would be measured again if only the log's evidence went.
    """
    ledger = Ledger(live)
    for events in ([call("m")], [tokens(source_id="m")], [call("n", session="t")]):
        ledger.write(events)
        with open_log(live.settings) as log:
            log.roll()
    ledger.close()

    with open_log(live.settings), Projection.open(live.settings.state) as projection:
        tombstone = retire_old(projection, live.settings.state, closing_time_of(live, 1), utc_now)
        assert tombstone is None
        tombstone = retire_old(projection, live.settings.state, closing_time_of(live, 2), utc_now)
    ledger.write([])

    assert tombstone
    assert [("n",)] == ledger.rows("SELECT source_id FROM usage_measured")
    ledger.close()


def test_rates_stay_when_their_segment_goes_and_what_went_keeps_its_cost(live):
    """
    What remains is priced as before; what has gone cannot be priced again, so its total says what it cost.
    """
    own = PriceConfig(model="m-1", input=Decimal(2), output=Decimal(3)).facts()
    ledger = Ledger(live)
    for name in ("a", "b"):
        with open_log(live.settings) as log:
            if name == "a":
                log.append([own_event("rates", own, utc_now())], {})
        ledger.write([call(name, model="m-1", input_tokens=5, cache_read_tokens=0, output_tokens=7)])
        with open_log(live.settings) as log:
            log.roll()
    ledger.close()

    with open_log(live.settings), Projection.open(live.settings.state) as projection:
        assert retire_old(projection, live.settings.state, FOREVER, utc_now)
    ledger.write([call("c", model="m-1", input_tokens=100, cache_read_tokens=0, output_tokens=0)])

    assert [("c", 200)] == ledger.rows("SELECT source_id, cost_usd_micros FROM costs")
    assert [(2, 62)] == ledger.rows("SELECT sum(calls), sum(cost_usd_micros) FROM retired")
    ledger.close()
