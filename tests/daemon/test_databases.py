"""An agent's database: read row by row, while the agent writes, without a trace."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from adapters.opencode import OpenCode
from daemon import databases
from daemon.bootstrap import catch_up, open_log, refresh_and_publish, seen_files
from daemon.cli import main
from daemon.discover import Found, look_at, places, sweep
from daemon.ingest import Ingest
from daemon.settings import Settings
from projections.hashes import facts_hash
from projections.read import Tables
from tests.daemon.conftest import Host
from tests.templates import begin_with_empty_tables

#: The tables of OpenCode 1.18.33, with the columns that are read.
SCHEMA = """
CREATE TABLE session (id text PRIMARY KEY, parent_id text, title text NOT NULL, version text NOT NULL);
CREATE TABLE message (
    id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL,
    data text NOT NULL
);
"""
START = 1_793_526_196_000


class Agent:
    """An agent at its database: writes messages as OpenCode does."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = wal")
        self.connection.executescript(SCHEMA)
        self.session("ses_a")

    def session(self, name: str, parent: str | None = None) -> None:
        self.connection.execute("INSERT INTO session VALUES (?, ?, 'a title', '1.18.33')", (name, parent))

    def message(
        self, key: str, second: int, output: int, *, done: bool = True, session: str = "ses_a", at: int | None = None
    ) -> None:
        """Write a message, or write it anew; without *done* it streams."""
        created = START + second * 1000
        data = data_of(created, output, done=done)
        self.connection.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET data = excluded.data, time_updated = excluded.time_updated",
            (key, session, created, at if at is not None else created + output, json.dumps(data)),
        )

    def fork(self, session: str, into: str) -> None:
        """Copy a session's messages under new ids, and change nothing else: `opencode run --fork`."""
        self.session(into)
        self.connection.execute(
            "INSERT INTO message SELECT 'msg_z' || ? || id, ?, time_created, time_updated + 9000000, data "
            "FROM message WHERE session_id = ?",
            (into, into, session),
        )

    def close(self) -> None:
        self.connection.close()


