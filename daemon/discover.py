"""
Which files are there: a sweep over the roots that counts what it could not see.

A walk with ``glob`` skips dot directories and swallows every PermissionError: "0 files, 0 errors" over a tree full of
logs. This one names each directory it was denied.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath, PurePosixPath
from typing import Final

from adapters.contract import Adapter, Header, Root
from state.vocabulary import DenyCode

#: Deeper than any agent nests; a tree beyond it is a loop or an attack.
DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A log file as the sweep saw it."""

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


Seen = Found | Denied | RootSeen


def sweep(adapters: Iterable[Adapter], home: PurePath, environment: Mapping[str, str], zone: str) -> Iterator[Seen]:
    """Yield every log file below every adapter's roots, and everything that hid some."""
    for adapter in adapters:
        walked: set[tuple[int, int]] = set()
        for root in adapter.roots(home, environment):
            yield from _sweep_root(adapter, root, zone, walked)


def _sweep_root(adapter: Adapter, root: Root, zone: str, walked: set[tuple[int, int]]) -> Iterator[Seen]:
    path = os.fspath(root.path)
    try:
        status = os.stat(path)  # noqa: PTH116 - a root may be a link: the operator named it, and it is resolved once
    except FileNotFoundError:
        yield RootSeen(path, adapter, exists=False)
        return
    except OSError as error:
        yield Denied(path, adapter, deny_code(error))
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Denied(path, adapter, "not_regular")
        return
    yield RootSeen(path, adapter, exists=True)
    if (status.st_dev, status.st_ino) not in walked:  # two roots may be one directory: `~/.config/claude -> ~/.claude`
        walked.add((status.st_dev, status.st_ino))
        yield from _walk(adapter, root, zone, path, (), walked)


def _walk(
    adapter: Adapter, root: Root, zone: str, directory: str, parts: tuple[str, ...], walked: set[tuple[int, int]]
) -> Iterator[Seen]:
    if len(parts) > DEPTH_MAX:
        yield Denied(directory, adapter, "too_deep")
        return
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Denied(directory, adapter, deny_code(error))
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(adapter, root, zone, entry.path, (*parts, entry.name), walked)
        else:
            yield from _claimed(adapter, root, zone, entry, parts, walked)


def _claimed(
    adapter: Adapter,
    root: Root,
    zone: str,
    entry: "os.DirEntry[str]",
    parts: tuple[str, ...],
    walked: set[tuple[int, int]],
) -> Iterator[Seen]:
    header = adapter.claim(root, PurePosixPath(*parts, entry.name))
    if header is None:
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        yield Denied(entry.path, adapter, deny_code(error))
        return
    if stat.S_ISLNK(status.st_mode):
        yield Denied(entry.path, adapter, "symlink")
    elif not stat.S_ISREG(status.st_mode):
        yield Denied(entry.path, adapter, "not_regular")
    elif status.st_nlink == 1 or (status.st_dev, status.st_ino) not in walked:
        walked.add((status.st_dev, status.st_ino))  # a hard link is one file under two names: read once
        yield Found(entry.path, adapter, replace(header, zone=zone), status)


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
        case _:
            return "io_error"
