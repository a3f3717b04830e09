"""The log of an operator who does not want names in it: what is appended has none, whoever says it."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from daemon.identity import NAMES
from state.log import Commit, Log

C = TypeVar("C")


class VeiledLog(Log[C]):
    """A log in which paths and branches are hashed; cursors name their sources so already."""

    def append(self, events: Sequence[bytes], cursors: Mapping[str, C]) -> Commit:
        """Commit *events* with their names hashed; as `Log.append` in all else."""
        veil = NAMES.veil
        return super().append(list(map(veil.event, events)) if veil is not None else events, cursors)
