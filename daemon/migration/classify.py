"""
What a row of an old token table was: by its structured fields first, by the known forms of its note second.

A note is free text: it is held against forms, at its beginning, and goes nowhere. Only a session's id is taken from it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from state.vocabulary import ID, LegacyClass

CLASSES: Final[tuple[LegacyClass, ...]] = get_args(LegacyClass)

#: Kinds of source whose id is that of an agent's session, and the agent.
SESSION_SOURCES: Final[Mapping[str, str]] = {
    "codex_session": "codex",
    "codex": "codex",
    "claude_transcript": "claude_code",
    "claude_code": "claude_code",
    "claude": "claude_code",
    "gptme_log": "gptme",
    "gptme": "gptme",
}

#: Words of an old table's measurement kind and kind of source that say the class by themselves.
_BY_KIND: Final[Mapping[str, LegacyClass]] = {"superseded": "superseded", "allocated": "allocated_share"}
_BY_SOURCE: Final[Mapping[str, LegacyClass]] = {"task_fallback": "task_fallback", "manual": "declared"}

_BACKFILL: Final = re.compile(
    r"backfill(?:ed)?[\W_]*(codex|claude)(?:[-_\s]?code)?[-_\s]sessions?(?!\w)\W*(\S*)", re.IGNORECASE
)
_UUID: Final = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
#: The name of a log that ends with its id: of the ids in a path it is the last.
_LOG: Final = re.compile(rf"[^;,=]*/[^;,=]*?({_UUID.pattern})(?:\.jsonl(?:\.zst)?)?")
#: An id that is no UUID has letters and digits; in a note a word or a number alone is none.
_MIXED: Final = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])")

#: What a table writes where nothing supersedes a row.
_NOTHING: Final = frozenset({"", "0", "0.0", "false", "none", "null", "(null)", "nan"})

#: What a note begins with. What is set aside counts nowhere: its form is the whole note, or ends at a colon.
_FORMS: Final[tuple[tuple[LegacyClass, re.Pattern[str]], ...]] = (
    ("superseded", re.compile(r"(?:superseded|zeroed|suppressed)(?:[-_ ]by\b|\s*$|:)", re.IGNORECASE)),
    (
        "bulk_side_effect",
        re.compile(
            r"(?:bulk|sync|file[-_]sync|import|migration|fix[-_]consistency|consistency)(?:[-_][a-z]+)*\s*(?:$|:)",
            re.IGNORECASE,
        ),
    ),
    ("task_fallback", re.compile(r"(?:auto[-:\s]+)?(?:heuristic|fallback|task[-_ ]completion)\b", re.IGNORECASE)),
    ("hook_report", re.compile(r"(?:hook|measured|claude[-_ ]hook|task_token_hook)\b", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where the tokens of a row are from.

    ``session_id`` and ``agent`` are those that class and source tell; null where only the row's own fields may say so.
    A `session_backfill` without a session is no row to count: ``column`` should have named it.
    """

    legacy_class: LegacyClass
    session_id: str | None = None
    agent: str | None = None
    column: str = "note"


def origin_of(cells: Mapping[str, Any], forms: Sequence[tuple[LegacyClass, str]] = ()) -> Origin:
    """
    Classify one row.

    Args:
        cells: The row by our column names.
        forms: Further beginnings of notes, in small letters, with the class that they tell.

    Returns:
        Class and source; a row that nothing is known of is `no_provenance`.
    """
    note = str(cells.get("note", "")).strip()
    stated = _by_fields(cells)
    if stated is None or stated.legacy_class == "declared":
        stated = _by_note(note, forms, cells.get("session_id")) or stated
    if _is_zeroed(cells):
        return Origin("superseded")
    return stated or Origin("hook_report" if cells.get("session_id") else "no_provenance")


def _by_fields(cells: Mapping[str, Any]) -> Origin | None:
    kind, sources = _word(cells.get("measurement_kind")), [_word(cells.get(each)) for each in _SOURCES]
    if kind in _BY_KIND:
        return Origin(_BY_KIND[kind])
    if str(cells.get("superseded_by", "")).strip().lower() not in _NOTHING:
        return Origin("superseded")
    source_id = cells.get("source_id")
    for source in sources:
        if source in SESSION_SOURCES and source_id:
            return Origin("session_backfill", session_of(source_id), SESSION_SOURCES[source], "source_id")
        if source in _BY_SOURCE:
            return Origin(_BY_SOURCE[source])
    return Origin("provider_call") if source_id and cells.get("source_provider") else None


_SOURCES: Final = ("source_class", "source_provider")


def _by_note(note: str, forms: Sequence[tuple[LegacyClass, str]], session_id: object) -> Origin | None:
    if found := _BACKFILL.match(note):
        agent = "codex" if found[1].lower() == "codex" else "claude_code"
        token = found[2].rstrip(".,;:'\")]}>")
        named = session_of(token) if _MIXED.match(token) else None
        return Origin("session_backfill", named or session_of(session_id), agent)
    low = note.lower()
    own = next((each for each, beginning in forms if low.startswith(beginning)), None)
    known = own or next((each for each, form in _FORMS if form.match(note)), None)
    return None if known is None else Origin(known)


def session_of(text: object) -> str | None:
    """Return the session that an id or the name of a log names; null where it is none that could be stored, or two."""
    if not isinstance(text, str):
        return None
    log = _LOG.fullmatch(text)
    found = {log[1].lower()} if log else {each.lower() for each in _UUID.findall(text)}
    if found:
        return found.pop() if len(found) == 1 else None
    return text if ID.fullmatch(text) else None


def same_case(session: str | None) -> str | None:
    """Return a session's id as agents write it: a UUID in small letters, whatever a table made of it."""
    return session.lower() if session is not None and _UUID.fullmatch(session) else session


_SUMS: Final = ("tokens_in", "tokens_out")
_OTHER_COUNTS: Final = ("cached_input_tokens", "reasoning_output_tokens", "raw_total_tokens")


def _is_zeroed(cells: Mapping[str, Any]) -> bool:
    """Say whether the row states tokens, and all of them are none: the old table took it back that way."""
    stated = [cells[name] for name in (*_SUMS, *_OTHER_COUNTS) if name in cells]
    has_sum = any(name in cells for name in _SUMS)
    return has_sum and all(each in (0, "0") and not isinstance(each, bool) for each in stated)


def _word(value: object) -> str:
    return value.strip().lower().replace("-", "_").replace(" ", "_") if isinstance(value, str) else ""
