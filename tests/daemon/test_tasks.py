"""Evidence about tasks: what agents named, by which rules branches and commits name, and what operators say."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.claude_code import ClaudeCode
from adapters.contract import Adapter, Header, Observation, TaskNamed
from adapters.task_words import STATUSES
from daemon.bootstrap import catch_up, open_log, refresh_and_publish, seen_files
from daemon.cli import main
from daemon.config import ConfigUnusable, read_config
from daemon.discover import places, sweep
from daemon.ingest import Ingest
from daemon.message_keys import allocation_key
from daemon.task_rules import DEFAULTS, effective, record, recorded
from daemon.task_verbs import Declaration
from state.evidence import KINDS, RuleSet
from state.read import event_lines, slices
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines
from tests.daemon.live import daemon, until
from tests.daemon.test_cli import document, run
from tests.templates import begin_with_empty_tables

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "tasks.md"

CANARY = "canary-7f3a"
RULES = "[tasks]\nbranch_pattern = '^t/([0-9]+)'\ntask_trailers = ['Ticket']\n"
STATED = {"branch_pattern": "^t/([0-9]+)", "task_trailers": ["Ticket"], "workstream_trailers": ["Workstream"]}


# ---- what agents named


def claude_call(call: str, task: str, **over: Any) -> bytes:
    """Return a line of Claude Code that claims a task, with words in every other argument."""
    line = json.loads(claude_line(call, 5, **over))
    arguments = {"task_id": task, "status": "doing", "title": CANARY, "task": {"task_id": CANARY}}
    line["message"]["content"] = [
        {"type": "tool_use", "id": f"toolu_{call}", "name": "mcp__relay__claim_task", "input": arguments}
    ]
    return json.dumps(line).encode() + b"\n"


def codex_call(task: str) -> bytes:
    """Return what Codex writes of one call of a tracker: the model's own call, and the event about it."""
    arguments = {"task_id": task, "title": CANARY}
    call = {"type": "function_call", "name": "claim_task", "namespace": "mcp__relay", "call_id": "call_1"}
    event = {"type": "mcp_tool_call_end", "call_id": "call_1"}
    lines = (
        {"type": "response_item", "payload": call | {"arguments": json.dumps(arguments)}},
        {
            "type": "event_msg",
            "payload": event | {"invocation": {"server": "relay", "tool": "claim_task", "arguments": arguments}},
        },
    )
    return b"".join(json.dumps({"timestamp": "2026-11-01T10:01:00.000Z", **line}).encode() + b"\n" for line in lines)


def named(host: Host) -> list[dict[str, Any]]:
    """Return what the tables hold of tool calls that name a task."""
    return host.rows(
        "SELECT agent, session_id, tool_name, tool_call_id, task_id, task_status, source_created_at"
        " FROM events WHERE kind = 'task_named' ORDER BY seq"
    )


def test_a_task_that_an_agent_named_is_evidence_with_its_place(host: Host) -> None:
    """
    Both agents tell it alike, and it leads back to the line that says so.
    """
    host.claude().write_bytes(claude_call("msg_a", "T-17"))
    host.codex().write_bytes(codex_lines([100]) + codex_call("T-17"))

    host.ingest()

    told = {(each["agent"], each["session_id"], each["tool_name"], each["task_id"]) for each in named(host)}
    assert {
        ("claude_code", SESSION, "mcp__relay__claim_task", "T-17"),
        ("codex", THREAD, "mcp__relay__claim_task", "T-17"),
    } == told
    assert (2, 15 + 100) == host.totals()
    (where,) = host.rows("SELECT offset_bytes, length_bytes, source FROM events WHERE kind = 'task_named' LIMIT 1")
    content = Path(where["source"]).read_bytes()
    assert b"T-17" in content[where["offset_bytes"] : where["offset_bytes"] + where["length_bytes"]]


def test_copies_of_a_call_share_its_id(host: Host) -> None:
    """
    Codex tells one call twice, a resumed session of Claude Code copies it into another file: one call each.
    """
    host.claude().write_bytes(claude_call("msg_a", "T-17"))
    host.claude("22222222-2222-4222-8222-222222222222").write_bytes(claude_call("msg_a", "T-17", session="another"))
    host.codex().write_bytes(codex_lines([100]) + codex_call("T-17"))

    host.ingest()

    assert 4 == len(named(host))
    assert {("claude_code", "toolu_msg_a"), ("codex", "call_1")} == {
        (each["agent"], each["tool_call_id"]) for each in named(host)
    }


