"""
A plug-in and the daemon, kept apart: whatever somebody else's adapter does, it costs its own file and nothing else.

What it says is held against the contract before it becomes evidence, for the log keeps every event for ever. Our own
adapters are not asked twice: the tests do that.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import PurePath, PurePosixPath
from typing import Any, Final, TypeVar, cast, get_args

from adapters.contract import FAILED, Adapter, Header, Item, LineRejected, Observation, Root, Row, stored
from adapters.registry import registered

_KINDS: Final = get_args(Observation)

T = TypeVar("T")


class Guarded:
    """
    An adapter that never raises, and says nothing that is no evidence.

    ``failures`` names the methods that failed, for whoever tells the operator.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter: Any = adapter
        self.failures: set[str] = set()
        self.agent = adapter.agent
        self.parser = adapter.parser
        self.source_class = adapter.source_class
        self.parser_version = adapter.parser_version
        self.kind = adapter.kind
        self.query = getattr(adapter, "query", "")
        self.stored = stored(adapter)

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Return the roots; none where the adapter failed."""
        nothing: tuple[Root, ...] = ()
        found = self._tried("roots", lambda: tuple(self._adapter.roots(home, environment)), nothing)
        return tuple(each for each in found if self._is("roots", isinstance(each, Root)))

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Return the header of a log; ``None`` where the adapter failed."""
        header = self._tried("claim", lambda: self._adapter.claim(root, relative), None)
        return header if header is None or self._is("claim", isinstance(header, Header)) else None

    def with_first_line(self, header: Header, line: bytes) -> Header:
        """Return the completed header; as it was where the adapter failed."""
        found = self._tried("with_first_line", lambda: self._adapter.with_first_line(header, line), header)
        return found if self._is("with_first_line", isinstance(found, Header)) else header

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        """Return what a line says; rejected where that is no evidence."""
        return self._sound("read_line", lambda: tuple(self._adapter.read_line(line, header)))

    def read_row(self, row: Row, header: Header) -> Iterable[Observation]:
        """Return what a row says; rejected where that is no evidence."""
        return self._sound("read_row", lambda: tuple(self._adapter.read_row(row, header)))

    def read_document(self, content: bytes, header: Header) -> Iterable[Item] | LineRejected:
        """Return the items of a document; rejected where one is no item, or says what is no evidence."""

        def read() -> Any:  # noqa: ANN401 - that it is what it should be is what is looked at
            found = self._adapter.read_document(content, header)
            return found if isinstance(found, LineRejected) else tuple(found)

        failed = LineRejected(code="adapter_failed")
        found = self._tried("read_document", read, failed)
        if isinstance(found, LineRejected):
            return found
        if not self._is("read_document", all(isinstance(each, Item) for each in found)):
            return failed
        said = self._sound("read_document", lambda: tuple(each for item in found for each in item.observations))
        return failed if said is FAILED else found

    def _sound(self, name: str, ask: Callable[[], Any]) -> tuple[Observation, ...]:
        from daemon.conformance import unsound  # brings pydantic, which a daemon without plug-ins never needs

        said = self._tried(name, ask, FAILED)
        is_known = all(type(each) in _KINDS for each in said)
        is_sound = is_known and self._tried(name, lambda: unsound(cast("Adapter", self), said) is None, False)
        return said if self._is(name, is_sound) else FAILED

    def _is(self, name: str, is_so: bool) -> bool:
        if not is_so:
            self.failures.add(name)
        return is_so

    def _tried(self, name: str, ask: Callable[[], T], otherwise: T) -> T:
        """Return what *ask* returns; what it raises quotes what it could not read, and goes nowhere."""
        try:
            return ask()
        except (Exception, SystemExit):  # noqa: BLE001 - that is what a guard is for
            self.failures.add(name)
            return otherwise


@cache
def readers() -> tuple[Adapter, ...]:
    """Return every adapter, plug-ins guarded; of several with one name the first."""
    named: dict[str, Adapter] = {}
    for each in registered():
        if each.adapter is not None:
            adapter = each.adapter if each.origin == "built in" else cast("Adapter", Guarded(each.adapter))
            named.setdefault(adapter.parser, adapter)
    return tuple(named.values())


def failures() -> list[tuple[str, str]]:
    """Return which plug-ins failed so far, and in what."""
    guarded = [each for each in cast("tuple[object, ...]", readers()) if isinstance(each, Guarded)]
    return [(each.parser, name) for each in guarded for name in sorted(each.failures)]
