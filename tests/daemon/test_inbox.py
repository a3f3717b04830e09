"""The inbox: messages of hooks, tasks and operators become events, once, whoever is killed in between."""

import base64
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from daemon import inbox
from daemon.bootstrap import open_log, refresh_and_publish
from daemon.envelope import MESSAGE_BYTES_MAX, SCHEMA
from daemon.inbox import NAMES_MAX, TAKE_MAX, Inbox, events, take_all
from daemon.inbox_client import MessageRefused, outcome, submit
from daemon.inbox_directory import InboxUnsafe
from daemon.message import check
from daemon.message_rules import Refused
from projections.catalog import relations
from state.evidence import KINDS, MESSAGES
from state.segment import EVENT_BYTES_MAX
from tests.daemon.conftest import Host, claude_line
from tests.daemon.test_cli import TALLYSTICK, Done, process, run

#: The relations that are made of messages.
OURS = {
    "messages",
    "ranked_messages",
    "inbox",
    "inbox_superseded",
    "inbox_rejected",
    "hook_runs",
    "task_reports",
    "activities",
    "token_reports",
    "declared_allocations",
    "repo_registrations",
    "hooks",
    "expectations",
}

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "inbox.md"

TASK = {"task_id": "T-17", "status": "open"}
DONE = {"task_id": "T-17", "status": "completed"}

BODIES: dict[str, dict[str, Any]] = {
    "hook_run": {
        "hook": "pre-commit",
        "outcome": "blocked",
        "agent": "claude_code",
        "session_id": "s-1",
        "event": "tool_used",
        "source_id": "toolu_1",
        "effect": "none",
        "skip": "no_tracker_call",
        "duration_ms": 40,
        "at": "2026-11-20T11:00:00+02:00",
    },
    "task": DONE
    | {
        "agent": "codex",
        "session_id": "s-2",
        "workstream_id": "W-1",
        "repo": "acme/app",
        "origin": "hook",
        "estimated_input_tokens": 900,
        "estimated_output_tokens": 100,
        "at": "2026-11-20T10:00:00Z",
    },
    "activity": {"agent": "gptme", "what": "turn_ended", "session_id": "s-3", "at": "2026-11-20T10:00:00.5Z"},
    "token_event": {
        "measurement": "measured",
        "source_class": "llm_connect",
        "scope": "call",
        "provider": "anthropic",
        "source_id": "msg_1",
        "agent": "claude_code",
        "session_id": "s-4",
        "parent_session_id": "s-3",
        "model": "claude-opus-4-5",
        "service_tier": "standard",
        "cwd": "/w/app",
        "git_branch": "main",
        "git_remote": "github.com/acme/app",
        "repo": "acme/app",
        "task_id": "T-17",
        "workstream_id": "W-1",
        "at": "2026-11-20T10:00:00Z",
        "input_tokens": 1,
        "cache_read_tokens": 2,
        "cache_write_tokens": 7,
        "cache_write_5m_tokens": 3,
        "cache_write_1h_tokens": 4,
        "output_tokens": 5,
        "reasoning_tokens": 0,
        "provider_total_tokens": 15,
        "raw_usage": {
            "input_tokens": 1,
            "cache_read_input_tokens": 2,
            "cache_creation_input_tokens": 7,
            "cache_creation.ephemeral_5m_input_tokens": 3,
            "cache_creation.ephemeral_1h_input_tokens": 4,
            "output_tokens": 5,
        },
    },
    "allocation": {
        "session_id": "s-4",
        "source_id": "msg_1",
        "agent": "claude_code",
        "since": "2026-11-20T10:00:00Z",
        "until": "2026-11-21T10:00:00Z",
        "task_id": "T-17",
        "workstream_id": "W-1",
        "permille": 500,
        "is_withdrawn": False,
    },
    "repo": {
        "repo": "acme/app",
        "root_commits": ["0" * 40],
        "remotes": ["github.com/acme/app"],
        "paths": ["/w/app"],
        "aliases": ["app"],
        "is_withdrawn": False,
    },
    "expectation": {
        "agent": "gptme",
        "name": "run-autonomous-20260419025443",
        "is_found": False,
        "at": "2026-11-20T10:00:00Z",
    },
    "acknowledgement": {
        "finding_id": "0123456789ab",
        "rule": "teletype",
        "reason": "known_defect",
        "ticket": "OPS-4",
        "until": "2026-12-20T10:00:00Z",
        "is_withdrawn": False,
    },
    "repair": {
        "plan_id": "plan-1",
        "step": 3,
        "claim_source": "/w/session-records.jsonl",
        "claim_key": "a993",
        "claimed_path": "/w/evals/conversation.jsonl",
        "started_at": "2026-11-20T10:00:00Z",
        "action": "attach",
        "trajectory_path": "/w/run/conversation.jsonl",
        "session_id": "run-autonomous-20260419025443",
        "agent": "gptme",
        "is_undone": False,
    },
    "supersession": {
        "receipt": "0" * 32,
        "content_hash": "1" * 32,
        "by_source_id": "msg_1",
        "is_withdrawn": False,
    },
    "consumption": {
        "consumer": "grader",
        "how": "export",
        "table": "claims",
        "up_to_seq": 40,
        "since": "2026-11-20T10:00:00Z",
        "until": "2026-11-21T10:00:00Z",
        "at": "2026-11-22T10:00:00Z",
        "is_withdrawn": False,
    },
    "reconciliation": {
        "run_by": "timer",
        "is_applied": True,
        "is_clean": False,
        "since": "2026-11-20T10:00:00Z",
        "sessions_on_disk": 1,
        "sessions_ingested": 2,
        "sessions_stale": 3,
        "duplicate_source_ids": 4,
        "fallback_events": 5,
        "leaked_fallbacks": 6,
        "superseded_rows": 7,
        "unattributed_sessions": 8,
        "rows_without_provenance": 9,
        "flatline_days": 10,
        "recoverable_gaps": 11,
        "lost_gaps": 12,
        "unreadable": 13,
        "recovered": 14,
        "findings": 15,
        "at": "2026-11-20T10:00:00Z",
    },
}
#: In which table the body of each kind stands, and where its own time is.
TABLES = {
    "hook_run": ("hook_runs", "ran_at", "at"),
    "task": ("task_reports", "stated_at", "at"),
    "activity": ("activities", "happened_at", "at"),
    "token_event": ("token_reports", "used_at", "at"),
    "allocation": ("declared_allocations", "since", "since"),
    "repo": ("repo_registrations", None, None),
    "expectation": ("expectations", "looked_at", "at"),
    "acknowledgement": ("acknowledgements", "acknowledged_until", "until"),
    "repair": ("repairs", "started_at", "started_at"),
    "supersession": ("supersessions", None, None),
    "consumption": ("consumers", "read_at", "at"),
    "reconciliation": ("reconciliations", "ran_at", "at"),
}
#: Columns that are called otherwise: these words are SQL's own.
RENAMED = {"table_name": "table"}


