"""What may stand in `config.toml`, and how a mistake in it is told."""

import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import main
from daemon.config import Config, ConfigUnusable, read_config
from daemon.patterns import what_is_wrong
from daemon.settings import load
from daemon.task_rules import DEFAULTS
from tests.daemon.conftest import claude_line


def test_no_file_keeps_everything(tmp_path: Path) -> None:
    """
    The default of retention is to keep all evidence.
    """
    assert Config() == read_config(tmp_path / "config.toml")
    assert read_config(tmp_path / "config.toml").log.retention_days is None


def test_retention_is_said_in_days(tmp_path: Path) -> None:
    """
    One table, one entry.
    """
    file = tmp_path / "config.toml"
    file.write_text("[log]\nretention_days = 365\n", encoding="utf-8")

    assert 365 == read_config(file).log.retention_days


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[log]\nretention_days = 0\n", "entry=log.retention_days, rule=greater_than_equal"),
        ('[log]\nretention_days = "secret"\n', "entry=log.retention_days, rule=int_type"),
        ("[log]\nretention_dayz = 1\n", "entry=log.retention_dayz, rule=extra_forbidden"),
        ("[lg]\nx = 1\n", "entry=lg, rule=extra_forbidden"),
        ("[tasks]\nbranch_pattern = '(secret'\n", "entry=tasks.branch_pattern, rule=no_pattern"),
        ("[tasks]\nbranch_pattern = 'secret'\n", "entry=tasks.branch_pattern, rule=needs_one_group"),
        ("[tasks]\nbranch_pattern = '(secret)(x)'\n", "entry=tasks.branch_pattern, rule=needs_one_group"),
        ("[tasks]\nbranch_pattern = '(secret)(?=x)'\n", "entry=tasks.branch_pattern, rule=not_re2"),
        ("[tasks]\nworkstream_branch_pattern = '(secret)\\1'\n", "entry=tasks.workstream_branch_pattern, rule=not_re2"),
        ("[tasks]\nbranch_pattern = '(secret\u00e4)'\n", "entry=tasks.branch_pattern, rule=string_pattern_mismatch"),
        ("[tasks]\nbranch_pattern = 5\n", "entry=tasks.branch_pattern, rule=string_type"),
        ("[tasks]\ntask_trailers = 'secret'\n", "entry=tasks.task_trailers, rule=tuple_type"),
        ("[tasks]\ntask_trailers = ['my secret']\n", "entry=tasks.task_trailers, rule=string_pattern_mismatch"),
        ("[tasks]\ntrailers = []\n", "entry=tasks.trailers, rule=extra_forbidden"),
        ("[[prices]]\nmodel = 'm'\ninput = 1\n", "entry=prices.output, rule=missing"),
        ("[[prices]]\nmodel = 'm'\ninput = -1\noutput = 1\n", "entry=prices.input, rule=greater_than_equal"),
        ("[[prices]]\nmodel = 'm'\ninput = 1e4\noutput = 1\n", "entry=prices.input, rule=less_than_equal"),
        ("[[prices]]\nmodel = 'm'\ninput = nan\noutput = 1\n", "entry=prices.input, rule=finite_number"),
        ("[[prices]]\nmodel = 'm'\ninput = '1'\noutput = 1\n", "entry=prices.input, rule=is_instance_of"),
        ("[[prices]]\nmodel = 'm'\ninput = 0.0000001\noutput = 1\n", "entry=prices.input, rule=decimal_max_places"),
        (
            "[[prices]]\nmodel = 'my secret'\ninput = 1\noutput = 1\n",
            "entry=prices.model, rule=string_pattern_mismatch",
        ),
        ("[[prices]]\nmodel = 'm'\ninput = 1\noutput = 1\n" * 2, "entry=prices, rule=priced_twice"),
        ("[[prices]]\nmodel = 'm'\ninput = 1\noutput = 1\nbatch = 1\n", "entry=prices.batch, rule=extra_forbidden"),
        ("[log\n", "reason=TOMLDecodeError"),
        ("\xff", "reason=TOMLDecodeError"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_its_value(tmp_path: Path, text: str, told: str) -> None:
    """
    An entry that nobody reads would be a promise that nobody keeps: it is refused.
    """
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigUnusable) as raised:
        read_config(file)

    assert told in str(raised.value)
    assert "secret" not in str(raised.value)
    assert 2 == raised.value.exit_code


