"""Lines of fixtures with their structure torn: nothing but evidence and refusals comes of them."""

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.registry import built_in
from tests.fuzz.target import NAMES, STRINGS, TARGETS, Unsound, corpus, everywhere, mutated

CORPUS = list(corpus())
LINES = [line for _, line in CORPUS]


def test_everything_that_decodes_has_a_corpus() -> None:
    """
    Each adapter, the inbox and the hooks are fuzzed from lines of their own.
    """
    assert set(NAMES) == {name for name, _ in CORPUS} == {each.parser for each in built_in()} | {"inbox", "hook"}


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_itself_is_read(name: str) -> None:
    """
    What is mutated is fine before.
    """
    for target, line in CORPUS:
        if target == name:
            TARGETS[name](line)


@pytest.mark.parametrize("name", NAMES)
def test_no_string_ends_a_reader(name: str) -> None:
    """
    Every string of every line is exchanged for one that is endless, no text, a path, an address, a time.
    """
    for line in (json.loads(line) for target, line in CORPUS if target == name and is_object(line)):
        for text in STRINGS:
            TARGETS[name](json.dumps(everywhere(line, text)).encode())


def is_object(line: bytes) -> bool:
    """
    Say whether a line of the corpus is a JSON object.
    """
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_structure_ends_a_reader(name: str, data: st.DataObject) -> None:
    """
    Values exchanged, names moved, lists made wide, objects made deep, bytes torn: read, rejected or refused, no more.
    """
    line = data.draw(st.sampled_from([line for target, line in CORPUS if target == name]))
    dice = random.Random(data.draw(st.integers(0, 2**32)))

    TARGETS[name](mutated(line, dice, LINES))


def test_a_reader_that_lets_words_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The target can fail: an adapter that stores a model as it stands is no evidence.
    """
    monkeypatch.setattr("adapters.gptme.model_name", lambda text: text)
    line = b'{"role":"assistant","metadata":{"model":"correct horse","usage":{"input_tokens":1,"output_tokens":1}}}'

    with pytest.raises(Unsound, match=r"usage\.model"):
        TARGETS["gptme"](line)
