"""What providers' numbers mean: the same tokens, however they are spelt, and nothing where they are not understood."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.provider_usage import DEPTH_MAX, Tokens, UsageUnclear, flattened, normalised

KNOWN: dict[str, tuple[dict[str, Any], Tokens]] = {
    "Anthropic": (
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 200,
            "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
            "output_tokens": 5,
            "server_tool_use": {"web_search_requests": 2},
            "service_tier": "standard",
            "inference_geo": None,
        },
        Tokens(10, 200, 70, 30, 40, 5),
    ),
    "Anthropic, whose parts do not sum": (
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 41},
            "output_tokens": 5,
        },
        Tokens(10, None, 70, None, None, 5),
    ),
    "Anthropic, with parts only": (
        {"input_tokens": 10, "cache_creation": {"ephemeral_5m_input_tokens": 30}, "output_tokens": 5},
        Tokens(10, None, 30, 30, None, 5),
    ),
    "two numbers, as both have them": ({"input_tokens": 10, "output_tokens": 5}, Tokens(10, output_tokens=5)),
    "OpenAI chat": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 5,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 1,
            },
        },
        Tokens(40, 60, None, None, None, 20, 5, 120),
    ),
    "OpenAI chat, old": ({"prompt_tokens": 7, "completion_tokens": 2}, Tokens(7, output_tokens=2)),
    "OpenAI embeddings": (
        {"prompt_tokens": 7, "total_tokens": 7},
        Tokens(7, provider_total_tokens=7),
    ),
    "OpenAI responses": (
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 120,
        },
        Tokens(40, 60, None, None, None, 20, 5, 120),
    ),
    "Codex": (
        {
            "input_tokens": 100,
            "cached_input_tokens": 60,
            "cache_write_input_tokens": 10,
            "output_tokens": 20,
            "reasoning_output_tokens": 5,
            "total_tokens": 120,
        },
        Tokens(30, 60, 10, None, None, 20, 5, 120),
    ),
    "Gemini": (
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 60,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 3,
            "totalTokenCount": 130,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90}, {"modality": "IMAGE", "tokenCount": 10}],
        },
        Tokens(43, 60, None, None, None, 27, 7, 130),
    ),
    "Gemini, from Python": (
        {"prompt_token_count": 100, "cached_content_token_count": 60, "candidates_token_count": 20},
        Tokens(40, 60, None, None, None, 20),
    ),
    "Gemini, stopped while it thought": (
        {"promptTokenCount": 100, "thoughtsTokenCount": 7, "totalTokenCount": 107},
        Tokens(100, None, None, None, None, 7, 7, 107),
    ),
}

UNKNOWN: dict[str, dict[str, int]] = {
    "nothing": {},
    "no input": {"output_tokens": 5},
    "a number more": {"input_tokens": 10, "output_tokens": 5, "cached_tokens": 3},
    "cache writes of a gateway": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details.cache_write_tokens": 3,
    },
    "calls within the call": {"input_tokens": 10, "output_tokens": 5, "iterations.0.input_tokens": 3},
    "two shapes at once": {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 5, "total_tokens": 15},
    "both spellings": {"input_tokens": 10, "prompt_tokens": 10, "output_tokens": 5},
    "reasoning beside output": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "completion_tokens_details.reasoning_tokens": 4,
        "total_tokens": 19,
    },
    "more cached than there is": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details.cached_tokens": 11,
    },
    "more reasoning than output": {"input_tokens": 1, "output_tokens": 5, "output_tokens_details.reasoning_tokens": 6},
    "below nothing": {"input_tokens": -1, "output_tokens": 5},
    "a total that is none": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 16},
}


@pytest.mark.parametrize("case", sorted(KNOWN))
def test_a_known_shape_is_read(case):
    """
    Classes do not overlap; what the provider did not say is null.
    """
    raw, expected = KNOWN[case]

    assert expected == normalised(flattened(raw))


@pytest.mark.parametrize("case", sorted(UNKNOWN))
def test_of_an_unknown_shape_nothing_is_guessed(case):
    """
    One number that is not understood, or that contradicts another, is enough.
    """
    assert normalised(UNKNOWN[case]) is None


@pytest.mark.parametrize("case", sorted(KNOWN))
def test_a_known_shape_with_one_number_more_is_none(case):
    """
    A provider that begins to count something else is noticed.
    """
    assert normalised(flattened(KNOWN[case][0]) | {"new_tokens": 1}) is None


@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_no_token_is_lost_or_counted_twice(case, data):
    """
    Whatever the numbers are: where a shape is read, its classes sum to what the provider's own numbers sum to.
    """
    names = sorted(flattened(KNOWN[case][0]))
    raw = {name: data.draw(st.integers(0, 200)) for name in names}

    found = normalised(raw)

    if found is not None and found.provider_total_tokens is not None:
        parts = (found.input_tokens, found.cache_read_tokens, found.cache_write_tokens, found.output_tokens)
        assert found.provider_total_tokens == sum(number or 0 for number in parts)


def test_raw_usage_is_kept_verbatim():
    """
    Numbers under the provider's own names, joined by points; words, costs, switches and nulls are left out.
    """
    raw = {"a": 1, "b": {"c": 2, "d": {"e": -3}}, "f": [{"g": 4}, {"g": 5}], "h": None, "i": "x", "j": 0.5, "k": True}

    assert {"a": 1, "b.c": 2, "b.d.e": -3, "f.0.g": 4, "f.1.g": 5} == flattened(raw)
    assert flattened(raw) == flattened(flattened(raw))


def test_raw_usage_that_is_unclear_is_refused():
    """
    A name with two numbers, and depth without end; the same number twice is clear.
    """
    deep: Any = 1
    for _ in range(DEPTH_MAX + 1):
        deep = {"a": deep}

    for raw in ({"a": {"b": 1}, "a.b": 2}, deep):
        with pytest.raises(UsageUnclear):
            flattened(raw)
    assert {"a.b": 1} == flattened({"a": {"b": 1}, "a.b": 1})
