"""
From a row of an old table to the report of tokens that it becomes.

Nothing is promoted: measured is a row that says so and carries the provider, the provider's id and its numbers. What a
row says that no report can hold refuses it, with the column and never the value.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from adapters.decode import digest, identity, model_name
from adapters.provider_usage import UsageUnclear, flattened, normalised
from daemon.inbox_client import Letter
from daemon.message_rules import Refused
from daemon.migration.classify import Origin, origin_of, same_case
from daemon.migration.table import Cells
from daemon.provenance import utc_text
from state.vocabulary import ID, TOKENS_MAX, LegacyClass

PRODUCER: Final = "import"

#: Classes of rows that name their source.
_SOURCED: Final = ("session_backfill", "provider_call")

#: Names of agents in old tables that are another one's here.
_AGENTS: Final[Mapping[str, str]] = {
    "claude": "claude_code",
    "codex_cli": "codex",
    "codex_desktop": "codex",
    "codex_app": "codex",
    "codex_vs_code": "codex",
    "codex_vscode": "codex",
    "openai_codex": "codex",
    "claudecode": "claude_code",
    "claude_code_cli": "claude_code",
    "anthropic_claude_code": "claude_code",
    "open_code": "opencode",
    "opencode_cli": "opencode",
}
#: What a name that is shown to people has behind it: a version, or something in brackets.
_BEHIND_NAME: Final = re.compile(r"\s*(?:\([^()]*\)|v?\d+(?:\.\d+)+)\s*$")

#: Sources whose input holds what was cached, and whose does not; of any other only the stated total can tell.
_INCLUSIVE: Final[Mapping[str, bool]] = {"codex": True, "openai": True, "claude_code": False, "anthropic": False}

_DIGITS_MAX: Final = 20


class RowRefused(Exception):
    """A row cannot be read; ``field`` is one of our columns, or null."""

    def __init__(self, code: str, field: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True)
class Reading:
    """
    How the rows of one export are read.

    Args:
        table: Name of the table: with a row's id it names the row.
        zone: Zone of times that have none; null: such a time refuses its row.
        forms: Further beginnings of notes, and the class that they tell.
    """

    table: str
    zone: str | None = None
    forms: Sequence[tuple[LegacyClass, str]] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A row as a report: its key, what it was, and the body of its message."""

    key: str
    legacy_class: LegacyClass
    body: Mapping[str, Any]

    def letter(self, revision: int) -> Letter:
        """Return the message that says so."""
        return Letter("token_event", self.body, PRODUCER, self.key, revision)


def report_of(cells: Cells, reading: Reading) -> Report:
    """
    Make a report of one row.

    Raises:
        RowRefused: It cannot be read.
    """
    if not all(_is_clean(value) for value in cells.values()):
        field = next(name for name, value in cells.items() if not _is_clean(value))
        raise RowRefused("invalid_field", field)
    key = row_key(reading.table, cells)
    origin = origin_of(cells, reading.forms)
    body: dict[str, Any] = {"legacy_class": origin.legacy_class, "source_class": _source_class(origin)}
    body |= _context(cells, origin)
    body |= _named_source(cells, origin)
    body["at"] = _time(cells, reading.zone)
    body |= _tokens(cells, origin)
    return Report(key, origin.legacy_class, {name: value for name, value in body.items() if value is not None})


def row_key(table: str, cells: Cells) -> str:
    """Return under which key a row is known: its table and its id in it."""
    row_id = _text(cells, "id")
    if row_id is None:
        raise RowRefused("missing_field", "id")
    plain = f"import:{table}:{row_id}"
    return plain if ID.fullmatch(plain) else f"import:{table}:{digest(row_id)}"


def key_prefix(table: str) -> str:
    """Return what the keys of all rows of a table begin with."""
    return f"import:{table}:"


# -- whose tokens --------------------------------------------------------------------------------------------------


def _context(cells: Cells, origin: Origin) -> dict[str, Any]:
    return {
        "agent": origin.agent or _agent(cells),
        "session_id": origin.session_id or identity(same_case(_text(cells, "session_id"))),
        "model": model_name(_text(cells, "model")),
        "repo": _text(cells, "repo"),
        "task_id": identity(_text(cells, "task_id")),
        "workstream_id": identity(_text(cells, "workstream_id")),
    }


