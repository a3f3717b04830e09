"""
What a shell command asks of a tracker: each program's own way to name address, method and body.

Nothing is run or expanded. What only the shell would know (a variable, a file, an open quote) stays unknown.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from adapters.decode import identity
from adapters.task_words import status_of, the_one
from daemon.hooks.claims import Claim
from state.vocabulary import TaskStatus

#: Shells within shells are followed so far.
_DEPTH_MAX: Final = 3
_OPERATORS: Final = ";|&()<>\n"
_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "ksh"})
#: What may stand before a program, each with how many words it takes itself.
_BEFORE: Final = {
    "sudo": 0, "env": 0, "time": 0, "command": 0, "exec": 0, "nohup": 0, "timeout": 1, "uv": 1, "uvx": 0, "do": 0,
    "then": 0, "else": 0, "if": 0, "!": 0, "{": 0, "while": 0,
}  # fmt: skip
#: Their options that take a value: `sudo -u dev`, `timeout -k 5 60`.
_BEFORE_VALUES: Final = frozenset({"-u", "-g", "-k", "-s"})
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_HERE_DOCUMENT: Final = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?^\s*\2\s*$", re.DOTALL | re.MULTILINE)
#: The address of one task: what follows it says what is asked of it, `complete` for example.
_TASK: Final = re.compile(r"/tasks?/([^/?#]+)(?:/([a-z_-]+))?/?(?:[?#].*)?$")
#: What only the shell knows.
_UNEXPANDED: Final = re.compile(r"[$`{}*<>]")
_STATUS_IN_TEXT: Final = re.compile(r"[\"']status[\"']\s*:\s*[\"']([A-Za-z _-]{1,32})[\"']")
_WRITING: Final = frozenset({"PATCH", "PUT", "POST"})
#: curl's options of one letter that take a value.
_CURL_VALUES: Final = frozenset("XdHuoAbceEFKmTUwxyYzCDPQrt")
_BODIES: Final = frozenset(
    {"-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--data-urlencode", "--json", "-F", "--form"}
    | {"--body-data", "--post-data", "-f", "--field", "--raw-field"}
)
_METHODS: Final = frozenset({"-X", "--request", "--method"})


class Request(NamedTuple):
    """What a program would send; ``method`` is null where it follows from the body."""

    method: str | None
    addresses: Sequence[str]
    bodies: Sequence[str]


def claims_in(command: "str | Sequence[str]", depth: int = 0) -> Iterator[Claim]:
    """Yield what *command*, a text or its words, says of tasks."""
    if depth > _DEPTH_MAX:
        return
    if not isinstance(command, str):
        yield from _of_program(command, depth)
        return
    try:
        for words in _commands(command):
            yield from _of_program(words, depth)
    except ValueError:  # a quote without end
        yield Claim(None, None)


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command; here-documents are content, not commands."""
    plain = _HERE_DOCUMENT.sub(r"\3\n", text).replace("\\\n", " ")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    for word in lexer:
        if word.strip(_OPERATORS):
            words.append(word)
        else:
            yield words
            words = []
    yield words


def _of_program(words: Sequence[str], depth: int) -> Iterator[Claim]:
    rest = _without_prefix(words)
    if not rest:
        return
    program, arguments = rest[0].rpartition("/")[2], rest[1:]
    if program in _SHELLS:
        script = _script(arguments)
        if script is not None:
            yield from claims_in(script, depth + 1)
    elif program == "tallystick":
        yield from _own_report(arguments)
    elif program in _PROGRAMS:
        yield from _of_request(_PROGRAMS[program](arguments))


def _without_prefix(words: Sequence[str]) -> Sequence[str]:
    """Drop what stands before a program: assignments, `sudo`, `timeout 5`, words of the shell's own language."""
    at = 0
    while at < len(words):
        word = words[at]
        if _ASSIGNMENT.match(word) or (at and word.startswith("-")):
            at += 2 if word in _BEFORE_VALUES else 1
        elif word in _BEFORE:
            at += 1 + _BEFORE[word]
        else:
            break
    return words[at:]


def _script(arguments: Sequence[str]) -> str | None:
    """Return what a shell is told to run; ``None`` for a file."""
    for at, word in enumerate(arguments[:-1]):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return arguments[at + 1]
    return None


def _own_report(arguments: Sequence[str]) -> Iterator[Claim]:
    """Read `tallystick task report ID STATUS`."""
    if list(arguments[:2]) != ["task", "report"]:
        return
    stated, at = [], 2
    while at < len(arguments):
        word = arguments[at]
        if not word.startswith("--"):
            stated.append(word)
            at += 1
        else:
            at += 1 if "=" in word or word == "--json" else 2
    if len(stated) == 2:
        yield _claim(stated[0], stated[1])


# ---- requests ------------------------------------------------------------------------------------------------------


