"""The HTTP API as it reads: the very documents of the commands, of one published file each, or a plain refusal."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect

from daemon import web
from daemon.cli import main
from daemon.cursors import written
from daemon.listings import LISTINGS
from daemon.usage_verb import CLASSES, usage_document
from daemon.web import publication as publishing
from daemon.web import reads
from daemon.web.openapi import component_of, document, path_of
from daemon.web.pages import MEDIA_TYPES
from daemon.web.parameters import given as given_words
from daemon.web.publication import Publication, QuestionTooLong
from daemon.web.questions import QUESTIONS, Asked, Question
from daemon.web.reads import METRICS_PATH
from projections.read import QuestionTooLarge, Tables, TablesUnusable, Window
from projections.shared import SharedTables
from projections.usage import DIMENSIONS
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines, gptme_lines
from tests.daemon.live import DEADLINE_SECONDS, until
from tests.daemon.schemas import faults
from tests.daemon.served import Answer, Served, served
from tests.daemon.taken import demo_host

DOCUMENT = document()
API = "/api/v1/"


def asked(path: str, **parameters: Any) -> str:
    """Return the address of a question."""
    return API + quote(path) + (f"?{urlencode(parameters)}" if parameters else "")


#: A question for each route, and the command that prints the same document.
CASES: dict[str, list[str]] = {
    asked("usage"): ["usage"],
    asked("usage", group_by="day,agent,model"): ["usage", "--by", "day,agent,model"],
    asked("usage", since="2026-11-01T10:00:01", until="2026-11-02", timezone="Europe/Berlin"): [
        *("usage", "--since", "2026-11-01T10:00:01", "--until", "2026-11-02", "--timezone", "Europe/Berlin")
    ],
    asked("usage", window="all", measurement="measured,estimated,allocated,superseded", group_by="source,session"): [
        *("usage", "--include", "estimated,allocated,superseded", "--by", "source,session")
    ],
    asked("usage", superseded="true", include="estimated"): ["usage", "--include", "superseded,estimated"],
    asked("usage", agent="codex", model="gpt-5.5"): ["usage", "--only", "agent=codex", "--only", "model=gpt-5.5"],
    asked("usage", source="codex_session", group_by="repo"): [
        "usage",
        "--only",
        "source=codex_session",
        "--by",
        "repo",
    ],
    asked("usage", provider="acme", group_by="provider"): ["usage", "--only", "provider=acme", "--by", "provider"],
    asked("usage", repo="acme/app"): ["usage", "--only", "repo=acme/app"],
    asked("usage", unattributed="true", superseded="true"): ["usage", "--unattributed", "--include", "superseded"],
    asked("usage", task="T-17", group_by="task,model"): ["usage", "--only", "task=T-17", "--by", "task,model"],
    asked("findings"): ["findings"],
    asked("findings", rule="counter_fell"): ["findings", "--rule", "counter_fell"],
    asked("quality"): ["quality"],
    asked("quality", since="2026-11-02"): ["quality", "--since", "2026-11-02"],
    asked("explain/2026-11-01", timezone="Europe/Berlin"): ["explain", "2026-11-01", "--timezone", "Europe/Berlin"],
    asked(f"explain/{SESSION}", agent="claude_code"): ["explain", SESSION, "--agent", "claude_code"],
    asked("explain/acme/app"): ["explain", "acme/app"],
    asked("explain/#3"): ["explain", "#3"],
    asked(f"sessions/{THREAD}"): ["sessions", THREAD],
    asked("tasks"): ["task", "list"],
    asked("tasks/T-17"): ["task", "show", "T-17"],
    asked("repos"): ["repo", "list"],
    asked("repos/acme/app"): ["repo", "explain", "acme/app"],
    asked("restatements"): ["restatements"],
    asked("status"): ["status"],
    asked("health"): ["health"],
    **{asked(name): ["list", name] for name in LISTINGS},
    asked("events", agent="codex", order="descending", limit=3): [
        *("list", "events", "--only", "agent=codex", "--descending", "--limit", "3")
    ],
    asked("sessions", limit=1000): ["sessions"],
}


def fill(host: Host) -> None:
    """Write something of everything: logs of three agents, reports, tasks, repositories, allocations."""
    lines = [claude_line(f"c{n}", 20 + n, second=n) for n in range(5)]
    host.claude().write_bytes(b"".join([*lines, claude_line("c1", 90, second=9)]))
    host.codex().write_bytes(codex_lines([100, 250, 900, 40]))
    host.gptme().write_bytes(gptme_lines([7, 8]))
    raw = {"input_tokens": 5, "output_tokens": 6}
    reported = {"provider": "acme", "source_id": "r-1", "model": "m", "at": "2026-11-01T10:00:05Z", "raw_usage": raw}
    host.submit("token_event", {"measurement": "measured", "source_class": "llm_connect", **reported, **raw})
    host.submit("token_event", {"measurement": "estimated", "source_class": "manual", "repo": "acme/app", **raw})
    host.submit("repo", {"repo": "acme/app", "paths": ["/srv/repo"]})
    host.submit("task", {"task_id": "T-17", "status": "completed", "origin": "hook", "session_id": SESSION})
    host.submit("allocation", {"session_id": SESSION, "task_id": "T-17", "permille": 500})
    host.ingest()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Host:
    host = Host(tmp_path_factory.mktemp("reads"))
    fill(host)
    return host


@pytest.fixture(scope="module")
def server(full: Host) -> Iterator[Served]:
    with serving(full) as running:
        yield running


@contextmanager
def serving(host: Host, *options: str) -> Iterator[Served]:
    """Serve a host's tables, on a unix socket if nothing else is said."""
    with tempfile.TemporaryDirectory(prefix="ts-") as short:
        where = options or ("--socket", f"{short}/api.sock")
        with served(host.state, "--home", str(host.home), *where) as running:
            yield running