def _named_source(cells: Cells, origin: Origin) -> dict[str, Any]:
    """
    Name the source of a row that has one: two rows of the same session or call are one, the greater holds.

    Of a session the provider is no part of the name: a note does not tell it, and the session is the same.
    """
    if origin.legacy_class == "session_backfill" and origin.session_id is None:
        raise RowRefused("missing_field" if origin.column == "note" else "invalid_field", origin.column)
    if origin.legacy_class == "session_backfill":
        return {"scope": "session", "source_id": origin.session_id}
    if origin.legacy_class == "provider_call":
        return {"source_id": identity(_text(cells, "source_id")), "provider": _provider(cells)}
    return {}


def _provider(cells: Cells) -> str | None:
    stated = _text(cells, "source_provider")
    return None if stated is None else stated.lower().replace(" ", "_")


def _agent(cells: Cells) -> str | None:
    stated = _text(cells, "agent")
    if stated is None:
        return None
    word = re.sub(r"[\s_-]+", "_", _BEHIND_NAME.sub("", stated).lower())
    return _AGENTS.get(word, word)


def _source_class(origin: Origin) -> str:
    if origin.legacy_class in _SOURCED:
        return "legacy_import"
    return "manual" if origin.legacy_class == "declared" else "legacy_post"


# -- how many ------------------------------------------------------------------------------------------------------


def _tokens(cells: Cells, origin: Origin) -> dict[str, Any]:
    """Return the tokens: the provider's own numbers where the row has them and they agree, else the two old sums."""
    stated_in, stated_out = _count(cells, "tokens_in"), _count(cells, "tokens_out")
    proven = _proven(cells, origin, stated_in, stated_out)
    if proven is not None:
        return proven
    cached, total = _count(cells, "cached_input_tokens"), _count(cells, "raw_total_tokens")
    uncached, read = _uncached(cells, origin, stated_in, stated_out, cached, total)
    counts = {
        "input_tokens": uncached,
        "cache_read_tokens": read,
        "output_tokens": stated_out,
        "reasoning_tokens": _count(cells, "reasoning_output_tokens"),
        "provider_total_tokens": total,
    }
    return {"measurement": "estimated", **counts}


def _proven(cells: Cells, origin: Origin, stated_in: int | None, stated_out: int | None) -> dict[str, Any] | None:
    """Return measured tokens; null unless the row says that they are, and everything is there to hold it to that."""
    is_claimed = str(cells.get("measurement_kind", "")).strip().lower() == "measured"
    has_name = cells.get("source_provider") and cells.get("source_id") and origin.legacy_class in _SOURCED
    if not (is_claimed and has_name and "raw_usage" in cells):
        return None
    raw = _raw_usage(cells)
    meant = normalised(raw)
    if meant is None or max(raw.values()) > TOKENS_MAX:
        return None
    inputs = (
        meant.input_tokens,
        (meant.input_tokens or 0) + (meant.cache_read_tokens or 0) + (meant.cache_write_tokens or 0),
    )
    if stated_in not in (None, *inputs) or stated_out not in (None, meant.output_tokens):
        raise RowRefused("contradicts", "raw_usage")
    return {"measurement": "measured", "provider": _provider(cells), "raw_usage": raw, **asdict(meant)}


def _raw_usage(cells: Cells) -> dict[str, int]:
    written = cells["raw_usage"]
    try:
        found = json.loads(written) if isinstance(written, str) else written
        raw = flattened(found) if isinstance(found, Mapping) else {}
    except (ValueError, RecursionError, UsageUnclear):
        raise RowRefused("invalid_field", "raw_usage") from None
    if not raw:
        raise RowRefused("invalid_field", "raw_usage")
    return raw


def _uncached(
    cells: Cells, origin: Origin, stated_in: int | None, stated_out: int | None, cached: int | None, total: int | None
) -> tuple[int | None, int | None]:
    """Return input without what was cached, and that; the input as it stands where nobody says which it is."""
    if cached is None or stated_in is None:
        return stated_in, cached
    is_within = _INCLUSIVE.get(origin.agent or _provider(cells) or "")
    if total is not None and is_within is None:
        outside = stated_in + (stated_out or 0)
        is_within = True if total == outside else False if total == outside + cached else None
    if is_within is None and cached > stated_in:
        is_within = False  # no part is greater than its whole
    if is_within is None:
        return stated_in, None
    if not is_within:
        return stated_in, cached
    if cached > stated_in:
        raise RowRefused("contradicts", "cached_input_tokens")
    return stated_in - cached, cached


