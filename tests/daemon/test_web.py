"""The HTTP API: every answer is a documented one, what is refused leaves nothing, what is accepted is not lost."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.posts import POSTED_BYTES_MAX, POSTS_MAX
from daemon.web.answers import HEADERS
from daemon.web.app import application
from daemon.web.connections import CONNECTIONS_MAX
from daemon.web.guard import REQUESTS_MAX, Access
from daemon.web.openapi import document, path_of
from daemon.web.questions import QUESTIONS
from daemon.web.reads import METRICS_PATH
from daemon.web.writes import RECEIPT, WRITES
from state.paths import StatePaths
from tests.daemon.conftest import Host
from tests.daemon.live import DEADLINE_SECONDS, daemon, needs, until
from tests.daemon.schemas import anything, faults, resolved, values
from tests.daemon.served import Answer, Served, served

DOCUMENT = document()
TOKENS = "/api/v1/token-events"

ANTHROPIC = {
    "input_tokens": 1,
    "cache_read_input_tokens": 2,
    "cache_creation_input_tokens": 7,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 5,
    "service_tier": "standard",
}
MEASURED = {"provider": "anthropic", "source_id": "msg_1", "raw_usage": ANTHROPIC}

#: A valid statement for each route.
VALID: dict[str, dict[str, Any]] = {
    TOKENS: MEASURED,
    "/token-events": {"tokens_in": 5, "tokens_out": 6},
    "/token-events/": {"tokens_in": 5, "tokens_out": 6},
    "/api/v1/task-events": {"task_id": "T-17", "status": "completed"},
    "/api/v1/activity": {"agent": "codex", "what": "turn_ended"},
    "/api/v1/repos": {"repo": "acme/app", "remotes": ["git@github.com:acme/app.git"]},
    "/api/v1/allocations": {"session_id": "s-1", "task_id": "T-17"},
}

#: What a statement that fits its schema may still owe: how its fields stand to each other.
BETWEEN_FIELDS = {"contradicts", "needs_provenance", "needs_key", "needs_target", "missing_field"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(StatePaths(tmp_path_factory.mktemp("web") / "state")) as running:
        yield running


def waiting(state: StatePaths) -> list[str]:
    """Return every name in the inbox, of files that are only begun too."""
    return sorted(path.name for path in state.inbox.iterdir()) if state.inbox.exists() else []


def is_documented(method: str, path: str, answer: Answer) -> list[str]:
    """Return what the document does not say of *answer*."""
    operation = DOCUMENT["paths"][path][method.lower()]
    if str(answer.status) not in operation["responses"]:
        return [f"{answer.status} is not documented"]
    schema = operation["responses"][str(answer.status)]["content"][answer.headers["content-type"]]["schema"]
    return faults(answer.document, schema, DOCUMENT)


# -- the document ----------------------------------------------------------------------------------------------------


def test_document_is_served_and_names_every_route(server: Served) -> None:
    """
    What a client generator reads is what the program checks with.
    """
    answer = server.ask("GET", "/openapi.json")

    assert (200, DOCUMENT) == (answer.status, answer.document)
    assert "3.1.0" == DOCUMENT["openapi"]
    assert {*WRITES, RECEIPT, METRICS_PATH, "/openapi.json", *map(path_of, QUESTIONS)} == set(DOCUMENT["paths"])
    assert set(VALID) == set(WRITES)


def _schema(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return schema


#: A route, and something that fits its schema.
bodies = st.one_of(*(st.tuples(st.just(path), values(_schema(path), DOCUMENT)) for path in sorted(WRITES)))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(bodies)
def test_what_fits_the_document_is_accepted_or_contradicts_itself(server: Served, drawn: tuple[str, Any]) -> None:
    """
    Nothing that the schema allows is refused for its shape; what is between fields has a code of its own.
    """
    path, body = drawn

    answer = server.post(path, body)

    assert [] == is_documented("POST", path, answer)
    if answer.status == 202:
        assert (len(body) if isinstance(body, list) else 1) == len(answer.receipts)
    else:
        assert 422 == answer.status
        is_raw = answer.error[1] in ("raw_usage", *TOKEN_FIELDS) and "raw_usage" in json.dumps(body)
        assert answer.error[0] in BETWEEN_FIELDS or is_raw, answer.document


def without_contradictions(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return *body* with what its fields owe each other."""
    kept = {name: value for name, value in body.items() if name not in ("revision", "raw_usage", "until", "aliases")}
    if "token-events" in path:
        about_tokens = (*TOKEN_FIELDS, "measurement", "source_class", "legacy_class", "is_withdrawn")
        return {name: value for name, value in kept.items() if name not in about_tokens} | {"tokens_in": 7}
    owed: dict[str, dict[str, Any]] = {
        "/api/v1/repos": {"paths": ["/srv/app"]},
        "/api/v1/allocations": {"session_id": "s"},
    }
    return kept | owed.get(path, {})


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(bodies)
def test_every_valid_statement_is_accepted(server: Served, drawn: tuple[str, Any]) -> None:
    """
    Whatever a client writes by the document, and without contradicting itself, is taken, alone or in a list.
    """
    path, body = drawn
    several = body if isinstance(body, list) else [body]
    valid = [without_contradictions(path, each) for each in several]

    answer = server.post(path, valid if isinstance(body, list) else valid[0])

    assert (202, len(valid)) == (answer.status, len(answer.receipts)), answer.document


