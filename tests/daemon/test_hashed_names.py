"""
Where an operator wants it, no name of a directory, file or branch is kept in plain, and every figure is the same.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from daemon import identity
from daemon.bootstrap import catch_up, seen_files
from daemon.cli import main
from daemon.identity import NAMES
from daemon.privacy.canary import Canary
from daemon.privacy.search import Search
from daemon.privacy.stored import strings_of
from daemon.settings import Settings
from daemon.usage_verb import usage_document
from daemon.veil import BRANCHES, PATH_LISTS, PATHS, NamesAreHashed, NamesArePlain, Veil, key_path
from projections.read import Tables, Window
from state.errors import StateUnusable
from state.evidence import KINDS
from state.paths import StatePaths
from tests.daemon.conftest import SESSION, Host, claude_line, codex_lines, later
from tests.daemon.repositories import repository
from tests.daemon.seed import record

KEY = b"k" * 32


@pytest.fixture(autouse=True)
def plain_again():
    """
    Leave no veil to the next test of this process.
    """
    yield
    NAMES.veil = None


class Client:
    """A home whose directories and branches are named for a client, read into a state directory of one's choice."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.canary = Canary.drawn()
        self.name = self.canary.numbered(1)
        self.checkout = repository(host.home / "work" / self.name / "app")
        self.branch = f"{self.name}/ABC-12-login"
        self.transcript = host.home / ".claude/projects" / f"-work-{self.name}" / f"{SESSION}.jsonl"

    def write(self) -> None:
        """Let two agents work there; the harness keeps a record that points into it."""
        self.transcript.parent.mkdir(parents=True, exist_ok=True)
        place: dict[str, Any] = {"cwd": os.fspath(self.checkout), "gitBranch": self.branch}
        self.transcript.write_bytes(claude_line("msg_a", 5, **place) + claude_line("msg_b", 7, second=9, **place))
        meta, *rest = codex_lines([10, 30]).split(b"\n")
        payload = json.loads(meta)["payload"] | {"cwd": os.fspath(self.checkout), "git": {"branch": self.branch}}
        rollout = self.host.codex()
        rollout.write_bytes(b"\n".join([json.dumps(json.loads(meta) | {"payload": payload}).encode(), *rest]))
        self.host.records(
            record("a1", self.host.now.replace(tzinfo=None), trajectory_path=os.fspath(self.transcript)),
            record("a2", self.host.now.replace(tzinfo=None), trajectory_path=f"~/{self.name}/missing.jsonl"),
        )

    def settings(self, names: str) -> Settings:
        """Return the settings of a host that stores names so, in a state directory of its own."""
        config = self.host.home.parent / f"{names}.toml"
        config.write_text(f'[privacy]\nnames = "{names}"\n')
        state = StatePaths(self.host.home.parent / f"state-{names}")
        return self.host.settings._replace(state=state, config_file=config)

    def ingest(self, settings: Settings) -> None:
        catch_up(settings, seen_files(settings), clock=lambda: self.host.now)

    def read(self, settings: Settings) -> None:
        """Read it as it comes: a file is moved, another vanishes, one cannot be read any more."""
        self.ingest(settings)
        moved = self.transcript.parent.with_name(f"-moved-{self.canary.numbered(3)}") / self.transcript.name
        self.transcript.parent.rename(moved.parent)
        self.ingest(settings)
        moved.write_bytes(moved.read_bytes() + claude_line("msg_c", 11, second=20, cwd=os.fspath(self.checkout)))
        gone = moved.with_name(f"{SESSION[:-1]}4.jsonl")
        gone.write_bytes(claude_line("msg_d", 13, second=30))
        self.ingest(settings)
        gone.unlink()
        moved.with_name(f"{SESSION[:-1]}5.jsonl").symlink_to("/nowhere")
        self.ingest(settings)
        moved.with_name(f"{SESSION[:-1]}5.jsonl").unlink()
        moved.parent.rename(self.transcript.parent)
        self.ingest(settings)


@pytest.fixture
def client(host: Host) -> Client:
    client = Client(host)
    client.write()
    return client