def message(body: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a message about a task, with *fields* put in the place of its own."""
    return {"schema": SCHEMA, "kind": "task", "producer": "test", "body": TASK if body is None else body} | fields


def receipt_of(content: dict[str, Any]) -> str:
    """Return the receipt of a message with a key, made as `docs/inbox.md` says and without the code of the product."""
    stated = {name: value for name, value in content.items() if name != "created_at"}
    text = json.dumps(stated, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def put(host: Host, content: dict[str, Any] | bytes, receipt: str = "0" * 32) -> Path:
    """Put a file into the inbox, whatever is in it."""
    host.state.create()
    if isinstance(content, dict):
        receipt = receipt_of(content) if content.get("key") else receipt
        content = json.dumps(content).encode()
    path = host.state.inbox / f"{receipt}.json"
    path.write_bytes(content)
    return path


def tell(host: Host, body: dict[str, Any], key: str | None = None, revision: int | None = None) -> str:
    return submit(host.state, "task", body, producer="test", key=key, revision=revision)


def waiting(host: Host) -> list[str]:
    """Return what is in the inbox but for what was rejected."""
    return sorted(path.name for path in host.state.inbox.iterdir() if path.name != "rejected")


def stored(host: Host) -> list[str]:
    """Return the receipts of messages as often as they stand in the log itself."""
    lines = [line for path in sorted(host.state.log_directory.iterdir()) for line in path.read_bytes().splitlines()]
    return [each["receipt"] for each in map(json.loads, lines) if each["k"] in MESSAGES]


def open_inbox(host: Host, log: Any) -> Inbox:
    return Inbox(host.state, log.log_id, lambda: host.now)


# -- from a file to a row --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_a_message_is_an_event_and_a_row(host: Host, kind: str) -> None:
    """
    What was stated is in the log under its contract, and in a table with its times in UTC; the file is gone.
    """
    receipt = submit(host.state, kind, BODIES[kind], producer="test", now=host.now)
    assert [f"{receipt}.json"] == waiting(host)
    assert "pending" == outcome(host.state, receipt).state

    assert 1 == host.ingest().messages.stored

    assert [] == waiting(host)
    assert [receipt] == stored(host)
    (row,) = host.rows(f"SELECT * FROM inbox WHERE kind = '{kind}'")  # noqa: S608
    assert (receipt, None, 0, "test") == tuple(
        row[name] for name in ("receipt", "message_key", "superseded_count", "producer")
    )
    found = outcome(host.state, receipt)
    assert ("stored", row["seq"]) == (found.state, found.seq)
    body = json.loads(row["body"])
    times = {name for name in BODIES[kind] if name in ("at", "since", "until", "started_at")}
    moments = {name: datetime.fromisoformat(BODIES[kind][name]).astimezone(UTC) for name in times}
    assert BODIES[kind] | moments == body | {name: datetime.fromisoformat(body[name]) for name in times}
    assert all(body[name].endswith("Z") for name in times)
    table, column, field = TABLES[kind]
    (shown,) = host.rows(f"SELECT * FROM {table}")  # noqa: S608
    if column is not None and field is not None:
        assert moments[field].replace(tzinfo=None) == shown[column]
    shown |= {name: shown[column] for column, name in RENAMED.items() if column in shown}
    not_shown = {*times, "raw_usage", "is_withdrawn", "is_undone", "measurement"}
    assert {name: value for name, value in BODIES[kind].items() if name not in not_shown} == {
        name: shown[name] for name in BODIES[kind] if name not in not_shown
    }


def test_there_is_a_body_of_every_kind_to_test() -> None:
    """
    A kind that is added is tested.
    """
    assert set(MESSAGES) == set(BODIES)
    # Rows of an old table have these two; they say that the report is one (tests/daemon/test_import.py).
    of_old_rows = {"token_event": {"legacy_class", "is_withdrawn"}}
    assert {name: set(model.model_fields) for name, model in MESSAGES.items()} == {
        name: set(body) | of_old_rows.get(name, set()) for name, body in BODIES.items()
    }


def test_every_event_of_the_inbox_keeps_the_contract(host: Host) -> None:
    """
    What stands in the log validates against the models, field by field, taken and rejected.
    """
    for kind, body in BODIES.items():
        submit(host.state, kind, body, producer="test", key="k", revision=1)
        submit(host.state, kind, body, producer="test")
    put(host, b"{}")
    host.ingest()

    lines = [line for path in host.state.log_directory.iterdir() for line in path.read_bytes().splitlines()]
    told = [event for event in map(json.loads, lines) if event["k"] in {*MESSAGES, "message_rejected"}]

    assert {*MESSAGES, "message_rejected"} == {event["k"] for event in told}
    assert 1 + 2 * len(MESSAGES) == len(told)
    for event in told:
        KINDS[event["k"]].model_validate(event)


def test_messages_and_lines_of_agents_share_a_log(host: Host) -> None:
    """
    A message changes no measured token, and no line of an agent a message.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    before = (
        host.usage()["totals"],
        host.rows("SELECT * FROM sessions"),
        host.rows("SELECT agent FROM freshness ORDER BY agent"),
    )

    tell(host, TASK, "T-17")
    host.ingest()

    assert before == (
        host.usage()["totals"],
        host.rows("SELECT * FROM sessions"),
        host.rows("SELECT agent FROM freshness ORDER BY agent"),
    )
    assert 1 == len(host.rows("SELECT * FROM task_reports"))


# -- key, revision, receipt ------------------------------------------------------------------------------------------


def test_same_key_and_same_content_is_the_same_message(host: Host) -> None:
    """
    Sent again at another time, before or after the first was taken: the same receipt, and no new event.
    """
    first = tell(host, TASK, "T-17", 1)
    assert first == tell(host, TASK, "T-17", 1)
    host.ingest()
    host.now += timedelta(hours=1)
    assert first == tell(host, TASK, "T-17", 1)

    taken = host.ingest().messages

    assert (0, 1) == (taken.stored, taken.known)
    assert [first] == stored(host)
    assert [] == waiting(host)
    assert "stored" == outcome(host.state, first).state


def test_without_a_key_nothing_is_the_same(host: Host) -> None:
    """
    Two reports without a key are two statements, however alike.
    """
    assert tell(host, TASK) != tell(host, TASK)

    host.ingest()

    assert 2 == len(host.rows("SELECT * FROM task_reports"))
    assert [] == host.rows("SELECT * FROM inbox_superseded")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_greatest_revision_holds_however_late_the_others_come(
    host: Host, order: tuple[int, ...], at_once: bool
) -> None:
    """
    Order is the producer's. Content of an old revision that is stated again under a new one holds again.
    """
    sent: list[tuple[dict[str, Any], int | None]] = [(TASK, None), (DONE, 0), (TASK, 7)]
    receipts = {}
    for number in order:
        receipts[number] = tell(host, sent[number][0], "T-17", sent[number][1])
        if not at_once:
            host.ingest()
    host.ingest()

    (row,) = host.rows("SELECT * FROM inbox")
    assert (receipts[2], 7, 2) == (row["receipt"], row["revision"], row["superseded_count"])
    assert ["open"] == [each["status"] for each in host.rows("SELECT status FROM task_reports")]
    lost = host.rows("SELECT receipt, by_seq FROM inbox_superseded")
    assert {(receipts[0], row["seq"]), (receipts[1], row["seq"])} == {
        (each["receipt"], each["by_seq"]) for each in lost
    }
    found = outcome(host.state, receipts[0])
    assert ("superseded", row["seq"]) == (found.state, found.by_seq)


def test_of_equal_revisions_the_hash_decides_and_not_the_time(tmp_path: Path) -> None:
    """
    Two producers that disagree under one key and revision come to the same on every host.
    """
    held = set()
    for number, bodies in enumerate([(TASK, DONE), (DONE, TASK)]):
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        for body in bodies:
            tell(host, body, "T-17", 1)
            host.ingest()
        (row,) = host.rows("SELECT status FROM task_reports")
        held.add(row["status"])
    assert 1 == len(held)


def test_keys_of_different_kinds_do_not_meet(host: Host) -> None:
    """
    A task and a hook may use the same key.
    """
    for kind, body in BODIES.items():
        submit(host.state, kind, body, producer="test", key="same", revision=1)

    host.ingest()

    assert dict.fromkeys(BODIES, 1) == Counter(row["kind"] for row in host.rows("SELECT kind FROM inbox"))


def test_a_name_that_was_not_new_loses_no_message(host: Host) -> None:
    """
    A producer whose random name comes again, with other content, has said two things.
    """
    put(host, message(TASK))
    host.ingest()
    put(host, message(DONE))
    host.ingest()

    assert {"open", "completed"} == {row["status"] for row in host.rows("SELECT status FROM task_reports")}


def test_a_message_put_over_one_that_is_being_taken_is_taken_too(host: Host) -> None:
    """
    What is removed is the file that was read, not what has come under its name since.
    """
    put(host, message(TASK))
    with open_log(host.settings) as log:
        box = open_inbox(host, log)
        taken = box.take()
        put(host, b"x").unlink()
        put(host, message(DONE))
        assert [] == box.take()
        log.append(events(taken), {})
        box.done(taken)
        assert 1 == take_all(box, log).stored
    host.ingest()

    assert {"open", "completed"} == {row["status"] for row in host.rows("SELECT status FROM task_reports")}


def test_two_producers_at_once_write_one_message(host: Host) -> None:
    """
    The same statement from eight threads is one file; different statements under one key are all kept.
    """
    receipts: list[str] = []

    def produce(number: int) -> None:
        for revision in range(20):
            receipts.append(tell(host, TASK, "shared", revision))
            receipts.append(tell(host, TASK | {"agent": f"a{number}"}, "own", revision))

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert 20 + 8 * 20 == len(set(receipts)) == len(waiting(host))
    assert 180 == host.ingest().messages.stored
    counts = {row["message_key"]: row["superseded_count"] for row in host.rows("SELECT * FROM inbox")}
    assert {"shared": 19, "own": 159} == counts


# -- the order of things never matters -------------------------------------------------------------------------------


#: What differs between messages of a kind; of all others it is the session.
VARIED = {
    "token_event": "cwd",
    "repo": "repo",
    "expectation": "name",
    "acknowledgement": "ticket",
    "supersession": "by_source_id",
    "consumption": "consumer",
    "reconciliation": "sessions_on_disk",
}


def random_messages(rng: random.Random) -> list[dict[str, Any]]:
    """Return messages of few keys, few revisions and few contents, so that all of them meet; two are none."""
    found = []
    for number in range(20):
        kind = rng.choice(sorted(BODIES))
        varied, which = VARIED.get(kind, "session_id"), rng.randrange(3)
        other = which if kind == "reconciliation" else f"{'/' if varied == 'cwd' else ''}s-{which}"
        body = BODIES[kind] | {varied: other}
        fields: dict[str, Any] = {"kind": kind, "created_at": f"2026-11-20T10:00:{number:02}Z"}
        if rng.random() < 0.8:
            fields |= {"key": f"k-{rng.randrange(3)}"}
            fields |= {} if rng.random() < 0.2 else {"revision": rng.randrange(4)}
        found.append(message(body if number % 10 else {"status": "finished"}, **fields))
    return found


def arrive(host: Host, sent: list[tuple[int, dict[str, Any]]], rng: random.Random) -> None:
    """Let messages arrive in some order, some of them twice, with restarts and kills at the worst moments."""
    left = [*sent, *rng.sample(sent, 6)]
    rng.shuffle(left)
    while left or waiting(host):
        for _ in range(min(len(left), rng.randrange(8))):
            number, content = left.pop()
            put(host, content, f"{number:032x}")
        with open_log(host.settings, lambda: host.now) as log:
            box = open_inbox(host, log)
            taken = box.take(rng.randrange(1, 9))
            fate = rng.random()
            if fate < 0.2:
                continue  # killed before the commit
            log.append(events(taken), {})
            if fate < 0.4:
                continue  # killed after it
            if fate < 0.5:
                log.append(events(taken), {})  # read again after so long that it was not remembered
            box.done(taken)
        if rng.random() < 0.3:
            host.ingest()


def doubled(host: Host) -> list[str]:
    """Return the relations over messages whose declared key names more than one row."""
    ours = [each for each in relations() if each.name in OURS]
    assert len(OURS) == len(ours)
    return [
        each.name
        for each in ours
        if host.rows(f"SELECT 1 FROM {each.name} GROUP BY {', '.join(each.key)} HAVING count(*) > 1")  # noqa: S608
    ]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 3))])