TOKEN_FIELDS = tuple(name for name in DOCUMENT["components"]["schemas"]["TokenEvent"]["properties"] if "tokens" in name)


def _mutated(path: str) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(sorted(resolved(_schema(path)["anyOf"][0], DOCUMENT)["properties"])) | st.text(max_size=5)
    return st.dictionaries(names, anything, max_size=5).map(lambda odd: VALID[path] | odd)


#: A route, and a valid statement for it with anything put in the place of some fields.
mutated = st.one_of(*(st.tuples(st.just(path), _mutated(path)) for path in sorted(WRITES)))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(mutated, st.sampled_from(["", "?wait=0", "?wait=nan", "?wait=-1", "?wait=31", "?wait=x", "?other=1"]))
def test_whatever_is_written_the_answer_is_a_documented_one(
    server: Served, drawn: tuple[str, dict[str, Any]], query: str
) -> None:
    """
    Valid statements with fields of any value in them: no 5xx, no undocumented answer, and nothing written when refused.
    """
    path, body = drawn
    before = len(waiting(server.state))

    answer = server.post(path + query, body)

    assert answer.status < 500
    assert [] == is_documented("POST", path, answer)
    if answer.status >= 400:
        assert before == len(waiting(server.state))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(WRITES)), st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()))
def test_whatever_bytes_are_sent_the_answer_is_a_documented_one(server: Served, path: str, content: bytes) -> None:
    """
    No JSON, JSON of any shape, half of it.
    """
    answer = server.post(path, content)

    assert 400 <= answer.status < 500
    assert [] == is_documented("POST", path, answer)


@pytest.mark.parametrize("path", sorted(WRITES))
def test_a_valid_statement_and_a_list_of_them_are_accepted(server: Served, path: str) -> None:
    """
    One receipt for each, in order; each is a file of the inbox.
    """
    one, several = server.post(path, VALID[path]), server.post(path, [VALID[path]] * 3)

    assert (202, ["pending"], 202, ["pending"] * 3) == (one.status, one.states, several.status, several.states)
    assert {f"{receipt}.json" for receipt in one.receipts + several.receipts} <= set(waiting(server.state))


