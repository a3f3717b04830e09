"""
What every adapter promises, held against every fixture there is.

A new agent is one module in `adapters/` and one folder in `fixtures/`, called like the adapter: lines as the agent
writes them, and what each is to say. From which positions a string may get into the log the adapter itself lists. Of a
document adapter each line of a fixture is a document, of a database each is a row: its columns, JSON inside them as it
is. The promises themselves are in `daemon/conformance.py`: authors outside this tree check them with `adapters check`.
"""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Header, stored
from adapters.registry import installed
from daemon.conformance import MARK, WORDS, changed, findings, named, observed, plain, positions, unsound

FIXTURES = Path(__file__).parent / "fixtures"
ADAPTERS = {adapter.parser: adapter for adapter in installed()}
CASES = sorted(path.relative_to(FIXTURES).with_suffix("").as_posix() for path in FIXTURES.rglob("*.jsonl"))

#: Those whose input is text from the first byte on.
TEXTS = sorted(name for name, adapter in ADAPTERS.items() if adapter.kind != "rows")

#: No string of a fixture is longer, in characters: no transcript slips in.
STRING_MAX = 200

AS_ID, AS_PATH, AS_REMOTE = f"canary-{MARK}", f"/canary/{MARK}.jsonl", f"https://canary:{MARK}@example.com/repo"
#: A tool of a tracker, and the arguments of a call where they are JSON in a string.
AS_TOOL, AS_TIME = f"mcp__{AS_ID}", "2031-07-13T01:02:03.456Z"

#: Each as it is put into a position, and as it would come out.
CANARIES = (
    *((text, MARK) for text in (AS_ID, AS_PATH, AS_REMOTE, f"example.com/{AS_ID}", AS_TOOL)),
    (AS_TIME, AS_TIME[:-1]),
)

#: The reader stores the key of an item, and no observation has it: `test_key_of_an_item_is_listed`.
KEYS_OF_ITEMS = {agent: ("item_key",) for agent, adapter in ADAPTERS.items() if adapter.kind != "lines"}


def lines_of(case):
    """
    Read the lines of a fixture, without their line ends.
    """
    return (FIXTURES / f"{case}.jsonl").read_bytes().split(b"\n")[:-1]


def expected_of(case):
    """
    Read what the lines of a fixture are to say, and the header they are read with.
    """
    expected = json.loads((FIXTURES / f"{case}.expected.json").read_text(encoding="utf-8"))
    return Header(**expected["header"]), expected["lines"]


def is_readable(line):
    """
    Say whether a line of a fixture is a JSON object that can be changed and written again.
    """
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@cache
def readable(agent):
    """
    List the readable lines of an agent's fixtures, each with the header of its file.
    """
    cases = [case for case in CASES if case.startswith(f"{agent}/")]
    return [(expected_of(case)[0], json.loads(line)) for case in cases for line in lines_of(case) if is_readable(line)]


def as_row(line):
    """
    Return a line of a fixture as the row it describes; what is no JSON object stands in every column.
    """
    try:
        columns = json.loads(line)
    except (ValueError, RecursionError):
        columns = None
    if not isinstance(columns, dict):
        return dict.fromkeys(("item_key", "session_id", "data"), line)
    return {name: as_value(value) for name, value in columns.items()}


def as_value(value):
    """
    Return a column's value as SQLite would hold it: text as its bytes.
    """
    if isinstance(value, dict | list):
        return json.dumps(value).encode()
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def piece(agent, line):
    """
    Return what the adapter reads: the line, or the row that it describes.
    """
    return as_row(line) if ADAPTERS[agent].kind == "rows" else line


def read(agent, line, header):
    """
    Read *line* and check what must hold of every line there is.
    """
    seen = observed(ADAPTERS[agent], piece(agent, line), header)

    assert WORDS not in json.dumps(plain(seen))
    assert unsound(ADAPTERS[agent], seen) is None
    return seen


@pytest.mark.parametrize("case", CASES)
def test_fixture_passes_the_checks_of_the_kit(case):
    """
    What `tallystick adapters check` tells an author, it must not have to tell us.
    """
    agent = case.split("/")[0]

    assert [] == list(findings(ADAPTERS[agent], expected_of(case)[0], [piece(agent, line) for line in lines_of(case)]))


@pytest.mark.parametrize("case", CASES)
def test_fixture_says_what_is_expected(case):
    """
    Each line of a log says exactly what stands beside it.
    """
    header, expected = expected_of(case)

    said = [plain(read(case.split("/")[0], line, header)) for line in lines_of(case)]

    assert expected == said


def test_every_adapter_has_fixtures_and_every_fixture_an_adapter():
    """
    An agent without a fixture is untested; a fixture without its agent tests nothing.
    """
    assert set(ADAPTERS) == {case.split("/")[0] for case in CASES}
    assert {f"{case}.expected.json" for case in CASES} == {
        path.relative_to(FIXTURES).as_posix() for path in FIXTURES.rglob("*.expected.json")
    }


@pytest.mark.parametrize("case", CASES)
def test_fixture_holds_no_transcript(case):
    """
    Fixtures are invented: no string in them is long enough to be somebody's words.
    """
    for line in lines_of(case):
        longest = max(map(len, line.decode("utf-8", "replace").split('"')))

        assert longest < STRING_MAX


def fields_with(said, mark):
    """
    Yield the fields of an observation in which a mark came out; of what is only counted nothing is stored.
    """
    if said.get("k") in ("unrecognised", "unmetered"):
        return
    for name, value in said.items():
        if isinstance(value, dict):
            yield from fields_with(value, mark)
        elif mark in str(value):
            yield name


