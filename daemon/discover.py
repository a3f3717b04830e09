"""
Which files are there: a sweep over the roots that counts what it could not see.

A walk with ``glob`` skips dot directories and swallows every PermissionError: "0 files, 0 errors" over a tree full of
logs. This one names each directory it was denied.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath, PurePosixPath
from typing import Final

from adapters.contract import Adapter, Header, Root
from daemon.beneath import has_beneath
from state.vocabulary import DenyCode

#: Deeper than any agent nests; a tree beyond it is a loop or an attack.
DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A log file as the sweep saw it; below *root* no link leads to it."""

    root: str
    path: str
    adapter: Adapter
    header: Header
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class Denied:
    """A place the sweep could not read, and why."""

    path: str
    adapter: Adapter
    code: DenyCode


@dataclass(frozen=True, slots=True)
class RootSeen:
    """A root, and whether it was there."""

    path: str
    adapter: Adapter
    exists: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A directory whose files were seen."""

    path: str
    adapter: Adapter


Seen = Found | Denied | RootSeen | Listed

#: Says of a file of an adapter that nothing is new in it.
Settled = Callable[[Adapter, str, os.stat_result], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """A root of an adapter, as a path."""

    path: str
    adapter: Adapter
    root: Root


def places(adapters: Iterable[Adapter], home: PurePath, environment: Mapping[str, str]) -> list[Place]:
    """Return every adapter's roots, whether they exist or not."""
    return [
        Place(os.fspath(root.path), adapter, root) for adapter in adapters for root in adapter.roots(home, environment)
    ]


def sweep(known: Iterable[Place], zone: str, is_settled: Settled = lambda *_: False) -> Iterator[Seen]:
    """
    Yield every log file below the roots, and everything that hid some.

    Args:
        known: The roots.
        zone: Assumed for local times.
        is_settled: Says of a file, before anybody is asked what it is, that nothing is new in it: it is not yielded.
    """
    walks: dict[str, _Walk] = {}
    for place in known:
        walk = walks.setdefault(place.adapter.parser, _Walk(zone, is_settled))
        yield from _sweep_root(place, walk)