def test_the_file_is_looked_for_where_systemd_and_xdg_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Systemd's directory wins over XDG's, and that over the home's.
    """
    for name in ("CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / ".config/tallystick/config.toml" == load(None, None).config_file
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert Path("/x/tallystick/config.toml") == load(None, None).config_file
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", "/etc/tallystick:/y")
    assert Path("/etc/tallystick/config.toml") == load(None, None).config_file


def test_what_is_left_out_of_tasks_keeps_its_default(tmp_path: Path) -> None:
    """
    A file that says nothing of tasks holds the same rules as no file; what it says holds for that entry alone.
    """
    file = tmp_path / "config.toml"
    file.write_text("[log]\nretention_days = 365\n", encoding="utf-8")
    assert DEFAULTS == read_config(file).tasks.rules()

    file.write_text("[tasks]\nbranch_pattern = '^t/([0-9]+)'\n", encoding="utf-8")

    assert DEFAULTS.model_copy(update={"branch_pattern": "^t/([0-9]+)"}) == read_config(file).tasks.rules()


def test_an_empty_pattern_and_an_empty_list_switch_off(tmp_path: Path) -> None:
    """
    Null, not a pattern that finds nothing by accident.
    """
    file = tmp_path / "config.toml"
    file.write_text("[tasks]\nbranch_pattern = ''\ntask_trailers = []\nworkstream_trailers = []\n", encoding="utf-8")

    rules = read_config(file).tasks.rules()

    assert (None, None) == (rules.branch_pattern, rules.workstream_branch_pattern)
    assert ((), ()) == (rules.task_trailers, rules.workstream_trailers)


#: Branches, and the task that the default pattern finds in each.
BRANCHES = {
    "ABC-12": "ABC-12",
    "feature/ABC-12": "ABC-12",
    "feature/ABC-12-login": "ABC-12",
    "bob_ABC-12_login": "ABC-12",
    "fix-A1-7.hotfix": "A1-7",
    "ABC-12/part-2": "ABC-12",
    "main": "",
    "feature/abc-12": "",
    "ABC-12x": "",
    "xABC-12": "",
    "A-12": "",
    "release-2026": "",
    "feature/ABC-": "",
}


@pytest.mark.parametrize(("branch", "task"), BRANCHES.items())
def test_the_default_pattern_finds_a_task_in_the_tables(branch: str, task: str) -> None:
    """
    As trackers name tasks and people name branches: a key in capitals, a dash, a number, and an end on both sides.
    """
    assert DEFAULTS.branch_pattern is not None
    assert what_is_wrong(DEFAULTS.branch_pattern) is None
    with duckdb.connect() as connection:
        found = connection.execute("SELECT regexp_extract(?, ?, 1)", [branch, DEFAULTS.branch_pattern]).fetchone()

    assert (task,) == found


PARTS = st.sampled_from(
    [*r"()[]{}|?*+^$.\\", "(?:", "(?=", "(?<!", "(?P<x>", "a", "7", "-", r"\d", r"\1", "{1000}", "[^/]"]
)


@given(st.lists(PARTS, max_size=8).map("".join))
def test_a_pattern_that_is_taken_runs_in_the_tables(pattern: str) -> None:
    """
    Whatever an operator writes: what is not refused at the start ends no refresh later.
    """
    if what_is_wrong(pattern) is not None:
        return
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE branches AS SELECT * FROM (VALUES ('a-7'), (''), ('a/b'), (NULL)) AS t (name)")
        connection.execute("CREATE TABLE rules AS SELECT ? AS pattern", [pattern])

        rows = connection.execute(
            "SELECT regexp_extract(name, ?, 1), regexp_extract(name, pattern, 1) FROM branches, rules", [pattern]
        ).fetchall()

    assert all(constant == stored for constant, stored in rows)


def test_doctor_shows_the_rest_of_its_page_beside_a_broken_configuration(host, tmp_path, monkeypatch, capsys):
    """
    What is read cannot be told, and why stands in its place; health, service, hooks and tables are shown all the same.
    """
    host.claude().write_bytes(claude_line("msg_1", 5))
    host.ingest()
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    (tmp_path / "config.toml").write_text("[health]\nreporting_window_seconds = 'a secret'\n")
    asked = ["doctor", "--home", str(host.home), "--state-dir", str(host.state.root)]

    assert 1 == main([*asked, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert 1 == main(asked)
    page = capsys.readouterr().out

    assert [] == found["roots"]
    assert "entry=health.reporting_window_seconds" in found["roots_problem"]
    assert f"what is read cannot be told: {found['roots_problem']}" in " ".join(page.split())
    assert (True, str(tmp_path / "config.toml")) == (
        found["places"]["has_configuration"],
        found["places"]["configuration"],
    )
    assert "claude_code" in [row["agent"] for row in found["tables"]["sources"]]
    assert {"claude-code", "codex"} == {row["hook"] for row in found["hooks"]}
    assert found["service"]["unit"] in page
    assert {"last invariants never", "last health never"} <= {" ".join(line.split()) for line in page.splitlines()}
    assert "a secret" not in page
