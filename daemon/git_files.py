"""
Reading the small files of a git directory that may be anybody's: bounded, regular files only, nothing executed.

What stands in there was written by whoever owns the repository. A pipe, a device or a file without end in the place of
one of these files is passed over; a link is followed, as git does, but only to a regular file.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

#: Nothing has this name, and nothing can.
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})

#: `.git/config` is some hundred bytes; one with thousands of branches has some hundred KiB.
CONFIG_BYTES_MAX: Final = 1024 * 1024
#: So much of the end of the log of HEAD is read.
HEAD_LOG_BYTES_MAX: Final = 1024 * 1024
#: HEAD, `gitdir:`, `commondir` and a loose reference hold one name.
NAME_BYTES_MAX: Final = 16 * 1024
#: 200,000 references.
PACKED_REFS_BYTES_MAX: Final = 32 * 1024 * 1024

#: A symbolic reference may name another one, as often as git follows it.
_SYMBOLIC_MAX: Final = 5
#: Not even a pipe makes us wait, and no terminal becomes ours.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_OBJECT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REFERENCE: Final = re.compile(r"refs/(?!.*(?:\.\.|//))[^\x00-\x20\x7f~^:?*\[\\]{1,1024}")


def mode_of(path: str) -> int:
    """
    Return kind and mode of what bears a name, links followed; 0 when nothing does.

    Raises:
        OSError: It cannot be told, for want of permission for example.
    """
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - names of any bytes, thousands of them
    except OSError as error:
        if error.errno in ABSENT:
            return 0
        raise


def open_regular(path: str) -> int:
    """
    Return a descriptor of the regular file *path*.

    Raises:
        FileNotFoundError: There is none, or something else bears its name.
        OSError: It cannot be opened.
    """
    # Looked at first: opening a device can already do something.
    if not stat.S_ISREG(mode_of(path)):
        raise FileNotFoundError
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError
    return descriptor


def read_small(path: str, bytes_max: int) -> bytes | None:
    """
    Return the content of a regular file; ``None`` when there is none of at most *bytes_max* bytes.

    Raises:
        OSError: It cannot be read, for want of permission for example.
    """
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        content = bytearray()
        while piece := file.read(bytes_max + 1 - len(content)):
            content += piece
        return bytes(content) if len(content) <= bytes_max else None


def read_name(path: str) -> str | None:
    """Return the one name in a small file, without spaces around it; ``None`` when there is no such file."""
    content = read_small(path, NAME_BYTES_MAX)
    return None if content is None or b"\0" in content else os.fsdecode(content.strip())


def symbolic(text: str) -> str | None:
    """Return the reference that *text*, the content of HEAD for example, stands for; ``None`` when it is no name."""
    return text.removeprefix("ref:").strip() if text.startswith("ref:") else None


def head_of(git_path: str) -> str | None:
    """Return the content of HEAD: ``ref: NAME`` or a commit; ``None`` when it is neither."""
    path = os.path.join(git_path, "HEAD")  # noqa: PTH118 - as above
    try:
        target = os.readlink(path)  # noqa: PTH115 - of long ago, when HEAD was a link to the branch
    except OSError:
        target = ""
    text = f"ref: {target}" if target.startswith("refs/") else read_name(path)
    if text is None:
        return None
    name = symbolic(text)
    is_head = _REFERENCE.fullmatch(name) if name is not None else _OBJECT.fullmatch(text)
    return text if is_head else None


def resolved(git_path: str, common_path: str, text: str) -> str | None:
    """
    Return the commit that *text*, a name of one or ``ref: NAME``, stands for; ``None`` when that has none.

    Args:
        git_path: The working tree's own git directory.
        common_path: The one that all working trees share.
        text: What stands in HEAD.
    """
    for _ in range(_SYMBOLIC_MAX):
        name = symbolic(text)
        if name is None:
            return text if _OBJECT.fullmatch(text) else None
        if not _REFERENCE.fullmatch(name):
            return None
        found = _loose(git_path, common_path, name) or _packed(common_path, name)
        if found is None:
            return None
        text = found
    return None


def _loose(git_path: str, common_path: str, name: str) -> str | None:
    for place in dict.fromkeys((common_path, git_path)):  # a few references are a working tree's own
        if text := read_name(os.path.join(place, name)):  # noqa: PTH118 - as above
            return text
    return None


def _packed(common_path: str, name: str) -> str | None:
    content = read_small(os.path.join(common_path, "packed-refs"), PACKED_REFS_BYTES_MAX)  # noqa: PTH118 - as above
    if content is None:
        return None
    content = b"\n" + content
    at = content.find(b" " + os.fsencode(name) + b"\n")
    return None if at < 0 else content[content.rindex(b"\n", 0, at) + 1 : at].decode("ascii", "replace")


class ConfigDamaged(Exception):
    """A git configuration that git itself would refuse."""


_HEADING: Final = re.compile(r'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\[^\n])*)")?\]')
_NAME: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*")
_BLANK: Final = re.compile(r"(?:\s|[#;][^\n]*)*")
_BACKSLASH: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\", "\n": ""}


def config_entries(content: bytes) -> Iterator[tuple[str, str]]:
    """
    Yield name and value of every entry of a git configuration; includes are not followed.

    The name is ``section.key`` or ``section.subsection.key``, section and key in lower case; a value that is not given
    is empty.

    Raises:
        ConfigDamaged: git would not take it either.
    """
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")
    section = ""
    at = _end(_BLANK.match(text))
    while at < len(text):
        if heading := _HEADING.match(text, at):
            section, at = _section(heading), heading.end()
        elif name := _NAME.match(text, at):
            value, at = _value(text, name.end())
            yield section + name[1].lower(), value
        else:
            raise ConfigDamaged
        at = _end(_BLANK.match(text, at))


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _section(heading: re.Match[str]) -> str:
    if heading[2] is None:
        return f"{heading[1].lower()}."  # also `[remote.origin]`, as it was written long ago
    return f"{heading[1].lower()}.{_BACKSLASH.sub(lambda escaped: escaped[1], heading[2])}."


def _value(text: str, at: int) -> tuple[str, int]:
    """Return the value that begins at *at*, and where its line ends."""
    if at >= len(text) or text[at] == "\n":
        return "", at
    if text[at] != "=":
        raise ConfigDamaged
    at += 1
    chars: list[str] = []
    kept = 0  # spaces around a value are none of it, unless they are quoted
    is_quoted = False
    while at < len(text) and text[at] != "\n":
        char = text[at]
        at += 1
        if char == '"':
            is_quoted = not is_quoted
        elif char in "#;" and not is_quoted:
            at = end if (end := text.find("\n", at)) >= 0 else len(text)
        elif char in " \t" and not is_quoted:
            chars += char if chars else ""
        else:
            if char == "\\":
                char = _escaped(text[at : at + 1])
                at += 1
            chars += char
            kept = len(chars)
    if is_quoted:
        raise ConfigDamaged
    return "".join(chars[:kept]), at


def _escaped(char: str) -> str:
    if char not in _ESCAPES:
        raise ConfigDamaged
    return _ESCAPES[char]


def made_here(git_path: str) -> frozenset[str]:
    """
    Return the commits that were made in this working tree, as the log of its HEAD tells.

    None where it keeps no log, or one that this user may not read: then nobody knows which were.

    A commit that was fetched, merged by fast-forward, checked out, rebased or picked is another one's work, or of
    another time. Only the end of a long log is read.

    Raises:
        OSError: The log cannot be read.
    """
    try:
        descriptor = open_regular(os.path.join(git_path, "logs", "HEAD"))  # noqa: PTH118 - paths here are text
    except (FileNotFoundError, PermissionError):
        return frozenset()
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        file.seek(max(0, os.fstat(descriptor).st_size - HEAD_LOG_BYTES_MAX))
        lines = file.read(HEAD_LOG_BYTES_MAX).splitlines()
    return frozenset(match[1].decode("ascii") for line in lines if (match := _MADE.match(line)))


#: An entry of the log of HEAD: the old name, the new one, who and when, and by which command; of which only the word.
_MADE: Final = re.compile(rb"[0-9a-f]{40,64} ([0-9a-f]{40}(?:[0-9a-f]{24})?) [^\t]*\tcommit(?: \([a-z-]+\))?:")
