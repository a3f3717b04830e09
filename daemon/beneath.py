"""
Opening what lies below a directory, and nothing else: a link on the way is not followed, wherever it leads.

A name that was looked at may lead elsewhere a moment later: one of its directories has become a link, and the log is
somebody else's file. So it is the kernel that refuses links, while it opens (openat2), and not we beforehand. Where it
does not know how, each directory on the way is opened by itself.
"""

import ctypes
import errno
import os
from typing import Final

#: The same number on every architecture that Python runs on but Alpha.
_OPENAT2: Final = 437
_NO_MAGICLINKS: Final = 0x02
_NO_SYMLINKS: Final = 0x04
_BENEATH: Final = 0x08
#: A kernel before 5.6 has no such call, and a sandbox may forbid what it does not know.
_UNKNOWN: Final = frozenset({errno.ENOSYS, errno.EPERM})

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    """`struct open_how` of the kernel."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory: str, name: str, flags: int) -> int:
    """
    Open *name* in *directory*, or further below, and return its descriptor.

    Args:
        directory: Where it has to lie; may be reached by links, since the operator named it.
        name: Its path from there; empty for the directory itself.
        flags: As of `os.open`; no child inherits the descriptor, and a link is not followed in any case.

    Raises:
        OSError: It cannot be opened: ELOOP or, step by step, ENOTDIR where a link is on the way.
    """
    top = os.open(directory, _DIRECTORY)
    try:
        return _opened(top, name or ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    finally:
        os.close(top)


def has_beneath(directory: str, name: str) -> bool:
    """Say whether *name* is a directory that is reached from *directory* without a link."""
    try:
        os.close(open_beneath(directory, name, _DIRECTORY))
    except OSError:
        return False
    return True


def _opened(top: int, name: str, flags: int) -> int:
    try:
        return _by_the_kernel(top, name, flags)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    return _step_by_step(top, name, flags)


def _by_the_kernel(top: int, name: str, flags: int) -> int:
    how = _How(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    descriptor: int = _LIBC.syscall(ctypes.c_long(_OPENAT2), top, os.fsencode(name), ctypes.byref(how), size)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return descriptor


def _step_by_step(top: int, name: str, flags: int) -> int:
    """Open one directory after the other; each is opened in the one before, whatever it is called by now."""
    *parents, last = name.split("/")
    if ".." in (*parents, last):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    at = os.dup(top)
    try:
        for parent in parents:
            below = os.open(parent, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(last, flags, dir_fd=at)
    finally:
        os.close(at)
