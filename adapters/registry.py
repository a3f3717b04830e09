"""
Which adapters there are: one module of this package each, and the plug-ins that are installed beside it.

A new file here is a new agent; so is a distribution with an entry point of the group `tallystick.adapters` whose object
is an adapter. A plug-in that cannot be loaded keeps no other adapter from reading; it is returned with what is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Final, cast

import adapters
from adapters.contract import ROW_COLUMNS, Adapter
from state.vocabulary import WORD

#: Entry points of this group add agents.
GROUP: Final = "tallystick.adapters"

#: What an adapter of each kind must have beside what all have.
_OWN: Final = {
    "lines": ("with_first_line", "read_line"),
    "document": ("read_document",),
    "rows": ("query", "read_row"),
}
_SHARED: Final = ("agent", "parser", "source_class", "parser_version", "roots", "claim")


@dataclass(frozen=True, slots=True)
class Registered:
    """
    One adapter, or a plug-in that is none.

    ``origin`` is ``built in`` or the distribution; ``problem`` says why there is no ``adapter``: what is missing, or
    the kind of the error, never its text.
    """

    name: str
    origin: str
    adapter: Adapter | None
    problem: str | None = None


@cache
def registered() -> tuple[Registered, ...]:
    """Return every adapter and every plug-in that is none: built-in ones by module, then plug-ins by name."""
    return (*_built_in(), *map(_plugged_in, sorted(entry_points(group=GROUP), key=lambda entry: entry.name)))


@cache
def installed() -> tuple[Adapter, ...]:
    """Return every adapter; of several with one name the first."""
    named: dict[str, Adapter] = {}
    for each in registered():
        if each.adapter is not None:
            named.setdefault(each.adapter.parser, each.adapter)
    return tuple(named.values())


@cache
def built_in() -> tuple[Adapter, ...]:
    """Return the adapters of this package, whatever is installed beside it."""
    return tuple(each.adapter for each in _built_in() if each.adapter is not None)


def problems() -> list[Registered]:
    """Return the plug-ins that read nothing."""
    return [each for each in registered() if each.adapter is None]


def same_names() -> list[str]:
    """Return the names that more than one adapter has."""
    names = [each.adapter.parser for each in registered() if each.adapter is not None]
    return sorted({name for name in names if names.count(name) > 1})


def what_is_wrong(candidate: object) -> str | None:
    """Return what keeps *candidate* from being an adapter; ``None`` when it is one."""
    own = _OWN.get(str(getattr(candidate, "kind", "")))
    if own is None:
        return "kind is none of lines, document, rows"
    missing = [name for name in (*_SHARED, *own) if not hasattr(candidate, name)]
    if missing:
        return f"{missing[0]} is missing"
    adapter = cast("Adapter", candidate)
    for name in ("agent", "parser", "source_class"):
        if not WORD.fullmatch(str(getattr(adapter, name))):
            return f"{name} is no word: small letters, digits and underscores, at most 32"
    if not isinstance(adapter.parser_version, int) or adapter.parser_version < 1:
        return "parser_version is no number from 1 on"
    if adapter.kind == "rows" and any(name not in adapter.query for name in ROW_COLUMNS):
        return "query does not name item_key, revision and inserted"
    return None


def _built_in() -> Iterator[Registered]:
    modules = (import_module(f"adapters.{each.name}") for each in iter_modules(adapters.__path__))
    for module in modules:
        if hasattr(module, "ADAPTER"):
            yield _checked(module.__name__.rpartition(".")[2], "built in", module.ADAPTER)


def _plugged_in(entry: EntryPoint) -> Registered:
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown"
    try:
        loaded = entry.load()
        return _checked(entry.name, origin, loaded() if isinstance(loaded, type) else loaded)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's module does on import ends that plug-in alone
        return Registered(entry.name, origin, None, f"cannot be imported: {type(error).__name__}")


def _checked(name: str, origin: str, candidate: object) -> Registered:
    problem = what_is_wrong(candidate)
    return Registered(name, origin, None if problem else cast("Adapter", candidate), problem)
