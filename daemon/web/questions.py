"""What can be asked: for each route its parameters, and the function that answers it and the command alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from daemon.cursors import AFTER_CHARACTERS_MAX
from daemon.explain import Part, explain
from daemon.explain import Question as Explained
from daemon.findings import findings_document
from daemon.health.limits import limits
from daemon.health.report import document as health_document
from daemon.health.verb import judged
from daemon.interrupts import Interrupts
from daemon.listings import LISTINGS, Page, listing, relation, schema
from daemon.living import living
from daemon.quality import quality_document
from daemon.repo_answers import repo_document, repos_document
from daemon.restatements import restatements_document
from daemon.settings import Settings
from daemon.task_answers import task_document, tasks_document
from daemon.usage_verb import CLASSES, INCLUDABLE, usage_document
from daemon.verbs import session_document, status_document, young_status_document
from daemon.web.bodies import RequestRefused
from daemon.web.parameters import Parameter, Text, Truth, Whole, Word, Words
from daemon.window import window_of
from projections.read import NothingPublished, Tables, Window
from projections.usage import CHOOSABLE, DIMENSIONS

Depends = Literal[
    "log",  #: the same log, the same answer
    "window",  #: where the window lies too, which moves where it is a duration back from now
    "minute",  #: the minute too, in which an acknowledgement may end
    "moment",  #: what is there at this moment: processes, files; no answer is ever kept
]

ROWS_MAX: Final = 1_000
_ROWS_DEFAULT: Final = 100
#: Groups of usage.
_GROUPS_MAX: Final = 5_000


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One question.

    Args:
        settings: Whose log.
        given: Parameters, by name.
        minute: The minute it was asked in, UTC, aware: from it durations and ages are counted.
        interrupts: What it asks of databases is ended by these.
    """

    settings: Settings
    given: Mapping[str, Any]
    minute: datetime
    interrupts: Interrupts = field(default_factory=Interrupts)

    def window(self) -> Window:
        """Return which calls are asked about."""
        since, until, window = (self.given.get(name) for name in ("since", "until", "window"))
        if window is not None and since is not None:
            raise RequestRefused("contradicts", "window")
        began = since if window in (None, "all") else window
        return window_of(began, until, self.given.get("timezone", "UTC"), self.minute)

    def page(self, *columns: str) -> Page:
        """Return which rows of a list are asked for."""
        return Page(
            after=self.given.get("after"),
            rows_max=self.given.get("limit", _ROWS_DEFAULT),
            order=self.given.get("order", "ascending"),
            only={name: self.given[name] for name in columns if name in self.given},
        )


@dataclass(frozen=True, slots=True)
class Question:
    """
    One route.

    Args:
        path: Where it is asked, behind `/api/v1/`.
        schema: Name and version of its document.
        what: What it answers, in half a sentence.
        command: The command that prints the same with `--json`.
        parameters: What may be asked with it.
        answer: Makes the document of the published tables; null where they are not asked.
        without_tables: Makes it without them, where none were published yet; null where that is a failure.
        depends: On what it depends besides its parameters.
        is_slow: Whether it may take long, so that one is answered after the other.
    """

    path: str
    schema: str
    what: str
    command: str
    answer: Callable[[Asked, Tables], Mapping[str, Any]] | None
    parameters: tuple[Parameter, ...] = ()
    without_tables: Callable[[Asked], Mapping[str, Any]] | None = None
    depends: Depends = "log"
    is_slow: bool = False


def _texts(names: Sequence[str]) -> tuple[Parameter, ...]:
    return tuple(Text(name, f"only this {name}") for name in names)


_SINCE: Final = Text("since", "from this day or time on, or a duration back from now (30d, 12h)")
_UNTIL: Final = Text("until", "before this day or time")
_ZONE: Final = Text("timezone", "what a day is, as an IANA name (UTC when not given)")
_AGENT: Final = Text("agent", "only this agent's")
_LIMIT: Final = Whole("limit", "how many rows at most", 1, ROWS_MAX, _ROWS_DEFAULT)
_AFTER: Final = Text("after", "the `next` of the page before", AFTER_CHARACTERS_MAX)
_ORDER: Final = Word("order", "by the key, one way or the other", ("ascending", "descending"), "ascending")

_USAGE: Final[tuple[Parameter, ...]] = (
    Words("group_by", "dimensions of which each row has a value; `agent` when not given", tuple(DIMENSIONS)),
    _SINCE,
    _UNTIL,
    Text("window", "instead of `since`: a duration back from now (24h, 30d), or `all`"),
    _ZONE,
    Words("include", "classes beside measured, never summed with it", tuple(INCLUDABLE)),
    Words("measurement", "instead of `include`: every class that is asked about", CLASSES),
    Truth("superseded", "the class superseded too"),
    Truth("unattributed", "only what belongs to no repository"),
    *_texts(CHOOSABLE),
    Whole("limit", "how many rows at most, those with the most tokens", 1, _GROUPS_MAX, _GROUPS_MAX),
)