# -- what is refused -------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[str, Any, int, tuple[str, str | None, int | None]]] = {
    "no JSON": (TOKENS, b"{", 400, ("invalid_json", None, None)),
    "a name twice": (TOKENS, b'{"tokens_in":1,"tokens_in":2}', 400, ("invalid_json", None, None)),
    "no number": (TOKENS, b'{"tokens_in":NaN}', 400, ("invalid_json", None, None)),
    "too deep": (TOKENS, b"[" * 100_000, 400, ("too_deep", None, None)),
    "a word": (TOKENS, "x", 400, ("invalid_json", None, None)),
    "an empty list": (TOKENS, [], 422, ("missing_field", None, None)),
    "too many": (TOKENS, [{"tokens_in": 1}] * (POSTS_MAX + 1), 413, ("too_long", None, None)),
    "a list in a list": (TOKENS, [[{"tokens_in": 1}]], 422, ("invalid_field", None, 0)),
    "too long": (TOKENS, b" " * (POSTED_BYTES_MAX + 1), 413, ("too_long", None, None)),
    "one that is too long": (TOKENS, {"tokens_in": 1, "cwd": "/" + "x" * 70_000}, 413, ("too_long", None, None)),
    "nothing said": (TOKENS, {}, 422, ("missing_field", "input_tokens", None)),
    "unknown field": (TOKENS, {"tokens_in": 1, "tokens": 1}, 422, ("unknown_field", None, None)),
    "negative": (TOKENS, [{"tokens_in": 1}, {"tokens_in": -1}], 422, ("out_of_range", "tokens_in", 1)),
    "a fraction": (TOKENS, {"tokens_out": 1.0}, 422, ("invalid_field", "tokens_out", None)),
    "a time without zone": (
        TOKENS,
        {"tokens_in": 1, "created_at": "2026-05-19T10:00:00"},
        422,
        ("invalid_field", "created_at", None),
    ),
    "a time that is none": (TOKENS, {"tokens_in": 1, "created_at": ""}, 422, ("invalid_field", "created_at", None)),
    "free text for an id": (TOKENS, {"tokens_in": 1, "task_id": "fix it"}, 422, ("invalid_field", "task_id", None)),
    "free text for a repo": (TOKENS, {"tokens_in": 1, "repo_id": "my repo"}, 422, ("invalid_field", "repo_id", None)),
    "free text for a key": (
        TOKENS,
        {"tokens_in": 1, "idempotency_key": "a b"},
        422,
        ("invalid_field", "idempotency_key", None),
    ),
    "a revision of nothing": (TOKENS, {"tokens_in": 1, "revision": 1}, 422, ("needs_key", "revision", None)),
    "measured without provider": (
        TOKENS,
        MEASURED | {"measurement": "measured", "provider": None},
        422,
        ("needs_provenance", "provider", None),
    ),
    "measured without source id": (
        TOKENS,
        MEASURED | {"measurement": "measured", "source_id": None},
        422,
        ("needs_provenance", "source_id", None),
    ),
    "measured without raw usage": (
        TOKENS,
        MEASURED | {"measurement": "measured", "raw_usage": {"tier": "x"}, "input_tokens": 1},
        422,
        ("needs_provenance", "raw_usage", None),
    ),
    "measured sums": (TOKENS, {"measurement": "measured", "tokens_in": 1}, 422, ("needs_provenance", "provider", None)),
    "other than raw": (TOKENS, MEASURED | {"output_tokens": 6}, 422, ("contradicts", "output_tokens", None)),
    "sums beside parts": (TOKENS, {"tokens_in": 1, "output_tokens": 6}, 422, ("contradicts", "tokens_in", None)),
    "sums beside raw": (TOKENS, MEASURED | {"tokens_out": 5}, 422, ("contradicts", "tokens_out", None)),
    "raw twice": (TOKENS, MEASURED | {"raw_usage": {"a": {"b": 1}, "a.b": 2}}, 422, ("contradicts", "raw_usage", None)),
    "raw without end": (
        TOKENS,
        MEASURED | {"raw_usage": {"a": [[[[[[[[[1]]]]]]]]]}},
        422,
        ("contradicts", "raw_usage", None),
    ),
    "raw below nothing": (
        TOKENS,
        MEASURED | {"raw_usage": {"input_tokens": -1}},
        422,
        ("out_of_range", "raw_usage", None),
    ),
    "no status": ("/api/v1/task-events", {"task_id": "T"}, 422, ("missing_field", "status", None)),
    "no target": ("/api/v1/allocations", {"task_id": "T"}, 422, ("needs_target", "session_id", None)),
    "no fact": ("/api/v1/repos", {"repo": "a"}, 422, ("missing_field", "remotes", None)),
    "no word": ("/api/v1/activity", {"agent": "codex", "what": "x"}, 422, ("invalid_field", "what", None)),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_what_cannot_be_taken_is_refused_with_field_and_rule(server: Served, case: str) -> None:
    """
    The field is spelt as the caller spelt it, no value is repeated, and nothing of a list was written.
    """
    path, body, status, error = BAD[case]
    before = waiting(server.state)

    answer = server.post(path, body)

    assert (status, error) == (answer.status, answer.error)
    assert [] == is_documented("POST", path, answer)
    assert before == waiting(server.state)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_of_a_list_all_are_written_or_none(server: Served, position: int) -> None:
    """
    One bad statement anywhere in it: its place is told, and the good ones are not written.
    """
    body: list[dict[str, Any]] = [{"tokens_in": number} for number in range(3)]
    body[position] = {"tokens_in": "CANARY"}
    before = waiting(server.state)

    answer = server.post(TOKENS, body)

    assert (422, ("invalid_field", "tokens_in", position)) == (answer.status, answer.error)
    assert b"CANARY" not in answer.content
    assert before == waiting(server.state)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content_Type": "text/plain"}, (415, "not_json")),
        ({"Content_Type": "application/x-www-form-urlencoded"}, (415, "not_json")),
        ({"Content_Encoding": "gzip"}, (415, "not_json")),
        ({"Content_Type": "application/json; charset=utf-8"}, (202, None)),
        ({"Idempotency_Key": "a b"}, (422, "invalid_field")),
        ({"Idempotency_Key": '""'}, (422, "invalid_field")),
        ({"Idempotency_Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}, (202, None)),
        ({"Origin": "http://localhost"}, (403, "foreign_origin")),
        ({"Origin": "null"}, (403, "foreign_origin")),
        ({"Host": "anything.example"}, (202, None)),
    ],
)
def test_headers_decide(server: Served, headers: dict[str, str], expected: tuple[int, str | None]) -> None:
    """
    A browser can send a form, or a page's origin, without asking first; on a unix socket no name leads astray.
    """
    answer = server.post(TOKENS, {"tokens_in": 1}, **headers)

    assert expected == (answer.status, answer.error[0] if answer.status >= 400 else None)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/index.html", (404, "not_found")),
        ("POST", "/api/v1/token-events/", (404, "not_found")),
        ("POST", "/api/v1//token-events", (404, "not_found")),
        ("POST", "/api/v1/%2e%2e/token-events", (404, "not_found")),
        ("GET", "/api/v1/receipts/CANARY", (404, "not_found")),
        ("GET", "/api/v1/receipts/" + "0" * 32, (404, "not_found")),
        ("GET", TOKENS, (405, "wrong_method")),
        ("DELETE", "/token-events", (405, "wrong_method")),
        ("OPTIONS", "/token-events", (405, "wrong_method")),
    ],
)
def test_what_is_not_there_is_said_in_the_same_words(
    server: Served, method: str, path: str, expected: tuple[int, str]
) -> None:
    """
    Unknown paths and methods are errors like all others, and repeat nothing.
    """
    answer = server.ask(method, path)

    assert expected == (answer.status, answer.error[0])
    assert b"CANARY" not in answer.content
    assert ("allow" in answer.headers) == (answer.status == 405)


