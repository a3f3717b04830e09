"""
Directory to what git says of it, read from git's files: no fork, nothing executed, nothing written.

Other people's repositories are read like one's own, which git itself refuses: here no configuration is obeyed. Not
honoured, and so perhaps told otherwise by git: ``GIT_DIR`` and its like, ``GIT_CEILING_DIRECTORIES``, configuration
outside the repository and included in it (``include``, ``includeIf``, ``insteadOf``), ``config.worktree``, grafts and
replaced objects.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import Final

from adapters.decode import branch_name, digest, directory, remote_name
from daemon.git_files import (
    CONFIG_BYTES_MAX,
    ConfigDamaged,
    config_entries,
    head_of,
    mode_of,
    read_name,
    read_small,
    resolved,
    symbolic,
)
from daemon.history import Histories
from state.evidence import CheckoutFacts
from state.vocabulary import CheckoutKind

#: Remotes that are kept: `origin` first, then by name.
REMOTES_MAX: Final = 20
_REMOTE_CHARS_MAX: Final = 1_024
_LABEL: Final = re.compile(r"[A-Za-z0-9._/-]{1,128}")
#: A path that is longer becomes its hash, so that an event is never longer than it may be.
_PATH_BYTES_MAX: Final = 1_024

#: This user may not look; anything else that goes wrong says nothing about the directory.
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Repository:
    """
    Where a checkout's files are; all paths are real ones.

    ``top_path`` is null for a bare repository. ``git_path`` is the working tree's own git directory, ``common_path``
    the one that all working trees share: the same, but for a worktree.
    """

    top_path: str | None
    git_path: str
    common_path: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look came to; the repository is null where there is none."""

    facts: CheckoutFacts
    repository: Repository | None = None


def look(cwd: str, histories: Histories) -> Looked | None:
    """
    Return what git says of *cwd*; ``None`` when there is no such directory.

    Raises:
        OSError: The disk did not answer, or not twice the same; nothing can be said.
    """
    try:
        if "\0" in cwd or not stat.S_ISDIR(mode_of(cwd)):
            return None
        repository = find(cwd)
        if repository is None:
            return Looked(CheckoutFacts(cwd=_shown(cwd), state="none"))
        return Looked(_facts(cwd, repository, histories), repository)
    except OSError as error:
        if error.errno in _DENIED:
            return Looked(CheckoutFacts(cwd=_shown(cwd), state="unreadable"))
        raise  # also when a part of it vanished under our eyes: the next look sees what is left


def gone(cwd: str) -> CheckoutFacts:
    """Return what is said of a directory that was there once."""
    return CheckoutFacts(cwd=_shown(cwd), state="gone")


def find(cwd: str) -> Repository | None:
    """
    Return the repository that git would find from *cwd* upwards, on the same file system; ``None`` where it finds none.

    Raises:
        OSError: A directory on the way cannot be looked into.
    """
    place = os.path.realpath(cwd)
    device = os.stat(place).st_dev  # noqa: PTH116 - as above
    while os.stat(place).st_dev == device:  # noqa: PTH116
        link = os.path.join(place, ".git")  # noqa: PTH118 - as above
        mode = mode_of(link)
        if stat.S_ISREG(mode):
            return _linked(place, link)
        if stat.S_ISDIR(mode) and _is_git_directory(link):
            return _repository(place, os.path.realpath(link))
        if os.path.basename(place) != ".git" and _is_git_directory(place):  # noqa: PTH119 - as above
            return _repository(None, place)
        above = os.path.dirname(place)  # noqa: PTH120 - as above
        if above == place:
            break
        place = above
    return None


def _linked(place: str, link: str) -> Repository | None:
    """Return the repository that a `.git` file names; where it names none, git does not look any further up."""
    text = read_name(link)
    if text is None or not text.startswith("gitdir:"):
        return None
    named = text.removeprefix("gitdir:").strip()
    git_path = os.path.realpath(os.path.join(place, named))  # noqa: PTH118 - as above
    return _repository(place, git_path) if named and _is_git_directory(git_path) else None


def _is_git_directory(path: str) -> bool:
    """Say whether *path* is what git takes for a git directory: HEAD, objects and references."""
    if not mode_of(os.path.join(path, "HEAD")):  # noqa: PTH118 - as above
        return False
    common = _common(path)
    has_parts = all(stat.S_ISDIR(mode_of(os.path.join(common, name))) for name in ("objects", "refs"))  # noqa: PTH118
    return has_parts and head_of(path) is not None


def _common(git_path: str) -> str:
    """Return the git directory that all working trees share."""
    named = read_name(os.path.join(git_path, "commondir"))  # noqa: PTH118 - as above
    return os.path.realpath(os.path.join(git_path, named)) if named else git_path  # noqa: PTH118


