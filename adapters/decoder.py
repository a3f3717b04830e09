"""
A line of JSON to the few fields an adapter reads; all others are skipped undecoded.

One odd field must not cost a call. Where the strict decoder fails, a second look keeps what is sound: context of an
impossible type becomes null, a *counted* field of an impossible type rejects the line.
"""

import re
import sys
import types
import typing
from collections.abc import Collection
from typing import Generic, TypeVar

import msgspec

from adapters.contract import LineRejected

#: How deep a line may be nested; a decoder's frame is small, and the stack has room for many more.
DEPTH_MAX = 10_000

T = TypeVar("T", bound=msgspec.Struct)
S = TypeVar("S", bound=msgspec.Struct)


class _Impossible(Exception):
    """A counted field holds something that is no number of tokens."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


#: An escape in a JSON string; the group is half of a character beyond the basic plane, without its other half.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class Decoder(Generic[T]):
    """Decodes lines as *model*; *counted* names the structs whose numbers are money."""

    def __init__(self, model: type[T], counted: Collection[type[msgspec.Struct]] = ()) -> None:
        self._model = model
        self._counted = frozenset(counted)
        self._strict = msgspec.json.Decoder(model).decode

    def decode(self, line: "bytes | msgspec.Raw") -> T | LineRejected:
        """Read one line; `LineRejected` when it is no JSON object, too deep, or a counted field is impossible."""
        try:
            return self._strict(line)
        except msgspec.ValidationError:
            return self._second_look(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._mended(bytes(line))
        except RecursionError:
            return self._deeper(line)

    def _deeper(self, line: "bytes | msgspec.Raw") -> T | LineRejected:
        """
        Decode a line that is nested deeper than Python's own code may be, down to `DEPTH_MAX`.

        A field that nobody reads must not cost a call because it is deep; the decoder only passes over it.
        """
        before = sys.getrecursionlimit()
        if before >= DEPTH_MAX:
            return LineRejected(code="too_deep")
        sys.setrecursionlimit(DEPTH_MAX)
        try:
            return self.decode(line)
        finally:
            sys.setrecursionlimit(before)

    def _mended(self, line: bytes) -> T | LineRejected:
        """
        Decode a line that is no valid JSON once more: without byte order mark, bytes that are no text, half characters.

        JavaScript and Python both escape the halves of an emoji that was cut in two. Our decoder refuses such a line
        even where it skips the string; a call must not be lost to a character that nobody reads.
        """
        mended = line.lstrip(b"\xef\xbb\xbf").decode("utf-8", "replace").encode()
        if b"\\u" in mended:
            mended = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], mended)
        if mended == line:
            return LineRejected(code="invalid_json")
        return self.decode(mended)

    def _second_look(self, line: "bytes | msgspec.Raw") -> T | LineRejected:
        try:
            read = self._struct(self._model, msgspec.Raw(line))
        except _Impossible as impossible:
            return LineRejected(code="invalid_field", field=impossible.field)
        except RecursionError:
            return LineRejected(code="too_deep")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._mended(bytes(line))
        return read if read is not None else LineRejected(code="invalid_json")

    def _struct(self, model: type[S], raw: msgspec.Raw) -> S | None:
        """Return *raw* as *model*, field by field; ``None`` when it is no object."""
        try:
            fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            return None
        hints = typing.get_type_hints(model)
        known = {name: self._field(model, name, hints[name], fields[name]) for name in hints if name in fields}
        return model(**known)

    def _field(self, model: type[msgspec.Struct], name: str, hint: object, raw: msgspec.Raw) -> object:
        try:
            return msgspec.json.decode(raw, type=typing.cast("type[object]", hint))
        except msgspec.ValidationError:
            pass
        inner = _without_none(hint)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            nested = self._struct(inner, raw)
            if nested is None and inner in self._counted:
                raise _Impossible(name)
            return nested
        if typing.get_origin(inner) is list:
            return self._list(typing.get_args(inner)[0], raw)
        if model in self._counted and inner is int:
            return _whole_number(name, raw)
        return None

    def _list(self, model: type[msgspec.Struct], raw: msgspec.Raw) -> list[msgspec.Struct] | None:
        try:
            parts = msgspec.json.decode(raw, type=list[msgspec.Raw])
        except msgspec.ValidationError:
            return None
        return [part for part in (self._struct(model, each) for each in parts) if part is not None]


def _without_none(hint: object) -> object:
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not type(None))
    return hint


def _whole_number(name: str, raw: msgspec.Raw) -> int:
    """Return a number that is whole but written as ``12.0``."""
    try:
        value = msgspec.json.decode(raw, type=float)
    except msgspec.ValidationError:
        raise _Impossible(name) from None
    if not value.is_integer():
        raise _Impossible(name)
    return int(value)
