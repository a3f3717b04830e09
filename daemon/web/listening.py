"""Where the API listens: a unix socket for its owner only, or a loopback port and the token that goes with it."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from state.errors import TallystickError
from state.files import SAFE_FLAGS, as_known, write_aside

LOOPBACK: Final = "127.0.0.1"
#: Descriptor of the first socket that a service manager hands over.
_FIRST_INHERITED: Final = 3
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")


class AlreadyServed(TallystickError):
    """
    Another process answers there. Stop it, or choose another --socket or --port.
    """


class CannotListen(TallystickError):
    """
    The API cannot listen there. Choose another --socket (a path of at most 107 bytes, where nothing else is) or --port.
    """


class SocketUnsafe(TallystickError):
    """
    What was handed over is not one socket of this user alone. Its unit needs one ListenStream=, and SocketMode=0600.
    """


class TokenUnsafe(TallystickError):
    """
    The file of the API's token is no file of this user's alone with a token in it. Remove it; a new one is made.
    """


@contextmanager
def unix_socket(path: Path) -> Iterator[socket.socket]:
    """
    Listen at *path* for its owner only; what a dead server left there is replaced.

    Raises:
        AlreadyServed: Somebody answers there.
        CannotListen: Something else is there, or the path is too long.
        StateUnusable: The directory cannot be used.
    """
    with _sole(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _make_way(path)
        _bind(listener, path)
        bound = path.lstat()
        listener.listen()
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(bound, path.lstat()):
                    path.unlink()


@contextmanager
def _sole(path: Path) -> Iterator[None]:
    """Hold the right to this path: of two servers that start at once, one would take the socket of the other away."""
    lock = path.with_name(f"{path.name}.lock")
    with as_known(lock):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | SAFE_FLAGS, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyServed(path=path) from None
        yield
    finally:
        os.close(descriptor)


def _make_way(path: Path) -> None:
    """Remove the socket of a dead server; nothing else is ever removed."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise CannotListen(path=path, reason="EEXIST")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except PermissionError:
            raise CannotListen(path=path, reason="EACCES") from None
        except OSError:
            pass  # it has no time for us: it lives
    raise AlreadyServed(path=path)


def _bind(listener: socket.socket, path: Path) -> None:
    umask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "ENAMETOOLONG")  # Python's own error for that has no number
        raise CannotListen(path=path, reason=reason) from None
    finally:
        os.umask(umask)


def inherited_socket(environment: Mapping[str, str]) -> socket.socket | None:
    """
    Return the socket that a service manager hands over (`LISTEN_FDS`, sd_listen_fds(3)); null when there is none.

    Raises:
        SocketUnsafe: Others than its owner may open it, or other hosts reach it.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environment.get("LISTEN_FDS") != "1":
        raise SocketUnsafe(sockets=environment.get("LISTEN_FDS", "")[:8])
    try:
        listener = socket.socket(fileno=_FIRST_INHERITED)
    except OSError as error:
        raise SocketUnsafe(reason=errno.errorcode.get(error.errno or 0)) from None
    if not _is_ours(listener):
        raise SocketUnsafe(family=listener.family.name)
    return listener


def _is_ours(listener: socket.socket) -> bool:
    if listener.type != socket.SOCK_STREAM or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    if listener.family == socket.AF_INET:
        return bool(listener.getsockname()[0] == LOOPBACK)
    if listener.family != socket.AF_UNIX or not isinstance(listener.getsockname(), str):
        return False  # a name in the abstract namespace has neither owner nor mode
    try:
        status = Path(listener.getsockname()).lstat()
    except (OSError, ValueError):
        return False
    is_own = stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid()
    return is_own and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


@contextmanager
def loopback_port(port: int) -> Iterator[socket.socket]:
    """
    Listen on a port of this host that no other host reaches.

    Raises:
        AlreadyServed: Somebody listens there.
        CannotListen: This user may not.
    """
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AlreadyServed(port=port) from None
        raise CannotListen(port=port, reason=errno.errorcode.get(error.errno or 0)) from None
    with listener:
        yield listener


def access_token(path: Path) -> str:
    """
    Return the token in the file at *path*: 256 random bits in hexadecimal digits; it is made when it is missing.

    Raises:
        TokenUnsafe: The file is a link, belongs to somebody else or can be read by others, or holds no token.
        StateUnusable: It cannot be read or made.
    """
    with as_known(path):
        if not os.path.lexists(path):
            _make_token(path)
        return _read_token(path)


def _make_token(path: Path) -> None:
    """Write the file whole or not at all: another server may look for it at the same time."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    write_aside(temporary, (f"{secrets.token_hex(32)}\n".encode("ascii"),))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # the other one was faster
    finally:
        temporary.unlink()


def _read_token(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | SAFE_FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise TokenUnsafe(path=path) from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise TokenUnsafe(path=path)
        token = file.read(128).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise TokenUnsafe(path=path)
    return token