def test_every_answer_carries_our_headers_and_no_permission_for_others(server: Served) -> None:
    """
    Nothing of it runs in a browser, nothing is kept, and no page elsewhere may read it.
    """
    answers = [server.post(TOKENS, {"tokens_in": 1}), server.post(TOKENS, b"x"), server.ask("GET", "/nowhere")]
    answers.append(server.post(TOKENS, {"tokens_in": 1}, Origin="http://evil.example"))

    for answer in answers:
        assert HEADERS.items() <= answer.headers.items()
        assert [] == [name for name in answer.headers if name.startswith("access-control-") or name == "server"]


# -- what becomes of it ----------------------------------------------------------------------------------------------


def test_who_waits_hears_what_became_of_it(host: Host) -> None:
    """
    Stored, sent again, superseded in any order; one that nobody waits for can be asked for by its receipt.
    """
    with daemon(host), served(host.state) as server:
        grown = MEASURED | {"raw_usage": {"input_tokens": 9, "output_tokens": 9}}

        first = server.post(f"{TOKENS}?wait=30", MEASURED)
        again = server.post(f"{TOKENS}?wait=30", MEASURED)
        later = server.post(f"{TOKENS}?wait=30", [grown, {"tokens_in": 1}])
        late = server.post(f"{TOKENS}?wait=30", MEASURED | {"raw_usage": ANTHROPIC | {"output_tokens": 1}})
        told = server.ask("GET", f"/api/v1/receipts/{first.receipts[0]}")

    assert (200, ["stored"]) == (first.status, first.states)
    assert (200, ["duplicate"], first.receipts) == (again.status, again.states, again.receipts)
    assert (200, ["stored", "stored"]) == (later.status, later.states)
    assert (200, ["superseded"]) == (late.status, late.states)
    assert (200, ["superseded"]) == (told.status, told.states)
    by = [each.document["receipts"][0] for each in (told, late, later)]
    assert by[0]["by_seq"] == by[1]["by_seq"] == by[2]["seq"]


def test_who_waits_in_vain_is_told_so(server: Served) -> None:
    """
    No daemon: it is on the disk, and nobody has taken it.
    """
    answer = server.post(f"{TOKENS}?wait=0.2", MEASURED)

    assert (202, ["pending"]) == (answer.status, answer.states)
    told = server.ask("GET", f"/api/v1/receipts/{answer.receipts[0]}")
    assert (202, ["pending"]) == (told.status, told.states)


@pytest.mark.parametrize("wait", ["", "?wait=0"])
def test_while_no_daemon_lives_nothing_is_lost(host: Host, wait: str) -> None:
    """
    Every route accepts; what it accepted is there when a daemon comes.
    """
    with served(host.state) as server:
        for path, body in VALID.items():
            assert 202 == server.post(path + wait, body).status

    host.ingest()

    kinds = Counter(row["kind"] for row in host.rows("SELECT kind FROM inbox"))
    assert {"token_event": 3, "task": 1, "activity": 1, "repo": 1, "allocation": 1} == kinds


