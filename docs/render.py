"""
Writes the parts of the documentation that the code knows better: `make docs`.

The columns that the document of the API names are one of them. `tests/test_docs.py` asserts that what stands in the
files is what would be written.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from adapters.contract import Adapter
from adapters.registry import built_in
from daemon import heartbeat, journal, watch
from daemon.config import Config
from daemon.explain import FORMULAS
from daemon.health.rules import RULES
from daemon.hooks.installed import WANTED
from daemon.message import Envelope
from daemon.posts import OldTokens, Sending
from daemon.privacy.stored import positions_of, strings_of
from daemon.repo_answers import NEXT_STEPS
from daemon.web import answers, shapes
from daemon.web.openapi import path_of
from daemon.web.parameters import Parameter
from daemon.web.questions import QUESTIONS, Question
from daemon.web.reads import PREFIX
from projections.build import Projection
from projections.catalog import Relation, relations
from projections.findings import rules
from state import vocabulary
from state.evidence import KINDS, MESSAGES, Belief, BelievedTotals, Message, RateFacts, RateWindow
from state.paths import StatePaths
from tests.faults import matrix

HERE = Path(__file__).parent

_SHOWN_TYPES = (
    ("datetime", "time, UTC"),
    ("dict[str, typing.Any]", "object"),
    ("dict", "names to whole numbers"),
    ("tuple", "list of words"),
    ("Literal", "word"),
    ("bool", "true or false"),
    ("int", "whole number"),
)
_SHOWN_WORDS = (
    "Measurement",
    "KnownSourceClass",
    "Basis",
    "Witness",
    "Role",
    "Confidence",
    "Flag",
    "RejectCode",
    "SourceChange",
    "DaemonChange",
    "DenyCode",
    "MessageCode",
    "CheckoutState",
    "CheckoutKind",
    "RepoRung",
    "RepoGap",
    "AllocationRule",
    "Trust",
)
_MESSAGE_WORDS = (
    "HookOutcome",
    "HookEvent",
    "HookEffect",
    "HookSkip",
    "TaskStatus",
    "ActivityKind",
    "ReportScope",
    "ReportClass",
    "LegacyClass",
)

_MARK = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def rendered(text: str) -> str:
    """Return *text* with everything between its marks written anew."""
    parts = {
        "belief": lambda: f"{_body('published', Belief)}\n{_body('totals', BelievedTotals)}",
        "causes": lambda: _vocabulary("RestatementCause"),
        "rates": lambda: f"{_body('rates', RateFacts)}\n{_body('windows', RateWindow)}",
        "unpriced": lambda: _vocabulary("Unpriced"),
        "kinds": _kinds,
        "provenance": _provenance,
        "envelope": _envelope,
        "messages": _messages,
        "message_words": _message_words,
        "words": _words,
        "relations": _relations,
        "formulas": _formulas,
        "blindness": _blindness,
        "journal": _journal,
        "heartbeat": _heartbeat,
        "hook_events": _hook_events,
        "allocation_rules": lambda: _vocabulary("AllocationRule"),
        "repo_rungs": lambda: _vocabulary("RepoRung"),
        "repo_gaps": _repo_gaps,
        "sending": lambda: _rows(Sending),
        "old_tokens": lambda: _rows(OldTokens),
        "states": lambda: _word_rows("State", answers.State, Path(answers.__file__).read_text("utf-8")),
        "request_codes": _request_codes,
        "questions": _questions,
        "failures": _failures,
        "health_rules": _health_rules,
        "finding_rules": _finding_rules,
        "settings": _settings,
        "faults": _faults,
        "positions": _positions,
        "stored_strings": _stored_strings,
    }
    return _MARK.sub(lambda match: f"{match[1]}\n{parts[match[2]]()}\n{match[3]}", text)


#: Which columns a row has, for programs that read over HTTP: the database takes seconds to say it.
COLUMNS: Final = Path(shapes.__file__).with_name("columns.json")


def columns() -> str:
    """Return the columns of every table whose rows the API shows, with their types, as JSON."""
    with _empty_tables() as projection:
        found = projection.connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
        ).fetchall()
    tables = {name: {column: type_ for table, column, type_ in found if table == name} for name in shapes.ROWS}
    return json.dumps(tables, indent=1) + "\n"


def documents() -> list[Path]:
    """Return every document with marks."""
    return sorted(path for path in HERE.glob("*.md") if _MARK.search(path.read_text("utf-8")))


def _health_rules() -> str:
    rows = "\n".join(f"| `{name}` | {rule.severity} | {rule.means} | {rule.do} |" for name, rule in RULES.items())
    return f"\n| rule | severity | what it means | what to do |\n|---|---|---|---|\n{rows}\n"


def _faults() -> str:
    """Return every fault with its promise and the test that holds it; none as long as it is still to be written."""
    files = matrix.files_of_tests()
    rows = "\n".join(
        f"| {fault.number} | {fault.name.replace('_', ' ')} | {fault.promise} | {_test_of(fault.name, files)} |"
        for fault in matrix.FAULTS
    )
    return f"\n| # | fault | promise | test |\n|---|---|---|---|\n{rows}\n"


def _test_of(fault: str, files: Mapping[str, Path]) -> str:
    return f"`{files[fault].name}`: `test_{fault}`" if fault in files else "-"


def _finding_rules() -> str:
    """Return every rule of `findings` as its own SQL describes it, with the severity that `findings` gives it."""
    whole = next(each.sql for each in relations() if each.name == "findings")
    severities = dict(re.findall(r"'(\w+)' AS rule,\s+(?:if\(.*, )?'(\w+)'\)? AS severity", whole))
    return "".join(_finding_rule(name, severities[name], rule) for name, rule in rules().items())


def _finding_rule(name: str, severity: str, rule: Relation) -> str:
    what = f"{rule.what[0].upper()}{rule.what[1:]} {rule.notes}"
    return f"\n### `{name}` ({severity})\n\n{what}\n\nOne finding: {rule.grain}.\n"


def _positions() -> str:
    """Return, of each adapter, every position from which a string may be stored."""
    return "".join(_positions_of(adapter) for adapter in sorted(built_in(), key=lambda each: each.parser))


def _positions_of(adapter: Adapter) -> str:
    rows = "\n".join(
        f"| `{each.place}` | `{each.field}` | {_pattern(each.pattern)} |" for each in positions_of(adapter)
    )
    return f"\n### `{adapter.parser}`\n\n| position | becomes | pattern |\n|---|---|---|\n{rows}\n"


def _stored_strings() -> str:
    """Return every pattern of a stored string, with the fields that have it."""
    fields: dict[str, dict[str, None]] = {}
    for model in KINDS.values():
        for each in (each for each in strings_of(model) if each.place != "k"):
            fields.setdefault(_pattern(each.pattern or "none"), {})[each.place.rpartition(".")[2]] = None
    rows = "\n".join(f"| {pattern} | {', '.join(f'`{name}`' for name in names)} |" for pattern, names in fields.items())
    return f"\n| pattern | fields |\n|---|---|\n{rows}\n"


def _pattern(pattern: str) -> str:
    return "`" + pattern.replace("|", "\\|") + "`" if pattern.startswith("^") else pattern


def _settings() -> str:
    return "\n" + "\n".join(_section(name, info) for name, info in Config.model_fields.items())


def _section(name: str, info: FieldInfo) -> str:
    """Return one section of the configuration; of a list of sections what one of them holds."""
    inner = cast("type[BaseModel]", next(iter(get_args(info.annotation)), info.annotation))
    title = f"[[{name}]]" if inner is not info.annotation else f"[{name}]"
    rows = "\n".join(
        f"| `{field}` | {_default(each)} | {each.description} |" for field, each in inner.model_fields.items()
    )
    return f"`{title}`: {info.description}\n\n| entry | default | meaning |\n|---|---|---|\n{rows}\n"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "none: it has to be said"
    value = list(info.default) if isinstance(info.default, tuple) else info.default
    return "nothing" if value is None else f"`{json.dumps(value)}`".replace("|", "\\|")


def _hook_events() -> str:
    """Return which events of which agent call the hook, and for which tools."""
    rows = [
        f"| `{hook}` | `{event}` | {_hook_tools(event, tools)} |"
        for hook, events in WANTED.items()
        for event, tools in events.items()
    ]
    return "\n".join(["", "| hook | event | tools |", "|---|---|---|", *rows, ""])


def _hook_tools(event: str, tools: str | None) -> str:
    if tools is not None:
        return f"`{tools}`".replace("|", "\\|")
    return "all" if event == "PostToolUse" else "-"


def _kinds() -> str:
    first = next(iter(MESSAGES))
    shown = {name: KINDS[name] for name in KINDS if name not in MESSAGES or name == first}
    return "\n".join(_message(model) if name == first else _kind(name, model) for name, model in shown.items())


def _message(model: type[BaseModel]) -> str:
    """Return the section that all messages share; their bodies are in docs/inbox.md."""
    names = ", ".join(f"`{name}`" for name in MESSAGES)
    rows = "\n".join(_field(field, info) for field, info in model.model_fields.items() if field != "body")
    body = "| `body` | object | the statement, by kind: [inbox.md](inbox.md) |"
    text = " ".join((Message.__doc__ or "").split())
    return f"### {names}\n\n{text}\n\n| field | type | meaning |\n|---|---|---|\n{rows}\n{body}\n"


def _envelope() -> str:
    rows = "\n".join(_field(info.alias or name, info) for name, info in Envelope.model_fields.items())
    return f"| field | type | meaning |\n|---|---|---|\n{rows}\n"


def _messages() -> str:
    return "\n".join(_body(kind, model) for kind, model in MESSAGES.items())


def _body(kind: str, model: type[BaseModel]) -> str:
    rows = "\n".join(_field(field, info) for field, info in model.model_fields.items())
    return f"### `{kind}`\n\n{cleandoc(model.__doc__ or '')}\n\n| field | type | meaning |\n|---|---|---|\n{rows}\n"


def _message_words() -> str:
    return _words(_MESSAGE_WORDS)


def _kind(name: str, model: type[BaseModel]) -> str:
    shared = {field for base in model.__mro__[1:] for field in getattr(base, "model_fields", {})}
    own = {field: info for field, info in model.model_fields.items() if field not in shared and field != "k"}
    summary = (model.__doc__ or "").strip().splitlines()[0]
    rows = "\n".join(_field(field, info) for field, info in own.items())
    of_source = "with provenance" if shared else "of the log itself"
    where = "with provenance and place" if "offset_bytes" in shared else of_source
    return f"### `{name}`\n\n{summary} ({where})\n\n| field | type | meaning |\n|---|---|---|\n{rows}\n"


def _provenance() -> str:
    model = KINDS["usage"]
    shared = [base for base in model.__mro__[1:] if issubclass(base, BaseModel) and base is not BaseModel]
    fields = {name: info for base in reversed(shared) for name, info in base.model_fields.items()}
    rows = "\n".join(_field(name, info) for name, info in fields.items())
    return f"| field | type | meaning |\n|---|---|---|\n{rows}\n"


def _field(name: str, info: FieldInfo) -> str:
    return f"| `{name}` | {_type(info)} | {info.description} |"


def _type(info: FieldInfo) -> str:
    text = str(info.annotation)
    kind = next(
        (shown for pattern, shown in _SHOWN_TYPES if pattern in text),
        "text",
    )
    return f"{kind}{', or null' if 'None' in text else ''}"


def _words(names: tuple[str, ...] = _SHOWN_WORDS) -> str:
    source = Path(vocabulary.__file__).read_text("utf-8")
    return "\n".join(_word_table(name, getattr(vocabulary, name), source) for name in names)


def _blindness() -> str:
    return _word_rows("Blindness", watch.Blindness, Path(watch.__file__).read_text("utf-8"))


def _journal() -> str:
    return _word_rows("Event", journal.Event, Path(journal.__file__).read_text("utf-8"))


def _vocabulary(name: str) -> str:
    return _word_rows(name, getattr(vocabulary, name), Path(vocabulary.__file__).read_text("utf-8"))


def _repo_gaps() -> str:
    """Return why a call belongs to no repository, and what to do about it."""
    rows = _vocabulary("RepoGap").splitlines()[2:]
    steps = "\n".join(f"{row} {NEXT_STEPS[row.split('`')[1]]} |" for row in rows)
    return f"| word | meaning | next step |\n|---|---|---|\n{steps}\n"


def _rows(model: type[BaseModel]) -> str:
    rows = "\n".join(_field(name, info) for name, info in model.model_fields.items())
    return f"| field | type | meaning |\n|---|---|---|\n{rows}\n"


def _request_codes() -> str:
    words = _word_rows("RequestCode", answers.RequestCode, Path(answers.__file__).read_text("utf-8"))
    return re.sub(
        r"^\| `(\w+)` ", lambda match: f"| {answers.STATUS[match[1]]} `{match[1]}` ", words, flags=re.MULTILINE
    )


def _questions() -> str:
    """Return every question with its command, and what may be asked with it."""
    rows = "\n".join(
        f"| `{path_of(each).removeprefix(PREFIX)}` | {each.what} | `{each.command}` | {_asked_with(each)} |"
        for each in QUESTIONS
    )
    said = {each.name: each for question in QUESTIONS for each in question.parameters if not _is_filter(each)}
    table = "\n".join(f"| `{name}` | {_bounds(each.schema)} | {each.what} |" for name, each in said.items())
    return (
        f"| route | answers | as `tallystick` | parameters |\n|---|---|---|---|\n{rows}\n\n"
        "A parameter named like a column or a dimension chooses rows that have this value there. The others:\n\n"
        f"| parameter | can be | meaning |\n|---|---|---|\n{table}\n"
    )


def _asked_with(question: Question) -> str:
    return ", ".join(f"`{each.name}`" for each in question.parameters) or "-"


def _is_filter(parameter: Parameter) -> bool:
    return parameter.what == f"only this {parameter.name}"


def _bounds(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if schema["type"] == "integer":
        return f"{schema['minimum']} to {schema['maximum']:,}; {schema['default']:,} when not given"
    if "pattern" in schema:
        words = re.findall(r"\w+", schema["pattern"].partition(")")[0])
        return "of " + ", ".join(f"`{word}`" for word in words) + ", with commas"
    return "`true`, `false`" if schema["type"] == "boolean" else f"text of at most {schema['maxLength']:,} characters"


def _failures() -> str:
    rows = "\n".join(
        f"| {answers.status_of_failure(kind)} `{code}` | {' '.join(answers.words(kind))} |"
        for kind, code in answers.FAILURES.items()
    )
    return f"| code | meaning |\n|---|---|\n{rows}\n"


def _heartbeat() -> str:
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in heartbeat.FIELDS.items())
    return f"| field | meaning |\n|---|---|\n{rows}\n"


def _word_table(name: str, literal: object, source: str) -> str:
    return f"### {name}\n\n{_word_rows(name, literal, source)}"


def _word_rows(name: str, literal: object, source: str) -> str:
    block = source[source.index(f"\n{name} = Literal[") :]
    meanings = dict(re.findall(r'^    "(\w+)",?  #: (.*)$', block[: block.index("]")], re.MULTILINE))
    rows = "\n".join(f"| `{word}` | {meanings.get(word, '')} |" for word in get_args(literal))
    return f"| word | meaning |\n|---|---|\n{rows}\n"


@contextmanager
def _empty_tables() -> Iterator[Projection]:
    with TemporaryDirectory() as directory:
        paths = StatePaths(Path(directory))
        paths.create()
        with Projection.open(paths) as projection:
            yield projection


def _relations() -> str:
    with _empty_tables() as projection:
        found = projection.connection.execute(
            "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() GROUP BY table_name"
        ).fetchall()
        columns: dict[str, list[str]] = dict(found)
        for part in (each for each in relations() if each.refresh == "part"):
            said = projection.connection.execute(f"DESCRIBE {part.sql}").fetchall()
            columns[part.name] = [name for name, *_ in said]
    return "\n".join(_relation(each, columns[each.name]) for each in relations() if each.refresh != "step")


def _relation(relation: Relation, columns: list[str]) -> str:
    kind = relation.refresh if relation.refresh in ("view", "part") else "table"
    lines = [
        f"### `{relation.name}` ({kind})",
        "",
        relation.what[0].upper() + relation.what[1:],
        "",
        f"- grain: {relation.grain}",
        f"- key: {', '.join(f'`{name}`' for name in relation.key)}",
        f"- unit: {relation.unit}",
        f"- source: {relation.source}",
        f"- columns: {', '.join(f'`{name}`' for name in columns)}",
    ]
    return "\n".join([*lines, "", relation.notes, ""] if relation.notes else [*lines, ""])


def _formulas() -> str:
    rows = "\n".join(f"| `{rule}` | {formula} |" for rule, formula in FORMULAS.items())
    return f"| rule | tokens of the call |\n|---|---|\n{rows}"


if __name__ == "__main__":
    for document in documents():
        document.write_text(rendered(document.read_text("utf-8")), "utf-8")
    COLUMNS.write_text(columns(), "utf-8")
