"""How much one line, row or item may say: what is beyond it was made to hurt, and no agent writes it."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from adapters.contract import LineRejected, Observation

#: A compaction of Codex says one thing, an answer of Claude Code a hundred at most.
OBSERVATIONS_MAX: Final = 1_000

_TOO_MANY: tuple[Observation, ...] = (LineRejected(code="out_of_range"),)


def at_most(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Return *observations*, or that their line is rejected when there are more than one line can hold."""
    said = tuple(islice(observations, OBSERVATIONS_MAX + 1))
    return said if len(said) <= OBSERVATIONS_MAX else _TOO_MANY