GROWTH = [{"input_tokens": total, "output_tokens": 1} for total in (10, 25, 40)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_growing_session_is_one_row_in_every_order_of_arrival(
    host: Host, order: tuple[int, ...], at_once: bool
) -> None:
    """
    The same source id with more tokens: the greatest holds, the others stand among what was superseded.
    """
    session = {"provider": "acme", "source_id": "s-1", "scope": "session"}
    with served(host.state) as server:
        for number in order:
            assert 202 == server.post(TOKENS, session | GROWTH[number]).status
            if not at_once:
                host.ingest()
    host.ingest()

    (row,) = host.rows("SELECT body ->> '$.input_tokens' AS tokens, superseded_count FROM inbox")
    assert {"tokens": "40", "superseded_count": 2} == row
    assert [40] == [row["input_tokens"] for row in host.rows("SELECT * FROM token_reports WHERE rank = 1")]


def test_old_callers_are_understood_and_classified(host: Host) -> None:
    """
    Sums without provenance are estimates; their time is kept, their ids become text, their notes are dropped unread.
    """
    old = {
        "tokens_in": 120,
        "tokens_out": 30,
        "created_at": "2026-05-19T10:00:00+02:00",
        "task_id": 17,
        "workstream_id": "0aefe379-c182-4471-84dd-c136d5e1206b",
        "repo_id": 4,
        "agent": "Claude-Code",
        "model": "claude-opus-4-5",
        "note": "CANARY said the user",
        "notes": None,
    }
    with served(host.state) as server:
        assert 202 == server.post("/token-events/", old).status
    host.ingest()

    (row,) = host.rows("SELECT *, CAST(used_at AS VARCHAR) AS time FROM token_reports")
    kept = ("measurement", "source_class", "input_tokens", "output_tokens", "time", "task_id", "repo", "agent")
    assert ("estimated", "legacy_post", 120, 30, "2026-05-19 08:00:00", "17", "4", "claude_code") == tuple(
        row[name] for name in kept
    )
    assert [] == [path for path in host.state.root.rglob("*") if path.is_file() and b"CANARY" in path.read_bytes()]


SECRET = "ghp_CANARY0123456789"
REMOTES = [
    f"https://user:{SECRET}@github.com/acme/app.git",
    f"https://{SECRET}@github.com/acme/app",
    f"https://github.com/acme/app?token={SECRET}",
    f"https://user:{SECRET}@evil@github.com/acme/app",
    f"ssh://{SECRET}@github.com:22/acme/app",
    f"{SECRET}@github.com:acme/app",
    f"{SECRET} github.com",
]


def test_secrets_and_free_text_never_reach_the_disk(host: Host) -> None:
    """
    In remotes of every spelling, in notes, in refused fields: no file of the state directory has them, nor an answer.
    """
    answers = []
    with served(host.state) as server:
        for remote in REMOTES:
            answers.append(server.post(TOKENS, {"tokens_in": 1, "git_remote": remote, "note": SECRET}))
            answers.append(server.post("/api/v1/repos", {"repo": "acme/app", "remotes": [remote]}))
        assert {202} == {answer.status for answer in answers}
        refused = ("task_id", "provider", "repo", SECRET)
        answers += [server.post(TOKENS, {"tokens_in": 1, name: f"{SECRET} text"}) for name in refused]
        answers.append(server.post(TOKENS, {"tokens_in": 1, "model": f"https://u:{SECRET}@host/m"}))
        answers.append(server.ask("GET", f"/api/v1/receipts/{SECRET}?wait={SECRET}"))
        answers.append(
            server.post(TOKENS, MEASURED | {"raw_usage": {"a": SECRET, "input_tokens": 1, "output_tokens": 2}})
        )
        code, told = server.stop()
    host.ingest()

    assert (0, "") == (code, told)
    assert [] == [answer for answer in answers if b"CANARY" in answer.content]
    assert [] == [path for path in host.state.root.rglob("*") if path.is_file() and b"CANARY" in path.read_bytes()]
    names = {
        row["git_remote"] for row in host.rows("SELECT git_remote FROM token_reports WHERE git_remote IS NOT NULL")
    }
    assert "github.com/acme/app" in names


GUIDE = Path(__file__).parent.parent.parent / "docs" / "http.md"


def test_the_examples_of_the_guide_work(host: Host) -> None:
    """
    They are run as they stand; each is answered, and is what the text beside it says.
    """
    needs("curl")
    (script,) = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory(prefix="ts-") as short:
        host.state = StatePaths(Path(short))
        with served(host.state, "--home", str(host.home)):
            run = subprocess.run(
                ["sh", "-c", script.replace('"http://localhost$path"', '"http://localhost$path" -w "\\n"')],
                env={**os.environ, "TALLYSTICK_STATE_DIR": short},
                capture_output=True,
                text=True,
                check=False,
            )
        host.ingest()
        reports = host.rows("SELECT measurement, input_tokens FROM token_reports WHERE rank = 1 ORDER BY ALL")
        kinds = Counter(row["kind"] for row in host.rows("SELECT kind FROM inbox"))

    assert (0, "") == (run.returncode, run.stderr)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert 9 == len(answers)
    assert {"tallystick.receipts/1"} == {answer["schema"] for answer in answers}
    assert [("estimated", 120), ("estimated", 2100), ("measured", 12)] == [tuple(row.values()) for row in reports]
    assert {"token_event": 3, "task": 2, "activity": 2, "repo": 1, "allocation": 1} == kinds


# -- many at once, and deaths ----------------------------------------------------------------------------------------

POST_AGAIN = """
import http.client, json, socket, sys
place, body, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(place)
for _ in range(times):
    connection = Unix("localhost")
    connection.request("POST", "/api/v1/token-events", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 202, answer.status
    print(json.loads(answer.read())["receipts"][0]["receipt"], flush=True)
"""


def test_the_same_post_of_eight_processes_through_two_servers_is_one_row(host: Host) -> None:
    """
    The daemon is killed midway and started again; every post was accepted, all are one message and one event.
    """
    with served(host.state) as one, served(host.state) as two, daemon(host) as live:
        senders = [
            subprocess.Popen(
                [sys.executable, "-c", POST_AGAIN, (one, two)[number % 2].where, json.dumps(MEASURED), "20"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(8)
        ]
        assert senders[0].stdout is not None
        first = senders[0].stdout.readline()
        live.kill()
        told = [each.communicate()[0].split() for each in senders]
        live.start().ready()
        until(lambda: not [name for name in waiting(host.state) if name.endswith(".json")], "the inbox is empty")
        outcome = one.ask("GET", f"/api/v1/receipts/{first.strip()}")
        assert 0 == live.stop()

    assert [0] * 8 == [each.returncode for each in senders]
    assert {first.strip()} == {receipt for each in told for receipt in each}
    assert 8 * 20 == 1 + sum(len(each) for each in told)
    assert (200, ["stored"]) == (outcome.status, outcome.states)
    assert 1 == len(host.rows("SELECT * FROM inbox"))
    assert 1 == len(host.rows("SELECT * FROM token_reports"))
    assert [] == host.rows("SELECT * FROM inbox_superseded")


def test_a_server_that_is_killed_loses_nothing_that_it_accepted(host: Host) -> None:
    """
    Kill -9 while many write: every receipt that was answered is a message, and the next server takes the socket over.
    """
    receipts: list[str] = []

    def write(server: Served) -> None:
        for _ in range(200):
            try:
                receipts.extend(server.post(TOKENS, {"tokens_in": 1}).receipts)
            except OSError:
                return

    with served(host.state) as server:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(write, server)
            until(lambda: len(receipts) > 50, "some were accepted")
            server.process.kill()
        server.process.wait()
        assert Path(server.where).is_socket()
        with served(host.state, "--socket", server.where) as next_one:
            assert 202 == next_one.post(TOKENS, {"tokens_in": 1}).status
    host.ingest()

    stored = {row["receipt"] for row in host.rows("SELECT receipt FROM inbox")}
    assert 50 < len(set(receipts)) == len(receipts)
    assert set(receipts) <= stored


def test_a_full_disk_writes_nothing_of_a_list(tmp_path: Path) -> None:
    """
    507, no file and no half of one; once there is room the same list is accepted.
    """
    needs("mount", "--version")
    state = StatePaths(tmp_path / "state")
    state.root.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(state.root)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a tmpfs, so no disk can be filled")
    try:
        with served(state) as server:
            filler = state.root / "filler"
            filler.write_bytes(b"x" * 160 * 1024)
            body = [{"tokens_in": number} for number in range(POSTS_MAX)]

            full = server.post(TOKENS, body)
            left = waiting(state)
            filler.unlink()
            room = server.post(TOKENS, body[:20])

        assert (507, ("no_room", None, None), []) == (full.status, full.error, left)
        assert [] == is_documented("POST", TOKENS, full)
        assert (202, 20) == (room.status, len(waiting(state)))
    finally:
        subprocess.run(["umount", str(state.root)], check=True)


def test_more_requests_than_we_hold_are_told_so(host: Host) -> None:
    """
    Those that are let in go on; the next one is let in when one of them ends.
    """
    head = b"POST /token-events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    with served(host.state) as server:
        callers = []
        for _ in range(REQUESTS_MAX):
            caller = socket.socket(socket.AF_UNIX)
            caller.connect(server.where)
            caller.sendall(head + b'{"tokens_in"')
            callers.append(caller)
        until(lambda: server.post(TOKENS, {"tokens_in": 1}).status == 503, "it is busy")
        busy = server.post(TOKENS, {"tokens_in": 1})
        for caller in callers:
            caller.sendall(b":1}")
        answers = [caller.makefile("rb").readline() for caller in callers]
        for caller in callers:
            caller.close()

        assert (503, "busy", "1") == (busy.status, busy.error[0], busy.headers["retry-after"])
        assert [] == is_documented("POST", TOKENS, busy)
        assert {b"HTTP/1.1 202 Accepted\r\n"} == set(answers)
        assert 202 == server.post(TOKENS, {"tokens_in": 1}).status


def test_an_inbox_that_cannot_be_used_is_said_without_its_path(host: Host) -> None:
    """
    503, and the operator finds the reason with the daemon.
    """
    with served(host.state) as server:
        host.state.inbox.chmod(0o777)
        answer = server.post(TOKENS, {"tokens_in": 1})

    assert (503, ("unavailable", None, None)) == (answer.status, answer.error)
    assert [] == waiting(host.state)


class Told(list[tuple[str, dict[str, object]]]):
    """A journal that is looked at afterwards."""

    def error(self, event: str, **fields: object) -> None:
        self.append((event, fields))

    info = warning = error


def test_a_defect_of_ours_is_told_by_its_place_and_not_by_its_words(host: Host) -> None:
    """
    The caller hears `internal`, the operator where it was; an exception's text may quote what was sent.
    """
    host.state.create()
    journal, sent = Told(), list[Any]()

    def broken() -> bool:
        raise RuntimeError("CANARY")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"tokens_in": 1}', "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": TOKENS,
        "query_string": b"wait=1",
        "headers": [(b"host", b"x"), (b"content-type", b"application/json")],
    }
    asyncio.run(application(host.settings, Access(), journal, broken)(scope, receive, send))  # type: ignore[arg-type]

    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    answer = Answer(sent[0]["status"], headers, sent[1]["body"])
    assert (500, ("internal", None, None)) == (answer.status, answer.error)
    assert [] == is_documented("POST", TOKENS, answer)
    ((event, fields),) = journal
    assert ("request_failed", "RuntimeError") == (event, fields["error"])
    assert re.fullmatch(r"test_web\.py:\d+", str(fields["place"]))
    assert b"CANARY" not in repr((sent, journal)).encode()


# -- who may ask -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(StatePaths(tmp_path_factory.mktemp("port") / "state"), "--port", "0") as running:
        yield running


def raw(server: Served, request: bytes) -> bytes:
    """Send bytes as they are, and return the first line of the answer."""
    host, _, port = server.where.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


def test_a_port_answers_who_knows_the_token(on_port: Served) -> None:
    """
    The token is made for its owner only, and is right for every route.
    """
    assert 0o600 == stat.S_IMODE(on_port.state.api_token.stat().st_mode)
    assert re.fullmatch(r"[0-9a-f]{64}", on_port.token)
    assert 202 == on_port.post(TOKENS, {"tokens_in": 1}).status
    assert 200 == on_port.ask("GET", "/openapi.json").status


@pytest.mark.parametrize("path", ["/openapi.json", TOKENS, "/token-events", "/nowhere", "/api/v1/receipts/" + "0" * 32])
@pytest.mark.parametrize(
    "stated", ["", "Bearer", "Bearer ", "Bearer x", "Basic {0}", "{0}", "Bearer {0}0", "Bearer {0} {0}", "Bearer é"]
)
def test_without_the_token_no_path_answers(on_port: Served, path: str, stated: str) -> None:
    """
    Not even whether there is something; a token in the address counts for nothing.
    """
    for query in ("", f"?token={on_port.token}&access_token={on_port.token}"):
        header = {"Authorization": stated.format(on_port.token)}
        answer = on_port.ask("POST", path + query, {"tokens_in": 1}, header)

        assert (401, "needs_token", "Bearer") == (answer.status, answer.error[0], answer.headers["www-authenticate"])


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{0}", "127.0.0.1", "localhost:1", "127.0.0.1:{0}.evil.example", "[::1]:{0}"]
)
def test_a_name_that_a_page_points_at_us_is_not_ours(on_port: Served, host: str) -> None:
    """
    DNS rebinding: the right address and even the right token, by a foreign name or another port.
    """
    answer = on_port.post(TOKENS, {"tokens_in": 1}, Host=host.format(on_port.where.rpartition(":")[2]))

    assert (403, "foreign_host") == (answer.status, answer.error[0])


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost:{0}", "http://localhost", "file://"]
)
def test_a_page_that_is_not_ours_is_refused(on_port: Served, origin: str) -> None:
    """
    A foreign origin, and the one that says nothing; ours may ask.
    """
    port = on_port.where.rpartition(":")[2]
    answer = on_port.post(TOKENS, {"tokens_in": 1}, Origin=origin.format(port))

    assert (403, "foreign_origin") == (answer.status, answer.error[0])
    assert 202 == on_port.post(TOKENS, {"tokens_in": 1}, Origin=f"http://localhost:{port}").status


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_request_without_host_or_with_two_is_a_bad_one(on_port: Served, version: bytes) -> None:
    """
    Which of two would count is anybody's guess.
    """
    ours = on_port.where.removeprefix("http://").encode()
    line = b"GET /openapi.json HTTP/%b\r\n" % version
    assert b" 400 " in raw(on_port, line + b"\r\n")
    assert b" 400 " in raw(on_port, line + b"Host: %b\r\nHost: %b\r\n\r\n" % (ours, ours))


