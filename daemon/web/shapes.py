"""
What each answer holds, as JSON schema: every field by its name, and no other.

The columns of a row are those of its table, as `columns.json` has them: the database says them, and `make docs` writes
them down.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

from daemon.listings import LISTINGS, relation
from daemon.repo_answers import NEXT_STEPS
from daemon.usage_verb import CLASSES
from projections.beliefs import BELIEVED
from projections.catalog import relations
from projections.usage import DIMENSIONS, MONEY, TOKENS
from state.vocabulary import FLAGS

Schema = dict[str, Any]

#: Tables and views of which whole rows are shown, besides those that are lists.
_SHOWN: Final = (
    "costs",
    "estimates",
    "findings",
    "places",
    "prices",
    "repo_registrations",
    "repos",
    "task_reports",
    "tasks",
    "usage_allocated",
    "usage_measured",
)

ROWS: Final = tuple(sorted({*_SHOWN, *(relation(name).name for name in LISTINGS)}))

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_TRUTH: Final[Schema] = {"type": "boolean"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_DAY: Final[Schema] = {"type": "string", "format": "date"}

#: What a value of the database is in JSON.
_TYPES: Final[Mapping[str, Schema]] = {
    "BIGINT": _WHOLE,
    "HUGEINT": _WHOLE,
    "DOUBLE": {"type": "number"},
    "BOOLEAN": _TRUTH,
    "VARCHAR": _TEXT,
    "JSON": {"type": "string", "contentMediaType": "application/json"},
    "DATE": _DAY,
    "TIMESTAMP": _TIME,
}


def shape_of(path: str) -> Schema:
    """Return what the question behind this path is answered."""
    return _LISTED[path] if path in _LISTED else _DOCUMENTS[path]


def rows() -> Schema:
    """Return what a row of each table holds, by the name of its component; any column may be null."""
    columns = json.loads(files("daemon.web").joinpath("columns.json").read_text("utf-8"))
    said = {each.name: each.what for each in relations()}
    shown = {name: {column: _null_or(_typed(type_)) for column, type_ in columns[name].items()} for name in ROWS}
    return {f"row_{name}": {"description": said[name], **_of(fields)} for name, fields in shown.items()} | {
        "row_explained": _explained(shown["costs"]),
        "row_found": {"description": said["findings"], **_of(shown["findings"] | {"acknowledged": _TRUTH})},
    }


def _typed(type_: str) -> Schema:
    return _many(_typed(type_[:-2])) if type_.endswith("[]") else _TYPES[type_]


def _of(fields: Mapping[str, Schema], sometimes: Mapping[str, Schema] | None = None) -> Schema:
    """Return an object with exactly these fields, and those that are there *sometimes*."""
    return {
        "type": "object",
        "properties": {**fields, **(sometimes or {})},
        "required": [*fields],
        "additionalProperties": False,
    }


def _many(each: Schema) -> Schema:
    return {"type": "array", "items": each}


def _named(each: Schema) -> Schema:
    """Return an object of which any name may be a field."""
    return {"type": "object", "additionalProperties": each}


def _null_or(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else {"anyOf": [schema, {"type": "null"}]}


def _all(names: Iterable[str], each: Schema) -> dict[str, Schema]:
    return dict.fromkeys(names, each)


def _row(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/row_{name}"}


def _rows(name: str) -> Schema:
    return _many(_row(name))


_TEXT_OR_NULL: Final = _null_or(_TEXT)
_WHOLE_OR_NULL: Final = _null_or(_WHOLE)
_WORD: Final = {"schema": _TEXT}  # which one it is stands with the route

#: Up to where the tables hold the log; null before its first event.
_AS_OF: Final = {"seq": _WHOLE_OR_NULL, "at": _null_or(_TIME)}
_SUMS: Final = _all((*TOKENS, *MONEY), _WHOLE_OR_NULL)
_SOURCES: Final = _all(("sources", "unmetered_sources", "rejected_lines", "unreadable_paths", "unread_bytes"), _WHOLE)
_UNPRICED: Final = _many(_of(_all(("model_provider", "model"), _TEXT_OR_NULL) | {"reason": _TEXT, "calls": _WHOLE}))

#: What is only known of calls: what is missing of them, and what they cost.
_OF_CALLS: Final = {
    "incomplete_calls": _WHOLE,
    "quality": _of(_all(FLAGS, _WHOLE)),
    **_all(MONEY, _WHOLE_OR_NULL),
    "unpriced_calls": _WHOLE,
}
_COUNTED: Final = {
    "measurement": {"type": "string", "enum": [*CLASSES]},
    "calls": _WHOLE,
    **_all(TOKENS, _WHOLE_OR_NULL),
}
#: A class that was not asked about has no sum.
_TOTAL: Final[Schema] = {"anyOf": [_of({}), _of(_COUNTED, _OF_CALLS)]}

_USAGE: Final = _of(
    {
        **_WORD,
        "as_of": _of({**_AS_OF, **_all(("price_book", "asked"), _TEXT_OR_NULL), "rules": _TEXT}),
        "only": _named(_TEXT_OR_NULL),
        "rows": _many(_of(_COUNTED, _OF_CALLS | _all(DIMENSIONS, _TEXT_OR_NULL))),
        "rows_not_shown": _WHOLE,
        **_SOURCES,
        "retired_calls": _WHOLE,
        "retired_tokens": _WHOLE,
        "unpriced": _UNPRICED,
        "estimated_tokens_not_included": _WHOLE,
        "totals": _of(_all(CLASSES, _TOTAL)),
    }
)

_OWNER: Final = {
    **_all(("repo", "repo_rung", "repo_confidence", "repo_gap", "cwd", "git_remote"), _TEXT_OR_NULL),
    "checkout_seq": _WHOLE_OR_NULL,
}
#: By which rule, and by which events, tokens are a task's.
_RULE: Final = {
    **_all(("task_id", "workstream_id"), _TEXT_OR_NULL),
    "rule": _TEXT,
    "rule_version": _WHOLE,
    "confidence": _TEXT,
    "evidence_seqs": _many(_WHOLE),
}
_SHARE: Final = _of({**_RULE, "weight": _WHOLE, "whole": _WHOLE, **_SUMS})
_PLACE: Final = {
    **_all(("source", "item_key"), _TEXT_OR_NULL),
    **_all(("offset_bytes", "length_bytes"), _WHOLE_OR_NULL),
}
_EVIDENCE: Final = _of(
    {
        "role": _TEXT,
        "seq": _WHOLE,
        "log_id": _TEXT,
        **_PLACE,
        "line_hash": _TEXT_OR_NULL,
        "parser": _TEXT_OR_NULL,
        "parser_version": _WHOLE_OR_NULL,
        "ingested_at": _TIME,
        "producer": _TEXT_OR_NULL,
        "receipt": _TEXT_OR_NULL,
        "outcome": _TEXT,
        "readable_at": _TEXT_OR_NULL,
    }
)


def _explained(costs: Mapping[str, Schema]) -> Schema:
    """Return a call with what it is made of; its marks are a list of words."""
    return _of(
        {name: each for name, each in costs.items() if not name.startswith("is_")}
        | {
            "flags": _many(_TEXT),
            "formula": _TEXT,
            "evidence": _many(_EVIDENCE),
            "superseded": _many(_of({"seq": _WHOLE, "by_seq": _WHOLE_OR_NULL, "reason": _TEXT, **_PLACE})),
            "price": _null_or(_row("prices")),
            **_OWNER,
            "allocations": _many(_SHARE),
            "unallocated_tokens": _WHOLE,
        }
    )


_EXPLAINED: Final = _of(
    {
        **_WORD,
        "what": _TEXT,
        "rows": _rows("explained"),
        "next": _TEXT_OR_NULL,
        "totals": _of({"calls": _WHOLE, **_all((*TOKENS, MONEY[0]), _WHOLE_OR_NULL), "unpriced_calls": _WHOLE}),
        "allocated_tokens": _WHOLE_OR_NULL,
    }
)

_TALLY: Final = {"calls": _WHOLE, "total_tokens": _WHOLE_OR_NULL}
_SESSION: Final = _of(
    {
        **_WORD,
        "rows": _rows("usage_measured"),
        "chain": _of(
            {
                **_all(("parents", "children"), _many(_of({"session_id": _TEXT_OR_NULL}))),
                "repos": _many(_of({**_OWNER, "git_branch": _TEXT_OR_NULL, **_TALLY})),
                "tasks": _many(_of({**_RULE, **_TALLY})),
                "unallocated": _many(_of({"calls": _WHOLE_OR_NULL, "total_tokens": _WHOLE})),
            }
        ),
    }
)

_GAPS: Final = _of({"repo_gap": {"type": "string", "enum": [*NEXT_STEPS]}, "sessions": _WHOLE, **_TALLY})

_FIGURES: Final = _of({"calls": _WHOLE_OR_NULL, **_all(BELIEVED, _WHOLE_OR_NULL)})
_RESTATED: Final = _of(
    {
        "day": _null_or(_DAY),
        "agent": _TEXT_OR_NULL,
        "measurement": _TEXT,
        "believed_at": _TIME,
        "believed_up_to_seq": _WHOLE,
        "rules": _TEXT_OR_NULL,
        "is_of_other_rules": _TRUTH,
        **_all(("then", "now", "difference"), _FIGURES),
        "why": _many(_of({"cause": _TEXT, "reason": _TEXT_OR_NULL, "parts": _WHOLE, "difference": _FIGURES})),
        "unexplained": _null_or(_FIGURES),
    }
)

_LEAKED: Final = _of(
    {
        **_all(("seq", "beside_seq"), _WHOLE_OR_NULL),
        **_all(
            ("receipt", "source_class", "agent", "session_id", "task_id", "beside_source_id"),
            _TEXT_OR_NULL,
        ),
        "called_at": _null_or(_TIME),
    }
)
_SIGNS: Final = ("tasks", "activities", "commits", "silent_tallies", "measured_tokens")
_QUALITY: Final = _of(
    {
        **_WORD,
        "as_of": _of(_AS_OF),
        "since": _null_or(_TIME),
        "duplicates": _of(_all(("source_ids", "counted_twice", "disagreeing"), _WHOLE)),
        "fallbacks": _of(
            {
                **_all(("events", "counting"), _WHOLE),
                **_all(("measured_since", "operator_decision", "leaked", "kept", "counted"), _WHOLE),
                "leaked_rows": _many(_LEAKED),
            }
        ),
        "superseded": _of({"rows": _WHOLE, "by_reason": _named(_WHOLE)}),
        "unattributed": _of({"sessions": _WHOLE, "total_tokens": _WHOLE_OR_NULL}),
        "without_provenance": _WHOLE,
        "flatline_days": _many(_of({"agent": _TEXT_OR_NULL, "day": _DAY, **_all(_SIGNS, _WHOLE_OR_NULL)})),
        "residuals": _of(_all(("files", "tokens"), _WHOLE)),
        "drift": _many(_of(_all(("agent", "agent_version"), _TEXT_OR_NULL))),
        "unpriced": _UNPRICED,
    }
)

_FINDING: Final = _of(
    {
        **_all(("id", "rule", "message", "next"), _TEXT),
        "source": _TEXT_OR_NULL,
        "since": _TEXT_OR_NULL,
        "severity": {"type": "string", "enum": ["critical", "unknown", "warning"]},
    }
)
_NUMBER_OR_NULL: Final[Schema] = {"type": ["number", "null"]}
_DAEMON: Final = _of(
    {
        "state": _TEXT,
        "pid": _WHOLE_OR_NULL,
        "blindness": _null_or(_many(_TEXT)),
        **_all(("tables_failure", "inbox_failure"), _TEXT_OR_NULL),
        **_all(
            ("heartbeat_age_seconds", "uptime_seconds", "published_age_seconds", "sweep_age_seconds"), _NUMBER_OR_NULL
        ),
    }
)
#: Before anything was published there is the daemon, and nothing of tables.
_STATUS: Final = _of(
    {**_WORD, "daemon": _DAEMON, "findings": _many(_FINDING), "rows": _rows("freshness")},
    {
        "log": _of({"log_id": _TEXT_OR_NULL, **_AS_OF, "hash": _TEXT_OR_NULL}),
        "projection_lag_events": _WHOLE,
        "reconciled": _null_or(_of({"at": _TIME, "age_seconds": _WHOLE, "is_clean": _TRUTH})),
        "lost_events": _many(_of(_all(("first_missing_seq", "last_missing_seq"), _WHOLE))),
        **_SOURCES,
    },
)
_HEALTH: Final = _of(
    {
        **_WORD,
        "state": {"type": "string", "enum": ["ok", "warning", "critical", "unknown"]},
        "line": _TEXT,
        "findings": _many(_FINDING),
        # Figures and stored paths that the heartbeat has, by agent.
        "sources": _named(_named({"type": ["number", "string", "null"]})),
        "heartbeat_age_seconds": _WHOLE_OR_NULL,
        "last_runs": _named(_null_or(_of({"at": _TIME, "age_seconds": _WHOLE}))),
    }
)

_DOCUMENTS: Final[Mapping[str, Schema]] = {
    "usage": _USAGE,
    "findings": _of({**_WORD, "as_of": _of(_AS_OF), "rows": _rows("found")}),
    "explain/{what:path}": _EXPLAINED,
    "sessions/{session:path}": _SESSION,
    "tasks": _of({**_WORD, "rows": _rows("tasks")}),
    "tasks/{task:path}": _of(
        {
            **_WORD,
            "rows": _rows("tasks"),
            "reports": _rows("task_reports"),
            "allocations": _rows("usage_allocated"),
            "estimates": _rows("estimates"),
        }
    ),
    "repos": _of({**_WORD, "rows": _rows("repos"), "unattributed": _many(_GAPS)}),
    "repos/{what:path}": _of(
        {
            **_WORD,
            "what": _TEXT,
            "repos": _rows("repos"),
            "registrations": _rows("repo_registrations"),
            "places": _rows("places"),
        }
    ),
    "restatements": _of(
        {
            **_WORD,
            "as_of": _of({**_AS_OF, "rules": _TEXT}),
            **_all(("since", "until"), _null_or(_TIME)),
            "rows": _many(_RESTATED),
            "unexplained_rows": _WHOLE,
        }
    ),
    "quality": _QUALITY,
    "status": _STATUS,
    "health": _HEALTH,
}

_LISTED: Final[Mapping[str, Schema]] = {
    name: _of({**_WORD, "as_of": _of(_AS_OF), "rows": _rows(relation(name).name), "next": _TEXT_OR_NULL})
    for name in LISTINGS
}
