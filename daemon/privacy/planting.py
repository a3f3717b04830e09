"""
Lines with a canary in them: one copy of a line for each of its places and each form that a canary can have there.

Where a string may be stored, words are put that match no pattern; everywhere else also an id, a path, an address and
a tool's name, which every pattern would let through. Then the line is cut, given other types, and made too long.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.conformance import changed, named, positions
from daemon.privacy.canary import Canary
from daemon.tail import LINE_BYTES_MAX

#: How a canary is put where nothing may be stored: whichever pattern a field has, one of these matches it.
_SHAPES: Final[dict[str, Callable[[str], object]]] = {
    "id": str,
    "path": lambda text: f"/{text}/{text}.jsonl",
    "address": lambda text: f"https://{text}.example.com/{text}",
    "tool": lambda text: f"mcp__{text}__{text}",
    "arguments": lambda text: json.dumps({"task_id": text}),
    "list": lambda text: [text],
    "object": lambda text: {text: text},
}

#: How it is put everywhere: no pattern matches these. Of an address with a password only host and place are stored.
_WORDS: Final[dict[str, Callable[[str], object]]] = {
    "words": lambda text: f"correct horse, {text} battery staple",
    "password": lambda text: f"https://u:{text}@example.com/repo",
    "escape": lambda text: f"\x1b]0;{text}\x07",
    "words in a list": lambda text: [f"correct horse, {text}"],
    "words in an object": lambda text: {f"correct horse, {text}": f"battery {text} staple"},
}

Path = tuple[Any, ...]


@dataclass(slots=True)
class Planter:
    """Puts canaries into lines and remembers where; ``places`` names the place of each number."""

    canary: Canary
    places: list[str] = field(default_factory=list)

    def text(self, place: str) -> str:
        """Return the canary of a new place."""
        self.places.append(place)
        return self.canary.numbered(len(self.places) - 1)

    def lines(self, name: str, line: bytes, listed: frozenset[str]) -> Iterator[bytes]:
        """Yield copies of *line*, one for each canary; nothing when it is no JSON object that could be changed."""
        value = _object(line)
        if value is None:
            return
        for planted in self.values(name, value, listed):
            yield _written(planted)
        yield from self._damaged(name, value)

    def values(self, name: str, value: dict[str, Any], listed: frozenset[str]) -> Iterator[dict[str, Any]]:
        """Yield copies of an object, one for each canary, and of the JSON inside its strings."""
        for path in positions(value):
            yield from (changed(value, path, new) for new in self._news(name, named(path), listed))
            yield from self._keys(name, value, path)
            yield from self._inside(name, value, path, listed)

    def _news(self, name: str, place: str, listed: frozenset[str]) -> Iterator[object]:
        shapes = _WORDS if place in listed else _WORDS | _SHAPES
        # JSON in a string that is gone into: what its own places may hold is in the list by their names.
        is_json = any(each.startswith(f"{place}.") for each in listed)
        for shape, form in shapes.items():
            if not (is_json and shape == "arguments"):
                yield form(self.text(f"{name}: {place} as {shape}"))

    def _keys(self, name: str, value: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
        if not isinstance(path[-1], str):
            return
        for shape in ("words", "id"):
            text = self.text(f"{name}: name at {named(path)} as {shape}")
            new = text if shape == "id" else f"correct horse, {text} battery staple"
            yield changed(value, path, new, is_key=True)

    def _inside(self, name: str, value: dict[str, Any], path: Path, listed: frozenset[str]) -> Iterator[dict[str, Any]]:
        inner = _object(_at(value, path))
        if inner is None:
            return
        place = named(path)
        below = frozenset(each[len(place) + 1 :] for each in listed if each.startswith(f"{place}."))
        for planted in self.values(f"{name}: {place}", inner, below):
            yield changed(value, path, json.dumps(planted))

    def _damaged(self, name: str, value: dict[str, Any]) -> Iterator[bytes]:
        """Yield what is no line any more: cut, of bytes that are no text, with names twice, an endless string."""
        text = self.text(f"{name}: a damaged line")
        whole = _written({**value, text: f"words {text}", "usage": text})
        yield from (whole[: len(whole) * part // 8] for part in range(1, 8))
        yield whole[len(whole) // 3 :]
        yield whole.replace(text.encode(), b"\xff\xfe" + text.encode())
        yield whole.replace(b'": ', f'": "{text}", "'.encode(), 1)
        yield f"{text} words".encode()
        yield json.dumps([text, value]).encode()
        yield json.dumps(f"words {text}").encode()
        yield b'{"a":' * 2_000 + json.dumps(text).encode()

    def too_long(self, name: str, line: bytes) -> bytes:
        """Return *line* with words in it that make it longer than any line may be."""
        value = _object(line) or {}
        words = f"{self.text(f'{name}: a line that is too long')} "
        return _written({**value, "words": words * (LINE_BYTES_MAX // len(words) + 1)})


#: Names whose value says what a line is.
_TELLING: Final = frozenset({"type", "subtype", "role", "record_type", "name"})


def distinct(lines: Iterable[bytes]) -> list[bytes]:
    """Return the first of *lines* of each shape: the same positions, and the same said of what it is."""
    seen: dict[object, bytes] = {}
    for line in lines:
        value = _object(line)
        if value is not None:
            seen.setdefault(_shape(value), line)
    return list(seen.values())


def _shape(value: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (named(path), str(_at(value, path))[:32] if path[-1] in _TELLING else "") for path in positions(value)
    )


def _written(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode("ascii")


def _object(text: object) -> dict[str, Any] | None:
    """Return the JSON object that *text* holds; null when it holds none."""
    if not isinstance(text, str | bytes):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _at(value: Any, path: Path) -> object:  # noqa: ANN401 - any JSON
    for key in path:
        value = value[key]
    found: object = value
    return found