@pytest.mark.parametrize("content", [b"", b"short\n", b"0" * 64 + b"0\n"])
def test_a_token_that_is_none_is_not_served_with(host: Host, content: bytes) -> None:
    """
    An empty token would let everybody in.
    """
    host.state.create()
    host.state.api_token.write_bytes(content)
    host.state.api_token.chmod(0o600)

    with pytest.raises(AssertionError, match="no file of this user's alone"), served(host.state, "--port", "0"):
        pass


def test_a_token_that_others_can_read_is_not_served_with(host: Host) -> None:
    """
    Whoever could read it knows it; and a link may lead to anybody's file.
    """
    host.state.create()
    host.state.api_token.write_text("0" * 64)
    host.state.api_token.chmod(0o644)
    with pytest.raises(AssertionError, match="no file of this user's alone"), served(host.state, "--port", "0"):
        pass

    real = host.state.root / "real"
    host.state.api_token.rename(real)
    real.chmod(0o600)
    host.state.api_token.symlink_to(real)
    with pytest.raises(AssertionError, match="no file of this user's alone"), served(host.state, "--port", "0"):
        pass


# -- where it listens ------------------------------------------------------------------------------------------------


def test_the_socket_is_its_owners_and_goes_with_the_server(host: Host) -> None:
    """
    Mode 0600; the end is asked for by SIGTERM, says nothing, and leaves no socket.
    """
    with served(host.state) as server:
        place = Path(server.where)
        assert (True, 0o600) == (place.is_socket(), stat.S_IMODE(place.stat().st_mode))

        assert (0, "") == server.stop()

    assert not place.exists()