def test_facts_do_not_depend_on_order_restarts_or_kills(tmp_path: Path, seed: int) -> None:
    """
    The same messages, sent once in order or anyhow: the same facts, and for every receipt the same outcome.
    """
    rng = random.Random(seed)
    sent = list(enumerate(random_messages(rng)))
    quiet, wild = (tmp_path / name for name in ("quiet", "wild"))
    quiet.mkdir()
    wild.mkdir()
    one, other = Host(quiet), Host(wild)
    for number, content in sent:
        put(one, content, f"{number:032x}")
    one.ingest()

    arrive(other, sent, rng)
    newest = {receipt: outcome(other.state, receipt) for receipt in set(stored(other))}
    other.ingest()

    assert one.facts_hash() == other.facts_hash()
    assert [] == doubled(one) == doubled(other)
    states = [{receipt: outcome(host.state, receipt).state for receipt in newest} for host in (one, other)]
    assert states[0] == states[1] == {receipt: each.state for receipt, each in newest.items()}
    shown = {row["receipt"]: None for row in other.rows("SELECT receipt FROM inbox")}
    lost = {row["receipt"]: row["by_seq"] for row in other.rows("SELECT receipt, by_seq FROM inbox_superseded")}
    assert shown | lost == {receipt: each.by_seq for receipt, each in newest.items()}
    assert {"stored", "superseded"} == set(states[0].values())
    assert 2 == len(one.rows("SELECT * FROM inbox_rejected")) <= len(other.rows("SELECT * FROM inbox_rejected"))
    before = other.tables_hash()
    refresh_and_publish(other.settings, anew=True)
    assert before == other.tables_hash()


