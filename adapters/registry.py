"""Which adapters there are: one module of this package each, so a new file is a new agent."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import adapters
from adapters.contract import Adapter


@cache
def installed() -> tuple[Adapter, ...]:
    """Return every adapter, by name of its module."""
    modules = (import_module(f"adapters.{each.name}") for each in iter_modules(adapters.__path__))
    return tuple(module.ADAPTER for module in modules if hasattr(module, "ADAPTER"))