def test_no_other_argument_reaches_the_log_or_the_tables(host: Host) -> None:
    """
    Ids only: not a word of a title, nor an id that stands deeper.
    """
    host.claude().write_bytes(claude_call("msg_a", "T-17") + claude_call("msg_b", f"about {CANARY} and more"))
    host.codex().write_bytes(codex_lines([100]) + codex_call(f"{CANARY} " * 10_000))

    host.ingest()

    assert 4 == len(named(host))
    kept = [path for path in host.state.root.rglob("*") if path.is_file()]
    assert [] == [path.name for path in kept if CANARY.encode() in path.read_bytes()]


class OlderClaude(ClaudeCode):
    """The adapter as it was before it read tool calls."""

    parser_version = 1

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        return [each for each in super().read_line(line, header) if not isinstance(each, TaskNamed)]


class NewerClaude(ClaudeCode):
    """An adapter of tomorrow, which says the same of tasks."""

    parser_version = ClaudeCode.parser_version + 1


def read_with(host: Host, *adapters: Adapter) -> None:
    begin_with_empty_tables(host.state)
    with open_log(host.settings) as log:
        Ingest(log, lambda: host.now).run(sweep(places(adapters, host.home, {}), "UTC"))
        refresh_and_publish(host.settings)


def test_what_was_read_before_is_read_again_for_its_tasks(host: Host) -> None:
    """
    A log of an older version gets the tasks of the files that are still there, and no number changes by that.
    """
    host.claude().write_bytes(claude_call("msg_a", "T-17") + claude_line("msg_b", 7, second=1))
    read_with(host, OlderClaude())
    before = host.totals()
    assert [] == named(host)

    read_with(host, ClaudeCode())

    assert ["T-17"] == [each["task_id"] for each in named(host)]
    assert before == host.totals()
    assert ["opened", "reparsed"] == host.changes()
    incremental = host.tables_hash()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.tables_hash()


def test_what_is_read_again_is_the_same_call(host: Host) -> None:
    """
    Each newer parser states a call once more; id and session tell that it is the same one.
    """
    host.claude().write_bytes(claude_call("msg_a", "T-17"))
    read_with(host, ClaudeCode())

    read_with(host, NewerClaude())

    first, second = named(host)
    assert first == second


# ---- the rules


def configured(host: Host, text: str | None) -> Host:
    """Write the configuration, or remove it."""
    file = host.home.parent / "config.toml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    return host


def pass_over(host: Host) -> None:
    """Run one catch-up pass with the configuration beside the home."""
    settings = host.settings._replace(config_file=host.home.parent / "config.toml")
    begin_with_empty_tables(host.state)
    catch_up(settings, seen_files(settings), clock=lambda: host.now)


def logged_rules(host: Host) -> list[dict[str, Any]]:
    """Return the rules in the log itself, in order; each is held against the contract."""
    lines = [json.loads(line) for part in slices(host.state.log_directory) for line in event_lines(part)]
    rules = [line for line in lines if line["k"] == "rules"]
    for each in rules:
        KINDS["rules"].model_validate(each)
    return [each["body"] for each in rules]


def test_without_a_configuration_nothing_is_appended(host: Host) -> None:
    """
    The defaults hold: they are in the code, and the log of nobody who never asked grows.
    """
    pass_over(host)
    pass_over(host)

    assert [] == logged_rules(host)
    assert DEFAULTS == effective(host.settings)


def test_a_configuration_that_says_the_defaults_is_no_change(host: Host) -> None:
    """
    Only what differs is news, wherever it was written down.
    """
    pass_over(configured(host, "[log]\nretention_days = 365\n"))
    pass_over(configured(host, "[tasks]\ntask_trailers = ['Task', 'Task-Id']\n"))

    assert [] == logged_rules(host)


def test_rules_are_appended_once_and_again_when_they_change(host: Host) -> None:
    """
    The last ones hold for everything; taking the file away brings the defaults back, as evidence too.
    """
    pass_over(configured(host, RULES))
    pass_over(host)
    assert [STATED] == logged_rules(host)

    pass_over(configured(host, "[tasks]\nbranch_pattern = ''\n"))
    pass_over(configured(host, None))
    pass_over(host)

    without = {"task_trailers": ["Task", "Task-Id"], "workstream_trailers": ["Workstream"]}
    assert [STATED, without, without | {"branch_pattern": DEFAULTS.branch_pattern}] == logged_rules(host)
    assert DEFAULTS == RuleSet.model_validate(recorded(host.state))


def drop_tables(host: Host) -> None:
    host.state.published.unlink()


def spoil_tables(host: Host) -> None:
    host.state.published.write_bytes(b"no tables")