def figures(settings: Settings) -> list[Any]:
    """
    Return everything that was counted, by whom it was and to what it belongs; of names only what hangs on them.
    """
    with Tables(settings.state.published) as tables:
        usage = [
            usage_document(tables, by, Window(), ("allocated", "superseded"))["rows"]
            for by in (("agent", "day", "model", "session"), ("repo",), ("task",))
        ]
        changes = tables.rows(
            "SELECT change, count(*) AS n FROM events WHERE kind = 'source' GROUP BY ALL ORDER BY ALL"
        )
        findings = tables.rows("SELECT rule, count(*) AS n FROM findings GROUP BY ALL ORDER BY ALL")
        checkouts = tables.rows(
            "SELECT count(*) AS n FROM events WHERE kind IN ('checkout', 'git_commit', 'trajectory')"
        )
    return [*usage, changes, findings, checkouts]


def test_figures_are_the_same_whether_names_are_plain_or_hashed(client: Client) -> None:
    """
    Tokens, sessions, repositories, tasks of branches, what happened to files, findings: not one hangs on a name.
    """
    plain, hashed = client.settings("plain"), client.settings("hashed")

    client.read(plain)
    client.write()
    client.read(hashed)

    assert figures(plain) == figures(hashed)
    assert any(row["task"] == "ABC-12" for row in figures(hashed)[2])
    assert {"opened", "moved", "gone", "unreadable"} <= {row["change"] for row in figures(hashed)[3]}


def test_no_name_is_in_any_sink(client: Client, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """
    Neither log nor tables nor what the commands say has the name of the client; in plain they have it.
    """
    found = {}
    for names in ("plain", "hashed"):
        settings = client.settings(names)
        client.write()
        client.read(settings)
        monkeypatch.setattr("daemon.cli.load", lambda *_, known=settings: known)
        for question in QUESTIONS:
            main([*question])
        told = capfd.readouterr()
        search = Search(client.canary)
        found[names] = {
            "state": search.directory(settings.state.root).hits,
            "tables": search.tables(settings.state.projection).hits,
            "published": search.tables(settings.state.published).hits,
            "stdout": search.content(told.out.encode(), "stdout").hits,
            "stderr": search.content(told.err.encode(), "stderr").hits,
        }

    assert all(found["plain"][sink] for sink in ("state", "tables", "published", "stdout"))
    assert [] == [hit for hits in found["hashed"].values() for hit in hits]


QUESTIONS = (
    ("usage", "--by", "branch,repo,session,task", "--include", "allocated,superseded"),
    ("sessions", "--json"),
    ("findings", "--json"),
    ("status",),
    ("doctor",),
    ("health", "--json"),
    ("repo", "list", "--json"),
    ("list", "high-water-marks", "--json"),
    ("list", "events", "--json"),
    ("reconcile", "--json"),
    ("tail", "--no-follow", "--last", "1000", "--json"),
    ("metrics",),
    ("repair", "plan"),
)


def test_a_hashed_name_can_be_asked_for(client: Client, monkeypatch: Any, capsys: Any) -> None:
    """
    Who wants one branch or directory of the tables says its name, and learns how it is called there.
    """
    settings = client.settings("hashed")
    client.ingest(settings)
    monkeypatch.setattr("daemon.cli.load", lambda *_: settings)

    main(["privacy", "name", client.branch])
    main(["privacy", "name", os.fspath(client.checkout)])

    branch, cwd = capsys.readouterr().out.split()
    with Tables(settings.state.published) as tables:
        rows = tables.rows("SELECT DISTINCT git_branch, cwd FROM events WHERE kind = 'usage' AND cwd IS NOT NULL")
    assert [{"git_branch": branch, "cwd": cwd}] == rows


def test_a_file_is_found_again_behind_its_hash(client: Client, monkeypatch: Any) -> None:
    """
    `verify --sources` and `explain` open the very bytes: whoever has the key and may list the directories.
    """
    settings = client.settings("hashed")
    client.ingest(settings)
    monkeypatch.setattr("daemon.cli.load", lambda *_: settings)

    with Tables(settings.state.published) as tables:
        (row,) = tables.rows(
            "SELECT DISTINCT source AS source_path FROM events WHERE agent = 'claude_code' AND kind = 'usage'"
        )

    assert client.name not in row["source_path"]
    assert os.fspath(client.transcript) == identity.real_path(row["source_path"])
    assert 0 == main(["verify", "--sources"])


def test_the_key_is_made_once_and_is_nobody_elses_to_read(client: Client) -> None:
    """
    It lies among the segments, for its owner only, and stays what it is: another key would make every file a new one.
    """
    settings = client.settings("hashed")
    client.ingest(settings)
    key = key_path(settings.state)
    first = key.read_bytes()

    client.ingest(settings)

    assert settings.state.log_directory == key.parent
    assert 0o600 == stat.S_IMODE(key.stat().st_mode)
    assert first == key.read_bytes()
    assert 32 == len(first)


def test_a_log_of_plain_names_is_never_mixed_with_hashed_ones(client: Client) -> None:
    """
    The setting is for a new log: what stands in an old one would stay there, and every file would be read twice.
    """
    plain, hashed = client.settings("plain"), client.settings("hashed")
    client.ingest(plain)
    client.ingest(hashed)

    with pytest.raises(NamesArePlain):
        client.ingest(hashed._replace(state=plain.state))
    with pytest.raises(NamesAreHashed):
        client.ingest(plain._replace(state=hashed.state))
    with pytest.raises(NamesAreHashed):
        client.ingest(hashed._replace(config_file=Path("/nonexistent")))


def test_a_lost_or_damaged_key_stops_the_writer(client: Client) -> None:
    """
    With another key every file would be a new one; nothing is written until the key is back.
    """
    settings = client.settings("hashed")
    client.ingest(settings)
    key = key_path(settings.state)
    kept = key.read_bytes()

    key.write_bytes(kept[:16])
    with pytest.raises(StateUnusable):
        client.ingest(settings)
    key.unlink()
    with pytest.raises(NamesArePlain):
        client.ingest(settings)
    key.write_bytes(kept)
    later(client.transcript)
    before = figures(settings)
    client.ingest(settings)

    assert before == figures(settings)


# -- the veil itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/home/acme/app",
        "/home/acme/app/sub dir/x.jsonl",
        "C:\\Users\\acme\\app",
        "\\\\server\\acme",
        "~/acme/x",
        "/a//b",
    ],
)
def test_a_path_is_hashed_part_by_part_and_once(path: str) -> None:
    """
    What lies below is still seen to, the same again gives the same, another key another, and only kept words stay.
    """
    veil, other = Veil(KEY), Veil(b"x" * 32)

    hashed = veil.path(path)

    assert hashed == veil.path(hashed)
    assert hashed != other.path(path)
    assert "acme" not in hashed
    assert veil.path(f"{path}/inner").startswith(hashed) or "\\" in path