def test_a_fact_of_a_message_is_in_the_facts_hash(tmp_path: Path) -> None:
    """
    The hash that is to be the same above is another one when a message says something else.
    """
    hashes = set()
    for number, body in enumerate([TASK, DONE]):
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        put(host, message(body))
        host.ingest()
        hashes.add(host.facts_hash())
    assert 2 == len(hashes)


#: Takes everything, commits it, and dies before a file is removed.
KILLED = """
import os, signal, sys
from pathlib import Path
from daemon.inbox import Inbox
from daemon.bootstrap import open_log, take_all, utc_now
from daemon.settings import load
class Killed(Inbox):
    def done(self, messages):
        os.kill(os.getpid(), signal.SIGKILL)
settings = load(sys.argv[1], sys.argv[2])
with open_log(settings) as log:
    take_all(Killed(settings.state, log.log_id, utc_now), log)
"""


@pytest.mark.parametrize("has_tables", [True, False])
def test_killed_between_commit_and_removal_the_message_is_one(host: Host, has_tables: bool) -> None:
    """
    The file is still there and is read again; the log already has it, and so have the tables, once.
    """
    if has_tables:
        tell(host, TASK)
        host.ingest()
    receipts = [tell(host, TASK), tell(host, TASK, "k", 1)]
    child = subprocess.run([sys.executable, "-c", KILLED, host.home, host.state.root], check=False)
    assert -signal.SIGKILL == child.returncode
    assert 2 == len(waiting(host))
    assert set(receipts) <= set(stored(host))

    taken = host.ingest().messages

    assert (0, 2) == (taken.stored, taken.known)
    assert [] == waiting(host)
    assert 2 + has_tables == len(stored(host)) == len(host.rows("SELECT * FROM task_reports"))


@pytest.fixture
def strace(tmp_path: Path) -> list[str]:
    probe = ["strace", "-o", str(tmp_path / "probe"), "-e", "inject=unlinkat:error=EIO", "true"]
    if not shutil.which("strace") or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("strace is not installed, or not allowed to trace")
    return ["strace", "-f", "-o", str(tmp_path / "trace")]


@pytest.mark.parametrize("when", [1, 2, 3])
def test_killed_at_any_removal_nothing_is_lost_or_doubled(host: Host, strace: list[str], when: int) -> None:
    """
    The command itself, killed as it removes its first, second or third file.
    """
    for number in range(3):
        tell(host, TASK | {"task_id": f"T-{number}"})
    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    fault = ["-e", "trace=unlinkat", "-e", f"inject=unlinkat:signal=KILL:when={when}"]

    killed = subprocess.run([*strace, *fault, TALLYSTICK, "ingest", *place], check=False, capture_output=True)

    assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert waiting(host)
    host.ingest()
    assert [] == waiting(host)
    assert 3 == len(stored(host))
    assert ["T-0", "T-1", "T-2"] == [
        row["task_id"] for row in host.rows("SELECT task_id FROM task_reports ORDER BY task_id")
    ]


def test_a_storm_of_kills_ends_with_every_message_once(host: Host) -> None:
    """
    Commands that are killed at random times, while producers go on: each receipt is stored, none twice in the tables.
    """
    rng = random.Random(7)
    receipts: list[str] = []
    for _ in range(8):
        receipts += [tell(host, TASK | {"task_id": f"T-{len(receipts) + n}"}) for n in range(150)]
        child = subprocess.Popen(
            [TALLYSTICK, "ingest", "--home", host.home, "--state-dir", host.state.root],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.2 + rng.random())
        child.kill()
        child.wait()
    host.ingest()

    assert [] == waiting(host)
    assert sorted(receipts) == sorted(row["receipt"] for row in host.rows("SELECT receipt FROM task_reports"))
    assert sorted(receipts) == sorted(stored(host))


# -- what is believed of the log -------------------------------------------------------------------------------------


def test_tables_of_another_log_take_no_message_away(host: Host) -> None:
    """
    The log was moved away and a new one begins: what the old tables knew is sent again, and is stored.
    """
    tell(host, TASK, "T-17", 1)
    host.ingest()
    shutil.rmtree(host.state.log_directory)
    host.state.head.unlink()

    receipt = tell(host, TASK, "T-17", 1)
    assert 1 == host.ingest().messages.stored
    assert "stored" == outcome(host.state, receipt).state


def test_a_message_that_damage_took_from_the_log_is_stored_again(host: Host) -> None:
    """
    The tables of before the damage still know it; the log does not, and the log is the truth.
    """
    first = tell(host, TASK, "T-17", 1)
    host.ingest()
    tell(host, DONE, "T-18", 1)
    host.ingest()
    (segment,) = host.state.log_directory.iterdir()
    segment.write_bytes(segment.read_bytes().replace(b'"status":"open"', b'"status":"oPen"'))

    assert first == tell(host, TASK, "T-17", 1)
    taken = host.ingest().messages

    assert (1, 0) == (taken.stored, taken.known)
    assert {"open"} == {
        row["status"] for row in host.rows("SELECT status FROM task_reports WHERE message_key = 'T-17'")
    }
    assert "stored" == outcome(host.state, first).state