def look_at(known: Iterable[Place], path: str, zone: str) -> Found | Denied | None:
    """
    Return what a sweep would say of one *path*; ``None`` when it is no log of anybody or is gone.

    Of a file with several names the sweep reads one: who looks at one alone has to ask which (`Ingest.is_second_name`).
    """
    for place in known:
        # A database's write-ahead log is no source of its own: what is new in it is new in the database.
        name = path.removesuffix("-wal") if place.adapter.kind == "rows" else path
        header = _claim(place, name)
        if header is None:
            continue
        try:
            status = os.lstat(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            return _denied(place, name, error)
        if stat.S_ISLNK(status.st_mode):
            return Denied(name, place.adapter, "symlink")
        if not stat.S_ISREG(status.st_mode):
            return Denied(name, place.adapter, "not_regular")
        return Found(_root_of(place, name), name, place.adapter, replace(header, zone=zone), status)
    return None


def _root_of(place: Place, path: str) -> str:
    return os.path.dirname(path) if path == place.path else place.path  # noqa: PTH120 - texts


def _claim(place: Place, path: str) -> Header | None:
    """Return what an adapter says of *path*; ``None`` when it is not below this root, or nothing of the adapter's."""
    if path == place.path:
        return place.adapter.claim(place.root, PurePosixPath())  # a root that is a file; of a directory nobody is told
    if not path.startswith(place.path + os.sep):
        return None
    relative = PurePosixPath(path[len(place.path) + 1 :])
    return None if place.root.is_flat and len(relative.parts) > 1 else place.adapter.claim(place.root, relative)


def look_below(
    known: Sequence[Place], directory: str, zone: str, is_settled: Settled, *, depth_max: int = 0
) -> Iterator[Found | Denied]:
    """Yield what `look_at` says of the files in *directory*, and of those below it down to *depth_max*."""
    owners = [place for place in known if f"{directory}{os.sep}".startswith(place.path + os.sep)]
    if not any(has_beneath(place.path, directory[len(place.path) + 1 :]) for place in owners):
        return  # it went away, or has become a link: what is there now is none of ours
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return  # the sweep over all roots tells of it
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth_max:
                yield from look_below(known, entry.path, zone, is_settled, depth_max=depth_max - 1)
            continue
        seen = None if _is_settled(owners, entry, is_settled) else look_at(owners, entry.path, zone)
        if seen is not None:
            yield seen


def _is_settled(owners: Iterable[Place], entry: "os.DirEntry[str]", is_settled: Settled) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and any(is_settled(place.adapter, entry.path, status) for place in owners)


@dataclass(slots=True)
class _Walk:
    """
    What one walk over an adapter's roots has met.

    Two roots may be one directory (`~/.config/claude -> ~/.claude`), and a file may have two names: read once.
    """

    zone: str
    is_settled: Settled
    met: set[tuple[int, int]] = field(default_factory=set)

    def is_first(self, status: os.stat_result) -> bool:
        """Say whether this is met for the first time."""
        inode = (status.st_dev, status.st_ino)
        is_new = inode not in self.met
        self.met.add(inode)
        return is_new


def _sweep_root(place: Place, walk: _Walk) -> Iterator[Seen]:
    try:
        status = os.stat(place.path)  # noqa: PTH116 - a root may be a link: the operator named it
    except FileNotFoundError:
        yield RootSeen(place.path, place.adapter, exists=False)
        return
    except OSError as error:
        yield Denied(place.path, place.adapter, deny_code(error))
        return
    if stat.S_ISREG(status.st_mode):
        yield from _root_file(place, walk, status)
        return
    if place.root.is_file or not stat.S_ISDIR(status.st_mode):
        yield Denied(place.path, place.adapter, "not_regular")
        return
    yield RootSeen(place.path, place.adapter, exists=True)
    if walk.is_first(status):
        yield from _walk(place, walk, place.path, ())


def _root_file(place: Place, walk: _Walk, status: os.stat_result) -> Iterator[Seen]:
    """Yield a root that is a file: the operator named it, so it need not be called as the agent would call it."""
    path = os.path.realpath(place.path)
    header = place.adapter.claim(place.root, PurePosixPath())
    if header is not None and walk.is_first(status) and not walk.is_settled(place.adapter, path, status):
        yield Found(os.path.dirname(path), path, place.adapter, replace(header, zone=walk.zone), status)  # noqa: PTH120 - texts


def _walk(place: Place, walk: _Walk, directory: str, parts: tuple[str, ...]) -> Iterator[Seen]:
    if len(parts) > DEPTH_MAX:
        yield Denied(directory, place.adapter, "too_deep")
        return
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield _denied(place, directory, error)
        return
    yield Listed(directory, place.adapter)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not place.root.is_flat:
                yield from _walk(place, walk, entry.path, (*parts, entry.name))
            continue
        seen = _claimed(place, walk, entry, parts)
        if seen is not None:
            yield seen


def _claimed(place: Place, walk: _Walk, entry: "os.DirEntry[str]", parts: tuple[str, ...]) -> Seen | None:
    status: os.stat_result | OSError
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        status = error
    else:
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and walk.is_settled(place.adapter, entry.path, status):
            return None
    header = place.adapter.claim(place.root, PurePosixPath(*parts, entry.name))
    if header is None:
        return None
    if isinstance(status, OSError):
        return _denied(place, entry.path, status)
    if stat.S_ISLNK(status.st_mode):
        return Denied(entry.path, place.adapter, "symlink")
    if not stat.S_ISREG(status.st_mode):
        return Denied(entry.path, place.adapter, "not_regular")
    if status.st_nlink > 1 and not walk.is_first(status):
        return None
    return Found(place.path, entry.path, place.adapter, replace(header, zone=walk.zone), status)


def _denied(place: Place, path: str, error: OSError) -> Denied:
    """Say why *path* cannot be read; of one that is longer than a path may be, only its directory has a place."""
    is_too_long = error.errno == errno.ENAMETOOLONG
    return Denied(os.path.dirname(path) if is_too_long else path, place.adapter, deny_code(error))  # noqa: PTH120 - texts


def deny_code(error: OSError) -> DenyCode:
    """Return the kind of refusal behind *error*, without its text."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "permission"
        case errno.ENOENT | errno.ESTALE:
            return "vanished"
        case errno.ENOTDIR:
            return "not_regular"
        case errno.ELOOP:
            return "symlink"
        case errno.ENAMETOOLONG:
            return "too_deep"
        case _:
            return "io_error"
