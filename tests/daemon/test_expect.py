"""
A log that is expected under a name is found exactly or not at all, and a miss is told at once.
"""

import os
import subprocess
from datetime import UTC, datetime

import pytest

from daemon.cli import main
from daemon.health.limits import Limits
from daemon.health.names import Names
from daemon.settings import load
from state.paths import StatePaths
from tests.daemon.conftest import SESSION, THREAD, Host, claude_line, codex_lines, gptme_lines
from tests.daemon.live import daemon, until
from tests.daemon.test_cli import TALLYSTICK
from tests.daemon.test_hook_health import PACE, finding_of, told, typed

EXPECTED = "autonomous-a993"
#: What the inner script of the first seed called it, and what an evaluation wrote after it.
ACTUAL = "run-autonomous-20260419025443"
NEWEST = "2026-04-19-gptme-evals-64bdd50c"


def asked(host: Host, *words: str) -> int:
    return main(["expect", *words, "--home", str(host.home), "--state-dir", str(host.state.root)])


def test_one_log_of_exactly_this_name_is_printed(host, capsys):
    """
    Whatever else was written since: the path of the one that bears the name, and nothing else on stdout.
    """
    host.gptme(EXPECTED).write_bytes(gptme_lines([1]))
    host.gptme(NEWEST).write_bytes(gptme_lines([2]))

    assert 0 == asked(host, EXPECTED)

    assert (f"{host.gptme(EXPECTED)}\n", "") == capsys.readouterr()


def test_name_that_the_inner_program_changed_is_a_miss_and_no_other_log_is_taken(host, capsys):
    """
    The first seed: the harness exports one name, the inner script gives another, and the newest log is an evaluation's.
    """
    host.gptme(ACTUAL).write_bytes(gptme_lines([1]))
    host.gptme(NEWEST).write_bytes(gptme_lines([2]))

    assert 1 == asked(host, EXPECTED)

    told = capsys.readouterr()
    assert ("", 1) == (told.out, told.err.count("\n"))
    assert EXPECTED in told.err
    assert NEWEST not in told.err
    host.ingest()
    rows = host.rows("SELECT agent, name, is_found FROM expectations")
    assert [{"agent": "gptme", "name": EXPECTED, "is_found": False}] == rows


def test_copies_of_a_conversation_are_not_it(host, capsys):
    """
    Branches and views bear the conversation's name; its own file is the one that is printed.
    """
    main_log = host.gptme(EXPECTED)
    main_log.write_bytes(gptme_lines([1]))
    for folder in ("branches", "views"):
        (main_log.parent / folder).mkdir()
        (main_log.parent / folder / "undo.jsonl").write_bytes(gptme_lines([1]))

    assert 0 == asked(host, EXPECTED)
    assert f"{main_log}\n" == capsys.readouterr().out


