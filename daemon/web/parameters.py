"""What may be asked with a question: each parameter with its bounds, which the document of the API repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.datastructures import QueryParams

from daemon.web.bodies import RequestRefused

#: Characters of a name, a time, a zone.
TEXT_CHARACTERS_MAX: Final = 256

Schema = dict[str, Any]


class Parameter(Protocol):
    """One of them."""

    @property
    def name(self) -> str:
        """Return how it is written."""

    @property
    def what(self) -> str:
        """Return what it means, in half a sentence."""

    @property
    def schema(self) -> Schema:
        """Return what it can be, as JSON schema."""

    def read(self, text: str) -> object:
        """Return its value; raises RequestRefused."""


@dataclass(frozen=True, slots=True)
class Text:
    """A name, a time, or whatever else the question itself judges."""

    name: str
    what: str
    characters_max: int = TEXT_CHARACTERS_MAX

    @property
    def schema(self) -> Schema:
        """Return what it can be."""
        return {"type": "string", "minLength": 1, "maxLength": self.characters_max}

    def read(self, text: str) -> str:
        """Return it as it is."""
        if len(text) > self.characters_max:
            raise RequestRefused("out_of_range", self.name)
        if not (text and text.isprintable()):
            raise RequestRefused("invalid_field", self.name)
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two."""

    name: str
    what: str
    least: int
    most: int
    default: int

    @property
    def schema(self) -> Schema:
        """Return what it can be."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}

    def read(self, text: str) -> int:
        """Return the number."""
        if not (text.isascii() and text.isdecimal()):
            raise RequestRefused("invalid_field", self.name)
        if len(text) > len(str(self.most)) or not self.least <= int(text) <= self.most:
            raise RequestRefused("out_of_range", self.name)
        return int(text)


@dataclass(frozen=True, slots=True)
class Word:
    """One of some words."""

    name: str
    what: str
    possible: Sequence[str]
    default: str | None = None

    @property
    def schema(self) -> Schema:
        """Return what it can be."""
        known = {} if self.default is None else {"default": self.default}
        return {"type": "string", "enum": list(self.possible), **known}

    def read(self, text: str) -> str:
        """Return the word."""
        if text not in self.possible:
            raise RequestRefused("invalid_field", self.name)
        return text


@dataclass(frozen=True, slots=True)
class Words:
    """Some words, with commas between them, none twice."""

    name: str
    what: str
    possible: Sequence[str]

    @property
    def schema(self) -> Schema:
        """Return what it can be."""
        one = f"({'|'.join(self.possible)})"
        most = sum(len(word) + 1 for word in self.possible)
        return {"type": "string", "pattern": f"^{one}(,{one})*$", "maxLength": most}

    def read(self, text: str) -> tuple[str, ...]:
        """Return the words."""
        words = tuple(text.split(",", maxsplit=len(self.possible)))
        if len(set(words)) < len(words) or not set(words) <= set(self.possible):
            raise RequestRefused("invalid_field", self.name)
        return words


@dataclass(frozen=True, slots=True)
class Truth:
    """Yes or no."""

    name: str
    what: str

    @property
    def schema(self) -> Schema:
        """Return what it can be."""
        return {"type": "boolean", "default": False}

    def read(self, text: str) -> bool:
        """Return which."""
        if text not in ("true", "false"):
            raise RequestRefused("invalid_field", self.name)
        return text == "true"


def given(parameters: Sequence[Parameter], query: QueryParams) -> Mapping[str, Any]:
    """
    Return the values that were given, by name.

    Raises:
        RequestRefused: One is unknown (a filter that is not heard would make a wrong answer), given twice, or none.
    """
    known = {each.name: each for each in parameters}
    found: dict[str, object] = {}
    for name, text in query.multi_items():
        if name not in known:
            raise RequestRefused("unknown_field")
        if name in found:
            raise RequestRefused("invalid_field", name)
        found[name] = known[name].read(text)
    return found
