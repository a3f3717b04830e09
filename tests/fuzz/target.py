"""
What is fuzzed: everything that decodes somebody else's bytes, and what must hold of whatever it makes of them.

Shared by the bounded test of the suite and by `make fuzz`, so that what the one finds the other can repeat.
"""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from adapters.contract import Adapter, Counted, Header
from adapters.registry import built_in
from daemon.bounds import at_most
from daemon.conformance import Piece, observed, unsound
from daemon.hooks.letters import Run
from daemon.hooks.seen import read as read_hook
from daemon.message import check, rejection
from daemon.message_rules import Refused
from daemon.provenance import Stamp
from daemon.reading import cleaned
from state.segment import numbered

TESTS: Final = Path(__file__).parent.parent
NOW: Final = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SESSION: Final = "11111111-1111-4111-8111-111111111111"
HEADER: Final = Header(SESSION, "main", SESSION)
#: As long as a path can be, each of its characters six in the log.
PATH: Final = "/" + "\u00e9" * 2_000

Target = Callable[[bytes], None]


class Unsound(Exception):
    """What came out is no evidence; the message names the field and holds nothing of the line."""


def _adapter(adapter: Adapter, content: bytes) -> None:
    """Read one line, document or row as the reader does, up to the line of the log that it becomes."""
    line = cleaned(content, 0) if adapter.kind == "lines" else content
    if not line:
        return
    said = at_most(observed(adapter, _piece(adapter, line), HEADER))
    if (field := unsound(adapter, said)) is not None:
        raise Unsound(field)
    stamp = Stamp(adapter, PATH, "1:2:3", HEADER, NOW)
    stored = [each for each in said if not isinstance(each, Counted)]
    numbered([stamp.line_event(each, 0, len(line), "0" * 32) for each in stored], 0)


def _piece(adapter: Adapter, content: bytes) -> Piece:
    """Return a row of a database whose every column holds the content, or what a JSON object says of it."""
    if adapter.kind != "rows":
        return content
    try:
        columns = json.loads(content)
    except (ValueError, RecursionError):
        columns = None
    if not isinstance(columns, dict):
        return dict.fromkeys(("item_key", "session_id", "parent_id", "version", "data"), content)
    return {name: _value(value) for name, value in columns.items()}


def _value(value: object) -> bytes | int | float | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, int | float | None) else json.dumps(value).encode()


def _inbox(content: bytes) -> None:
    """Take one message; whatever it is, what comes of it is a line of the log."""
    try:
        event = check(content).event("0" * 32, NOW)
    except Refused as refused:
        event = rejection("0" * 32, refused, len(content), NOW)
    numbered([event], 0)


def _hook(content: bytes) -> None:
    """Read what an agent hands its hook; what it leaves has to be taken by the inbox."""
    seen = read_hook(content)
    if seen is not None:
        for message in Run("claude-code", "claude_code", "2026-11-20T12:00:00.000Z").saw(seen, 1).values():
            check(message)