def test_what_is_not_remembered_any_more_changes_no_table(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Memory is bounded: a message older than that is one more event, and the same row.
    """
    monkeypatch.setattr(inbox, "KNOWN_MAX", 2)
    bodies = [TASK | {"task_id": f"T-{number}"} for number in range(4)]
    for _ in range(2):
        for body in bodies:
            tell(host, body, body["task_id"], 1)
            host.ingest()

    assert 8 == len(stored(host))
    assert 4 == len(host.rows("SELECT * FROM task_reports"))
    assert [] == host.rows("SELECT * FROM inbox_superseded")


# -- what is no message ----------------------------------------------------------------------------------------------

KEYED = message(key="k", revision=1)

BAD: dict[str, tuple[Any, str, str | None]] = {
    "empty": (b"", "invalid_json", None),
    "half of it": (json.dumps(message()).encode()[:50], "invalid_json", None),
    "NULs": (b"\0" * 100, "invalid_json", None),
    "not UTF-8": (b'{"schema":"\xff"}', "invalid_json", None),
    "a list": (b"[]", "invalid_json", None),
    "a name twice": (b'{"schema":1,"schema":2}', "invalid_json", None),
    "no number": (b'{"schema":NaN}', "invalid_json", None),
    "endless digits": (b'{"schema":' + b"9" * 5000 + b"}", "invalid_json", None),
    "too deep": (b"[" * 60_000, "too_deep", None),
    "too long": (json.dumps(message()).encode() + b" " * MESSAGE_BYTES_MAX, "too_long", None),
    "another schema": (message(schema="tallystick.inbox/2"), "invalid_field", "schema"),
    "no schema": ({"kind": "task"}, "missing_field", "schema"),
    "unknown kind": (message(kind="usage"), "unknown_kind", "kind"),
    "unknown field": (message(note="x"), "unknown_field", None),
    "unknown field of the body": (message(TASK | {"note": "x"}), "unknown_field", "body"),
    "no body": ({"schema": SCHEMA, "kind": "task", "producer": "test"}, "missing_field", "body"),
    "body is a list": (message([]), "invalid_field", "body"),
    "field missing": (message({"status": "open"}), "missing_field", "body.task_id"),
    "no word": (message(TASK | {"status": "finished"}), "invalid_field", "body.status"),
    "text in an id": (message(TASK | {"task_id": "fix the login"}), "invalid_field", "body.task_id"),
    "newline in an id": (message(TASK | {"task_id": "T-17\n"}), "invalid_field", "body.task_id"),
    "half a character": (message(TASK | {"task_id": "\ud83d"}), "invalid_field", "body.task_id"),
    "an id too long": (message(TASK | {"task_id": "x" * 129}), "invalid_field", "body.task_id"),
    "a number for an id": (message(TASK | {"task_id": 17}), "invalid_field", "body.task_id"),
    "a time without zone": (message(TASK | {"at": "2026-11-20T10:00:00"}), "invalid_field", "body.at"),
    "seconds for a time": (message(created_at=1764000000), "invalid_field", "created_at"),
    "digits for a time": (message(created_at="1764000000"), "invalid_field", "created_at"),
    "a time beyond UTC": (message(created_at="9999-12-31T23:00:00-12:00"), "out_of_range", "created_at"),
    "revision without key": (message(revision=1), "needs_key", "revision"),
    "negative revision": (message(key="k", revision=-1), "out_of_range", "revision"),
    "huge revision": (message(key="k", revision=2**63), "out_of_range", "revision"),
    "revision is a fraction": (message(key="k", revision=1.0), "invalid_field", "revision"),
    "revision is true": (message(key="k", revision=True), "invalid_field", "revision"),
    "empty key": (message(key=""), "invalid_field", "key"),
    "nested where a word stands": (message(TASK | {"status": {"a": [1]}}), "invalid_field", "body.status"),
    "name is not its hash": (json.dumps(KEYED).encode(), "wrong_receipt", None),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """
    A host that was sent everything bad at once, one receipt each, and has taken it in.
    """
    host = Host(tmp_path_factory.mktemp("bad"))
    for number, (content, _, _) in enumerate(BAD.values()):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        put(host, raw, f"{number:032x}").chmod(0o644)
    host.ingest()
    return host


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_message_is_told_and_kept(bad: Host, name: str) -> None:
    """
    It is evidence with a reason and no byte of it, askable by its receipt; its file is kept as it was.
    """
    content, code, field = BAD[name]
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    receipt = f"{list(BAD).index(name):032x}"

    assert [] == waiting(bad) == stored(bad)
    kept = bad.state.inbox / "rejected" / f"{receipt}.json"
    assert (written, 0o600) == (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode))
    found = outcome(bad.state, receipt)
    assert ("rejected", code, field) == (found.state, found.code, found.field)
    (row,) = bad.rows(f"SELECT * FROM inbox_rejected WHERE receipt = '{receipt}'")  # noqa: S608
    assert (code, field, len(written)) == (row["code"], row["field"], row["length_bytes"])


@pytest.mark.parametrize("name", [name for name, (_, code, _) in BAD.items() if code != "wrong_receipt"])
def test_the_command_refuses_what_the_daemon_would_reject(host: Host, name: str) -> None:
    """
    The same check at the producer's side: nothing is written.
    """
    content, code, field = BAD[name]
    with pytest.raises(Refused) as refused:
        check(json.dumps(content).encode() if isinstance(content, dict) else content)

    assert (code, field) == (refused.value.code, refused.value.field)


def test_a_rejected_message_can_be_put_right(host: Host) -> None:
    """
    Its neighbours are stored all the same, and so is what is sent in its place under the same name.
    """
    tell(host, TASK)
    put(host, message({"task_id": "T-18"}))
    host.ingest()
    put(host, message(TASK | {"task_id": "T-18"}))
    host.ingest()

    assert {"T-17", "T-18"} == {row["task_id"] for row in host.rows("SELECT task_id FROM task_reports")}
    assert "stored" == outcome(host.state, "0" * 32).state


def test_rejected_files_of_one_name_are_all_kept(host: Host) -> None:
    """
    Nothing is written over.
    """
    for number in range(3):
        put(host, b"%d" % number)
        host.ingest()

    kept = {path.read_bytes() for path in (host.state.inbox / "rejected").iterdir()}
    assert {b"0", b"1", b"2"} == kept


@pytest.mark.parametrize(
    "name",
    ["note.json", "0" * 32, "0" * 31 + ".json", "A" * 32 + ".json", "0" * 32 + ".JSON", "zwei\nzeilen.json", "ü.json"],
)
def test_a_name_that_is_no_receipt_is_rejected(host: Host, name: str) -> None:
    """
    A file that is no message by its name is not read as one, whatever is in it.
    """
    host.state.create()
    (host.state.inbox / name).write_text(json.dumps(message()))

    assert 1 == host.ingest().messages.rejected

    (row,) = host.rows("SELECT * FROM inbox_rejected")
    assert "bad_name" == row["code"]
    assert json.dumps(message()) == (host.state.inbox / "rejected" / f"{row['receipt']}.json").read_text()
    assert "rejected" == outcome(host.state, row["receipt"]).state


def test_a_name_that_is_rejected_cannot_be_guessed_from_its_hash(tmp_path: Path) -> None:
    """
    The hash that stands for a name is another one in every log.
    """
    hashes = set()
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        host.state.create()
        (host.state.inbox / "note.json").write_bytes(b"{}")
        host.ingest()
        hashes |= {row["receipt"] for row in host.rows("SELECT receipt FROM inbox_rejected")}
    assert 2 == len(hashes)


def make_link(path: Path) -> None:
    secret = path.parent.parent / "secret"
    secret.write_text(json.dumps(message()))
    path.symlink_to(secret)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def make_foreign(path: Path) -> None:
    path.write_text(json.dumps(message()))
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    os.chown(path, 12345, 12345)


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link": (make_link, "symlink"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "symlink"),
    "a pipe": (os.mkfifo, "not_regular"),
    "a directory": (Path.mkdir, "not_regular"),
    "a socket": (make_socket, "not_regular"),
    "somebody else's": (make_foreign, "foreign_owner"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_file_of_ours_is_not_opened(host: Host, name: str) -> None:
    """
    It is told and moved out of the way; a pipe blocks nobody, a link leads nowhere.
    """
    make, code = HOSTILE[name]
    host.state.create()
    make(host.state.inbox / f"{0:032}.json")
    receipt = tell(host, TASK)

    taken = host.ingest().messages

    assert (1, 1) == (taken.stored, taken.rejected)
    assert [{"code": code}] == host.rows("SELECT code FROM inbox_rejected")
    assert [] == waiting(host)
    assert "stored" == outcome(host.state, receipt).state
    assert (host.state.inbox / "rejected" / f"{0:032}.json").lstat()


def read_bytes_so_far() -> int:
    """Return how many bytes this process has read from anywhere."""
    found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    assert found is not None
    return int(found[1])


def test_a_file_of_a_gibibyte_is_rejected_without_being_read(host: Host) -> None:
    """
    Its length alone says that it is no message.
    """
    host.state.create()
    path = host.state.inbox / f"{0:032}.json"
    path.touch()
    os.truncate(path, 1024**3)
    with open_log(host.settings) as log:
        box = open_inbox(host, log)
        before = read_bytes_so_far()
        (taken,) = box.take()
        assert read_bytes_so_far() - before < 32 * 1024
        assert taken.is_rejected
        log.append(events([taken]), {})
        box.done([taken])

    assert 1024**3 == (host.state.inbox / "rejected" / path.name).stat().st_size
    assert "too_long" == outcome(host.state, path.stem).code


def test_an_event_is_never_longer_than_the_log_takes() -> None:
    """
    The longest message that passes becomes an event that the log does not refuse.
    """
    longest = {
        "hook_run": BODIES["hook_run"] | {"hook": "h" * 128, "session_id": "s" * 128},
        "task": BODIES["task"] | {"task_id": "t" * 128, "session_id": "s" * 128},
        "activity": BODIES["activity"] | {"session_id": "s" * 128},
    }
    for kind, body in longest.items():
        content = json.dumps(message(body, kind=kind, key="k" * 128, revision=2**63 - 1)).encode()
        padded = content + b" " * (MESSAGE_BYTES_MAX - len(content))
        assert len(check(padded).event("0" * 32, datetime.now(UTC))) < EVENT_BYTES_MAX // 8


# -- who may write ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_an_inbox_that_others_can_write_to_is_not_read(host: Host, mode: int) -> None:
    """
    Nobody knows who wrote what is in it: every command says so, and nothing is read, removed or written. What agents
    have logged is counted all the same.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    tell(host, TASK)
    host.state.inbox.chmod(mode)

    with pytest.raises(InboxUnsafe):
        host.ingest()
    with pytest.raises(InboxUnsafe):
        tell(host, TASK)
    done = run(host, "ingest")
    assert (3, True) == (done.returncode, "writable_by_others" in done.stderr)
    assert 1 == len(waiting(host))

    assert 1 == host.usage()["totals"]["measured"]["calls"]

    host.state.inbox.chmod(0o700)
    assert 1 == host.ingest().messages.stored


def test_an_inbox_that_is_a_link_is_not_read(host: Host, tmp_path: Path) -> None:
    """
    A planted link could lead to somebody else's files.
    """
    host.state.create()
    host.state.inbox.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    host.state.inbox.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(InboxUnsafe, match="not_a_directory"):
        host.ingest()


def test_a_half_written_file_is_left_alone_for_a_day(host: Host) -> None:
    """
    A producer may still be at it; a day later it is not. Other hidden files are nobody's business.
    """
    host.state.create()
    host.now = datetime.now(UTC)
    for name in (f".{0:032}.tmp", f".{1:032}.123.tmp", ".nfs0001", ".note"):
        (host.state.inbox / name).write_bytes(b"{")
    old = (host.now - timedelta(hours=25)).timestamp()
    for name in (f".{0:032}.tmp", ".note"):
        os.utime(host.state.inbox / name, (old, old))

    taken = host.ingest().messages

    assert (0, 0, 0) == (taken.stored, taken.known, taken.rejected)
    assert sorted([f".{1:032}.123.tmp", ".nfs0001", ".note"]) == waiting(host)


def test_a_file_is_private_and_whole(host: Host) -> None:
    """
    Nobody else may read what waits, and nothing is left of the writing.
    """
    tell(host, TASK)

    (path,) = host.state.inbox.iterdir()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(host.state.inbox.stat().st_mode)


# -- room ------------------------------------------------------------------------------------------------------------


def no_room() -> None:
    """Let no file of this process become longer than nothing."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_full_disk_is_told_to_the_producer(host: Host) -> None:
    """
    Nothing was sent, nothing is left behind, and the same command works once there is room.
    """
    body = json.dumps(TASK)
    host.state.create()

    full = process(host, "inbox", "submit", "--kind", "task", "-", input=body, preexec_fn=no_room)

    assert (3, "") == (full.returncode, full.stdout)
    assert "could not be made durable" in full.stderr
    assert "reason=EFBIG" in full.stderr
    assert [] == waiting(host)
    assert 0 == run(host, "inbox", "submit", "--kind", "task", "-", input=body).returncode
    assert 1 == len(waiting(host))


def test_a_disk_that_does_not_confirm_is_told_to_the_producer(host: Host, strace: list[str]) -> None:
    """
    The file's content may not be there after a power cut: it is not sent, and not left behind.
    """
    host.state.create()
    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    fault = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1"]

    done = subprocess.run(
        [*strace, *fault, TALLYSTICK, "inbox", "submit", "--kind", "task", "-", *place],
        input=json.dumps(TASK),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (3, "") == (done.returncode, done.stdout)
    assert "reason=EIO" in done.stderr
    assert [] == waiting(host)


def test_a_disk_that_is_full_at_the_commit_loses_no_message(host: Host) -> None:
    """
    The files are still there; once there is room they are taken.
    """
    host.ingest()
    (segment,) = host.state.log_directory.iterdir()
    limit = segment.stat().st_size + 100
    for number in range(3):
        tell(host, TASK | {"task_id": f"T-{number}"})

    full = process(host, "ingest", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))

    assert 3 == full.returncode
    assert 3 == len(waiting(host))
    assert 3 == host.ingest().messages.stored
    assert 3 == len(stored(host)) == len(host.rows("SELECT * FROM task_reports"))


def test_many_files_are_taken_a_thousand_at_a_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However many wait, neither all names nor all contents are in memory at once, and all are taken in the end.
    """
    monkeypatch.setattr(inbox, "NAMES_MAX", 1500)
    host.state.create()
    for number in range(2600):
        put(host, message(), f"{number:032x}")

    sizes = []
    with open_log(host.settings) as log:
        box = open_inbox(host, log)
        while taken := box.take():
            assert len(box._names) <= 1500
            log.append(events(taken), {})
            box.done(taken)
            sizes.append(len(taken))

    assert [1000, 500, 1000, 100] == sizes
    assert 1000 == TAKE_MAX < NAMES_MAX
    assert 2600 == len(set(stored(host))) == len(stored(host))


@pytest.mark.slow
def test_ten_thousand_files_become_ten_thousand_rows(host: Host) -> None:
    """
    A daemon that was dead for long finds what hooks have left.
    """
    host.state.create()
    content = json.dumps(message()).encode()
    for number in range(10_000):
        (host.state.inbox / f"{number:032x}.json").write_bytes(content)

    assert 10_000 == host.ingest().messages.stored

    assert [] == waiting(host)
    assert [{"n": 10_000}] == host.rows("SELECT count(DISTINCT receipt) AS n FROM task_reports")


def test_what_is_taken_is_not_taken_again_until_it_is_done(host: Host) -> None:
    """
    A loop may look before its batch is committed, and a commit may have to be tried again.
    """
    tell(host, TASK)
    with open_log(host.settings) as log:
        box = open_inbox(host, log)
        first = box.take()
        tell(host, DONE)
        second = box.take()
        assert ([1, 1], []) == ([len(first), len(second)], box.take())
        log.append(events([*first, *second]), {})
        box.done([*first, *second])
        assert [] == waiting(host)
        assert [] == box.take()


def test_what_was_taken_before_is_known_while_the_daemon_lives(host: Host) -> None:
    """
    No table has been made yet, and the log is asked once only: what came since is remembered.
    """
    receipt = tell(host, TASK, "T-17", 1)
    with open_log(host.settings) as log:
        box = open_inbox(host, log)
        assert 1 == take_all(box, log).stored
        assert receipt == tell(host, TASK, "T-17", 1)
        assert 1 == take_all(box, log).known
    assert [receipt] == stored(host)


# -- privacy ---------------------------------------------------------------------------------------------------------

CANARY = "Zebra finken lied"


def spellings(text: str) -> list[bytes]:
    """Return *text* as it might leak: plain, in part, encoded."""
    plain = text.encode()
    return [
        plain,
        b"finken",
        base64.b64encode(plain).rstrip(b"="),
        plain.hex().encode(),
        text.encode("utf-16-le"),
        quote(text).encode(),
        b"".join(b"\\u%04x" % ord(char) for char in text),
    ]


def canaries() -> list[Any]:
    """Return messages with the canary in every position: each value, each name, and around them."""
    full = [
        message(body, kind=kind, key="k", revision=1, created_at="2026-11-20T10:00:00Z")
        for kind, body in BODIES.items()
    ]
    found: list[Any] = []
    for each in full:
        found += [each | {name: CANARY} for name in each]
        found += [each | {CANARY: 1}, each | {name: {CANARY: CANARY} for name in ("key", "revision")}]
        body = each["body"]
        found += [each | {"body": body | {name: CANARY}} for name in body]
        found += [each | {"body": body | {name: [CANARY]}} for name in body]
        found += [each | {"body": body | {CANARY: CANARY}}, each | {"body": [CANARY]}]
    text = json.dumps(full[0] | {"key": CANARY}).encode()
    return [*found, CANARY.encode(), text[:-40], text + text, text.replace(b"k", b"\xff"), b"[" * 2000 + text]


def test_no_text_of_a_message_leaves_its_file(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    """
    A marked text in every value, name, key and file name is in no log, table, message or error of any command.
    """
    for number, content in enumerate(canaries()):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        put(host, raw, f"{number:032x}")
    (host.state.inbox / f"{CANARY}.json").write_text(json.dumps(message()))
    (host.state.inbox / f"{CANARY}\n\x1b").write_text(CANARY)
    sent = len(waiting(host))

    done = [run(host, "ingest"), run(host, "inbox", "list"), run(host, "inbox", "list", "--json")]
    done += [run(host, "inbox", "status", f"{number:032x}") for number in (0, 5)]
    done += [run(host, "rebuild"), run(host, "status"), run(host, "verify", "--json")]
    for content in canaries():
        if isinstance(content, dict) and isinstance(content.get("body"), dict):
            with pytest.raises(MessageRefused) as refused:
                submit(
                    host.state,
                    content["kind"],
                    content["body"],
                    producer=content["producer"],
                    key=CANARY,
                )
            done.append(Done(2, "", f"{refused.value} {refused.value!r}"))
    body = json.dumps(TASK | {CANARY: CANARY})
    done.append(run(host, "inbox", "submit", "--kind", "task", "-", input=body))
    done.append(run(host, "inbox", "submit", "--kind", "task", "-", input=body[:-5]))
    done.append(run(host, "inbox", "submit", "--kind", "task", "--key", CANARY, "--revision", CANARY, "-", input="{}"))

    assert sent == host.rows("SELECT count(*) AS n FROM inbox_rejected")[0]["n"] > 60
    said = "".join(each.stdout + each.stderr for each in done).encode() + "".join(capfd.readouterr()).encode()
    tables = json.dumps(host.rows("SELECT * FROM events"), default=str).encode()
    kept = [path for path in host.state.root.rglob("*") if path.is_file() and path.parent.name != "rejected"]
    places = {"said": said, "tables": tables} | {str(path): path.read_bytes() for path in kept}
    assert {} == {place: each for place, content in places.items() for each in spellings(CANARY) if each in content}
    assert not [path for path in (host.state.inbox / "rejected").iterdir() if "finken" in path.name]


def test_the_search_for_the_canary_finds_one(host: Host) -> None:
    """
    The test above is itself tested: an id that may be stored is found in the log and in the tables.
    """
    tell(host, TASK | {"task_id": "finken"})
    host.ingest()

    assert any(b"finken" in path.read_bytes() for path in host.state.log_directory.iterdir())
    assert "finken" in json.dumps(host.rows("SELECT * FROM events"), default=str)


# -- commands --------------------------------------------------------------------------------------------------------


def test_a_message_goes_its_whole_way_by_commands(host: Host) -> None:
    """
    Submit prints the receipt; status says what became of it, with an exit code for scripts.
    """
    sent = run(
        host, "inbox", "submit", "--kind", "task", "--key", "T-17", "--revision", "1", "-", input=json.dumps(TASK)
    )
    receipt = sent.stdout.strip()
    assert (0, 32) == (sent.returncode, len(receipt))
    pending = run(host, "inbox", "status", receipt)
    assert (3, "pending\n") == (pending.returncode, pending.stdout)
    assert (0, 1) == (
        run(host, "inbox", "list").returncode,
        json.loads(run(host, "inbox", "list", "--json").stdout)["pending"],
    )

    run(host, "ingest")

    shown = json.loads(run(host, "inbox", "status", receipt, "--json").stdout)
    assert {"schema": "tallystick.inbox.status/1", "receipt": receipt, "state": "stored"}.items() <= shown.items()
    path = host.home / "body.json"
    path.write_text(json.dumps(DONE))
    run(host, "inbox", "submit", "--kind", "task", "--key", "T-17", "--revision", "2", str(path))
    run(host, "ingest")
    old = run(host, "inbox", "status", receipt)
    assert (0, True) == (old.returncode, old.stdout.startswith("superseded seq="))
    unknown = run(host, "inbox", "status", "f" * 32)
    assert (1, "unknown\n") == (unknown.returncode, unknown.stdout)


def test_a_rejected_message_is_a_finding(host: Host) -> None:
    """
    The pass says so, the list says which and why, the status is 1.
    """
    put(host, message(TASK | {"status": "finished"}))

    done = run(host, "ingest", "--json")

    assert 1 == done.returncode
    assert "tallystick inbox list" in done.stderr
    assert {"stored": 0, "known": 0, "rejected": 1} == json.loads(done.stdout)["messages"]
    listed = run(host, "inbox", "list", "--json")
    assert 1 == listed.returncode
    (row,) = json.loads(listed.stdout)["rows"]
    assert ("rejected", "0" * 32, "invalid_field", "body.status") == tuple(
        row[name] for name in ("state", "receipt", "code", "field")
    )
    assert 1 == run(host, "inbox", "status", "0" * 32).returncode


def test_status_waits_while_a_message_is_pending(host: Host) -> None:
    """
    Asked before the daemon has taken it, the command answers once it has.
    """
    host.ingest()
    receipt = tell(host, TASK)
    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    asked = subprocess.Popen(
        [TALLYSTICK, "inbox", "status", receipt, "--wait", "60", *place], stdout=subprocess.PIPE, text=True
    )
    assert asked.stdout is not None

    host.ingest()

    assert asked.communicate()[0].startswith("stored seq=")
    assert 0 == asked.returncode


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "nonsense"], "32 hexadecimal digits"),
        (["status", "0" * 32, "--wait", "soon"], "--wait"),
        (["status", "0" * 32, "--wait", "nan"], "number of seconds"),
        (["submit", "--kind", "usage", "-"], "field=kind, rule=unknown_kind"),
        (["submit", "--kind", "task", "--revision", "1", "-"], "field=revision, rule=needs_key"),
        (["submit", "--kind", "task", "--key", "k", "--revision", "x", "-"], "field=revision, rule=invalid_field"),
        (["submit", "--kind", "task", "--producer", "Me", "-"], "field=producer, rule=invalid_field"),
        (["submit", "--kind", "hook_run", "-"], "field=body.hook, rule=missing_field"),
    ],
)
def test_what_is_not_possible_is_said_at_once(host: Host, arguments: list[str], said: str) -> None:
    """
    Exit code 2, field and rule, and nothing is written.
    """
    done = run(host, "inbox", *arguments, input=json.dumps(TASK))

    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert not host.state.inbox.exists() or [] == waiting(host)