def _of_request(request: Request | None) -> Iterator[Claim]:
    """Yield what a request that writes says of a task: by its address, else by its body."""
    if request is None or (request.method or ("POST" if request.bodies else "GET")).upper() not in _WRITING:
        return
    address = next((each for each in request.addresses if "task" in each), None)
    if address is None:
        return
    fields: dict[str, Any] = {}
    for body in request.bodies:
        fields |= _fields(body)
    status = fields.get("status")
    named = _TASK.search(address)
    if named is None:
        task = the_one(*(each for each in (fields.get("task_id"), fields.get("taskId")) if isinstance(each, str | int)))
        if task is not None:
            yield _claim(task, status)
        return
    action = named[2]
    if action is None or action == "status":
        yield _claim(named[1], status)
    elif status_of(action) is not None:
        yield _claim(named[1], action)


def _claim(task: str, status: object) -> Claim:
    is_unclear = _UNEXPANDED.search(task) or (isinstance(status, str) and _UNEXPANDED.search(status))
    known: TaskStatus | None = status_of(status) if isinstance(status, str) else None
    return Claim(None, None) if is_unclear else Claim(identity(task), known)


def _fields(body: str) -> Mapping[str, Any]:
    """Return what a body states: a JSON object, a form, or a JSON object with something of the shell's in it."""
    if body.startswith("@"):
        return {"status": "$"}  # a file: only the shell's host knows
    try:
        stated = json.loads(body)
    except (ValueError, RecursionError):
        found = _STATUS_IN_TEXT.search(body)
        if found is not None:
            return {"status": found[1]}
        pairs = (pair.partition("=") for pair in body.split("&"))
        return {name.rstrip(":"): value.strip("\"'") for name, is_pair, value in pairs if is_pair}
    return stated if isinstance(stated, dict) else {}


def _options(arguments: Sequence[str], with_value: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield options and their values; what is none comes under the name of nothing."""
    words = iter(arguments)
    for word in words:
        name, is_joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-") or word == "-":
            yield "", word
        elif is_joined:
            yield name, value
        elif name.startswith("--"):
            yield name, next(words, "") if name in with_value else ""
        else:
            yield from _cluster(word, with_value, words)


def _cluster(word: str, with_value: frozenset[str], words: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield what stands in one word of short options: `-sXPATCH`."""
    for at, letter in enumerate(word[1:], start=2):
        name = f"-{letter}"
        if name in with_value:
            yield name, word[at:] or next(words, "")
            return
        yield name, ""


def _request(arguments: Sequence[str], with_value: frozenset[str]) -> Request:
    method, addresses, bodies = None, [], []
    for name, value in _options(arguments, with_value):
        if name in _METHODS:
            method = value
        elif name in _BODIES and value:
            bodies.append(value)
        elif name in ("", "--url"):
            addresses.append(value)
    return Request(method, addresses, bodies)


_CURL_LONG: Final = frozenset(
    {"--request", "--url", "--header", "--user", "--output", "--max-time", "--connect-timeout", "--retry", "--cacert"}
    | {"--cert", "--key", "--unix-socket", "--oauth2-bearer", "--write-out", "--user-agent", "--cookie", "--proxy"}
)


def _curl(arguments: Sequence[str]) -> Request:
    return _request(arguments, (_BODIES | _CURL_LONG | {f"-{letter}" for letter in _CURL_VALUES}) - {"-f"})


def _wget(arguments: Sequence[str]) -> Request:
    return _request(arguments, frozenset({"--method", "--body-data", "--post-data", "--header", "-O", "-o"}))


def _gh(arguments: Sequence[str]) -> Request | None:
    if list(arguments[:1]) != ["api"]:
        return None
    values = _METHODS | {"-f", "-F", "--field", "--raw-field", "-H", "--header", "--input", "-q", "--jq", "-t"}
    found = _request(arguments[1:], values)
    return found._replace(addresses=[f"/{each.lstrip('/')}" for each in found.addresses])


def _httpie(arguments: Sequence[str]) -> Request | None:
    """Read `http METHOD URL name=value ...`; `name==value` belongs to the address."""
    values = frozenset({"-a", "--auth", "--timeout", "--session", "-o", "--output"})
    words = [value for name, value in _options(arguments, values) if not name]
    method = words.pop(0).upper() if words and words[0].upper() in _WRITING | {"GET", "DELETE", "HEAD"} else None
    if not words:
        return None
    bodies = [each for each in words[1:] if "=" in each and "==" not in each]
    return Request(method, [words[0]], bodies)


_PROGRAMS: Final[Mapping[str, Callable[[Sequence[str]], Request | None]]] = {
    "curl": _curl,
    "wget": _wget,
    "gh": _gh,
    "http": _httpie,
    "https": _httpie,
    "xh": _httpie,
    "xhs": _httpie,
}