def keep_older_tables(host: Host) -> None:
    """Let the published tables know only what came before the rules."""
    older = host.state.published.read_bytes()
    with open_log(host.settings) as log:
        record(log, host.settings._replace(config_file=host.home.parent / "config.toml"), lambda: host.now)
    host.state.published.write_bytes(older)


@pytest.mark.parametrize("meanwhile", [drop_tables, spoil_tables, keep_older_tables])
def test_rules_are_found_whatever_became_of_the_tables(host: Host, meanwhile: Callable[[Host], None]) -> None:
    """
    Tables are asked where they can be believed; for the rest the log is read.
    """
    if meanwhile is keep_older_tables:
        pass_over(host)
    configured(host, RULES)
    if meanwhile is not keep_older_tables:
        pass_over(host)
    meanwhile(host)

    pass_over(host)

    assert [STATED] == logged_rules(host)


def test_what_only_looks_like_rules_is_none(host: Host) -> None:
    """
    A remote may be called `k`, and lie at a path called `rules`.
    """
    facts = {"cwd": "/srv/repo", "state": "present", "remotes": {"k": "rules"}}
    event = {"k": "checkout", "v": 1, "ingested_at": "2026-11-20T12:00:00Z", "body": facts}
    with open_log(host.settings) as log:
        log.append([json.dumps(event, separators=(",", ":")).encode()], {})

    assert recorded(host.state) is None
    pass_over(configured(host, RULES))
    assert [STATED] == logged_rules(host)


def test_the_tables_hold_the_rules(host: Host) -> None:
    """
    What SQL asks for is there, and a rebuild comes to the same.
    """
    pass_over(configured(host, RULES))

    (row,) = host.rows("SELECT body FROM events WHERE kind = 'rules'")
    assert STATED == json.loads(row["body"])
    incremental = host.tables_hash()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.tables_hash()


def test_a_pattern_that_cannot_be_run_stops_before_anything_is_read(host: Host) -> None:
    """
    It is told at the start, not by a refresh that fails in the night.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))

    with pytest.raises(ConfigUnusable, match=r"entry=tasks\.branch_pattern, rule=not_re2"):
        pass_over(configured(host, "[tasks]\nbranch_pattern = '(?<=x)(a)'\n"))

    assert [] == [part for part in slices(host.state.log_directory) if part.last_seq >= part.first_seq]


@pytest.fixture
def with_config(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Let commands find a configuration with a mistake in it."""
    folder = host.home.parent / "config"
    folder.mkdir()
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(folder))
    (folder / "config.toml").write_text(f"[tasks]\nbranch_pattern = '({CANARY}'\n", encoding="utf-8")
    return host


@pytest.mark.parametrize("verb", ["ingest", "run", "rebuild"])
def test_every_holder_of_the_log_tells_a_mistake(with_config: Host, verb: str) -> None:
    """
    Exit code 2, place and rule, and not what stands there.
    """
    with open_log(with_config.settings):
        pass

    done = run(with_config, verb)

    assert 2 == done.returncode
    assert "entry=tasks.branch_pattern, rule=no_pattern" in done.stderr
    assert CANARY not in done.stderr


def test_the_daemon_and_a_rebuild_record_the_rules(with_config: Host) -> None:
    """
    Whoever holds the log; the next one finds them there.
    """
    file = with_config.home.parent / "config" / "config.toml"
    file.write_text(RULES, encoding="utf-8")
    with daemon(with_config, pace=None) as living:
        until(lambda: logged_rules(with_config), "rules in the log")
        assert 0 == living.stop()
    assert [STATED] == logged_rules(with_config)

    assert 0 == run(with_config, "rebuild").returncode
    file.write_text("[tasks]\nbranch_pattern = ''\ntask_trailers = ['Ticket']\n", encoding="utf-8")
    assert 0 == run(with_config, "rebuild").returncode

    without = {name: value for name, value in STATED.items() if name != "branch_pattern"}
    assert [STATED, without] == logged_rules(with_config)


def test_a_configuration_without_patterns_brings_no_database(host: Host) -> None:
    """
    Patterns are tried where they will run; a file that has none pays nothing for it.
    """
    file = host.home.parent / "config.toml"
    file.write_text(
        "[log]\nretention_days = 9\n[tasks]\ntask_trailers = ['T']\nbranch_pattern = ''\n", encoding="utf-8"
    )
    program = "import sys, pathlib, daemon.config as c; c.read_config(pathlib.Path(sys.argv[1])); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, check=True).stdout

    assert "daemon.config" in loaded.split()
    assert "duckdb" not in loaded.split()