def test_the_socket_stands_in_the_state_directory_when_nothing_is_said(tmp_path: Path) -> None:
    """
    A client finds it where everything else is.
    """
    short = Path("/tmp") / f"ts-{os.getpid()}"  # noqa: S108 - a socket's path is short
    state = StatePaths(short)
    try:
        with served(state, "--home", str(tmp_path)) as server:
            assert str(state.api_socket) == server.where
            assert 0o700 == stat.S_IMODE(short.stat().st_mode)
            assert 202 == server.post(TOKENS, {"tokens_in": 1}).status
    finally:
        shutil.rmtree(short)


def test_a_living_server_keeps_its_socket(host: Host) -> None:
    """
    The second is refused in one line with exit code 3, and the first goes on.
    """
    with served(host.state) as server:
        second = served(host.state, "--socket", server.where)
        with pytest.raises(AssertionError, match="Another process answers there"), second:
            pass
        assert 202 == server.post(TOKENS, {"tokens_in": 1}).status


def test_what_is_no_socket_is_not_replaced(host: Host, tmp_path: Path) -> None:
    """
    Nor is a socket on which somebody else answers.
    """
    place = tmp_path / "file"
    place.write_text("mine")
    with pytest.raises(AssertionError, match="cannot listen there"), served(host.state, "--socket", str(place)):
        pass
    assert "mine" == place.read_text()

    with served(host.state) as server, socket.socket(socket.AF_UNIX) as other:
        foreign = Path(server.where).with_name("other.sock")
        other.bind(str(foreign))
        other.listen()
        with (
            pytest.raises(AssertionError, match="Another process answers"),
            served(host.state, "--socket", str(foreign)),
        ):
            pass
        assert foreign.is_socket()