def data_of(created: int, output: int, *, done: bool) -> dict[str, Any]:
    tokens = {"input": 100 if output else 0, "output": output, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    return {
        "role": "assistant",
        "path": {"cwd": "/srv/repo", "root": "/srv/repo"},
        "cost": 0,
        "tokens": tokens,
        "modelID": "fake-1",
        "providerID": "fake",
        "time": {"created": created} | ({"completed": created + output} if done else {}),
    }


@pytest.fixture
def agent(host: Host) -> Iterator[Agent]:
    agent = Agent(host.home / ".local/share/opencode/opencode.db")
    yield agent
    agent.close()


def events(host: Host) -> int:
    return int(host.rows("SELECT count(*) AS n FROM events WHERE kind = 'usage'")[0]["n"])


def test_a_streamed_row_counts_once_with_its_last_state(host: Host, agent: Agent) -> None:
    """
    A row is written empty, filled, and completed; each state may be seen, and the last one is what it says.
    """
    agent.message("msg_1", 1, 0, done=False)
    host.ingest()
    assert (0, None) == host.totals()
    agent.message("msg_1", 1, 20, done=False)
    host.ingest()
    assert (1, 120) == host.totals()

    agent.message("msg_1", 1, 50)
    host.ingest()

    assert (1, 150) == host.totals()
    assert ["updated"] == [row["reason"] for row in host.rows("SELECT reason FROM usage_superseded")]


def test_a_smaller_last_state_wins_too(host: Host, agent: Agent) -> None:
    """
    A correction downwards is what the row says now; the greater figure is superseded, not added.
    """
    agent.message("msg_1", 1, 50, at=START)
    host.ingest()

    agent.message("msg_1", 1, 40, at=START + 1)
    host.ingest()

    assert (1, 140) == host.totals()


def test_a_fork_counts_once_and_its_origin_owns_it(host: Host, agent: Agent) -> None:
    """
    A fork copies rows under new ids: no call was made (tokscale#446 counted such history eight times).
    """
    agent.message("msg_1", 1, 10)
    agent.message("msg_2", 2, 20)
    host.ingest()
    for name in ("ses_Z", "ses_0"):
        agent.fork("ses_a", name)
    agent.message("msg_zz", 3, 5, session="ses_0")

    host.ingest()

    assert (3, 335) == host.totals()
    owners = host.rows("SELECT session_id, calls FROM sessions ORDER BY session_id")
    assert [("ses_0", 1), ("ses_a", 2)] == [(row["session_id"], row["calls"]) for row in owners]


def test_two_subagents_that_start_at_once_are_two_calls(host: Host, agent: Agent) -> None:
    """
    Begun in one millisecond, in one directory and with one model: they end apart.
    """
    agent.message("msg_1", 1, 10)
    agent.message("msg_2", 1, 20)

    host.ingest()

    assert (2, 230) == host.totals()


def test_a_deleted_row_stays_evidence(host: Host, agent: Agent) -> None:
    """
    The call was made and paid, whatever was tidied up since; its row is told as gone.
    """
    agent.message("msg_1", 1, 10)
    agent.message("msg_2", 2, 20)
    host.ingest()

    agent.connection.execute("DELETE FROM message WHERE id = 'msg_1'")
    agent.message("msg_3", 3, 30)
    host.ingest()

    assert (3, 360) == host.totals()


def test_nothing_new_is_nothing_read(host: Host, agent: Agent) -> None:
    """
    A database at rest is not opened; one new row brings one event, whatever stands before it.
    """
    for number in range(200):
        agent.message(f"msg_{number:03}", number, number + 1)
    host.ingest()
    assert 0 == host.ingest().read.files_read

    agent.message("msg_new", 500, 7)
    assert 1 == host.ingest().read.events
    assert 201 == events(host)


def test_a_row_with_an_older_time_is_found(host: Host, agent: Agent) -> None:
    """
    Imported history carries its own times, and clocks are set back: rows are found by when they were inserted, too.
    """
    agent.message("msg_1", 1000, 10)
    host.ingest()

    agent.message("msg_old", 1, 20, done=False)
    host.ingest()
    agent.message("msg_old", 1, 30, at=START)
    host.ingest()

    assert (2, 240) == host.totals()


def test_a_replaced_database_is_read_from_its_first_row(host: Host, agent: Agent, tmp_path: Path) -> None:
    """
    Another file under the same name has other rows; marks of the old one say nothing about it.
    """
    agent.message("msg_1", 1000, 10)
    host.ingest()
    agent.close()
    other = Agent(tmp_path / "other.db")
    other.message("msg_9", 1, 20)
    other.close()
    os.replace(other.path, agent.path)  # noqa: PTH105

    host.ingest()

    assert (2, 230) == host.totals()
    assert "replaced" in host.changes()


def test_the_database_is_left_as_it_was(host: Host, agent: Agent) -> None:
    """
    Neither the database nor the files beside it change by a byte, nor does one appear, alive, killed or at rest.
    """
    agent.message("msg_1", 1, 10)
    agent.close()  # in another process from here on: within one, SQLite's connections share what they know
    for ending in ("alive", "killed", "at rest"):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(agent.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("write\n")
        process.stdin.flush()
        assert ["ready\n", "written\n"] == [process.stdout.readline(), process.stdout.readline()]
        if ending == "killed":
            process.kill()
        if ending != "alive":
            process.stdin.close()
            process.wait()
        before = bytes_of(agent.path.parent)

        caught = host.ingest()

        assert [] == caught.read.denied
        assert 1 == caught.read.files_read
        assert before == bytes_of(agent.path.parent), ending
        assert (1 if ending == "at rest" else 3) == len(before)
        process.kill()
        process.wait()
        process.stdout.close()
    assert (1, 110) == host.totals()


def test_a_write_to_the_log_beside_it_wakes_the_database(host: Host, agent: Agent) -> None:
    """
    Agents write to `-wal` for minutes before the database itself changes; whoever is told of it looks at the database.
    """
    known = places([OpenCode()], host.home, {})

    seen = look_at(known, f"{agent.path}-wal", "UTC")

    assert isinstance(seen, Found)
    assert str(agent.path) == seen.path
    assert look_at(known, f"{agent.path}-shm", "UTC") is None


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
print("ready", flush=True)
for line in sys.stdin:
    connection.execute("UPDATE message SET time_updated = time_updated + 1")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    print("written", flush=True)
"""


def test_a_writer_is_not_kept_waiting(host: Host, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Between any two pages of ours the agent can write: it waits for no lock, not even for an instant.
    """
    monkeypatch.setattr(databases, "PAGE_ROWS", 3)
    for number in range(20):
        agent.message(f"msg_{number:02}", number, number + 1)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(agent.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    written = 0

    with databases.Database(str(agent.path), OpenCode.query) as database:
        for places in database.listed(-1, -1):
            for revision, place in places:
                assert database.page([place])
                assert revision > 0
                process.stdin.write("again\n")
                process.stdin.flush()
                assert "written\n" == process.stdout.readline()
                written += 1
    process.stdin.close()
    process.wait()

    assert 20 == written
    assert 0 == process.returncode


def denied(host: Host) -> list[str]:
    return [each.code for each in host.ingest().read.denied]


def test_what_cannot_be_read_is_told_with_its_reason_and_read_again(host: Host, agent: Agent) -> None:
    """
    No database, a damaged one, another schema, a log without its shared memory: a denied place each, and no crash.
    """
    agent.message("msg_1", 1, 10)
    agent.connection.execute("ALTER TABLE message RENAME COLUMN data TO body")
    assert ["schema_unknown"] == denied(host)
    agent.connection.execute("ALTER TABLE message RENAME COLUMN body TO data")
    assert [] == denied(host)
    assert (1, 110) == host.totals()
    agent.message("msg_2", 2, 10)

    saved = {path.name: path.read_bytes() for path in agent.path.parent.iterdir()}
    agent.close()
    agent.path.with_name("opencode.db-wal").write_bytes(saved["opencode.db-wal"])
    assert ["journal_unreadable"] == denied(host)
    agent.path.with_name("opencode.db-wal").unlink()
    assert [] == denied(host)

    whole = agent.path.read_bytes()
    agent.path.write_bytes(b"not a database" * 400)
    assert ["damaged_database"] == denied(host)
    agent.path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert ["damaged_database"] == denied(host)
    agent.path.write_bytes(whole)
    assert [] == denied(host)

    assert (2, 220) == host.totals()
    assert 3 == host.changes().count("unreadable")


def test_a_database_that_is_kept_locked_is_told(host: Host, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With an old-fashioned journal a writer shuts readers out; it is no crash, and read when it lets go.
    """
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0.0)
    agent.message("msg_1", 1, 10)
    agent.connection.execute("PRAGMA journal_mode = delete")
    agent.connection.execute("BEGIN EXCLUSIVE")

    assert ["locked"] == denied(host)
    agent.connection.execute("ROLLBACK")
    assert [] == denied(host)

    assert (1, 110) == host.totals()


def test_a_row_too_long_to_be_read_is_rejected_alone(host: Host, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One monstrous message keeps no other from being counted, and is told once.
    """
    monkeypatch.setattr(databases, "VALUE_BYTES_MAX", 10_000)
    agent.message("msg_1", 1, 10)
    agent.connection.execute("INSERT INTO message VALUES ('msg_2', 'ses_a', 2, 2, ?)", ("x" * 20_000,))
    agent.message("msg_3", 3, 10)

    host.ingest()
    agent.message("msg_4", 4, 10)
    host.ingest()

    assert (3, 330) == host.totals()
    rejected = host.rows("SELECT code, item_key, offset_bytes FROM rejected")
    assert [{"code": "too_long", "item_key": "msg_2", "offset_bytes": None}] == rejected


def test_broken_json_in_a_row_is_rejected_without_a_byte_of_it(host: Host, agent: Agent) -> None:
    """
    What a row holds instead of a message is somebody's words, for all we know.
    """
    agent.connection.execute("INSERT INTO message VALUES ('msg_1', 'ses_a', 2, 2, 'a secret of somebody')")

    host.ingest()

    assert ["invalid_json"] == [row["code"] for row in host.rows("SELECT code FROM rejected")]
    assert not any(b"secret" in path.read_bytes() for path in host.state.log_directory.iterdir())


def test_every_row_leads_back_to_the_database(host: Host, agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    """
    `explain` names the row and says whether it still says so; `verify --sources` holds all rows against it.
    """
    agent.message("msg_1", 1, 0, done=False)
    agent.message("msg_2", 2, 20)
    agent.message("msg_3", 3, 30)
    agent.message("a key with spaces", 4, 40)
    host.ingest()
    agent.message("msg_2", 2, 21, at=START + 90_000)
    agent.connection.execute("DELETE FROM message WHERE id = 'msg_3'")

    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    assert 0 == main(["explain", "2026-11-01", "--json", *place])
    rows = json.loads(capsys.readouterr().out)["rows"]

    evidence = {each["item_key"]: each for row in rows for each in row["evidence"]}
    outcomes = {"hash" if ":" in key else key: each["outcome"] for key, each in evidence.items()}
    assert {"msg_2": "changed", "msg_3": "gone", "hash": "same"} == outcomes
    assert all(each["offset_bytes"] is None and each["length_bytes"] is None for each in evidence.values())
    assert 1 == main(["verify", "--sources", "--json", *place])
    assert 1 == json.loads(capsys.readouterr().out)["sources"]["changed"]
    host.ingest()
    assert 0 == main(["verify", "--sources", "--json", *place])
    assert {"lines": 3, "same": 2, "gone": 1} == {
        name: count
        for name, count in json.loads(capsys.readouterr().out)["sources"].items()
        if count and name != "changed_sources"
    }


def test_the_database_an_operator_named_is_read_whatever_it_is_called(host: Host, tmp_path: Path) -> None:
    """
    `$OPENCODE_DB` is one file: nothing else in its folder is looked at, and a link to it is followed.
    """
    agent = Agent(tmp_path / "elsewhere" / "mine.sqlite")
    agent.message("msg_1", 1, 10)
    (tmp_path / "link").symlink_to(agent.path)
    named = Settings(host.home, host.state, "UTC", "test", agent_environment={"OPENCODE_DB": str(tmp_path / "link")})

    begin_with_empty_tables(host.state)
    read = catch_up(named, seen_files(named), clock=lambda: host.now).read
    agent.close()

    assert 1 == read.files
    assert (1, 110) == host.totals()


def test_the_kit_reads_rows_and_documents(
    host: Host, agent: Agent, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """
    An author checks a database or a document like a log.
    """
    agent.message("msg_1", 1, 10)
    agent.message("msg_2", 2, 20)
    document = tmp_path / "storage" / "message" / "ses_a" / "msg_3.json"
    document.parent.mkdir(parents=True)
    document.write_text(json.dumps({"id": "msg_3", "sessionID": "ses_a"} | data_of(START, 30, done=True)))

    code = main(["adapters", "check", str(agent.path), str(document), "--home", str(host.home), "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]

    assert 0 == code, rows
    assert [("opencode", 2, 230), ("opencode_storage", 1, 130)] == [
        (row["adapter"], row["usage_statements"], row["models"][0]["tokens"]) for row in rows
    ]


class NewerOpenCode(OpenCode):
    """Says that a message of 666 tokens is no call, and that all others had one token more."""

    parser_version = OpenCode.parser_version + 1

    def read_row(self, row: Any, header: Any) -> Any:
        if b"666" in row["data"]:
            return ()
        return super().read_row({**row, "data": row["data"].replace(b'"input": 100', b'"input": 101')}, header)


def test_a_newer_parser_reads_rows_again_and_retires_what_it_does_not_see(host: Host, agent: Agent) -> None:
    """
    What a newer parser no longer counts does not count for ever; a row that is gone keeps its older reading.
    """
    agent.message("msg_1", 1, 10)
    agent.message("msg_2", 2, 666)
    agent.message("msg_3", 3, 30)
    host.ingest()
    agent.connection.execute("DELETE FROM message WHERE id = 'msg_3'")

    with open_log(host.settings) as log:
        Ingest(log, lambda: host.now).run(sweep(places([NewerOpenCode()], host.home, {}), "UTC"))
        refresh_and_publish(host.settings)

    assert (2, 111 + 130) == host.totals()
    incremental = host.tables_hash()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.tables_hash()


STEPS = st.lists(
    st.tuples(st.sampled_from(["stream", "finish", "fork", "read", "rest"]), st.integers(0, 5), st.integers(1, 400)),
    min_size=1,
    max_size=14,
)


def is_the_same_as_read_at_once(root: Path, steps: Any) -> None:
    host = Host(root)
    agent = Agent(host.home / ".local/share/opencode/opencode.db")
    for number, (step, message, output) in enumerate(steps):
        if step in ("stream", "finish"):
            agent.message(f"msg_{message}", message, output, done=step == "finish", at=START + number)
        elif step == "fork":
            agent.fork("ses_a", f"ses_{number}")
        elif step == "rest":
            agent.close()
            agent.connection = sqlite3.connect(agent.path, isolation_level=None)
        else:
            host.ingest()
    host.ingest()
    incremental = host.facts_hash()
    agent.close()

    shutil.rmtree(host.state.root)
    host.ingest()

    with Tables(host.state.published) as tables:
        assert incremental == facts_hash(tables.connection)


#: A folder for each example is made by the test itself, and looks take longer than hypothesis expects.
SLOW_LOOKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@hypothesis_settings(max_examples=3, suppress_health_check=SLOW_LOOKS)
@given(STEPS)
def test_incremental_is_the_same_as_read_at_once(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    """
    Whatever an agent writes between our looks, and whenever we start anew, the tables say what the database says.
    """
    is_the_same_as_read_at_once(tmp_path_factory.mktemp("history"), steps)


@pytest.mark.slow
@hypothesis_settings(max_examples=50, suppress_health_check=SLOW_LOOKS)
@given(STEPS)
def test_fifty_histories_are_the_same_as_read_at_once(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    """
    The same, of more histories.
    """
    is_the_same_as_read_at_once(tmp_path_factory.mktemp("history"), steps)