def _usage(asked: Asked, tables: Tables) -> Mapping[str, Any]:
    given = asked.given
    only = {name: given[name] for name in CHOOSABLE if name in given}
    if given.get("unattributed"):
        if "repo" in only:
            raise RequestRefused("contradicts", "unattributed")
        only["repo"] = None
    if "measurement" in given and "include" in given:
        raise RequestRefused("contradicts", "include")
    classes = {*given.get("measurement", ("measured", *given.get("include", ())))}
    return usage_document(
        tables,
        given.get("group_by", ("agent",)),
        asked.window(),
        (),
        only=only,
        classes=classes | ({"superseded"} if given.get("superseded") else set()),
        rows_max=given.get("limit", _GROUPS_MAX),
    )


def _explain(asked: Asked, tables: Tables) -> Mapping[str, Any]:
    given = asked.given
    question = Explained(given["what"], given.get("agent"), given.get("timezone", "UTC"))
    return explain(tables, question, Part(given.get("after"), given.get("limit", _ROWS_DEFAULT)))


def _quality(asked: Asked, tables: Tables) -> Mapping[str, Any]:
    since = asked.window().since
    aware = None if since is None else since.replace(tzinfo=UTC)
    return quality_document(tables, aware, limits(asked.settings).canary_events)


def _status(asked: Asked, tables: Tables) -> Mapping[str, Any]:
    return status_document(asked.settings, living(asked.settings), tables, asked.minute)


def _young_status(asked: Asked) -> Mapping[str, Any]:
    daemon = living(asked.settings)
    if not daemon.is_running:
        raise NothingPublished(path=asked.settings.state.published)
    return young_status_document(daemon)


def _health(asked: Asked) -> Mapping[str, Any]:
    return health_document(*judged(asked.settings))


def _list(name: str) -> Question:
    columns = LISTINGS[name]
    parameters: tuple[Parameter, ...] = (*_texts(columns), _LIMIT, _AFTER, _ORDER)
    return Question(
        name,
        schema(name),
        relation(name).what.removesuffix("."),
        f"list {name}",
        lambda asked, tables: listing(tables, name, asked.page(*columns)),
        parameters,
    )


#: Every question, in the order of the documentation.
QUESTIONS: Final[tuple[Question, ...]] = (
    Question(
        "usage",
        "tallystick.usage/1",
        "tokens, grouped; each row names its class",
        "usage",
        _usage,
        _USAGE,
        depends="window",
    ),
    Question(
        "findings",
        "tallystick.findings/1",
        "what cannot be right in what was claimed and measured",
        "findings",
        lambda asked, tables: findings_document(tables, asked.minute, asked.given.get("rule")),
        (Text("rule", "only the findings of this rule"),),
        depends="minute",
    ),
    Question(
        "explain/{what:path}",
        "tallystick.explain/1",
        "from a total back to files and byte ranges: a day, session, call, event, task, workstream or repository",
        "explain WHAT",
        _explain,
        (_AGENT, _ZONE, _LIMIT, _AFTER),
        depends="moment",
    ),
    Question(
        "sessions/{session:path}",
        "tallystick.sessions/1",
        "one session's calls, and whose its tokens are",
        "sessions ID",
        lambda asked, tables: session_document(tables, asked.given["session"]),
    ),
    Question(
        "tasks",
        "tallystick.tasks/1",
        "every task: what was measured for it, and what only estimated",
        "task list",
        lambda _, tables: tasks_document(tables),
    ),
    Question(
        "tasks/{task:path}",
        "tallystick.task/1",
        "one task: its reports, its shares of calls, by which rule",
        "task show ID",
        lambda asked, tables: task_document(tables, asked.given["task"]),
    ),
    Question(
        "repos",
        "tallystick.repos/1",
        "every repository with its usage, and what belongs to none, and why",
        "repo list",
        lambda _, tables: repos_document(tables),
    ),
    Question(
        "repos/{what:path}",
        "tallystick.repo/1",
        "why a directory, or what, belongs to a repository or to none",
        "repo explain WHAT",
        lambda asked, tables: repo_document(tables, asked.given["what"]),
    ),
    Question(
        "restatements",
        "tallystick.restatements/1",
        "which totals are other than they were believed to be, by how much, and why; reads the log too",
        "restatements",
        lambda asked, _: restatements_document(asked.settings, asked.window(), asked.interrupts),
        (_SINCE, _UNTIL),
        depends="window",
        is_slow=True,
    ),
    Question(
        "quality",
        "tallystick.quality/1",
        "what is not as good as a measured call of a known repository",
        "quality",
        _quality,
        (_SINCE,),
        depends="window",
    ),
    Question(
        "status",
        "tallystick.status/1",
        "per agent how new the evidence is and what is unread, and how the daemon is",
        "status",
        _status,
        without_tables=_young_status,
        depends="moment",
    ),
    Question(
        "health",
        "tallystick.health/1",
        "how it is: `ok`, `warning`, `critical` or `unknown`, and each finding with its next step",
        "health",
        None,
        without_tables=_health,
        depends="moment",
    ),
    *map(_list, LISTINGS),
)
