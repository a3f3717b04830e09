"""Options whose value is one of some words."""

from collections.abc import Iterable

from state.errors import TallystickError


class BadOption(TallystickError):
    """
    An option's value is not possible. The facts name the option and what it can be.
    """

    exit_code = 2


def check_words(option: str, words: Iterable[str], possible: Iterable[str]) -> None:
    """Raise `BadOption` when one of *words* is not among the *possible*."""
    unknown = [word for word in words if word not in tuple(possible)]
    if unknown:
        raise BadOption(option=option, can_be=",".join(possible))