def test_what_no_one_is_named_for_stays() -> None:
    """
    Whose logs they are, what a file is, and that a directory is an evaluation's: rules and readers go by them.
    """
    veil = Veil(KEY)

    path = veil.path("/home/me/.local/share/gptme/logs/2026-04-19-gptme-evals-x/conversation.jsonl")

    assert path.startswith("/home/h")
    assert "/.local/share/gptme/logs/gptme-evals-h" in path
    assert path.endswith("/conversation.jsonl")
    assert veil.path("/x/a.jsonl.zst").endswith(".jsonl.zst")


def test_bytes_that_are_no_text_are_hashed_as_well() -> None:
    """
    A name of any bytes, and the URI that would name it otherwise, come to one hash.
    """
    veil = Veil(KEY)

    assert veil.path(os.fsdecode(b"/home/acme\xff")) == veil.path("file:///home/acme%FF")
    assert veil.path("/home/a\x1b").isprintable()


def test_a_branch_keeps_the_task_it_names_and_nothing_else() -> None:
    """
    The log names the task anyway; a pattern that would not find it again behind the hash keeps nothing.
    """
    veil = Veil(KEY, [r"(?:^|[/_-])([A-Z][A-Z0-9]+-[0-9]+)(?:$|[/_.-])"])

    assert veil.branch("acme/ABC-12-login").endswith("/ABC-12")
    assert "acme" not in veil.branch("acme/ABC-12-login")
    assert veil.branch(veil.branch("acme/ABC-12-login")) == veil.branch("acme/ABC-12-login")
    assert veil.branch("acme/login").startswith("hash:")
    assert Veil(KEY, [r"^acme-([0-9]+)$"]).branch("acme-12").startswith("hash:")
    assert Veil(KEY, ["("]).branch("acme").startswith("hash:")


def test_every_field_that_holds_a_path_or_a_branch_is_veiled() -> None:
    """
    A field that is added tomorrow is veiled too, or this fails: paths and branches are known by their patterns.
    """
    strings = [(each.place, each.pattern or "") for model in KINDS.values() for each in strings_of(model)]
    paths = {place for place, pattern in strings if "202a" in pattern or pattern.startswith("^file://")}
    branches = {place for place, pattern in strings if "#=,~" in pattern}

    assert {place.rpartition(".")[2].removesuffix("[]") for place in paths} == PATHS | PATH_LISTS
    assert {place.rpartition(".")[2] for place in branches} == BRANCHES