def undocumented(question: Question, answer: Answer) -> list[str]:
    """Return what the document of the API does not say of *answer*."""
    responses = DOCUMENT["paths"][path_of(question)]["get"]["responses"]
    if str(answer.status) not in responses:
        return [f"{answer.status} is not documented"]
    if answer.status == 304:
        return [] if answer.content == b"" else ["304 has no body"]
    schema = responses[str(answer.status)]["content"][answer.headers["content-type"]]["schema"]
    return faults(answer.document, schema, DOCUMENT)


def question_of(path: str) -> Question:
    """Return the question that an address asks."""
    bare = path.partition("?")[0].removeprefix(API)
    fits = [each for each in QUESTIONS if re.fullmatch(re.sub(r"{\w+:path}", ".+", each.path), bare)]
    return min(fits, key=lambda each: "{" in each.path)


# -- the same as the commands ----------------------------------------------------------------------------------------


def test_every_route_has_a_case() -> None:
    """
    A route that is added is held against its command, or this fails.
    """
    assert {each.path for each in QUESTIONS} == {question_of(path).path for path in CASES}


@pytest.mark.parametrize("path", CASES)
def test_a_route_answers_what_its_command_prints(
    full: Host, server: Served, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Byte for byte, but for ages of what ran meanwhile: one function makes both.
    """
    answer = server.ask("GET", path)
    main([*CASES[path], "--json", "--home", str(full.home), "--state-dir", str(full.state.root)])
    printed = capsys.readouterr().out

    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    if path == asked("health"):
        assert of_a_moment(json.loads(printed)) == of_a_moment(answer.document)
    else:
        assert printed == answer.content.decode()
    assert [] == undocumented(question_of(path), answer)


@pytest.fixture(scope="module")
def plain_and_settled(full: Host) -> Iterator[tuple[Tables, Tables]]:
    with SharedTables(full.state.published) as plain, SharedTables(full.state.published) as shared:
        with shared.tables() as tables:
            shared.settle(tables)
        with plain.tables() as one, shared.tables() as other:
            yield one, other


@pytest.mark.parametrize("path", [path for path in CASES if question_of(path).answer is not None])
def test_settled_tables_answer_what_plain_ones_do(
    full: Host, plain_and_settled: tuple[Tables, Tables], path: str
) -> None:
    """
    What a server computed beforehand is what is computed when it is asked, for every question there is.
    """
    question = question_of(path)
    bare, _, query = path.partition("?")
    named = re.fullmatch(re.sub(r"{(\w+):path}", r"(?P<\1>.+)", question.path), unquote(bare).removeprefix(API))
    assert question.answer is not None
    assert named is not None
    parameters = {**given_words(question.parameters, QueryParams(query)), **named.groupdict()}
    asked_of = Asked(full.settings, parameters, datetime(2026, 11, 20, tzinfo=UTC))
    plain, settled = plain_and_settled

    assert not plain.settled
    assert {"findings", "measured_rows", "superseded_rows"} <= settled.settled
    assert question.answer(asked_of, plain) == question.answer(asked_of, settled)


def test_every_field_is_described_and_none_besides(server: Served) -> None:
    """
    The document of the API is held against answers as a whole: a field more, one less or another type is a fault.
    """
    for path in CASES:
        question, answer = question_of(path), server.ask("GET", path)
        schema = {"$ref": f"#/components/schemas/{component_of(question)}"}
        whole = answer.document
        spoilt = [whole | {"more": 1}, whole | {"schema": "tallystick.other/1"}]
        if question.path != "status":  # of which a young daemon's has less
            spoilt += [{name: value for name, value in whole.items() if name != lost} for lost in whole]
        spoilt += [whole | {"rows": [row | {"more": 1}]} for row in whole.get("rows", ())[:1]]

        assert all(faults(each, schema, DOCUMENT) for each in spoilt), path


def test_answers_of_a_week_are_as_the_document_describes(tmp_path: Path) -> None:
    """
    The demo's logs have what is found wrong, rejected, drifting, flat and unpriced.
    """
    host = demo_host(tmp_path)
    day = usage_of_a_day(host)
    named = {"what": day, "session": SESSION_OF_THE_DEMO, "task": "T-1"}
    with serving(host) as server:
        found = {
            each.path: server.ask("GET", asked(re.sub(r"{(\w+):path}", lambda match: named[match[1]], each.path)))
            for each in QUESTIONS
        }
        scraped = server.ask("GET", METRICS_PATH)

    assert {} == {
        path: each for path, answer in found.items() if (each := undocumented(question_of(API + path), answer))
    }
    assert {404} == {answer.status for path, answer in found.items() if answer.status != 200}
    for path in ("findings", "rejected", "drift", "flatlines", "explain/{what:path}", "sessions/{session:path}"):
        assert found[path].document["rows"], path
    assert [scraped.headers["content-type"]] == [*DOCUMENT["paths"][METRICS_PATH]["get"]["responses"]["200"]["content"]]


SESSION_OF_THE_DEMO = "5e550001-0000-4000-8000-00000000c1a0"


def usage_of_a_day(host: Host) -> str:
    """Return the last day on which the demo measured something."""
    return str(host.rows("SELECT CAST(max(called_at) AS DATE) AS day FROM usage_measured")[0]["day"])


def of_a_moment(health: dict[str, Any]) -> dict[str, Any]:
    """Return a document of health without what is another at each moment: ages, and free bytes of the disk."""
    return health | {"last_runs": {}, "line": health["line"].partition("|")[0]}


def test_the_cases_are_about_something(server: Served) -> None:
    """
    Two empty documents are alike too: classes, chosen rows and lists hold what was written.
    """
    by_task = server.ask("GET", asked("usage", task="T-17")).document
    every = server.ask("GET", asked("usage", measurement="measured,estimated,allocated,superseded")).document
    none = server.ask("GET", asked("usage", unattributed="true", superseded="true")).document

    assert [{}, {}] == [by_task["totals"][name] for name in ("measured", "superseded")]
    assert 0 < by_task["totals"]["allocated"]["total_tokens"] < every["totals"]["measured"]["total_tokens"]
    assert all(total["calls"] for total in every["totals"].values())
    assert {"measured", "estimated", "superseded"} <= {row["measurement"] for row in every["rows"]}
    assert {} == none["totals"]["superseded"]
    assert 0 < none["totals"]["measured"]["calls"] < every["totals"]["measured"]["calls"]
    for name in ("events", "sessions", "freshness", "high-water-marks", "reconciliation", "superseded", "unattributed"):
        assert server.ask("GET", asked(name)).document["rows"], name
    for name in ("tasks", "repos", "findings"):
        assert server.ask("GET", asked(name)).document["rows"], name


def test_measurement_leaves_out_what_is_not_named(server: Served) -> None:
    """
    Whoever asks about estimates alone is not handed measured tokens too, nor the other way round.
    """
    estimated = server.ask("GET", asked("usage", measurement="estimated")).document

    assert {"estimated"} == {row["measurement"] for row in estimated["rows"]}
    assert ["estimated"] == [name for name, total in estimated["totals"].items() if total]
    assert 0 == estimated["estimated_tokens_not_included"]


def test_of_many_groups_those_with_the_most_tokens_are_shown(server: Served) -> None:
    """
    What is left out is counted, and the totals are of all.
    """
    whole = server.ask("GET", asked("usage", group_by="session,model")).document
    cut = server.ask("GET", asked("usage", group_by="session,model", limit=2)).document

    assert len(whole["rows"]) == 2 + cut["rows_not_shown"] > 2
    most = sorted((row["total_tokens"] for row in whole["rows"]), reverse=True)[:2]
    assert most == sorted((row["total_tokens"] for row in cut["rows"]), reverse=True)
    assert (0, whole["totals"]) == (whole["rows_not_shown"], cut["totals"])


def test_totals_are_the_same_however_they_are_grouped(full: Host) -> None:
    """
    Sums of groups, of slices, or asked for by themselves: each class has one total, marks of quality included.
    """
    with Tables(full.state.published) as tables:
        totals = [
            usage_document(tables, by, Window(), (), classes=CLASSES)["totals"]
            for by in ((), *((name,) for name in DIMENSIONS), ("task", "repo"), ("day", "provider", "source"))
        ]

    assert all(total["calls"] for total in totals[0].values())
    assert [totals[0]] * len(totals) == totals


def test_a_list_is_a_table_for_a_person(full: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Columns that say nothing are left out, and where there is more, how to go on is said.
    """
    place = ("--state-dir", str(full.state.root))
    assert 0 == main(["list", "events", "--limit", "2", "--only", "agent=codex", *place])
    shown = capsys.readouterr().out
    after = re.search(r"--after (\S+)$", shown)
    assert after is not None
    assert ("seq" in shown, "task_status" in shown) == (True, False)
    assert 0 == main(["list", "events", "--limit", "999", "--after", after[1], *place])
    assert "--after" not in capsys.readouterr().out


def test_of_a_task_the_shares_are_told(full: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Nobody may take them for something measured: the last line names their class.
    """
    assert 0 == main(["usage", "--only", "task=T-17", "--state-dir", str(full.state.root)])
    assert re.search(r"^total allocated [\d,]+", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "CANARY"), "can_be=events,"),
        (("list", "events", "--only", "seq=1"), "can_be=kind,agent,"),
        (("list", "events", "--after", "x"), "No page begins there"),
        (("list", "events", "--limit", "0"), "can_be=1 or more"),
        (("usage", "--only", "day=2026-11-01"), "can_be=agent,source,"),
        (("usage", "--timezone", "localtime"), "not known here"),
    ],
)
def test_what_a_command_cannot_be_asked_is_said(
    full: Host, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    As over HTTP: a wrong question ends with 2, and says what can be asked.
    """
    assert 2 == main([*arguments, "--state-dir", str(full.state.root)])
    assert message in capsys.readouterr().err


# -- known again -----------------------------------------------------------------------------------------------------


def test_an_answer_is_known_again_until_the_log_goes_on(host: Host) -> None:
    """
    The ETag names log and last event; with it nothing is sent until something was committed, then everything is.
    """
    fill(host)
    path = asked("usage", window="all", group_by="day")
    with serving(host) as server:
        first = server.ask("GET", path)
        again = server.ask("GET", path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        elsewhere = server.ask("GET", asked("usage", window="all"), headers={"If-None-Match": first.headers["etag"]})
        host.gptme("2026-11-01-new").write_bytes(gptme_lines([1]))
        host.ingest()
        changed = server.ask("GET", path, headers={"If-None-Match": first.headers["etag"]})

    seq = first.document["as_of"]["seq"]
    assert re.fullmatch(rf'"[0-9a-f-]{{36}}-{seq}-[0-9a-f]{{32}}"', first.headers["etag"])
    assert (304, b"", "no-cache") == (again.status, again.content, again.headers["cache-control"])
    assert first.headers["etag"] == again.headers["etag"]
    assert (200, 200) == (elsewhere.status, changed.status)
    assert seq < changed.document["as_of"]["seq"]
    calls = [each.document["totals"]["measured"]["calls"] for each in (first, changed)]
    assert calls[0] + 1 == calls[1]


def test_a_commit_without_an_event_is_another_answer(host: Host) -> None:
    """
    A file grew by the half of a line: nothing of it is an event, and how much is unread has changed all the same.
    """
    fill(host)
    path = asked("high-water-marks")
    with serving(host) as server:
        first = server.ask("GET", path)
        with host.claude().open("ab") as file:
            file.write(b'{"type":"summary"')
        host.ingest()
        changed = server.ask("GET", path, headers={"If-None-Match": first.headers["etag"]})

    assert first.document["as_of"]["seq"] == changed.document["as_of"]["seq"]
    assert (200, True) == (changed.status, first.content != changed.content)


@pytest.mark.parametrize("path", [asked("health"), asked("status"), asked("explain/2026-11-01")])
def test_what_is_of_the_moment_is_not_kept(server: Served, path: str) -> None:
    """
    Whether a daemon lives and where a file is now follow from no log.
    """
    answer = server.ask("GET", path, headers={"If-None-Match": "*"})

    assert (200, "no-store", False) == (answer.status, answer.headers["cache-control"], "etag" in answer.headers)


# -- pages -----------------------------------------------------------------------------------------------------------


def pages(server: Served, path: str, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a list, each asked for when the one before was taken."""
    after: dict[str, Any] = {}
    while True:
        page = server.ask("GET", asked(path, **parameters, **after)).document
        yield page["rows"]
        if page["next"] is None:
            return
        after = {"after": page["next"]}


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("name", ["events", "sessions", "high-water-marks", "reconciliation", "superseded"])
def test_pages_are_the_whole_list(server: Served, name: str, order: str) -> None:
    """
    In both directions, and each row once.
    """
    whole = server.ask("GET", asked(name, limit=1000)).document
    paged = [row for page in pages(server, name, limit=2, order=order) for row in page]

    assert whole["next"] is None
    assert whole["rows"] == (paged if order == "ascending" else paged[::-1])


def test_pages_are_complete_while_more_is_published(host: Host) -> None:
    """
    Whatever is read between two pages: no row twice, and none missing that was there at the beginning.
    """
    fill(host)
    with serving(host) as server:
        begun = {name: server.ask("GET", asked(name, limit=1000)).document["rows"] for name in ("events", "sessions")}
        walks = {name: pages(server, name, limit=3) for name in begun}
        seen: dict[str, list[dict[str, Any]]] = {name: list(next(walk)) for name, walk in walks.items()}
        for number in range(3):
            host.gptme(f"2026-11-0{number + 2}-a-new-one").write_bytes(gptme_lines([number + 1]))
            host.claude(f"{number}" * 8 + SESSION[8:]).write_bytes(
                claude_line(f"n{number}", 5, session=f"early-{number}")
            )
            host.ingest()
            for name, walk in walks.items():
                seen[name] += next(walk, [])
        for name, walk in walks.items():
            seen[name] += [row for page in walk for row in page]

    for name, key in (("events", ("seq",)), ("sessions", ("agent", "session_id"))):
        keys = [tuple(row[column] for column in key) for row in seen[name]]
        assert len(keys) == len(set(keys))
        assert {tuple(row[column] for column in key) for row in begun[name]} <= set(keys)


def test_parts_of_an_explanation_are_the_whole_one(server: Served) -> None:
    """
    Each call once; the totals are of all of them in every part.
    """
    whole = server.ask("GET", asked("explain/2026-11-01")).document
    parts, after = list[dict[str, Any]](), dict[str, Any]()
    while not parts or parts[-1]["next"]:
        parts.append(server.ask("GET", asked("explain/2026-11-01", limit=2, **after)).document)
        after = {"after": parts[-1]["next"]}

    assert len(parts) > 2
    assert whole["rows"] == [row for part in parts for row in part["rows"]]
    assert all(part["totals"] == whole["totals"] for part in parts)


# -- what is refused -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[int, str, str | None]] = {
    asked("usage", since="CANARY"): (422, "bad_time", None),
    asked("usage", since="2026-11-02", until="2026-11-01"): (422, "empty_window", None),
    asked("usage", since="2026-11-02", window="7d"): (422, "contradicts", "window"),
    asked("usage", timezone="Mars/CANARY"): (422, "bad_zone", None),
    asked("usage", timezone="localtime"): (422, "bad_zone", None),
    asked("usage", group_by="CANARY"): (422, "invalid_field", "group_by"),
    asked("usage", group_by="day,day"): (422, "invalid_field", "group_by"),
    asked("usage", CANARY="1"): (422, "unknown_field", None),
    asked("usage") + "?agent=a&agent=b": (422, "invalid_field", "agent"),
    asked("usage", agent=""): (422, "invalid_field", "agent"),
    asked("usage", agent="a\x00"): (422, "invalid_field", "agent"),
    asked("usage", agent="CANARY" * 50): (422, "out_of_range", "agent"),
    asked("usage", unattributed="true", repo="a/b"): (422, "contradicts", "unattributed"),
    asked("usage", unattributed="1"): (422, "invalid_field", "unattributed"),
    asked("usage", include="estimated", measurement="measured"): (422, "contradicts", "include"),
    asked("events", limit="0"): (422, "out_of_range", "limit"),
    asked("events", limit="1001"): (422, "out_of_range", "limit"),
    asked("events", limit="9" * 200): (422, "out_of_range", "limit"),
    asked("events", limit="-1"): (422, "invalid_field", "limit"),
    asked("events", limit="٣"): (422, "invalid_field", "limit"),
    asked("events", order="CANARY"): (422, "invalid_field", "order"),
    asked("events", after="CANARY"): (422, "bad_after", None),
    asked("events", after=written(["CANARY", "CANARY"])): (422, "bad_after", None),
    asked("events", after=written(["x", 2**63])): (422, "bad_after", None),
    asked("sessions", after=written(["a"])): (422, "bad_after", None),
    asked("flatlines", after=written(["a", "2026-13-01"])): (422, "bad_after", None),
    asked("findings", rule="CANARY"): (422, "no_such_rule", None),
    asked("explain/CANARY"): (404, "nothing_to_explain", None),
    asked("explain/" + "9" * 200): (404, "nothing_to_explain", None),
    asked("explain/2026-02-30"): (404, "nothing_to_explain", None),
    asked("explain/" + "C" * 300): (422, "out_of_range", "what"),
    asked("sessions/CANARY"): (404, "nothing_to_explain", None),
    asked("tasks/CANARY"): (404, "no_such_owner", None),
    asked("repos/../../etc/passwd"): (404, "no_such_owner", None),
    "/api/v1/": (404, "not_found", None),
    "/api/v1/usage/": (404, "not_found", None),
    "/static/../answers.py": (404, "not_found", None),
    "/static/%2e%2e/answers.py": (404, "not_found", None),
}


@pytest.mark.parametrize("path", REFUSED)
def test_what_cannot_be_asked_is_refused_with_its_kind_and_a_next_step(server: Served, path: str) -> None:
    """
    Never a default in the place of what was meant, and no word of it comes back.
    """
    answer = server.ask("GET", path)
    told = answer.document

    assert REFUSED[path] == (answer.status, *answer.error[:2])
    assert "application/problem+json" == answer.headers["content-type"]
    assert (answer.status, answer.error[0]) == (told["status"], told["kind"])
    assert told["title"].endswith(".")
    assert told["next"]
    assert b"CANARY" not in answer.content
    assert str(server.state.root).encode() not in answer.content


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH", "OPTIONS"])
def test_a_question_is_only_asked(server: Served, method: str) -> None:
    """
    Reads are GET; where the same name is written to, both are told.
    """
    usage, repos = (server.ask(method, asked(name)) for name in ("usage", "repos"))

    assert (405, "wrong_method", {"GET", "HEAD"}) == (usage.status, usage.error[0], _allowed(usage))
    if method != "POST":
        assert (405, {"GET", "HEAD", "POST"}) == (repos.status, _allowed(repos))


def _allowed(answer: Answer) -> set[str]:
    return {each.strip() for each in answer.headers["allow"].split(",")}


_WORDS = st.text(max_size=40) | st.sampled_from(
    ["2026-11-01", "30d", "all", "measured", "T-17", "true", "1", "null", "%"]
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(question=st.sampled_from(QUESTIONS), drawn=st.data())
def test_whatever_is_asked_the_answer_is_a_documented_one(
    server: Served, question: Question, drawn: st.DataObject
) -> None:
    """
    Any text in any parameter is answered or refused; nothing of it is a defect, and none ends the server.
    """
    place = re.sub(r"{\w+:path}", lambda _: quote(drawn.draw(_WORDS.filter(str.strip)), safe=""), question.path)
    names = [each.name for each in question.parameters]
    given_ = drawn.draw(st.dictionaries(st.sampled_from(names), _WORDS, max_size=3)) if names else {}
    path = API + place + (f"?{urlencode(given_, errors='surrogatepass')}" if given_ else "")

    answer = server.ask("GET", path)

    assert [] == undocumented(question_of(API + question.path), answer)
    assert answer.status in (200, 404, 422), answer.document


# -- the published file ----------------------------------------------------------------------------------------------


def test_before_anything_is_published_nothing_is_zero(host: Host) -> None:
    """
    No tables: said as such with the next step. Health answers all the same, and what is published later is found.
    """
    with serving(host) as server:
        before = {each.path: server.ask("GET", API + re.sub(r"{.*}", "x", each.path)) for each in QUESTIONS}
        fill(host)
        after = server.ask("GET", asked("usage"))

    assert 200 == before.pop("health").status
    assert {(503, "nothing_published")} == {(each.status, each.error[0]) for each in before.values()}
    assert all("tallystick ingest" in each.document["next"] for each in before.values())
    assert 200 == after.status


def _removed(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _noise(path: Path) -> None:
    damaged = path.with_name("damaged")
    damaged.write_bytes(os.urandom(path.stat().st_size))
    damaged.replace(path)


def _overwritten(path: Path) -> None:
    """Leave the head, and none of what it leads to."""
    content = path.read_bytes()
    path.write_bytes(content[:12288] + b"\xff" * (len(content) - 12288))


def _changed(path: Path, statement: str) -> None:
    """Change a copy in a process of its own, and put it in the place of the file."""
    copy = path.with_name("changed")
    shutil.copy(path, copy)
    change = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
    subprocess.run([sys.executable, "-c", change, str(copy), statement], check=True)
    copy.replace(path)


def _of_another_version(path: Path) -> None:
    _changed(path, "UPDATE projection SET layout = 'x'")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("happens", "kind"),
    [
        (_removed, "nothing_published"),
        (_emptied, "tables_unusable"),
        (_cut, "tables_unusable"),
        (_noise, "tables_unusable"),
        (_overwritten, "tables_unusable"),
        (_of_another_version, "tables_unusable"),
        (_directory, "tables_unusable"),
    ],
)
def test_what_happens_to_the_published_file_is_said(host: Host, happens: Any, kind: str) -> None:
    """
    Removed, damaged or of another version while it is served: 503 with a next step, never what was there before and
    never zero; as soon as it is right again, so are the answers. Health asks no tables, and answers all the while.
    """
    fill(host)
    path = asked("usage", group_by="day")
    with serving(host) as server:
        before = server.ask("GET", path)
        aside = shutil.copy(host.state.published, host.state.root / "aside")
        happens(host.state.published)
        broken = [server.ask("GET", path, headers={"If-None-Match": before.headers["etag"]}) for _ in range(2)]
        health = server.ask("GET", asked("health"))
        if host.state.published.is_dir():
            host.state.published.rmdir()
        Path(aside).replace(host.state.published)
        after = server.ask("GET", path)

    assert {(503, kind)} == {(each.status, each.error[0]) for each in broken}
    assert 200 == health.status
    assert all(each.document["next"].startswith("Run `tallystick") for each in broken)
    assert (200, before.content, before.headers["etag"]) == (after.status, after.content, after.headers["etag"])


def test_every_answer_is_of_one_published_file(host: Host) -> None:
    """
    While the daemon publishes again and again and many ask: rows and totals are of one state, and later ones are newer.
    """
    fill(host)
    with serving(host) as server, ThreadPoolExecutor(4) as askers:
        path = asked("usage", group_by="session")
        answers: list[Answer] = []
        for number in range(4):
            asking = [askers.submit(server.ask, "GET", path) for _ in range(6)]
            host.gptme(f"2026-11-02-n{number}").write_bytes(gptme_lines([number + 1]))
            host.ingest()
            answers += [each.result() for each in asking]
        last = server.ask("GET", path).document

    assert {200} == {each.status for each in answers}
    for each in [*(answer.document for answer in answers), last]:
        assert each["totals"]["measured"]["calls"] == sum(row["calls"] for row in each["rows"])
    assert last["as_of"]["seq"] == host.rows("SELECT max(seq) AS seq FROM events")[0]["seq"]


def test_shared_tables_read_what_they_opened_and_nothing_else(full: Host, tmp_path: Path) -> None:
    """
    A file that was replaced is read on by who has it; the next one reads what stands there, in the same process, and
    neither can reach another file or write.
    """
    published = tmp_path / "published.duckdb"
    shutil.copy(full.state.published, published)
    with SharedTables(published) as old, old.tables() as tables:
        _changed(published, "UPDATE projection SET seq = 1")
        with SharedTables(published) as new:
            assert 1 == new.head.seq != old.head.seq == tables.head().seq
        for statement in (
            "SELECT * FROM read_text('/etc/hostname')",
            f"ATTACH '{full.state.published}' AS other",
            f"COPY events TO '{tmp_path}/events.csv'",
            "DELETE FROM published.events",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                tables.connection.execute(statement)


def test_large_tables_are_settled_while_those_before_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever asks is answered at once: by what stands there, settled or not, or by what was settled shortly before; not
    by what is older than that.
    """

    def reading() -> tuple[int | None, bool]:
        with publication.reading() as (tables, head):
            assert head.seq == tables.head().seq
            return head.seq, bool(tables.settled)

    def newest() -> int:
        seq: int = host.rows("SELECT max(seq) AS seq FROM events")[0]["seq"]
        return seq

    fill(host)
    monkeypatch.setattr(publishing, "LARGE_BYTES", 1)
    monkeypatch.setattr(publishing, "SETTLE_SHARE", 1)
    publication = Publication(host.state.published, lambda: False)
    publication.prepare()
    first = newest()
    until(lambda: reading() == (first, True), "the first to be settled")

    host.gptme("2026-11-02-n").write_bytes(gptme_lines([5]))
    host.ingest()
    assert first < newest()
    assert (first, True) == reading()
    until(lambda: reading() == (newest(), True), "the second to be settled")

    host.gptme("2026-11-02-m").write_bytes(gptme_lines([6]))
    host.ingest()
    monkeypatch.setattr(publishing, "LAG_SECONDS_MAX", -1)
    assert newest() == reading()[0]


def test_damage_is_told_though_settled_tables_are_at_hand(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that cannot be opened is not hidden behind the one before for longer than it takes to see that.
    """
    fill(host)
    monkeypatch.setattr(publishing, "LARGE_BYTES", 1)
    monkeypatch.setattr(publishing, "SETTLE_SHARE", 1)
    publication = Publication(host.state.published, lambda: False)

    def state() -> object:
        try:
            with publication.reading() as (tables, _):
                return bool(tables.settled)
        except TablesUnusable as error:
            return type(error)

    until(lambda: state() is True, "settled tables")
    _cut(host.state.published)
    until(lambda: state() is TablesUnusable, "the damage to be told")


#: No machine answers it.
ENDLESS = "SELECT count(*) FROM range(1000000000) AS a, range(1000) AS b"


def test_what_takes_too_long_is_given_up(full: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Also in a connection that a question opened besides; the next one is answered as ever.
    """
    publication = Publication(full.state.published, lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "QUESTION_SECONDS_MAX", 0.1)
        with pytest.raises(QuestionTooLong), publication.reading() as (tables, _):
            tables.rows(ENDLESS)
        with pytest.raises(QuestionTooLong), publication.reading() as (tables, _), tables.own() as own:
            own.execute(ENDLESS)
    with publication.reading() as (tables, head):
        assert head.seq == tables.head().seq
    with pytest.raises(QuestionTooLong), Publication(full.state.published, lambda: True).reading() as (tables, _):
        tables.rows(ENDLESS)


def test_a_question_ends_with_whoever_asked(full: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nobody waits for an answer whose connection was closed: it is ended in the database, and the next one has its turn.
    """
    endless = Question("endless", "x/1", "x", "x", lambda _, tables: {"rows": tables.rows(ENDLESS)}, is_slow=True)
    brief = Question("brief", "x/1", "x", "x", lambda _, tables: {"rows": tables.rows("SELECT 1 AS n")}, is_slow=True)
    monkeypatch.setattr(reads, "QUESTIONS", (endless, brief))
    routes = {route.path: route for route in reads.Reads(full.settings, lambda: False).routes()}

    async def asked_of(name: str, *told: str) -> list[str]:
        """Ask as a server does that hears *told* of its client, and return what was answered."""
        sent: list[str] = []
        heard = iter(told)

        async def receive() -> dict[str, Any]:
            if name == "brief":
                await asyncio.Event().wait()  # it stays
            return {"type": next(heard)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        scope = {"type": "http", "method": "GET", "path": API + name, "headers": [], "query_string": b""}
        with contextlib.suppress(ClientDisconnect):
            await routes[API + name].app(scope | {"path_params": {}}, receive, send)
        return sent

    async def one_after_the_other() -> list[list[str]]:
        return [await asked_of("endless", "http.request", "http.disconnect"), await asked_of("brief")]

    assert [[], ["http.response.start", "http.response.body"]] == asyncio.run(one_after_the_other())


def test_what_is_too_large_is_refused(full: Host) -> None:
    """
    Whether the database has no memory for it or the answer would have none in us; nothing of it is given.
    """
    publication = Publication(full.state.published, lambda: False)
    for question in ("SELECT list(repeat('x', 100000)) FROM range(100000)", "FROM range(60000)"):
        with pytest.raises(QuestionTooLarge), publication.reading() as (tables, _):
            tables.rows(question)
    with publication.reading() as (tables, _):
        assert 50_000 == len(tables.rows("FROM range(50000)"))


def test_a_server_that_is_asked_to_end_gives_up_what_it_is_asked(host: Host) -> None:
    """
    It ends with 0 and says nothing, whatever it was about to answer.
    """
    fill(host)
    with serving(host) as server:
        assert 200 == server.ask("GET", asked("findings")).status
        assert (0, "") == server.stop()


# -- who may ask -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_port(full: Host) -> Iterator[Served]:
    with serving(full, "--port", "0") as running:
        yield running


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.path)
def test_no_question_is_answered_to_who_may_not_ask(on_port: Served, question: Question) -> None:
    """
    Without the token, by a foreign name, from a foreign page; the same refusals for every route.
    """
    path = API + re.sub(r"{.*}", "x", question.path)
    headers = [
        {"Authorization": "Bearer x"},
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ]
    answers = [on_port.ask("GET", path, headers=each) for each in headers]

    expected = [(401, "needs_token"), (403, "foreign_host"), (403, "foreign_origin"), (403, "foreign_origin")]
    assert expected == [(each.status, each.error[0]) for each in answers]
    assert [[]] * 4 == [undocumented(question, each) for each in answers]
    assert all(each.document["next"] for each in answers)


def test_the_page_needs_no_token_and_loads_nothing_of_others(on_port: Served) -> None:
    """
    A browser sends no token when a page is opened, and in the page is nothing of anybody; by a foreign name it is not
    served either.
    """
    without = {"Authorization": ""}
    page = on_port.ask("GET", "/", headers=without)
    again = on_port.ask("GET", "/", headers=without | {"If-None-Match": page.headers["etag"]})
    foreign = on_port.ask("GET", "/", headers={"Host": "evil.example"})
    api = on_port.ask("GET", "/openapi.json", headers=without)

    assert (200, "text/html; charset=utf-8", "no-cache") == (
        page.status,
        page.headers["content-type"],
        page.headers["cache-control"],
    )
    assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= {
        each.strip() for each in page.headers["content-security-policy"].split(";")
    }
    assert ("nosniff", "no-referrer") == (page.headers["x-content-type-options"], page.headers["referrer-policy"])
    assert (304, 403, 401) == (again.status, foreign.status, api.status)
    assert (401, 401) == tuple(on_port.ask(method, "/", headers=without).status for method in ("POST", "DELETE"))


def test_every_file_of_the_page_is_served(on_port: Served) -> None:
    """
    At its place and as what it is; a file of another kind is no part of it.
    """
    folder = Path(web.__file__).parent / "static"
    for file in (each for each in folder.rglob("*") if each.is_file()):
        name = file.relative_to(folder).as_posix()
        answer = on_port.ask("GET", "/" if name == "index.html" else f"/static/{name}", headers={"Authorization": ""})

        assert (200, file.read_bytes()) == (answer.status, answer.content), name
        assert MEDIA_TYPES[file.suffix[1:]] == answer.headers["content-type"]


# -- a socket that is handed over ------------------------------------------------------------------------------------

#: What a service manager does: descriptor 3 listens, and the variables name the process that is started.
_HAND_OVER = """
import os, socket, sys
family, where, mode, count, *command = sys.argv[1:]
listener = socket.socket(getattr(socket, family), socket.SOCK_STREAM)
listener.bind(where if family == "AF_UNIX" else (where, 0))
if family == "AF_UNIX" and where[0] == "/":
    os.chmod(where, int(mode, 8))
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=str(os.getpid()))
os.execv(command[0], command)
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """Give a folder whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="ts-") as directory:
        yield Path(directory)


def handed(host: Host, family: str, where: str, mode: str = "0600", count: str = "1") -> Any:
    """Start a server as a service manager with a socket unit does."""
    handing = (sys.executable, "-c", _HAND_OVER, family, where, mode, count)
    return served(host.state, "--home", str(host.home), wrapper=handing)


def test_a_socket_of_a_service_manager_is_answered_on(full: Host, short: Path) -> None:
    """
    Nothing else is opened, nobody needs a token, and when the server ends the socket stays: it is not ours.
    """
    path = short / "handed.sock"
    with handed(full, "AF_UNIX", str(path)) as server:
        assert (str(path), 200) == (server.where, server.ask("GET", asked("usage")).status)
        assert not full.state.api_socket.exists()
        assert (0, "") == server.stop()
    assert path.is_socket()


def test_a_port_of_a_service_manager_needs_the_token(full: Host) -> None:
    """
    As every port does, and by its own name.
    """
    with handed(full, "AF_INET", "127.0.0.1") as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.where)
        assert 200 == server.ask("GET", asked("usage")).status
        assert (401, 403) == (
            server.ask("GET", asked("usage"), headers={"Authorization": ""}).status,
            server.ask("GET", asked("usage"), headers={"Host": "evil.example"}).status,
        )


@pytest.mark.parametrize(
    ("family", "where", "mode", "count"),
    [
        ("AF_UNIX", "{0}/open.sock", "0666", "1"),
        ("AF_UNIX", "{0}/group.sock", "0660", "1"),
        ("AF_UNIX", "{0}/two.sock", "0600", "2"),
        ("AF_UNIX", "\0tallystick-{1}", "0600", "1"),
        ("AF_INET", "0.0.0.0", "0600", "1"),  # noqa: S104 - that it is refused is what is shown
    ],
)
def test_a_socket_that_others_can_open_is_not_answered_on(
    full: Host, short: Path, family: str, where: str, mode: str, count: str
) -> None:
    """
    The default of systemd is 0666: every user of the host could read.
    """
    where = where.format(short, os.getpid())
    handing = [
        sys.executable,
        "-c",
        _HAND_OVER.replace("sys.argv[1:]", "[each.replace('@', chr(0), 1) for each in sys.argv[1:]]"),
    ]
    command = [*handing, family, where.replace("\0", "@"), mode, count, sys.executable, "-m", "daemon.cli", "serve"]
    ended = subprocess.run(
        [*command, "--state-dir", str(full.state.root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert (3, "") == (ended.returncode, ended.stdout)
    assert "SocketMode=0600" in ended.stderr


def test_variables_that_were_meant_for_another_process_are_not_heard(full: Host, short: Path) -> None:
    """
    They are inherited by whatever a service starts.
    """
    environment = ("env", "LISTEN_FDS=1", "LISTEN_PID=1")
    with served(full.state, "--socket", str(short / "own.sock"), wrapper=environment) as server:
        assert 200 == server.ask("GET", asked("usage")).status


def test_under_a_service_manager_the_socket_is_where_its_runtime_files_are(full: Host, short: Path) -> None:
    """
    `RuntimeDirectory=` is there as long as the service is; the state directory stays.
    """
    with served(full.state, wrapper=("env", f"RUNTIME_DIRECTORY={short}")) as server:
        assert str(short / "api.sock") == server.where
        assert 0o600 == (short / "api.sock").stat().st_mode & 0o777