@pytest.mark.parametrize("agent", ["claude_code", "codex"])
def test_other_agents_are_asked_by_their_sessions(host, capsys, agent):
    """
    A session's id is the name under which Claude Code and Codex log.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    host.codex().write_bytes(codex_lines([10]))
    path, session = (host.claude(), SESSION) if agent == "claude_code" else (host.codex(), THREAD)

    assert 0 == asked(host, session, "--agent", agent)
    assert f"{path}\n" == capsys.readouterr().out


def test_two_logs_of_one_name_are_no_answer(host, capsys):
    """
    Where two files claim a session nobody picks one of them.
    """
    for folder in ("-srv-a", "-srv-b"):
        path = host.home / ".claude/projects" / folder / f"{SESSION}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(claude_line(f"msg_{folder}", 5))

    assert 1 == asked(host, SESSION, "--agent", "claude_code")
    assert "2 logs" in capsys.readouterr().err


def test_a_path_is_taken_as_it_is(host, capsys, tmp_path):
    """
    A harness that knows the directory asks for it; a file that is no log of the agent is none.
    """
    log = host.gptme(EXPECTED)
    log.write_bytes(gptme_lines([1]))
    elsewhere = tmp_path / "conversation.jsonl"
    elsewhere.write_bytes(gptme_lines([1]))

    assert 0 == asked(host, str(log.parent))
    assert 0 == asked(host, str(log))
    assert f"{log}\n{log}\n" == capsys.readouterr().out
    assert 1 == asked(host, str(elsewhere))


def test_name_is_that_of_the_harness_unless_one_is_given(own_home):
    """
    In the harness's own environment the name it exported is enough.
    """
    folder = own_home / ".local/share/gptme/logs" / EXPECTED
    folder.mkdir(parents=True)
    (folder / "conversation.jsonl").write_bytes(gptme_lines([1]))
    environment = {**os.environ, "GPTME_NAME": EXPECTED}

    ran = subprocess.run([TALLYSTICK, "expect"], capture_output=True, env=environment, check=False)

    assert (0, f"{folder}/conversation.jsonl\n".encode()) == (ran.returncode, ran.stdout)


@pytest.mark.parametrize("words", [(), ("x", "--agent", "nobody"), ("x", "--within", "soon"), ("x", "--within", "nan")])
def test_nothing_that_can_be_expected_is_a_usage_error(host, words):
    """
    Exit code 2, and nothing is recorded: no name, no such agent, no time.
    """
    assert 2 == asked(host, *words)
    assert not host.state.inbox.exists()


def test_log_that_comes_in_time_is_waited_for(host, capsys):
    """
    An agent takes a moment to make its log: within the time given it is found.
    """
    path = host.gptme(EXPECTED)
    writer = subprocess.Popen(["sh", "-c", 'sleep 0.3; echo "{}" > "$0"', str(path)])

    assert 0 == asked(host, EXPECTED, "--within", "60")
    assert 0 == writer.wait()
    assert f"{path}\n" == capsys.readouterr().out


def test_miss_is_told_by_health_and_gone_when_it_is_met(host):
    """
    At the first miss; and the command that is printed clears it once the log is there.
    """
    host.gptme(NEWEST).write_bytes(gptme_lines([2]))
    with daemon(host, pace=PACE) as running:
        until(lambda: told(running, "name_contract") == {}, "judges were asked")
        assert 1 == asked(host, EXPECTED)

        finding = finding_of(running, "name_contract", f"gptme:{EXPECTED}")
        assert 1 == typed(finding["next"]).returncode
        host.gptme(EXPECTED).write_bytes(gptme_lines([1]))
        assert 0 == typed(finding["next"]).returncode

        until(lambda: told(running, "name_contract") == {}, "the name is met")


# ---- names in environment and configuration ------------------------------------------------------------------------


def missed(monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None, **environment: str) -> dict[str | None, str]:
    """Return what is said of these variables, by source."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load(None, None)
    return {each.source: each.message for each in Names(limits or Limits())(settings, datetime.now(UTC))}


def test_nothing_named_is_nothing_missed(monkeypatch, own_home):
    """
    An empty home without variables breaks no contract: nobody named a place.
    """
    assert {} == missed(monkeypatch)