def test_a_path_too_long_for_a_socket_is_said(host: Host, tmp_path: Path) -> None:
    """
    The kernel takes 107 bytes.
    """
    with (
        pytest.raises(AssertionError, match="at most 107 bytes"),
        served(host.state, "--socket", str(tmp_path / ("x" * 108))),
    ):
        pass


def test_who_waits_does_not_keep_a_server_from_ending(host: Host) -> None:
    """
    A caller that waits for half a minute is told what is known when the server is asked to end.
    """
    answers: list[Answer] = []
    with served(host.state) as server:
        caller = threading.Thread(target=lambda: answers.append(server.post(f"{TOKENS}?wait=30", MEASURED)))
        caller.start()
        until(lambda: waiting(host.state), "it is written")

        server.process.send_signal(signal.SIGINT)
        assert 0 == server.process.wait(20)
        caller.join()

    assert [(202, ["pending"])] == [(each.status, each.states) for each in answers]


def test_who_asks_nothing_cannot_keep_others_away(host: Host) -> None:
    """
    More connections than are taken are closed at once; a request beside them is answered when one goes.
    """
    with served(host.state) as server, ExitStack() as held:
        idle = [held.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(CONNECTIONS_MAX + 5)]
        for each in idle:
            each.connect(server.where)
        assert all(map(_is_closed, idle[-5:]))
        idle[0].close()
        until(lambda: _answers(server), "an answer beside those that ask nothing")


def _answers(server: Served) -> bool:
    try:
        return server.ask("GET", "/openapi.json").status == 200
    except OSError:
        return False


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(DEADLINE_SECONDS)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_port_that_is_none_is_told(host: Host) -> None:
    """
    In one line, with what it can be.
    """
    command = [sys.executable, "-m", "daemon.cli", "serve", "--port", "99999", "--state-dir", str(host.state.root)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (2, "") == (ran.returncode, ran.stdout)
    assert "can_be=0 to 65535" in ran.stderr