# -- the page --------------------------------------------------------------------------------------------------------


def block(language: str) -> str:
    """Return the block of the page in *language*."""
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_shell_client_of_the_page_works(host: Host) -> None:
    """
    Nothing of ours is needed; run twice, it is the same message; its receipt is the one that our client computes.
    """
    environment = os.environ | {"TALLYSTICK_STATE_DIR": str(host.state.root)}
    for _ in range(2):
        done = subprocess.run(["sh", "-c", block("sh")], env=environment, capture_output=True, text=True, check=True)
    receipt = done.stdout.strip()
    assert [f"{receipt}.json"] == waiting(host)
    assert receipt == submit(host.state, "task", DONE, producer="my_script", key="task:T-17", revision=2)

    host.ingest()

    assert "stored" == outcome(host.state, receipt).state
    (row,) = host.rows("SELECT * FROM task_reports")
    assert ("T-17", "completed", "my_script", 2) == tuple(
        row[name] for name in ("task_id", "status", "producer", "revision")
    )


def test_the_python_client_of_the_page_works(host: Host) -> None:
    """
    The standard library alone, in an interpreter that finds nothing of ours; with and without a key.
    """
    host.state.create()
    calls = f"""
inbox = Path({str(host.state.inbox)!r})
print(send(inbox, "task", {DONE!r}, key="k", revision=3))
print(send(inbox, "hook_run", {BODIES["hook_run"]!r}))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", block("python") + calls],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    receipts = done.stdout.split()
    assert receipts[0] == submit(host.state, "task", DONE, producer="my_script", key="k", revision=3)

    assert 2 == host.ingest().messages.stored

    assert ["stored", "stored"] == [outcome(host.state, each).state for each in receipts]


def test_the_page_says_the_limits_of_the_code() -> None:
    """
    Numbers and words of the page are those of the code.
    """
    text = DOCUMENT.read_text()

    assert all(f"{number:,}" in text for number in (MESSAGE_BYTES_MAX, TAKE_MAX, NAMES_MAX, inbox.KNOWN_MAX))
    assert all(f"`{state}`" in text for state in ("pending", "stored", "superseded", "rejected", "unknown"))
    assert SCHEMA in text
