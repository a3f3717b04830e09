"""
What the usage numbers of a provider's answer mean, whoever kept them.

Providers count the same tokens in different ways: one states cached input beside input, another within it. Only shapes
are read whose every number is understood; of another shape nothing is guessed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Deepest object inside an object that any provider's usage has, with room to spare.
DEPTH_MAX: Final = 8


class UsageUnclear(ValueError):
    """Raw usage cannot be kept as names and numbers: it is nested too deep, or states a name twice and differently."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """
    Tokens of one call, in classes that do not overlap; ``None`` where the provider did not say.

    ``cache_write_5m_tokens`` and ``cache_write_1h_tokens`` are of cache writes, ``reasoning_tokens`` of output.
    """

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    provider_total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """
    How one API names its numbers; an empty name is a number that it does not state.

    Args:
        telling: Names of which at least one is there, so that no two shapes fit the same numbers.
        input: Input as stated: with cached tokens when ``is_inclusive``, else beside them.
        more_input: Further input, stated beside ``input``.
        more_output: Further output, stated beside ``output``; reasoning.
        aside: Names of numbers that say nothing further about these: parts by modality, calls of tools.
    """

    telling: frozenset[str]
    input: str
    output: str
    is_inclusive: bool = True
    cache_read: str = ""
    cache_write: str = ""
    short: str = ""
    long: str = ""
    reasoning: str = ""
    more_input: str = ""
    more_output: str = ""
    total: str = ""
    aside: re.Pattern[str] = re.compile(r"(?!)")

    def fits(self, raw: Mapping[str, int]) -> bool:
        """Say whether every number of *raw* is understood."""
        parts = (self.cache_read, self.cache_write, self.short, self.long, self.reasoning, self.more_input)
        known = {self.input, self.output, *parts, self.more_output, self.total} - {""}
        return (
            self.input in raw
            and not self.telling.isdisjoint(raw)
            and all(name in known or self.aside.fullmatch(name) for name in raw)
        )

    def read(self, raw: Mapping[str, int]) -> Tokens | None:
        """Return the tokens; ``None`` when the numbers of *raw* do not agree with each other."""
        whole = _sum(raw.get(self.input), raw.get(self.more_input)) or 0
        output = _sum(raw.get(self.output), raw.get(self.more_output))
        cached = raw.get(self.cache_read)
        written, short, long = self._written(raw)
        uncached = whole - (cached or 0) - (written or 0) if self.is_inclusive else whole
        reasoning, total = raw.get(self.reasoning), raw.get(self.total)
        is_whole = total in (None, whole + (output or 0))
        if uncached < 0 or (reasoning or 0) > (output or 0) or not is_whole:
            return None
        return Tokens(uncached, cached, written, short, long, output, reasoning, total)

    def _written(self, raw: Mapping[str, int]) -> tuple[int | None, int | None, int | None]:
        """Return cache writes, and of these the short- and the long-lived; null parts where they do not sum."""
        written, short, long = raw.get(self.cache_write), raw.get(self.short), raw.get(self.long)
        parts = _sum(short, long)
        if written is None or parts is None:
            return (parts if written is None else written), short, long
        # Which of the numbers is wrong is not known; the whole is what is billed.
        return (written, short, long) if parts == written else (written, None, None)


_PLAIN: Final = _Shape(frozenset({"output_tokens"}), "input_tokens", "output_tokens")

_ANTHROPIC: Final = _Shape(
    frozenset(
        {
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "cache_creation.ephemeral_5m_input_tokens",
            "cache_creation.ephemeral_1h_input_tokens",
        }
    ),
    "input_tokens",
    "output_tokens",
    is_inclusive=False,
    cache_read="cache_read_input_tokens",
    cache_write="cache_creation_input_tokens",
    short="cache_creation.ephemeral_5m_input_tokens",
    long="cache_creation.ephemeral_1h_input_tokens",
    aside=re.compile(r"server_tool_use\.\w+"),
)

_OPENAI_CHAT: Final = _Shape(
    frozenset({"prompt_tokens"}),
    "prompt_tokens",
    "completion_tokens",
    cache_read="prompt_tokens_details.cached_tokens",
    reasoning="completion_tokens_details.reasoning_tokens",
    total="total_tokens",
    aside=re.compile(
        r"prompt_tokens_details\.(?:audio|image|text|video)_tokens"
        r"|completion_tokens_details\.(?:audio|image|text|accepted_prediction|rejected_prediction)_tokens"
    ),
)

_OPENAI_RESPONSES: Final = _Shape(
    frozenset(
        {"total_tokens", "input_tokens_details.cached_tokens", "output_tokens_details.reasoning_tokens"},
    ),
    "input_tokens",
    "output_tokens",
    cache_read="input_tokens_details.cached_tokens",
    reasoning="output_tokens_details.reasoning_tokens",
    total="total_tokens",
    aside=re.compile(r"(?:input|output)_tokens_details\.(?:audio|image|text)_tokens"),
)

#: As Codex writes them into its logs.
_CODEX: Final = _Shape(
    frozenset({"cached_input_tokens", "reasoning_output_tokens"}),
    "input_tokens",
    "output_tokens",
    cache_read="cached_input_tokens",
    cache_write="cache_write_input_tokens",
    reasoning="reasoning_output_tokens",
    total="total_tokens",
)

_GEMINI: Final = _Shape(
    frozenset({"promptTokenCount"}),
    "promptTokenCount",
    "candidatesTokenCount",
    cache_read="cachedContentTokenCount",
    reasoning="thoughtsTokenCount",
    more_input="toolUsePromptTokenCount",
    more_output="thoughtsTokenCount",
    total="totalTokenCount",
    aside=re.compile(r"(?:prompt|cache|candidates|toolUsePrompt)TokensDetails\.\d+\.tokenCount"),
)

_SHAPES: Final = (_PLAIN, _ANTHROPIC, _OPENAI_CHAT, _OPENAI_RESPONSES, _CODEX, _GEMINI)


def normalised(raw: Mapping[str, int]) -> Tokens | None:
    """
    Return what a provider's numbers mean.

    Args:
        raw: The numbers verbatim, as `flattened` names them.

    Returns:
        Tokens in classes that do not overlap; ``None`` when the shape is not known, when one of its numbers is not, or
        when the numbers contradict each other.
    """
    spelt = {_camel(name): number for name, number in raw.items()} if "prompt_token_count" in raw else raw
    fitting = [shape for shape in _SHAPES if shape.fits(spelt)]
    is_possible = len(fitting) == 1 and min(spelt.values()) >= 0
    return fitting[0].read(spelt) if is_possible else None


def flattened(raw: Mapping[str, Any]) -> dict[str, int]:
    """
    Return the whole numbers of a provider's usage object, verbatim; names inside names are joined by points.

    What is no whole number (a tier's name, a cost, null) is left out. Numbers are not held against any bound.

    Raises:
        UsageUnclear: It is nested too deep, or comes to the same name with two numbers.
    """
    found: dict[str, int] = {}
    for name, number in _leaves(raw, "", DEPTH_MAX):
        if found.setdefault(name, number) != number:
            raise UsageUnclear
    return found


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - decoded JSON
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield name, value
    elif isinstance(value, Mapping | list):
        if not depth:
            raise UsageUnclear
        named = value.items() if isinstance(value, Mapping) else enumerate(value)
        for inner, each in named:
            yield from _leaves(each, f"{name}.{inner}" if name else str(inner), depth - 1)


def _sum(first: int | None, second: int | None) -> int | None:
    """Return the sum of what is stated; ``None`` when neither is."""
    return None if first is None and second is None else (first or 0) + (second or 0)


def _camel(name: str) -> str:
    """Return a name of Google's Python client as its API spells it."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
