"""
The demo agrees with itself, and fails when a bundled number changes.
"""

import importlib.util
import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from daemon.demo import demo
from daemon.demo_logs import generate

BUNDLED = Path(generate.__file__).parent
HOME = BUNDLED / "home"

#: One line of each agent whose number decides: file, what stands there, and what somebody wrote over it.
TAMPERED = [
    ("claude_code", "5e550004-0000-4000-8000-00000000c1a0.jsonl", b'"output_tokens":720', b'"output_tokens":721'),
    ("codex", f"{generate.thread_id(6)}.jsonl", b'"output_tokens":523', b'"output_tokens":524'),
    ("gptme", "2026-11-04-old-brown-owl/conversation.jsonl", b'"output_tokens": 212', b'"output_tokens": 211'),
]


@pytest.fixture
def home(tmp_path):
    """
    Return a copy of the bundled home, to be written to.
    """
    copy = tmp_path / "copy"
    for path in bundled():
        target = copy / path.relative_to(HOME)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return copy


class Shown(NamedTuple):
    """
    What an operator's first command came to.
    """

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def shown() -> Shown:
    """
    Run the demo once for all who look at what it shows.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = demo(as_json=False)
    return Shown(code, out.getvalue(), err.getvalue())


def bundled(folder: Path = HOME) -> list[Path]:
    """
    List every file below *folder*.
    """
    return sorted(path for path in folder.rglob("*") if path.is_file())


def content(path: Path) -> bytes:
    """
    Return what *path* holds, decompressed: how zstandard packs it depends on its version.
    """
    packed = path.read_bytes()
    return zstandard.ZstdDecompressor().decompress(packed) if path.suffix == ".zst" else packed


def strings(document: object) -> Iterator[str]:
    """
    Yield every string of a JSON document, names included.
    """
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for name, value in document.items():
            yield name
            yield from strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from strings(value)


def test_demo_agrees_with_its_declared_calls(shown):
    """
    An operator's first command ends with a sentence that all numbers agree, and with 0.
    """
    assert (0, "") == (shown.code, shown.err)
    assert "demo: all numbers agree" in shown.out


def test_demo_shows_what_an_operator_asks(shown):
    """
    Totals name their class; what was not counted, how fresh it is and what is imperfect stand beside them.
    """
    for fact in (
        "measured",
        "poorer",
        "inherited",
        "stale_total",
        "backlog",
        "incomplete",
        "progress_only",
        "unmetered",
    ):
        assert fact in shown.out
    assert "9 + 14208 + 7412 + 641" in shown.out  # the explained call, read again at its byte range
    assert [] == [line for line in shown.out.splitlines() if len(line) > 100]


def test_demo_knows_every_reason_and_flag_it_shows(shown):
    """
    No row of the demo is left without its sentence.
    """
    assert [] == [line for line in shown.out.splitlines() if line.endswith("  -")]


def test_demo_says_the_same_twice(shown, capsys):
    """
    Its clock stands still, so that two runs can be compared.
    """
    demo(as_json=False)

    assert shown.out == capsys.readouterr().out


def test_demo_in_json_is_one_document(capsys):
    """
    A machine reads one document: whether all agrees, what does not, and the usage itself.
    """
    code = demo(as_json=True)

    document = json.loads(capsys.readouterr().out)
    assert 0 == code
    assert ("tallystick.demo/1", True, []) == (document["schema"], document["ok"], document["differences"])
    assert "tallystick.usage/1" == document["usage"]["schema"]


@pytest.mark.parametrize(("agent", "name", "before", "after"), TAMPERED, ids=[each[0] for each in TAMPERED])
def test_changed_token_is_told_with_its_agent(agent, name, before, after, home, capsys):
    """
    One token more or less in one line of one agent, and the demo fails and names the agent.
    """
    path = next(path for path in bundled(home) if str(path).endswith(name))
    assert before in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before, after, 1))

    code = demo(as_json=False, home=home)

    out, err = capsys.readouterr()
    assert 1 == code
    assert f"{agent}: output_tokens is " in err
    assert [] == [line for line in err.splitlines() if agent not in line]
    assert "all numbers agree" not in out


def test_changed_token_is_told_in_json(home, capsys):
    """
    The document says what differs, too.
    """
    agent, name, before, after = TAMPERED[0]
    path = next(path for path in bundled(home) if str(path).endswith(name))
    path.write_bytes(path.read_bytes().replace(before, after, 1))

    code = demo(as_json=True, home=home)

    document = json.loads(capsys.readouterr().out)
    assert (1, False) == (code, document["ok"])
    assert any(each.startswith(f"{agent}: output_tokens") for each in document["differences"])


def test_missing_log_is_told(home, capsys):
    """
    A log that did not travel with the package is a difference, and not a smaller total.
    """
    next(path for path in bundled(home) if path.suffix == ".zst").unlink()

    code = demo(as_json=False, home=home)

    assert 1 == code
    assert "codex: calls is 21, declared 23" in capsys.readouterr().err


def test_empty_home_is_no_agreement(tmp_path, capsys):
    """
    Empty is not green: without a single log every agent is missed.
    """
    (tmp_path / "empty").mkdir()

    code = demo(as_json=False, home=tmp_path / "empty")

    assert 1 == code
    err = capsys.readouterr().err
    assert [] == [agent for agent in ("claude_code", "codex", "gptme") if f"{agent}: calls is None" not in err]


def test_bundled_logs_are_what_the_generator_writes(tmp_path):
    """
    Nobody edits a bundled log by hand: files, contents and declared numbers come from one run of the generator.
    """
    generate.generate(tmp_path)

    written = {path.relative_to(tmp_path).as_posix(): content(path) for path in bundled(tmp_path)}
    kept = [*bundled(HOME), BUNDLED / "expected.json"]
    assert {path.relative_to(BUNDLED).as_posix(): content(path) for path in kept} == written


def test_generator_leaves_a_right_home_as_it_is(home, tmp_path):
    """
    Running it again gives identical bytes, those of the compressed file too.
    """
    place = tmp_path / "again"
    place.mkdir()
    home.rename(place / "home")
    before = {path: path.read_bytes() for path in bundled(place / "home")}

    generate.generate(place)

    assert before == {path: path.read_bytes() for path in bundled(place / "home")}


def test_bundled_strings_are_short_and_files_small():
    """
    No transcript slips in: every string of every line is under 200 characters, and all files together under 150 KB.
    """
    long = []
    for path in bundled():
        for line in content(path).decode("utf-8-sig").splitlines():
            try:
                found = list(strings(json.loads(line)))
            except json.JSONDecodeError:  # cut in the middle, on purpose
                found = line.split('"')
            long += [(path.name, len(text)) for text in found if len(text) >= 200]

    assert [] == long
    assert 150_000 > sum(path.stat().st_size for path in bundled())


def test_every_trap_adds_noise():
    """
    A sum over all lines would be far from the truth, for each agent: otherwise the demo would prove nothing.
    """
    declared = json.loads((BUNDLED / "expected.json").read_text(encoding="utf-8"))

    claude = naive(bundled(HOME / ".claude" / "projects"), lambda line: line.get("message", {}).get("usage", {}))
    gptme = naive(bundled(HOME / ".local"), lambda line: line.get("metadata", {}).get("usage", {}))
    codex = naive(bundled(HOME / ".codex"), last_usage)

    assert declared["agents"]["claude_code"]["output_tokens"] * 1.1 < claude
    assert declared["agents"]["gptme"]["output_tokens"] * 1.3 < gptme
    assert declared["agents"]["codex"]["output_tokens"] * 1.5 < codex


def last_usage(line):
    """
    Return what a Codex line calls the last response.
    """
    info = line.get("payload", {}).get("info") or {}
    return info.get("last_token_usage", {})


def naive(paths, usage_of) -> int:
    """
    Sum the output of every line, as a counter that knows nothing would.
    """
    total = 0
    for path in paths:
        for line in content(path).decode("utf-8-sig").splitlines():
            try:
                total += usage_of(json.loads(line)).get("output_tokens", 0)
            except json.JSONDecodeError:
                continue
    return total


def test_demo_home_is_found_as_package_data():
    """
    The logs lie inside the package, where a wheel carries them.
    """
    found = importlib.util.find_spec("daemon.demo_logs")

    assert found is not None
    assert found.submodule_search_locations is not None
    assert BUNDLED == Path(next(iter(found.submodule_search_locations)))