@pytest.mark.parametrize("variable", ["GPTME_LOGS_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "OPENCODE_DB"])
def test_variable_that_names_nothing_is_told_until_it_is_there(monkeypatch, own_home, variable):
    """
    One finding for each place that is not there; none when it is.
    """
    place = own_home / "elsewhere"

    monkeypatch.setenv(variable, str(place))

    assert [f"{variable}:{place}"] == list(missed(monkeypatch))
    place.mkdir()
    assert {} == missed(monkeypatch)


def test_several_directories_of_claude_are_told_one_by_one(monkeypatch, own_home):
    """
    Of a comma list only what is missing is named.
    """
    (own_home / "a").mkdir()

    found = missed(monkeypatch, CLAUDE_CONFIG_DIR=f"{own_home}/a, {own_home}/b")

    assert [f"CLAUDE_CONFIG_DIR:{own_home}/b"] == list(found)


def test_logs_that_gptme_writes_elsewhere_than_its_companion_reads(monkeypatch, own_home):
    """
    GPTME_LOGS_HOME is where gptme writes, GPTME_LOGS_DIR where gptme-sessions reads: set apart, or the second alone.
    """
    for name in ("written", "read", ".local/share/gptme/logs"):
        (own_home / name).mkdir(parents=True)

    alone = missed(monkeypatch, GPTME_LOGS_DIR=str(own_home / "read"))
    apart = missed(monkeypatch, GPTME_LOGS_HOME=str(own_home / "written"))
    same = missed(monkeypatch, GPTME_LOGS_DIR=str(own_home / "written"))

    assert ["GPTME_LOGS_DIR"] == list(alone) == list(apart)
    assert str(own_home / ".local/share/gptme/logs") in alone["GPTME_LOGS_DIR"]
    assert str(own_home / "written") in apart["GPTME_LOGS_DIR"]
    assert {} == same


def test_gptme_name_that_no_conversation_bears(monkeypatch, own_home):
    """
    The daemon's own environment may be the harness's: a name in it is a contract too.
    """
    assert ["GPTME_NAME"] == list(missed(monkeypatch, GPTME_NAME=EXPECTED))
    (finding,) = Names(Limits())(load(None, None), datetime.now(UTC))
    assert b"gptme" in typed(finding.next).stdout
    (own_home / ".local/share/gptme/logs" / EXPECTED).mkdir(parents=True)
    assert {} == missed(monkeypatch)


def test_variables_of_this_user_say_nothing_of_another_home(monkeypatch, tmp_path):
    """
    Another user's logs are not where this user's variables point.
    """
    monkeypatch.setenv("CODEX_HOME", "/nowhere")

    assert [] == list(Names(Limits())(load(str(tmp_path), None), datetime.now(UTC)))


def test_further_roots_are_read_and_missed(own_home, tmp_path, monkeypatch):
    """
    A directory that the configuration adds is read like the agent's own; one that is not there is told.
    """
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(config))
    store = own_home / "srv/projects"
    (own_home / "srv/other").mkdir(parents=True)
    lines = [
        ("claude_code", "~/srv/projects"),
        ("claude_code", "~/srv/other"),
        ("codex", str(tmp_path / "gone")),
        ("nobody", "/"),
    ]
    text = "".join(f"[[roots]]\nagent = '{agent}'\npath = '{path}'\n" for agent, path in lines)
    (config / "config.toml").write_text(text)
    (store / "-srv-repo").mkdir(parents=True)
    (store / "-srv-repo" / f"{SESSION}.jsonl").write_bytes(claude_line("msg_1", 5))

    state = StatePaths(tmp_path / "state")
    ran = subprocess.run([TALLYSTICK, "ingest", "--state-dir", state.root], check=False, capture_output=True)
    usage = subprocess.run([TALLYSTICK, "usage", "--state-dir", state.root, "--json"], check=True, capture_output=True)

    assert ran.returncode in (0, 1)
    assert b'"total_tokens": 15' in usage.stdout
    listed = subprocess.run([TALLYSTICK, "adapters", "list"], check=False, capture_output=True)
    assert str(store).encode() in listed.stdout
    limits = Limits(roots=tuple(lines))
    # One has nothing in it that is laid out as its agent does.
    assert ["roots:~/srv/other", f"roots:{tmp_path}/gone", "roots:/"] == list(missed(monkeypatch, limits))


@pytest.mark.parametrize("text", ["", "[[roots]"], ids=["taken out", "broken"])
def test_root_that_is_read_is_no_miss_for_what_the_file_says_meanwhile(own_home, tmp_path, monkeypatch, text):
    """
    What was read at the start holds: a file that is edited or broken meanwhile takes no log out of a directory.
    """
    (tmp_path / "config.toml").write_text(text)
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    log = own_home / "srv/projects/-srv-repo" / f"{SESSION}.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(claude_line("msg_1", 5))

    assert {} == missed(monkeypatch, Limits(roots=(("claude_code", "~/srv/projects"),)))


def test_file_of_records_that_is_not_there_is_missed(own_home, monkeypatch):
    """
    Somebody named it: what a harness says is not held against anything while nobody reads it.
    """
    limits = Limits(claims=("~/state/session-records.jsonl",))

    assert ["claims:~/state/session-records.jsonl"] == list(missed(monkeypatch, limits))
    (own_home / "state").mkdir()
    (own_home / "state/session-records.jsonl").write_text("")
    assert {} == missed(monkeypatch, limits)
