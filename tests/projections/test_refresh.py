"""A live refresh and a rebuild come to the same rows, whatever happens in between."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.registry import installed
from daemon.bootstrap import open_log, seen_files
from daemon.ingest import Ingest
from daemon.settings import Settings
from projections.build import LogTooNew, Projection
from projections.catalog import relations
from projections.hashes import facts_hash, tables_hash
from state import upcast
from state.paths import StatePaths
from tests.templates import begin_with_empty_tables

NOW = datetime(2026, 11, 20, tzinfo=UTC)

#: Refreshes the projection in a process of its own, to be killed.
REFRESH = """
import sys
from pathlib import Path
from projections.build import Projection
from state.paths import StatePaths
paths = StatePaths(Path(sys.argv[1]))
with Projection.open(paths) as projection:
    projection.refresh(paths.log_directory)
"""


class RandomHome:
    """A home that grows by random lines: partials, copies, forks, repeats and damage."""

    def __init__(self, home: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.home = home
        self.totals: dict[str, list[int]] = {}
        self.clock = 0

    def grow(self) -> None:
        """Append a few lines to a few files."""
        for _ in range(self.rng.randrange(1, 6)):
            self.rng.choice((self.claude, self.claude, self.codex, self.gptme))()

    def stamp(self) -> str:
        self.clock += self.rng.randrange(1, 30)
        return datetime.fromtimestamp(1793000000 + self.clock, UTC).isoformat().replace("+00:00", ".000Z")

    def claude(self) -> None:
        session = f"{self.rng.randrange(4):08}-1111-4111-8111-111111111111"
        sub = self.rng.random() < 0.2
        path = (
            self.home / ".claude/projects/-srv" / (f"{session}/subagents/agent-a.jsonl" if sub else f"{session}.jsonl")
        )
        usage = {
            "input_tokens": self.rng.randrange(9),
            "cache_read_input_tokens": self.rng.randrange(9),
            "output_tokens": self.rng.choice((0, 1, 1, 50, 300)),
        }
        message = {
            "id": f"msg_{self.rng.randrange(25)}",
            "model": self.rng.choice(("m-1", "m-2")),
            "stop_reason": self.rng.choice((None, "end_turn")),
            "usage": usage,
        }
        line = {
            "type": "assistant",
            "uuid": f"u{self.rng.randrange(10**9)}",
            "sessionId": session,
            "timestamp": self.stamp(),
            "isSidechain": sub,
            "requestId": self.rng.choice((None, "r1", "r2")),
            "message": message,
        }
        self.append(path, line if self.rng.random() < 0.95 else "damaged")

    def codex(self) -> None:
        name = f"{self.rng.randrange(5):08}-0001-7000-8000-000000000001"
        path = self.home / ".codex/sessions/2026/11/01" / f"rollout-2026-11-01T10-00-00-{name}.jsonl"
        if name not in self.totals:
            parent = self.rng.choice([*self.totals, None])
            self.totals[name] = list(self.totals.get(parent or "", []))
            meta = {"id": name, "forked_from_id": parent}
            self.append(path, {"type": "session_meta", "timestamp": self.stamp(), "payload": meta})
            moment = self.stamp()
            for total in self.totals[name]:
                self.append(path, count(moment, total, total))
        total = (self.totals[name] or [0])[-1] + self.rng.choice((0, 100, 250, -10_000))
        self.totals[name].append(max(total, 10))
        self.append(path, count(self.stamp(), max(total, 10), 10))

    def gptme(self) -> None:
        name = self.rng.choice(("calm-fox", "calm-fox-fork", "run-a-20261101100000"))
        metadata = {"model": "m", "usage": {"input_tokens": self.rng.randrange(3), "output_tokens": 4}}
        line = {"role": "assistant", "timestamp": f"2026-11-01T10:00:{self.rng.randrange(30):02}", "metadata": metadata}
        self.append(self.home / ".local/share/gptme/logs" / name / "conversation.jsonl", line)

    def append(self, path: Path, line: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


def count(moment: str, total: int, last: int) -> dict[str, object]:
    info = {
        name: {"input_tokens": n, "total_tokens": n}
        for name, n in (("total_token_usage", total), ("last_token_usage", last))
    }
    return {"type": "event_msg", "timestamp": moment, "payload": {"type": "token_count", "info": info}}


def settings_of(tmp_path: Path, name: str = "state") -> Settings:
    state = StatePaths(tmp_path / name)
    begin_with_empty_tables(state)
    return Settings(tmp_path / "home", state, zone="UTC", host="test")


def read_into_log(settings: Settings) -> None:
    with open_log(settings, lambda: NOW) as log:
        Ingest(log, lambda: NOW).run(seen_files(settings))


def refresh(settings: Settings) -> None:
    with Projection.open(settings.state) as projection:
        projection.refresh(settings.state.log_directory)


def refreshed(settings: Settings) -> tuple[str, str]:
    """Return the hashes of tables that are brought up to the log."""
    with Projection.open(settings.state) as projection:
        projection.refresh(settings.state.log_directory)
        return tables_hash(projection.connection), facts_hash(projection.connection)


def rebuilt(settings: Settings, tmp_path: Path) -> tuple[str, str]:
    """Return the hashes of tables made from a copy of the log alone."""
    copy = StatePaths(tmp_path / "copy")
    shutil.rmtree(copy.root, ignore_errors=True)
    begin_with_empty_tables(copy)
    shutil.copytree(settings.state.log_directory, copy.log_directory, dirs_exist_ok=True)
    return refreshed(Settings(settings.home, copy, "UTC", "test"))


@pytest.mark.parametrize(
    ("seed", "steps"), [(1, 7), *(pytest.param(seed, 50, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_refreshes_with_kills_between_equal_one_rebuild(tmp_path: Path, seed: int, steps: int) -> None:
    """
    After any number of refreshes, some of them killed, the tables are what the log alone gives.
    """
    settings, home = settings_of(tmp_path), RandomHome(tmp_path / "home", seed)
    home.home.mkdir()
    for step in range(steps):
        home.grow()
        read_into_log(settings)
        if step % 3 == 1:
            child = subprocess.Popen([sys.executable, "-c", REFRESH, str(settings.state.root)])
            time.sleep(home.rng.random() * 0.5)
            child.send_signal(signal.SIGKILL)
            child.wait()
        refresh(settings)
        if step % 12 == 0:
            assert rebuilt(settings, tmp_path) == refreshed(settings)

    assert rebuilt(settings, tmp_path) == rebuilt(settings, tmp_path) == refreshed(settings)


def test_facts_are_the_same_for_one_pass_and_for_many(tmp_path: Path) -> None:
    """
    Reading at every step, or once at the end, in whatever order files are found: the same facts.
    """
    many, once, home = settings_of(tmp_path), settings_of(tmp_path, "once"), RandomHome(tmp_path / "home", 3)
    home.home.mkdir()
    for _ in range(6):
        home.grow()
        home.grow()
        read_into_log(many)
        refresh(many)
    with open_log(once, lambda: NOW) as log:
        Ingest(log, lambda: NOW).run(list(reversed(seen_files(once))))

    assert refreshed(many)[1] == refreshed(once)[1]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """
    Give a home of many lines that was read; its tables are only asked.
    """
    root = tmp_path_factory.mktemp("grown")
    settings, home = settings_of(root), RandomHome(root / "home", 4)
    home.home.mkdir()
    for _ in range(20):
        home.grow()
    read_into_log(settings)
    refresh(settings)
    return settings


def test_every_declared_key_is_unique(grown: Settings) -> None:
    """
    The key in a relation's header names one row.
    """
    with Projection.open(grown.state) as projection:
        doubled = [
            each.name
            for each in relations()
            if each.refresh != "step"
            and projection.connection.execute(
                f"SELECT 1 FROM ({each.sql if each.refresh == 'part' else f'FROM {each.name}'}) "  # noqa: S608
                f"GROUP BY {', '.join(each.key)} HAVING count(*) > 1 LIMIT 1"
            ).fetchall()
        ]
    assert [] == doubled


def test_measured_and_superseded_share_out_every_statement(grown: Settings) -> None:
    """
    Each statement of usage either counts or is superseded, with what stands in its place; none is both or neither.
    """
    with Projection.open(grown.state) as projection:
        neither = projection.connection.execute(
            """
            SELECT seq FROM events WHERE kind = 'usage'
            EXCEPT (SELECT value_seq FROM usage_measured UNION ALL SELECT seq FROM superseded)
            """
        ).fetchall()
        both = projection.connection.execute(
            "SELECT seq FROM superseded INTERSECT SELECT value_seq FROM usage_measured"
        ).fetchall()
        unknown = projection.connection.execute(
            "SELECT by_seq FROM superseded WHERE by_seq NOT IN (SELECT seq FROM events)"
        ).fetchall()
    assert ([], [], []) == (neither, both, unknown)


def test_an_event_of_a_newer_version_stops_the_refresh(tmp_path: Path) -> None:
    """
    An old program over a new log says that it is too old; it does not guess.
    """
    settings = settings_of(tmp_path)
    with open_log(settings) as log:
        log.append([b'{"k":"usage","v":2,"agent":"codex"}'], {})

    with pytest.raises(LogTooNew, match="Upgrade"):
        refresh(settings)


def test_an_event_of_an_older_version_is_upcast_on_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The log keeps the old shape; the tables have the new one.
    """
    monkeypatch.setitem(upcast.UPCASTS, 0, lambda event: event | {"model": event["engine"]})
    settings = settings_of(tmp_path)
    with open_log(settings) as log:
        log.append([b'{"k":"turn","v":0,"agent":"codex","engine":"m-1"}'], {})
    refresh(settings)

    with Projection.open(settings.state) as projection:
        rows = projection.connection.execute("SELECT model, event_version FROM events").fetchall()
    assert [("m-1", 1)] == rows


def test_every_agent_is_installed() -> None:
    """
    An adapter is a file in its folder; nothing else registers it.
    """
    assert {"claude_code", "codex", "gptme"} <= {adapter.agent for adapter in installed()}
