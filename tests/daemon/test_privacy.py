"""
What may be stored is a closed list, and a canary in any other place is nowhere afterwards.

Each part of the proof is shown to be able to fail: a model with free text, a search that is given a leak in each
encoding and in each place, and an adapter that lets words out.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import duckdb
import pytest
from pydantic import BaseModel, Field

from adapters.registry import installed
from daemon.cli import main
from daemon.hooks.command import main as hook
from daemon.privacy import prove
from daemon.privacy.canary import Canary, forms_of
from daemon.privacy.planting import Planter, distinct
from daemon.privacy.prove import Proof, leaks, proved
from daemon.privacy.runs import Runs, Scratch
from daemon.privacy.samples import Sample, Table, demo_samples
from daemon.privacy.search import Search
from daemon.privacy.stored import listed, positions_of, strings_of
from state.archive import FRAME_BYTES, compressed
from state.evidence import KINDS
from tests.daemon.conftest import Host, claude_line
from tests.daemon.test_databases import SCHEMA

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures"
HOOKS = Path(__file__).parent / "fixtures" / "hooks"
#: More logs, where somebody has some: a folder with one for each case.
CASES = Path(os.environ.get("TALLYSTICK_CASES", "/nonexistent"))
ADAPTERS = {adapter.parser: adapter for adapter in installed()}
WORDS = "correct horse, battery staple"

#: Where each adapter's agent keeps such a source.
PLACES = {
    "claims": "",
    "claude_code": "-srv-repo/{}.jsonl",
    "claude_history": "",
    "codex": "2026/11/01/rollout-2026-11-01T10-00-00-019a0000-0001-7000-8000-{:0>12}.jsonl",
    "codex_history": "",
    "gptme": "2026-11-01-calm-{}/conversation.jsonl",
    "opencode_storage": "ses_a/msg_{}.json",
}


# -- the list ----------------------------------------------------------------------------------------------------------


def test_every_stored_string_has_a_pattern():
    """
    No field of any event takes free text: each string has a pattern, a list of words, or is a time.
    """
    free = [(kind, each.place) for kind, model in KINDS.items() for each in strings_of(model) if each.pattern is None]

    assert [] == free


def test_no_pattern_lets_a_sentence_through():
    """
    A pattern that takes anything would be no pattern. The operator's own regular expressions may have blanks.
    """
    patterns = {each.pattern or "" for model in KINDS.values() for each in strings_of(model)}

    lax = {each for each in patterns if each.startswith("^") and re.search(each, WORDS)}

    assert {"^[ -~]{1,256}$"} == lax


class Inner(BaseModel):
    words: str


class Leaky(BaseModel):
    fine: str = Field(pattern="^[a-z]{1,8}$")
    plain: str
    maybe: str | None = None
    several: tuple[str, ...] = ()
    names: dict[str, int] = Field(default_factory=dict)
    inner: list[Inner] = Field(default_factory=list)


def test_free_text_in_a_model_is_seen():
    """
    A string without a pattern is found wherever it stands: beside null, in a list, as a name, in an inner model.
    """
    found = [each.place for each in strings_of(Leaky) if each.pattern is None]

    assert ["plain", "maybe", "several[]", "names{}", "inner[].words"] == found


@pytest.mark.parametrize("agent", ADAPTERS)
def test_every_adapter_lists_its_positions_by_fields_that_exist(agent):
    """
    The list of an adapter names fields of evidence, each with its pattern, and is not empty.
    """
    found = list(positions_of(ADAPTERS[agent]))

    assert found
    assert all(each.pattern for each in found)


# -- the search --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def canary() -> Canary:
    return Canary.drawn()


@pytest.mark.parametrize("name", [name for name, _ in leaks(Canary("zq0123456789abcd"))])
def test_a_leak_is_found_in_each_encoding(canary, name):
    """
    Words with the canary in them are found as they are and in every form, between other bytes and in capitals.
    """
    leak = dict(leaks(canary))[name]

    (hit,) = Search(canary).content(b"\x00\xff" * 999 + leak + b"\x00\xff" * 999, "somewhere").hits
    upper = [] if "base64" in name else Search(canary).content(leak.upper(), "somewhere").hits

    assert hit.encoding == ("base64" if "base64" in name else name.removesuffix("-le").removesuffix("-be"))
    assert 0 == hit.number or hit.encoding != "raw"
    assert "base64" in name or upper


def test_other_words_are_no_leak(canary):
    """
    What has no canary has no hit, and another proof's canary is none.
    """
    content = b"".join(leak for _, leak in leaks(Canary.drawn()))

    assert [] == Search(canary).content(content, "somewhere").hits


def test_a_leak_is_found_in_a_compressed_segment(canary, tmp_path):
    """
    Behind the first frame too: a segment is many of them.
    """
    plain, packed = tmp_path / "plain", tmp_path / "0.ndjson.zst"
    digits = os.urandom(FRAME_BYTES).hex()
    plain.write_text(f"{digits}{canary.token}{digits[:99]}")
    with plain.open("rb") as content:
        packed.write_bytes(b"".join(compressed(content)))
    plain.unlink()

    assert canary.token.encode() not in packed.read_bytes()
    assert ["0.ndjson.zst"] == [hit.where for hit in Search(canary).directory(tmp_path).hits]


def test_a_leak_is_found_in_the_name_of_a_file(canary, tmp_path):
    """
    A name is stored as well as what stands in it; that of a link too.
    """
    (tmp_path / f"a-{canary.token}").mkdir()
    (tmp_path / f"b-{canary.token}").symlink_to("/nowhere")

    assert 2 == len(Search(canary).directory(tmp_path).hits)


@pytest.mark.parametrize("value", ["?", "{'a': [?]}", "map {?: 1}", "base64(?::BLOB)", "hex(?::BLOB)", "?::BLOB"])
def test_a_leak_is_found_in_any_column_of_a_table(canary, tmp_path, value):
    """
    The last column too, within lists, structs and maps, in the last of many rows.
    """
    path = tmp_path / "tables.duckdb"
    with duckdb.connect(os.fspath(path)) as connection:
        connection.execute(f"CREATE TABLE t AS SELECT n, NULL AS b, {value} AS c FROM range(9000) r(n)", ["clean"])  # noqa: S608
        connection.execute(f"INSERT INTO t SELECT -1, NULL, {value}", [f"words {canary.token}"])

    assert ["t"] == [hit.where for hit in Search(canary).tables(path).hits]


def ingested(host: Host) -> Scratch:
    """
    Return the scratch directory of a proof as it is when everything was read; nothing was planted.
    """
    scratch = Scratch(host.home.parent)
    for each in (scratch.work, scratch.config):
        each.mkdir()
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    return scratch


def _file(scratch: Scratch, runs: Runs, words: str) -> None:
    (scratch.state.quarantine / "torn").write_text(words)


def _table(scratch: Scratch, runs: Runs, words: str) -> None:
    with duckdb.connect(os.fspath(scratch.state.projection)) as connection:
        connection.execute("UPDATE events SET session_id = ?", [words])


def _published(scratch: Scratch, runs: Runs, words: str) -> None:
    with duckdb.connect(os.fspath(scratch.state.published)) as connection:
        connection.execute("UPDATE events SET session_id = ?", [words])


def _stdout(scratch: Scratch, runs: Runs, words: str) -> None:
    runs.said.stdout += words.encode()


def _stderr(scratch: Scratch, runs: Runs, words: str) -> None:
    runs.said.stderr += words.encode()


def _metrics(scratch: Scratch, runs: Runs, words: str) -> None:
    runs.said.metrics += words.encode()


def _temporary(scratch: Scratch, runs: Runs, words: str) -> None:
    (scratch.work / "core").write_bytes(words.encode("utf-16-le"))


@pytest.mark.parametrize(
    ("sink", "leak"),
    [
        ("state directory", _file),
        ("tables", _table),
        ("published", _published),
        ("stdout", _stdout),
        ("stderr", _stderr),
        ("metrics", _metrics),
        ("temporary files", _temporary),
    ],
)
def test_a_leak_is_found_in_each_sink(host, canary, sink, leak):
    """
    Whatever of the product kept a word, the proof names the place.
    """
    scratch = ingested(host)
    runs = Runs(scratch, ())
    clean = prove._searched(Search(canary), scratch, runs)

    leak(scratch, runs, f"words {canary.token}")
    found = prove._searched(Search(canary), scratch, runs)

    assert [] == [name for name, looked in clean.items() if looked.hits]
    assert sink in [name for name, looked in found.items() if looked.hits]


def test_a_search_that_sees_nothing_proves_nothing(canary, tmp_path):
    """
    The search is tried before it is believed: one for another word than the planted one is blind.
    """
    with pytest.raises(prove.SearchBlind):
        prove._try(Search(Canary.drawn()), canary, tmp_path / "control")


def test_a_proof_without_evidence_is_none(tmp_path):
    """
    Where no planted line became an event, finding nothing means nothing.
    """
    with pytest.raises(prove.NothingProved):
        proved([], tmp_path / "scratch")


# -- planting ----------------------------------------------------------------------------------------------------------


def test_every_place_and_name_of_a_line_gets_a_canary():
    """
    At a listed position words alone, at every other one all that a pattern would let through, and each name.
    """
    planter = Planter(Canary.drawn())
    line = json.dumps({"sessionId": "s", "deep": [{"text": "x"}], "json": '{"inner": 1}'}).encode()

    lines = list(planter.lines("a", line, frozenset({"sessionId"})))

    assert "a: sessionId as words" in planter.places
    assert "a: sessionId as id" not in planter.places
    for place in ("deep", "deep.[]", "deep.[].text", "json"):
        assert {f"a: {place} as words", f"a: {place} as id", f"a: {place} as path"} <= set(planter.places)
    assert {"a: name at deep.[].text as id", "a: json: inner as id"} <= set(planter.places)
    assert all(planter.canary.token.encode() in each or b"\\" in each or len(each) < 200 for each in lines)
    assert len(set(lines)) == len(lines)


# -- the proof ---------------------------------------------------------------------------------------------------------


def fixture_samples() -> Iterator[Sample]:
    """
    Yield a sample of each adapter: one line of each shape that its fixtures have.
    """
    for agent, adapter in ADAPTERS.items():
        lines = distinct(
            line for path in sorted((FIXTURES / agent).glob("*.jsonl")) for line in path.read_bytes().split(b"\n")
        )
        if agent == "opencode":
            yield Sample(adapter, PurePosixPath("opencode.db"), tables=list(tables_of(lines)))
        elif adapter.kind == "document" and PLACES[agent]:
            for number, line in enumerate(lines):
                yield Sample(adapter, PurePosixPath(PLACES[agent].format(f"{number:04}")), [line])
        else:
            place = PLACES[agent].format("0001")
            yield Sample(adapter, PurePosixPath(place) if place else PurePosixPath(), lines)


def tables_of(lines: list[bytes]) -> Iterator[Table]:
    """
    Yield OpenCode's tables with the rows that its fixtures describe, the session with a title.
    """
    session, message = (f"{each};" for each in SCHEMA.strip().split(";")[:2])
    yield Table("session", session, [{"id": b"ses_a", "parent_id": b"ses_b", "title": b"a title", "version": b"1.2.3"}])
    rows = [json.loads(line) for line in lines]
    yield Table(
        "message",
        message,
        [
            {
                "id": f"msg_{number}".encode(),
                "session_id": b"ses_a",
                "time_created": number,
                "time_updated": number,
                "data": json.dumps(row["data"]).encode(),
            }
            for number, row in enumerate(rows)
            if isinstance(row.get("data"), dict)
        ],
    )


def case_samples() -> Iterator[Sample]:
    """
    Yield the logs of Claude Code and Codex among the shared cases, where there are any.
    """
    for number, path in enumerate(sorted(CASES.rglob("*.jsonl"))):
        agent = "codex" if "rollout" in path.name or "codex" in str(path) else "claude_code"
        place = PLACES[agent].format(f"9{number:03}")
        yield Sample(ADAPTERS[agent], PurePosixPath(place), path.read_bytes().split(b"\n"))


def assert_clean(proof: Proof) -> None:
    assert [] == [(hit.where, hit.encoding, proof.place(hit)) for hit in proof.hits]
    assert [] == proof.uncaught
    assert set() == proof.plot.skipped
    assert all(looked.size_bytes for name, looked in proof.sinks.items() if name != "temporary files")


@pytest.mark.timeout(600)
def test_no_canary_of_a_fixture_is_stored_anywhere(tmp_path):
    """
    Every adapter, a line of each shape, canaries in some of its places: killed, aborted, read, asked, nothing stays.
    """
    proof = proved(list(fixture_samples()), tmp_path / "scratch", planted_max=300)

    assert set(ADAPTERS) == set(proof.plot.lines)
    assert_clean(proof)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_canary_in_any_place_of_any_fixture_is_stored_anywhere(tmp_path):
    """
    The same with every place of every shape, of the shared cases too where there are any.
    """
    proof = proved([*fixture_samples(), *case_samples()], tmp_path / "scratch", planted_max=10**6)

    assert_clean(proof)


@pytest.mark.parametrize("path", sorted(HOOKS.rglob("*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_words_that_a_hook_is_handed_are_stored(tmp_path, path, capfd):
    """
    An agent hands its hook commands, answers and prompts; no word of any of them stays, whatever its name.
    """
    planter, state = Planter(Canary.drawn()), tmp_path / "state"
    value = json.loads(path.read_bytes())

    for planted in planter.values("hook", value, frozenset(every_place(value))):
        hook([path.parent.name, "--state-dir", os.fspath(state), json.dumps(planted)])

    told = capfd.readouterr()
    looked = Search(planter.canary).directory(state)
    assert looked.size_bytes
    assert [] == [planter.places[hit.number or 0] for hit in looked.hits]
    assert planter.canary.token not in told.out + told.err


def every_place(value: object, place: str = "") -> Iterator[str]:
    """
    Yield the name of every position: words alone are planted, since which ids a hook stores hangs on what was called.
    """
    inner = value
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            inner = None
    pairs = (
        inner.items()
        if isinstance(inner, dict)
        else [("[]", each) for each in inner]
        if isinstance(inner, list)
        else ()
    )
    for name, each in pairs:
        yield f"{place}{name}"
        yield from every_place(each, f"{place}{name}.")


# -- the command -------------------------------------------------------------------------------------------------------

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "adding-an-agent.md").read_text("utf-8")

LEAKY = """
from tern import *

