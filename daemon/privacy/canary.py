"""
A word that stands nowhere else, and how it looks wherever somebody wrote it down in another form.

One random token is in every canary of a proof, so one search finds them all; behind it stands the number of the place
where that canary was put, so that a find names its source.
"""

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Hexadecimal digits of a token: no accident writes so many in a row.
_DIGITS: Final = 14

_NUMBER: Final = re.compile(r"n([0-9]{1,9})x")


@dataclass(frozen=True, slots=True)
class Canary:
    """A random token; it is a word, an id and a name of a model or branch by every pattern there is."""

    token: str

    @classmethod
    def drawn(cls) -> "Canary":
        """Draw a token that nobody can have written before."""
        return cls(f"zq{secrets.token_hex(_DIGITS // 2)}")

    def numbered(self, number: int) -> str:
        """Return the canary of one place."""
        return f"{self.token}n{number}x"

    def number(self, text: str) -> int | None:
        """Return the number of the first canary in *text*; null when it is cut off, or *text* is in another form."""
        _, _, behind = text.lower().partition(self.token)
        match = _NUMBER.match(behind)
        return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Forms:
    """What to look for: ``folded`` in content without capitals, ``exact`` in content as it stands; by encoding."""

    folded: Mapping[str, tuple[bytes, ...]]
    exact: Mapping[str, tuple[bytes, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Every encoding."""
        return (*self.folded, *self.exact)


def forms_of(canary: Canary) -> Forms:
    """Return how the token looks raw, in UTF-16, hex, URL- and JSON-escaped, and in Base64 at each alignment."""
    text, units = canary.token, canary.token.encode("ascii")
    return Forms(
        folded={
            "raw": (units,),
            "utf-16": (text.encode("utf-16-le"), text.encode("utf-16-be")),
            "hex": (units.hex().encode("ascii"),),
            "url": ("".join(f"%{unit:02x}" for unit in units).encode("ascii"),),
            "json": ("".join(f"\\u{unit:04x}" for unit in units).encode("ascii"),),
        },
        exact={"base64": tuple(dict.fromkeys(form for lead in range(3) for form in _in_base64(units, lead)))},
    )


def _in_base64(units: bytes, lead: int) -> tuple[bytes, bytes]:
    """Return what of *units* is the same in Base64, of both alphabets, whatever stands before and behind it."""
    filled = bytes(lead) + units
    begin, end = -(-lead * 8 // 6), len(filled) * 8 // 6
    return base64.b64encode(filled)[begin:end], base64.urlsafe_b64encode(filled)[begin:end]
