"""Options whose value is one of some words."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from state.errors import TallystickError

#: So many words are named as they are; of more only those that are like the one that was given.
_NAMED_MAX: Final = 30


class BadOption(TallystickError):
    """
    An option's value is not possible. The facts name the option and what it can be.
    """

    exit_code = 2


def check_words(option: str, words: Iterable[str], possible: Iterable[str]) -> None:
    """Raise `BadOption` when one of *words* is not among the *possible*."""
    known = tuple(possible)
    unknown = [word for word in words if word not in known]
    if unknown and len(known) > _NAMED_MAX:
        close = get_close_matches(unknown[0][:64], known, n=5, cutoff=0.5)
        raise BadOption(option=option, can_be=f"one of {len(known)} words", close=",".join(close) or "none")
    if unknown:
        raise BadOption(option=option, can_be=",".join(known))