class Answer(Line):
    text: str | None = None

decode_answer = Decoder(Answer).decode

class Leaky(Tern):
    def read_line(self, line, header):
        for said in super().read_line(line, header):
            if isinstance(said, UsageStated):
                said = msgspec.structs.replace(said, request_id=identity(decode_answer(line).text))
            yield said

ADAPTER = Leaky()
"""


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """
    Install the guide's adapter with one mistake: it stores what stands in `text`, which its list does not name.
    """
    site = tmp_path / "site"
    metadata = site / "tallystick_tern-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    files = dict(re.findall(r"<!-- file: (\S+) -->\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL))
    (site / "tern.py").write_text(files["tern.py"])
    (site / "leaky.py").write_text(LEAKY)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tallystick-tern\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[tallystick.adapters]\ntern = leaky:ADAPTER\n")
    return site


@pytest.mark.timeout(600)
def test_a_leak_of_a_plug_in_is_found_and_named(tmp_path, plug_in):
    """
    An adapter that stores what it does not list is found out on the operator's own host, with the place it is from.
    """
    log = tmp_path / "home/.tern/logs/s-0001.jsonl"
    log.parent.mkdir(parents=True)
    usage = {"in": 1, "out": 2}
    log.write_text(json.dumps({"type": "answer", "id": "a1", "model": "m", "text": "hello", "usage": usage}) + "\n")
    command = [sys.executable, "-m", "daemon.cli", "privacy", "prove", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plug_in), *sys.path]), "TMPDIR": str(tmp_path)}

    done = subprocess.run(
        [*command, "--home", tmp_path / "home"], env=environment, capture_output=True, text=True, check=False
    )

    assert 1 == done.returncode, done.stderr
    said = json.loads(done.stdout)
    assert not said["is_clean"]
    assert {"tern: text as id"} <= {leak["planted_at"] for leak in said["leaks"]}
    assert {"state directory", "tables", "published"} <= {each["sink"] for each in said["sinks"] if each["hits"]}
    assert [] == list(tmp_path.glob("tallystick-privacy-*"))


@pytest.mark.timeout(600)
def test_the_command_proves_it_for_an_empty_home(host, tmp_path, monkeypatch, capsys):
    """
    Where no agent has logs, those of the demo are planted; the operator's own state directory is not touched.
    """
    monkeypatch.setattr(prove, "samples", lambda settings: demo_samples(settings)[:3])

    code = main(["privacy", "prove", "--home", str(host.home), "--state-dir", str(host.state.root)])

    out = capsys.readouterr().out
    assert 0 == code, out
    assert "canaries planted" in out
    assert set(forms_of(Canary.drawn()).names) == {"raw", "utf-16", "hex", "url", "json", "base64"}
    for sink in ("state directory", "tables", "published", "stdout", "stderr", "metrics", "temporary files"):
        assert re.search(rf"^{sink} +[\d,]+ +0$", out, re.MULTILINE), sink
    assert not host.state.root.exists()


def test_a_listed_position_is_gone_into(canary):
    """
    JSON within a string has positions of its own: Codex writes a tool's arguments so.
    """
    assert {"payload.arguments.task_id", "payload.arguments.workstream_id"} <= listed(ADAPTERS["codex"])