def test_the_documentation_says_the_defaults(tmp_path: Path) -> None:
    """
    Who copies the example into a configuration changes nothing by it; and the words for a status are these.
    """
    text = DOCUMENT.read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "config.toml"
    file.write_text(example, encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \|$", text.partition("<!-- statuses -->")[2].partition("###")[0], re.MULTILINE
    )

    assert DEFAULTS == read_config(file).tasks.rules()
    assert STATUSES == {word: status for status, words in rows for word in re.findall(r"`(\w+)`", words)}


# ---- what operators say


def say(host: Host, *arguments: str) -> int:
    """Run one command in this process, and return its exit code."""
    time.sleep(0.002)  # of two declarations in one millisecond the greater hash holds, not the later one
    try:
        return main([*arguments, "--home", str(host.home), "--state-dir", str(host.state.root)])
    except SystemExit as ended:  # argparse's own refusals
        return int(str(ended.code))


def declared(host: Host) -> list[dict[str, Any]]:
    """Return the declarations that hold, once everything that waits was taken."""
    host.ingest()
    return host.rows(
        "SELECT session_id, source_id, agent, task_id, workstream_id, permille, CAST(since AS VARCHAR) AS since"
        " FROM declared_allocations ORDER BY seq"
    )


def test_a_report_says_everything_that_was_said(host: Host) -> None:
    """
    Each option is a field of the message, and what was not said is null.
    """
    options = ["--session", "s-1", "--agent", "codex", "--workstream", "billing", "--repo", "acme/app"]
    options += ["--at", "2026-11-01T12:00:00+02:00", "--origin", "hook", "--key", "task:T-17", "--revision", "3"]
    options += ["--estimated-input-tokens", "900", "--estimated-output-tokens", "0"]

    told = document(host, "task", "report", "T-17", "completed", *options)
    assert 0 == run(host, "task", "report", "T-18", "open").returncode
    host.ingest()

    assert ("tallystick.task.report/1", "task:T-17", 3) == (told["schema"], told["key"], told["revision"])
    first, second = host.rows("SELECT * FROM task_reports ORDER BY task_id")
    assert told["receipt"] == first["receipt"]
    assert ("T-17", "completed", "codex", "s-1", "billing", "acme/app", "hook") == tuple(
        first[name] for name in ("task_id", "status", "agent", "session_id", "workstream_id", "repo", "origin")
    )
    assert (900, 0, "2026-11-01 10:00:00", 3) == (
        first["estimated_input_tokens"],
        first["estimated_output_tokens"],
        str(first["stated_at"]),
        first["revision"],
    )
    assert ("T-18", "open", "operator", None, None, None) == tuple(
        second[name] for name in ("task_id", "status", "origin", "agent", "session_id", "estimated_input_tokens")
    )


def test_a_declaration_takes_the_place_of_the_one_before(host: Host) -> None:
    """
    The same tokens and the same task: the later share holds, and the earlier one stays visible.
    """
    for permille in ("250", "500"):
        assert 0 == say(host, "task", "allocate", "T-17", "--session", "s-1", "--permille", permille)

    assert [("s-1", "T-17", 500)] == [
        (each["session_id"], each["task_id"], each["permille"]) for each in declared(host)
    ]
    assert [(1,)] == [tuple(row.values()) for row in host.rows("SELECT count(*) FROM inbox_superseded")]


def test_another_task_window_or_target_is_another_declaration(host: Host) -> None:
    """
    They share the tokens that they mean both.
    """
    for options in (
        ["T-1", "--session", "s-1"],
        ["T-2", "--session", "s-1"],
        ["T-1", "--session", "s-1", "--since", "2026-11-01"],
        ["T-1", "--session", "s-1", "--agent", "codex"],
        ["T-1", "--call", "msg_1"],
        ["-", "--session", "s-1"],
        ["-", "--session", "s-1", "--workstream", "billing"],
        ["-", "--session", "s-1", "--workstream", "search"],
    ):
        assert 0 == say(host, "task", "allocate", *options)

    found = declared(host)

    assert 8 == len(found)
    assert {None, "billing", "search"} == {each["workstream_id"] for each in found if each["task_id"] is None}


def test_one_moment_is_one_window_in_any_zone(host: Host) -> None:
    """
    A declaration is found again however its times were written.
    """
    assert 0 == say(host, "task", "allocate", "T-1", "--session", "s-1", "--since", "2026-11-01T12:00:00+02:00")
    assert 0 == say(
        host, "task", "allocate", "T-1", "--session", "s-1", "--since", "2026-11-01T10:00", "--permille", "7"
    )

    assert [(7, "2026-11-01 10:00:00")] == [(each["permille"], each["since"]) for each in declared(host)]