def _count(cells: Cells, name: str) -> int | None:
    value = cells.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise RowRefused("invalid_field", name)
        value = int(value) if len(digits) <= _DIGITS_MAX else TOKENS_MAX + 1
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowRefused("invalid_field", name)
    if not 0 <= value <= TOKENS_MAX:
        raise RowRefused("out_of_range", name)
    return value


# -- when ----------------------------------------------------------------------------------------------------------


def _time(cells: Cells, zone: str | None) -> str | None:
    """Return when the tokens were used; a time without zone is taken in the one that was named, or refused."""
    name = "source_created_at" if "source_created_at" in cells else "created_at"
    text = _text(cells, name)
    if text is None:
        return None
    try:
        # A day alone and a bare number would be read too, and be a guess.
        if len(text) > len("2026-05-19") and "-" in text:
            return _in_utc(datetime.fromisoformat(text), name, zone)
    except (ValueError, OverflowError):
        pass
    raise RowRefused("invalid_field", name)


def _in_utc(moment: datetime, name: str, zone: str | None) -> str:
    if moment.tzinfo is not None:
        return utc_text(moment.astimezone(UTC))
    if zone is None:
        raise RowRefused("needs_zone", name)
    local = moment.replace(tzinfo=ZoneInfo(zone))
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise RowRefused("needs_zone", name)  # the hour that a change of clocks leaves out or repeats
    return utc_text(local.astimezone(UTC))


# -- cells ---------------------------------------------------------------------------------------------------------


def _text(cells: Cells, name: str) -> str | None:
    """Return an id or a word; a number is its digits."""
    value = cells.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    raise RowRefused("invalid_field", name)


def _is_clean(value: object) -> bool:
    """Say whether a text is one: neither bytes of another encoding nor NUL."""
    return not isinstance(value, str) or ("\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value))


#: Our columns, by the field of the message that is made of them.
_COLUMN_OF: Final[Mapping[str, str]] = {
    "key": "id",
    "body.input_tokens": "tokens_in",
    "body.output_tokens": "tokens_out",
    "body.cache_read_tokens": "cached_input_tokens",
    "body.reasoning_tokens": "reasoning_output_tokens",
    "body.provider_total_tokens": "raw_total_tokens",
    "body.provider": "source_provider",
    "body.at": "created_at",
}


#: What to do about a row that is refused so, by code and column, or by code alone.
_NEXT: Final[Mapping[tuple[str, str | None], str]] = {
    ("invalid_field", "agent"): "write the agent as a word (claude_code, codex), or leave the column out: --map agent=",
    ("invalid_field", "repo"): "write the repository's name as `tallystick repo list` has it, or --map repo=",
    ("invalid_field", "model"): "write the model's name without spaces, or leave the column out: --map model=",
    ("needs_zone", None): "say which zone its times are of: --timezone Europe/Berlin",
    ("contradicts", "id"): "two rows have this id and differ: leave the right one in the export",
    ("contradicts", None): "the row's own numbers differ: correct it in the export",
    ("missing_field", "id"): "every row needs an id that it keeps; another column may be it: --map COLUMN=id",
    ("invalid_row", None): "it has other columns than the header: export it anew, with quotes",
    ("too_long", None): "it is longer than a row may be: shorten its note in the export",
}
_NEXT_ELSE: Final = "correct it in the export, or leave the column out: --map COLUMN="


def next_of(code: str, column: str | None) -> str:
    """Return what an operator does about a row that was refused with *code* for *column*."""
    return _NEXT.get((code, column)) or _NEXT.get((code, None)) or _NEXT_ELSE


def refused_row(refused: Refused) -> RowRefused:
    """Return why a row is refused whose message is none, in the table's own words."""
    field = refused.field
    return RowRefused(refused.code, None if field is None else _COLUMN_OF.get(field, field.removeprefix("body.")))
