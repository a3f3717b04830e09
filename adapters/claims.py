"""
What a harness claims of its sessions: which log is whose, and how many tokens it took.

A file of records, one JSON object in a line, rewritten in place. Read from the records of gptme's harness
(`session-records.jsonl`) and in the names of our own generic form, which mean the same. A claim is never usage.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from adapters.contract import (
    UNRECOGNISED,
    ClaimFacts,
    ClaimStated,
    Header,
    Item,
    LineRejected,
    Observation,
    Root,
)
from adapters.decode import OutOfRange, digest, directory, identity, local_time, model_name, tokens
from adapters.decoder import Decoder
from state.vocabulary import WORD, Agent, ClaimTime, ModelState, SourceClass

#: Names of harnesses that are not the agent's own with another spelling.
_AGENTS: Final[Mapping[str, Agent]] = {"claude": "claude_code", "claude-code": "claude_code", "codex-cli": "codex"}

#: Words in the place of a model that name none; whatever stands in angle brackets is another.
_NO_MODEL: Final = frozenset({"unknown", "none", "null", "n/a", "na", "-", "?"})

_DURATION_MAX: Final = 10**9

#: A time that somebody put in the place of one that was not known, whatever its zone.
_NOON: Final = re.compile(r"[T ]12:00:00(?:\.0+)?(?:$|[Z+-])")


class Record(msgspec.Struct):
    """The fields of a record that are read, in the harness's names and in ours; all others are skipped undecoded."""

    token_count: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None

    session_id: str | None = None
    harness: str | None = None
    agent: str | None = None
    run_type: str | None = None
    category: str | None = None
    model: str | None = None
    timestamp: str | None = None
    recorded_at: str | None = None
    start_time: str | None = None
    started_at: str | None = None
    end_time: str | None = None
    ended_at: str | None = None
    duration_seconds: float | None = None
    trajectory_path: str | None = None
    journal_path: str | None = None


_decode = Decoder(Record, counted=(Record,)).decode


class Claims:
    """Files of records, each named by the operator: no directory is searched for them."""

    kind: Final = "document"
    agent: Agent = "claims"
    parser = "claims"
    source_class: SourceClass = "session_record"
    parser_version = 2
    #: Every place of a record from which a string may get into the log, by the field that it becomes.
    stored: Final[Mapping[str, tuple[str, ...]]] = {
        "item_key": ("session_id",),
        "session_id": ("session_id",),
        "agent": ("agent", "harness"),
        "harness": ("harness", "agent"),
        "run_type": ("run_type",),
        "category": ("category",),
        "model": ("model",),
        "recorded_at": ("recorded_at", "timestamp"),
        "started_at": ("started_at", "start_time"),
        "ended_at": ("ended_at", "end_time"),
        "trajectory_path": ("trajectory_path", "journal_path"),
    }

    def roots(self, home: PurePath, environment: Mapping[str, str]) -> Iterable[Root]:
        """Name none: `[[claims]]` and `--claims` do."""
        del home, environment
        return ()

    def claim(self, root: Root, relative: PurePosixPath) -> Header | None:
        """Claim the one file that the root is."""
        return Header(root.path.name, "record") if relative == PurePosixPath() else None

    def read_document(self, content: bytes, header: Header) -> Iterable[Item] | LineRejected:
        """State each record; the same session in two records is two claims."""
        items = list(_items(content, header.zone))
        half = items[-1] if items and not content.endswith(b"\n") else None
        broken = next((each for each in half.observations if isinstance(each, LineRejected)), None) if half else None
        if half is None or broken is None:
            return items
        # It is being written, or its writer was killed: no claim yet, and where others stand before it none is broken.
        return [*items[:-1], Item(half.key, half.content, UNRECOGNISED)] if len(items) > 1 else broken


def _items(content: bytes, zone: str) -> Iterable[Item]:
    *lines, last = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    met: Counter[str] = Counter()
    for number, line in enumerate(lines):
        if line.strip():
            yield _item(line, number, zone, met)
    if last.strip():
        yield _item(last, len(lines), zone, met)


def _item(line: bytes, number: int, zone: str, met: Counter[str]) -> Item:
    record = _decode(line.strip())
    if isinstance(record, LineRejected):
        return Item(f"line:{number}", line, (record,))
    session_id = identity(record.session_id)
    if session_id is None:
        return Item(f"line:{number}", line, UNRECOGNISED)
    met[session_id] += 1
    key = session_id if met[session_id] == 1 else f"hash:{digest(f'{session_id} {met[session_id]}')}"
    return Item(key, line, _stated(session_id, record, zone))


def _stated(session_id: str, record: Record, zone: str) -> tuple[Observation, ...]:
    recorded, started = record.recorded_at or record.timestamp, record.started_at or record.start_time
    ended = record.ended_at or record.end_time
    model, model_state = _model(record.model)
    try:
        facts = ClaimFacts(
            session_id=session_id,
            agent=_agent(record.agent or record.harness),
            harness=identity(record.harness or record.agent),
            run_type=identity(record.run_type),
            category=identity(record.category),
            model=model,
            model_state=model_state,
            recorded_at=local_time(recorded, zone),
            started_at=local_time(started, zone),
            ended_at=local_time(ended, zone),
            assumed_zone=zone if any(map(_is_local, (recorded, started, ended))) else None,
            noon_times=_noon_times({"recorded_at": recorded, "started_at": started, "ended_at": ended}),
            duration_seconds=_duration(record.duration_seconds),
            token_count=tokens(record.token_count),
            input_tokens=tokens(record.input_tokens),
            output_tokens=tokens(record.output_tokens),
            cache_read_tokens=tokens(record.cache_read_tokens),
            cache_write_tokens=tokens(record.cache_write_tokens or record.cache_creation_tokens),
            trajectory_path=_path(record),
        )
    except OutOfRange:
        return (LineRejected(code="out_of_range"),)
    return (ClaimStated(body=facts),)


def _model(name: str | None) -> tuple[str | None, ModelState]:
    if name is None or not name.strip():
        return None, "missing"
    bare = name.strip()
    if bare.lower() in _NO_MODEL or (bare.startswith("<") and bare.endswith(">")):
        return None, "sentinel"
    return model_name(bare), "stated"


def _agent(harness: str | None) -> Agent | None:
    if not harness:
        return None
    word = _AGENTS.get(harness.lower(), harness.lower().replace("-", "_"))
    return word if WORD.fullmatch(word) else None


def _is_local(text: str | None) -> bool:
    """Say whether a time of its own zone was read as one of the assumed zone."""
    return bool(text) and local_time(text, "Etc/GMT+12") != local_time(text, "Etc/GMT-12")


def _noon_times(stated: Mapping[ClaimTime, str | None]) -> tuple[ClaimTime, ...]:
    return tuple(name for name, text in stated.items() if _NOON.search(text or ""))


def _duration(seconds: float | None) -> int | None:
    return round(seconds) if seconds is not None and 0 <= seconds <= _DURATION_MAX else None


def _path(record: Record) -> str | None:
    """Return where the record points; old ones do so in the field of the journal, which else is no log."""
    stated = record.trajectory_path
    if not stated and (record.journal_path or "").endswith((".jsonl", ".jsonl.zst")):
        stated = record.journal_path
    if stated and stated.startswith("~/") and directory(stated[1:]) == stated[1:]:
        return stated
    return directory(stated)


ADAPTER = Claims()
