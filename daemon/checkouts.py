"""
Which directories of the logs are looked at, and what of them is new: an event for each change, and for each commit.

A single pass looks once (`look_once`); in the daemon a thread of its own does (`daemon/checkout_reader.py`).
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from daemon.checkout import Looked, Repository, gone, look
from daemon.git_files import made_here
from daemon.git_objects import Commit
from daemon.history import Histories, first_parents
from daemon.ingest import Ingest
from daemon.own_events import own_event
from daemon.recorded import Recorded, recorded
from daemon.task_rules import DEFAULTS
from daemon.trailers import trailers
from state.evidence import CheckoutFacts, CommitFacts, RuleSet
from state.paths import StatePaths
from state.vocabulary import ID

#: Directories, and working trees, of which is remembered what was last recorded.
REMEMBERED_MAX: Final = 5_000
#: Commits of one working tree that one look records, and those that are remembered.
COMMITS_MAX: Final = 200
COMMITS_REMEMBERED_MAX: Final = 2_000
#: Older commits are not recorded when a working tree is looked at for the first time.
FIRST_LOOK_AGE: Final = timedelta(days=7)

#: A single pass looks at directories for so long, in seconds.
ONCE_SECONDS: Final = 10.0

_IDS_MAX: Final = 100

Clock = Callable[[], datetime]


class Checkouts:
    """What was last recorded of each directory, and the events that a look at one comes to."""

    def __init__(self, clock: Clock, rules: RuleSet = DEFAULTS) -> None:
        self._clock = clock
        self._task_trailers = frozenset(name.lower() for name in rules.task_trailers)
        self._workstream_trailers = frozenset(name.lower() for name in rules.workstream_trailers)
        self._histories = Histories()
        self._facts: OrderedDict[str, CheckoutFacts] = OrderedDict()
        #: By working tree: commits that need no event any more, the oldest first.
        self._commits: OrderedDict[str, dict[str, None]] = OrderedDict()

    def believe(self, recorded: Recorded) -> None:
        """Take what the log says; what was seen since is newer."""
        for facts in recorded.facts:
            self._facts.setdefault(facts.cwd, facts)
            if facts.git_path and facts.git_path.startswith("/") and facts.head_commit and facts.root_commit:
                self._histories.remember(facts.git_path, facts.head_commit, facts.root_commit)
        for top_path, name in recorded.commits:
            self._remember_commits(top_path, [name])
        self._forget()

    def look(self, cwd: str) -> list[bytes]:
        """
        Return the events of what is new or changed of *cwd* and its commits; none when nothing is.

        Raises:
            OSError: The disk did not answer; nothing can be said.
        """
        looked = look(cwd, self._histories)
        if looked is None:
            return self._missing(cwd)
        # First what the disk may refuse: facts that were compared are taken for recorded.
        commits = self._new_commits(looked, looked.repository) if looked.repository is not None else []
        return [*self._changed(looked.facts), *commits]

    def look_whether_gone(self, cwd: str) -> list[bytes]:
        """Return the event that *cwd* is gone if it is not there any more, and was once; of what is there, nothing."""
        return [] if os.path.isdir(cwd) else self.look(cwd)  # noqa: PTH112 - thousands of them

    def _missing(self, cwd: str) -> list[bytes]:
        """Say that a directory is gone, once, and only of one that was there."""
        known = self._facts.get(cwd)
        return list(self._changed(gone(cwd))) if known is not None else []

    def _changed(self, facts: CheckoutFacts) -> Iterator[bytes]:
        known = self._facts.get(facts.cwd)
        self._facts[facts.cwd] = facts
        self._facts.move_to_end(facts.cwd)
        self._forget()
        if known is None or _lasting(known) != _lasting(facts):
            yield own_event("checkout", facts, self._clock())

    def _new_commits(self, looked: Looked, repository: Repository) -> list[bytes]:
        """Return an event for each commit of a working tree that was not recorded yet, the oldest first."""
        top, head = looked.facts.top_path, looked.facts.head_commit
        if top is None or head is None:
            return []
        known = self._commits.get(top, {})
        if head in known:
            return []
        now = self._clock()
        oldest = 0 if top in self._commits else (now - FIRST_LOOK_AGE).timestamp()

        def is_end(name: str, commit: Commit) -> bool:
            return name in known or (commit.committed_seconds or 0) < oldest

        new = list(islice(first_parents(repository.common_path, head, is_end), COMMITS_MAX))
        made = made_here(repository.git_path)
        facts = [self._commit_facts(looked.facts, name, commit) for name, commit in reversed(new) if name in made]
        # What lies behind the last of them was not recorded on purpose: the next look ends where this one began.
        self._remember_commits(top, [*(name for name, _ in reversed(new)), head])
        self._forget()
        return [own_event("git_commit", each, now) for each in facts if each is not None]

    def _commit_facts(self, checkout: CheckoutFacts, name: str, commit: Commit) -> CommitFacts | None:
        """Return what is recorded of a commit; ``None`` when it does not say when it was made."""
        if commit.committed_seconds is None or checkout.top_path is None or checkout.git_path is None:
            return None
        try:
            committed_at = datetime.fromtimestamp(commit.committed_seconds, UTC)
        except (OverflowError, ValueError):
            return None
        stated = list(trailers(commit.message.decode("utf-8", "replace")))
        return CommitFacts(
            top_path=checkout.top_path,
            git_path=checkout.git_path,
            commit=name,
            committed_at=committed_at,
            git_branch=checkout.git_branch,
            task_ids=_ids(stated, self._task_trailers),
            workstream_ids=_ids(stated, self._workstream_trailers),
        )

    def _remember_commits(self, top_path: str, names: Iterable[str]) -> None:
        known = self._commits.setdefault(top_path, {})
        known.update(dict.fromkeys(names))
        self._commits.move_to_end(top_path)
        while len(known) > COMMITS_REMEMBERED_MAX:
            del known[next(iter(known))]

    def _forget(self) -> None:
        """Forget what was not asked for longest; forgotten, it is recorded once more at worst."""
        while len(self._facts) > REMEMBERED_MAX:
            self._facts.popitem(last=False)
        while len(self._commits) > REMEMBERED_MAX:
            self._commits.popitem(last=False)


def look_once(ingest: Ingest, checkouts: Checkouts, paths: StatePaths | None) -> None:
    """
    Look at the directories of what was just read, and commit what is new; for a single pass.

    Directories for which there is no time any more are looked at in a later pass.

    Args:
        ingest: What has read, and commits.
        checkouts: Says what is new.
        paths: Where published tables say what was recorded before; null when they are not to be believed.
    """
    seen = sorted(cwd for cwd in ingest.taken_directories() if cwd.startswith("/"))
    if not seen:
        return
    before = recorded(paths) if paths is not None else None
    found = before or Recorded()
    checkouts.believe(found)
    looks = [(cwd, checkouts.look) for cwd in dict.fromkeys([*seen, *found.unseen])]
    looks += [(cwd, checkouts.look_whether_gone) for cwd in found.present if cwd not in set(seen)]
    end = time.monotonic() + ONCE_SECONDS
    for cwd, how in looks:
        if time.monotonic() >= end:
            break
        with suppress(OSError):  # the disk did not answer: nothing can be said of it
            ingest.batch.add(how(cwd))
        if ingest.batch.is_full:
            ingest.commit()
    ingest.commit()


def _lasting(facts: CheckoutFacts) -> dict[str, Any]:
    """Return what is compared: work in progress moves branch and commit all the time."""
    return facts.model_dump(exclude={"head_commit", "git_branch"})


def _ids(stated: Iterable[tuple[str, str]], names: frozenset[str]) -> tuple[str, ...]:
    """Return the ids that trailers of these names give, each once; a value that is no id is left out."""
    found = dict.fromkeys(value for key, value in stated if key.lower() in names and ID.fullmatch(value))
    return tuple(found)[:_IDS_MAX]
