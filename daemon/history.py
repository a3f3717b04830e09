"""
What the history of a checkout says: its first commit, and the commits made since the last look.

Always by first parents: the line along which work was done in the checkout itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from daemon.git_objects import Commit, Objects

#: A history that is longer is not followed to its beginning: two hundred thousand commits take about five seconds.
COMMITS_MAX: Final = 200_000
#: Repositories whose first commit is remembered.
_REMEMBERED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Root:
    """The first commit behind ``head``; null where it could not be found; ``is_beyond`` when it is too far back."""

    head: str
    commit: str | None
    is_beyond: bool = False


class Histories:
    """First commits, remembered per repository: while history only grows, only what is new of it is walked."""

    def __init__(self) -> None:
        self._roots: OrderedDict[str, _Root] = OrderedDict()

    def remember(self, common_path: str, head: str, root: str) -> None:
        """Take what the log says of a repository; what was walked since is newer."""
        self._roots.setdefault(common_path, _Root(head, root))
        self._forget()

    def root(self, common_path: str, head: str) -> str | None:
        """
        Return the first commit behind *head*; ``None`` where history is damaged, or longer than `COMMITS_MAX`.

        Raises:
            OSError: The repository cannot be read.
        """
        known = self._roots.get(common_path)
        if known is None or (known.head != head and not known.is_beyond):
            known = _walked(common_path, head, known)
            self._roots[common_path] = known
        self._roots.move_to_end(common_path)
        self._forget()
        return known.commit

    def _forget(self) -> None:
        while len(self._roots) > _REMEMBERED_MAX:
            self._roots.popitem(last=False)


def _walked(common_path: str, head: str, known: _Root | None) -> _Root:
    """Walk from *head* to the beginning, or to where the walk was before."""
    name = head
    with Objects(common_path) as objects:
        for _ in range(COMMITS_MAX):
            if known is not None and known.commit is not None and name == known.head:
                return _Root(head, known.commit)
            commit = objects.commit(name)
            if commit is None:
                return _Root(head, None)
            if not commit.parents:
                return _Root(head, name)
            name = commit.parents[0]
    return _Root(head, None, is_beyond=True)


def first_parents(common_path: str, head: str, is_end: Callable[[str, Commit], bool]) -> Iterator[tuple[str, Commit]]:
    """
    Yield the commits from *head* back, until *is_end* says so or nothing is behind.

    Raises:
        OSError: The repository cannot be read.
    """
    name = head
    with Objects(common_path) as objects:
        while (commit := objects.commit(name)) is not None and not is_end(name, commit):
            yield name, commit
            if not commit.parents:
                return
            name = commit.parents[0]