def test_a_declaration_can_be_taken_back_and_made_again(host: Host) -> None:
    """
    What was withdrawn holds nowhere; the last word counts.
    """
    assert 0 == say(host, "task", "allocate", "T-1", "--session", "s-1", "--permille", "300")
    assert 0 == say(host, "task", "allocate", "T-1", "--session", "s-1", "--withdraw")
    assert [] == declared(host)

    assert 0 == say(host, "task", "allocate", "T-1", "--session", "s-1")

    assert ["T-1"] == [each["task_id"] for each in declared(host)]


def test_asking_what_if_writes_nothing(host: Host) -> None:
    """
    It shows whose tokens would be others'; without tables nothing can be tried, and not even a directory is made.
    """
    asking = ("task", "allocate", "T-1", "--session", SESSION, "--permille", "500", "--what-if")
    assert 3 == say(host, *asking)
    assert not host.state.root.exists()
    host.claude().write_bytes(claude_line("msg_a", 90))
    host.ingest()
    before = {path: path.read_bytes() for path in host.state.root.rglob("*") if path.is_file()}

    told = document(host, *asking)

    assert {"session_id": SESSION, "task_id": "T-1", "permille": 500} == told["body"]
    assert [("T-1", 0, 50), (None, 100, 50)] == [
        (row["task_id"], row["total_tokens_before"], row["total_tokens_after"]) for row in told["rows"]
    ]
    assert before == {path: path.read_bytes() for path in host.state.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["report", "T 1", "open"], "field=body.task_id, rule=invalid_field"),
        (["report", "T-1", CANARY], "field=body.status, rule=invalid_field"),
        (["report", "T-1", "open", "--at", CANARY], "option=--at"),
        (["report", "T-1", "open", "--revision", "1"], "field=revision, rule=needs_key"),
        (["report", "T-1", "open", "--key", "k", "--revision", CANARY], "field=revision, rule=invalid_field"),
        (["report", "T-1", "open", "--estimated-input-tokens", CANARY], "field=body.estimated_input_tokens"),
        (["report", "T-1", "open", "--estimated-output-tokens", "9" * 15], "rule=out_of_range"),
        (["report", "T-1", "open", "--repo", "../x"], "field=body.repo, rule=invalid_field"),
        (["allocate", "T-1", "--session", "s", "--permille", "1001"], "field=body.permille, rule=out_of_range"),
        (["allocate", "T-1", "--session", "s", "--permille", "1.5"], "field=body.permille, rule=invalid_field"),
        (["allocate", "T-1", "--session", f"my {CANARY}"], "field=body.session_id, rule=invalid_field"),
        (["allocate", "T-1", "--call", "c", "--since", "2026-11-02", "--until", "2026-11-01"], "rule=contradicts"),
        (["allocate", "T-1"], "--session --call"),
        (["allocate", "T-1", "--session", "s", "--call", "c"], "not allowed with"),
    ],
)
def test_what_is_no_message_is_refused_at_once(
    host: Host, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Exit code 2, the field and the rule, and neither the value nor anything written; when asking what if, too.
    """
    for asking in ([], ["--what-if"])[: 2 if options[0] == "allocate" else 1]:
        assert 2 == say(host, "task", *options, *asking)

        said = capsys.readouterr()
        assert told in said.err
        assert CANARY not in said.out + said.err
        assert not host.state.root.exists()


IDS = st.none() | st.sampled_from(["a", "b"])
DECLARATIONS = st.builds(
    Declaration,
    task=st.sampled_from(["-", "T-1", "T-2"]),
    session=IDS,
    call=IDS,
    agent=IDS,
    since=st.none() | st.sampled_from(["2026-11-01", "2026-11-01T00:00Z", "2026-11-02"]),
    until=st.none() | st.just("2026-12-01"),
    permille=st.none() | st.sampled_from(["0", "1000"]),
    workstream=IDS,
    is_withdrawn=st.booleans(),
)


@given(DECLARATIONS, DECLARATIONS)
def test_declarations_are_about_the_same_exactly_if_their_keys_are(one: Declaration, other: Declaration) -> None:
    """
    Tokens, window and task decide, or where there is no task the workstream; share and withdrawal do not.
    """

    def about(declaration: Declaration) -> tuple[object, ...]:
        body = declaration.body()
        whose = body.get("task_id") or ("workstream", body.get("workstream_id"))
        return (*(body.get(name) for name in ("session_id", "source_id", "agent", "since", "until")), whose)

    assert (about(one) == about(other)) == (allocation_key(one.body()) == allocation_key(other.body()))