def planted(line, prefix=""):
    """
    Yield a line with each canary at each position, its position, and what to look for; JSON in a string is gone into.
    """
    for path in positions(line):
        for canary, mark in CANARIES:
            yield changed(line, path, canary), prefix + named(path), mark
        inner = inside(line, path)
        for new, place, mark in planted(inner, f"{prefix}{named(path)}.") if inner else ():
            yield changed(line, path, json.dumps(new)), place, mark


def inside(line, path):
    """
    Return the JSON object in the string at a position; none when there is none.
    """
    for key in path:
        line = line[key]
    try:
        found = json.loads(line) if isinstance(line, str) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@pytest.mark.parametrize("agent", ADAPTERS)
def test_list_of_stored_positions_is_exact(agent):
    """
    A string gets into the log from the positions that are listed, as the field that is listed, and from no other.
    """
    found = defaultdict(set)
    for header, line in readable(agent):
        for new, place, mark in planted(line):
            for said in plain(read(agent, json.dumps(new).encode(), header)):
                for field in fields_with(said, mark):
                    found[field].add(place)

    listed = {field: set(places) for field, places in stored(ADAPTERS[agent]).items()}
    for key in KEYS_OF_ITEMS.get(agent, ()):
        listed.pop(key)
    assert listed == found


@pytest.mark.parametrize("agent", ADAPTERS)
def test_words_are_never_stored(agent):
    """
    What is no id, path or name is kept as a hash at most, wherever it stands; names of unknown fields are not kept.
    """
    for header, line in readable(agent):
        for path in positions(line):
            read(agent, json.dumps(changed(line, path, WORDS)).encode(), header)
            if isinstance(path[-1], str):
                for name in (WORDS, AS_ID):
                    said = read(agent, json.dumps(changed(line, path, name, is_key=True)).encode(), header)

                    assert MARK not in json.dumps(plain(said))


@pytest.mark.parametrize("agent", ADAPTERS)
def test_user_and_password_of_a_remote_are_never_stored(agent):
    """
    A remote's address may carry a token; only host and path are kept.
    """
    for header, line in readable(agent):
        for path in positions(line):
            said = read(agent, json.dumps(changed(line, path, AS_REMOTE)).encode(), header)

            assert f"canary:{MARK}" not in json.dumps(plain(said))


# ---- whatever stands in a line

NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**40, 1e300, -0.0])
HALVES = st.sampled_from(["\ud83d", "\udc80", "cut \ud83d", "\x00", "\u202e/x", "/x\u202e"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.just(WORDS) | st.text(max_size=8) | HALVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(WORDS), inner, max_size=2),
    max_leaves=6,
)
AGENTS = st.sampled_from(sorted(ADAPTERS))


@given(AGENTS, st.binary(max_size=300))
def test_no_bytes_end_the_reader(agent, line):
    """
    Whatever a crash or a stranger left in a log is read without an exception.
    """
    read(agent, line, Header("a-session", "main", "a-session"))


@given(AGENTS, st.data())
def test_no_odd_value_ends_the_reader_or_gets_out(agent, data):
    """
    A line with anything anywhere is read without an exception, and what it says is sound evidence.
    """
    header, line = data.draw(st.sampled_from(readable(agent)))
    for _ in range(data.draw(st.integers(1, 3))):
        paths = list(positions(line))
        if paths:
            line = changed(line, data.draw(st.sampled_from(paths)), data.draw(ANYTHING))

    read(agent, json.dumps(line).encode(), header)


@given(AGENTS, st.data())
def test_no_damage_to_a_line_ends_the_reader_or_gets_out(agent, data):
    """
    A line cut, doubled or overwritten anywhere is read without an exception, and what it says is sound evidence.
    """
    header, line = data.draw(st.sampled_from(readable(agent)))
    whole = json.dumps(line | {WORDS: WORDS}).encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))

    read(agent, whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:], header)


@pytest.mark.parametrize("agent", TEXTS)
def test_byte_order_mark_is_no_part_of_a_line(agent):
    """
    Files that were put together on Windows may have one before any line.
    """
    for header, line in readable(agent):
        written = json.dumps(line).encode()

        assert read(agent, written, header) == read(agent, b"\xef\xbb\xbf" + written, header)
    assert "invalid_json" == plain(read(agent, b"\xef\xbb\xbf" * 100_000, header))[0]["code"]


@pytest.mark.parametrize("agent", ADAPTERS)
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"payload":{"info":', b'{"message":{"usage":{"iterations":['])
def test_line_nested_too_deep_is_rejected(agent, opening):
    """
    A hostile line must not end the daemon.
    """
    (said,) = read(agent, opening * 200_000, Header("a-session", "main", "a-session"))

    assert plain([said])[0]["code"] in ("too_deep", "invalid_json")


@pytest.mark.parametrize("agent", ADAPTERS)
def test_directories_are_named_whether_they_exist_or_not(agent, tmp_path):
    """
    Roots are a function of home and settings: they are named anew at each sweep and nothing is looked up.
    """
    names = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "GPTME_LOGS_HOME", "OPENCODE_DB")
    for environment in ({}, dict.fromkeys(names, "/x"), dict.fromkeys(names, "x")):
        first, second = (list(ADAPTERS[agent].roots(tmp_path / "nobody", environment)) for _ in range(2))

        assert first == second
        assert all(root.path.is_absolute() for root in first)