#: Everything that is fuzzed, by name.
TARGETS: Final[dict[str, Target]] = {
    **{each.parser: partial(_adapter, each) for each in sorted(built_in(), key=lambda each: each.parser)},
    "inbox": _inbox,
    "hook": _hook,
}
NAMES: Final = tuple(TARGETS)


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield our fixtures, each with the name of its target."""
    for path in sorted((TESTS / "adapters/fixtures").rglob("*.jsonl")):
        yield from ((path.parent.name, line) for line in path.read_bytes().split(b"\n") if line)
    for path in sorted((TESTS / "daemon/fixtures/hooks").rglob("*.json")):
        yield "hook", path.read_bytes()
    yield from (("inbox", json.dumps(message).encode()) for message in _messages())


def _messages() -> Iterator[dict[str, Any]]:
    bodies: dict[str, dict[str, Any]] = {
        "hook_run": {"hook": "h", "outcome": "ok", "duration_ms": 1, "at": "2026-11-20T12:00:00Z"},
        "task": {"task_id": "T-1", "status": "completed", "estimated_input_tokens": 1},
        "token_event": {
            "measurement": "measured",
            "source_class": "llm_connect",
            "provider": "p",
            "source_id": "s",
            "input_tokens": 1,
            "raw_usage": {"a.b": 1},
            "cwd": "/srv/repo",
            "git_remote": "example.com/repo",
        },
        "allocation": {"session_id": "s", "task_id": "T-1", "permille": 500},
        "repo": {"repo": "acme/app", "remotes": ["example.com/acme/app"], "paths": ["/srv/repo"]},
        "activity": {"agent": "codex", "what": "turn_ended"},
        "expectation": {"agent": "gptme", "name": "n", "is_found": True},
    }
    for kind, body in bodies.items():
        yield {
            "schema": "tallystick.inbox/1",
            "kind": kind,
            "producer": "fuzz",
            "key": "k",
            "revision": 1,
            "body": body,
        }


# -- mutations -------------------------------------------------------------------------------------------------------

_ODD: Final[tuple[object, ...]] = (
    None, True, -1, 0, 1.5, -0.0, 2**63, -(2**63) - 1, 2**64, 10**12, 10**12 + 1, 10**40, 1e300,
    "", " ", "\0", "\ud83d", "\u202e/x", "/x\u202e", "/" + "\U0001f600" * 5_000, "a" * 70_000, "1" * 5_000,
    "https://u:p@h.example/" + "a" * 5_000, "2026-11-01T10:00:00Z", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", "mcp__a__b", '{"task_id": 1}', [], {}, [[]], [None] * 50, {"a": {"b": {"c": []}}},
)  # fmt: skip


#: Of which strings.
STRINGS: Final = tuple(each for each in _ODD if isinstance(each, str))

#: Names whose value says what a line is: left alone where every string is exchanged, or nothing would be read of it.
_TELLING: Final = frozenset({"type", "subtype", "role", "schema", "kind", "name", "hook_event_name", "tool_name"})


def mutated(line: bytes, dice: random.Random, others: "list[bytes] | None" = None) -> bytes:
    """Return *line* with one to four things changed in its structure, and sometimes in its bytes."""
    value = _parsed(line)
    if not isinstance(value, dict):
        return _torn(line, dice)
    if dice.random() < 0.2:
        # In a wide line a long string everywhere would be gigabytes, cut off again.
        value = everywhere(value, dice.choice(STRINGS)[: 1 + 2**20 // (1 + line.count(b'"'))])
    for _ in range(dice.randint(1, 4)):
        _change(value, dice, others)
    try:
        written = json.dumps(value).encode()
    except (ValueError, RecursionError):
        return _torn(line, dice)
    return _torn(written, dice) if dice.random() < 0.2 else written


def everywhere(value: Any, text: str) -> Any:
    """Return *value* with *text* in the place of every string that does not say what it is."""
    if isinstance(value, dict):
        return {name: each if name in _TELLING else everywhere(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [everywhere(each, text) for each in value]
    return text if isinstance(value, str) else value


def _change(value: dict[str, Any], dice: random.Random, others: "list[bytes] | None") -> None:
    """Change one thing somewhere in *value*, in place."""
    holder, key = _somewhere(value, dice)
    if holder is None:
        return
    there = holder[key]
    match dice.randrange(8):
        case 0 | 1 | 2 | 3:
            holder[key] = dice.choice(_ODD)
        case 4 if isinstance(holder, dict):
            holder[dice.choice(("type", "usage", "id", "payload", "message", "\0", "a" * 300))] = holder.pop(key)
        case 5:
            # As wide as a line of 64 KiB can be: what is cut off behind that only costs the fuzzer memory.
            holder[key] = [there] * (min(2_000, 1 + 65_536 // len(repr(there))) if dice.random() < 0.1 else 2)
        case 6 if others:
            holder[key] = _parsed(dice.choice(others))
        case _:
            holder[key] = _nested(there, dice.choice((40, 300)) if dice.random() < 0.05 else 1)


def _somewhere(value: Any, dice: random.Random) -> tuple[Any, Any]:
    """Return an object or list within *value*, and one of its names or places; null where there is none."""
    found: tuple[Any, Any] = (None, None)
    while isinstance(value, dict | list) and value and (found[0] is None or dice.random() < 0.8):
        key = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        found = (value, key)
        value = value[key]
    return found


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _nested(value: object, depth: int) -> object:
    for _ in range(depth):
        value = {"message": value}
    return value


def _torn(line: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(line) + 1)
    end = dice.randrange(start, min(len(line), start + 16) + 1)
    new = dice.choice((b"", b"\0", b"\xff", b"\\ud83d", b'"', b"{", b"[" * 2_000, b"1e999", b"NaN", dice.randbytes(4)))
    return line[:start] + new + line[end:]