def _repository(top_path: str | None, git_path: str) -> Repository:
    return Repository(top_path, git_path, _common(git_path))


# -- what its files say --------------------------------------------------------------------------------------------


def _facts(cwd: str, found: Repository, histories: Histories) -> CheckoutFacts:
    config = _config(found.common_path)
    kind = _kind(found, config)
    head = head_of(found.git_path) or ""
    is_other_store = config.get("extensions.refstorage", ["files"])[-1] != "files"
    commit = None if is_other_store else resolved(found.git_path, found.common_path, head)
    is_shallow = _is_shallow(found)
    return CheckoutFacts(
        cwd=_shown(cwd),
        state="present",
        checkout_kind=kind,
        top_path=None if kind == "bare" else stored(found.top_path),
        main_path=stored(_main_path(found, kind, config)),
        git_path=stored(found.common_path),
        root_commit=None if is_shallow or commit is None else histories.root(found.common_path, commit),
        head_commit=commit,
        git_branch=None if is_other_store else _branch(head),
        is_shallow=is_shallow,
        is_foreign=os.stat(found.common_path).st_uid != os.geteuid(),  # noqa: PTH116 - as above
        remotes=_remotes(config),
    )


def _branch(head: str) -> str | None:
    """Return the branch that HEAD names; ``None`` when it names a commit, or no branch."""
    kind, _, name = (symbolic(head) or "").partition("heads/")
    return branch_name(name) if kind == "refs/" else None


def _is_shallow(found: Repository) -> bool:
    """Say whether history is cut off; also where the list of what is cut off is no file that can be read."""
    path = _in(found.common_path, "shallow")
    content = read_small(path, CONFIG_BYTES_MAX)
    return bool(content) or (content is None and mode_of(path) != 0)


def _config(common_path: str) -> dict[str, list[str]]:
    """Return the values of the repository's own configuration, by ``section.key``; empty where git would refuse it."""
    content = read_small(_in(common_path, "config"), CONFIG_BYTES_MAX)
    values: dict[str, list[str]] = {}
    try:
        for name, value in config_entries(content or b""):
            values.setdefault(name, []).append(value)
    except ConfigDamaged:
        return {}
    return values


def _kind(found: Repository, config: dict[str, list[str]]) -> CheckoutKind:
    if found.git_path != found.common_path:
        return "worktree"
    if found.top_path is None or config.get("core.bare", [""])[-1].lower() in ("true", "yes", "on", "1"):
        return "bare"
    return "submodule" if _superproject(found.git_path) else "main"


def _superproject(git_path: str) -> bool:
    """Say whether a git directory lies among the `modules` of another one, as git puts those of submodules."""
    above = os.path.dirname(git_path)  # noqa: PTH120 - as above
    while above != os.path.dirname(above):  # noqa: PTH120
        if os.path.basename(above) == "modules" and _is_git_directory(os.path.dirname(above)):  # noqa: PTH119, PTH120
            return True
        above = os.path.dirname(above)  # noqa: PTH120
    return False


def _main_path(found: Repository, kind: CheckoutKind, config: dict[str, list[str]]) -> str | None:
    """Return the top of the main working tree; ``None`` where there is none, or it cannot be told."""
    if kind == "bare":
        return None
    if kind != "worktree":
        return found.top_path
    above, name = os.path.split(found.common_path)
    if name == ".git":
        return above
    named = config.get("core.worktree", [""])[-1]
    return os.path.realpath(_in(found.common_path, named)) if named and "\0" not in named else None


def _remotes(config: dict[str, list[str]]) -> dict[str, str]:
    """Return host/path of each remote by its name; an address that has none of it is its hash."""
    found = {
        _label(name): _address(values[0]) for key, values in config.items() if (name := _remote_of(key)) and values[0]
    }
    kept = sorted(found, key=lambda name: (name != "origin", name))[:REMOTES_MAX]
    return {name: found[name] for name in kept}


def _remote_of(key: str) -> str | None:
    """Return the remote whose address stands under *key*; ``None`` for all else."""
    section, _, entry = key.rpartition(".")
    kind, _, name = section.partition(".")
    return name if kind == "remote" and entry == "url" else None


def _label(name: str) -> str:
    return name if _LABEL.fullmatch(name) else digest(name)


def _address(url: str) -> str:
    name = remote_name(url) if len(url) <= _REMOTE_CHARS_MAX else None
    return name or f"hash:{digest(url)}"


def stored(path: str | None) -> str | None:
    """Return *path* as it is stored: itself, or its hash when it cannot be shown or is very long."""
    if path is None or len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        return directory(path)
    return f"hash:{digest(path)}"


def _shown(path: str) -> str:
    return directory(path) or f"hash:{digest(path)}"


def _in(place: str, name: str) -> str:
    return os.path.join(place, name)  # noqa: PTH118 - names of any bytes
