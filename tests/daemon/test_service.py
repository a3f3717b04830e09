"""`tallystick service` where no systemd answers: what it writes, what it carries, what it says to do instead."""

import json
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.service.installed import CARRIED, quoted
from daemon.service.manager import has_namespaces

TOP = Path(__file__).parent.parent.parent
SHIPPED = (
    "tallystick-alert@.service",
    "tallystick-health.service",
    "tallystick-health.timer",
    "tallystick-reconcile.service",
    "tallystick-reconcile.timer",
    "tallystick.service",
)


OF_WEB = ("tallystick-web.service", "tallystick-web.socket")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, this very installation's command, and nobody who would start anything."""
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs here: what it starts is shown by tests/systemd")
    command = Path(sys.executable).parent / "tallystick"
    if not command.exists():
        pytest.skip(f"{command} is not installed")
    home = tmp_path / "ann's home"
    home.mkdir()
    for name in (*CARRIED, "TALLYSTICK_HOME", "TALLYSTICK_STATE_DIR", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(sys, "argv", [str(command)])
    return home


def units(home: Path) -> Path:
    return home / ".config/systemd/user"


def test_install_writes_the_units_as_they_are_shipped_and_a_drop_in_for_this_host(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Units are not edited: the command's absolute path and the state directory stand in a drop-in beside them.
    """
    assert 0 == main(["service", "install", "--no-start"])

    told = capsys.readouterr().out
    assert sorted(SHIPPED) == sorted(path.name for path in units(home).iterdir() if path.is_file())
    assert all((TOP / "systemd" / name).read_text() == (units(home) / name).read_text() for name in SHIPPED)
    drop_in = (units(home) / "tallystick.service.d/10-host.conf").read_text()
    command, state = Path(sys.executable).parent / "tallystick", home / ".local/state/tallystick"
    assert f'ExecStart=\nExecStart="{command}" run\n' in drop_in
    assert f'ReadWritePaths=\nReadWritePaths="{state}"\n' in drop_in
    assert f'ExecStart="{command}" health\n' in (units(home) / "tallystick-health.service.d/10-host.conf").read_text()
    daily = (units(home) / "tallystick-reconcile.service.d/10-host.conf").read_text()
    assert f'ExecStart=\nExecStart="{command}" reconcile --since 7d --scheduled\n' in daily
    assert f'ReadWritePaths=\nReadWritePaths="{state}"\n' in daily
    assert 0o700 == stat.S_IMODE(state.stat().st_mode)
    assert 0o644 == stat.S_IMODE((units(home) / "tallystick.service").stat().st_mode)
    assert 9 == told.count("wrote ")


def test_install_again_changes_nothing_and_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What is as it should be is not written again; what somebody edited is.
    """
    main(["service", "install", "--no-start"])
    (units(home) / "tallystick.service").write_text("edited")
    capsys.readouterr()

    main(["service", "install", "--no-start"])
    assert [f"wrote {units(home) / 'tallystick.service'}"] == re.findall(
        r"^wrote .*", capsys.readouterr().out, re.MULTILINE
    )

    main(["service", "install", "--no-start"])
    assert "wrote" not in capsys.readouterr().out


def test_install_again_without_a_word_keeps_what_was_named_before(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After an upgrade the log is where it was, whatever the shell of that day has set.
    """
    state = tmp_path / 'a "disk" of 100%'
    monkeypatch.setenv("CODEX_HOME", "/srv/codex")
    assert 0 == main(["service", "install", "--no-start", "--state-dir", str(state)])
    before = (units(home) / "tallystick.service.d/10-host.conf").read_text()
    monkeypatch.delenv("CODEX_HOME")

    assert 0 == main(["service", "install", "--no-start"])

    assert before == (units(home) / "tallystick.service.d/10-host.conf").read_text()
    assert str(state).replace('"', '\\"').replace("%", "%%") in before

    assert 0 == main(["service", "install", "--no-start", "--state-dir", str(tmp_path / "other")])
    assert str(tmp_path / "other") in (units(home) / "tallystick.service.d/10-host.conf").read_text()


def test_what_moves_the_logs_in_a_shell_moves_them_for_the_service(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A service has none of a shell's variables: without them it would read other places and find nothing.
    """
    monkeypatch.setenv("CODEX_HOME", '/srv/100% "codex"')
    state = str(tmp_path / "state")

    assert 0 == main(["service", "install", "--no-start", "--state-dir", state])

    drop_in = (units(home) / "tallystick.service.d/10-host.conf").read_text()
    assert r'Environment="CODEX_HOME=/srv/100%% \"codex\""' in drop_in
    assert f'Environment="TALLYSTICK_STATE_DIR={state}"' in drop_in
    assert "TALLYSTICK_HOME" not in drop_in


def test_another_home_is_carried_and_own_variables_are_not(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Another user's logs are not where this user's variables point.
    """
    monkeypatch.setenv("CODEX_HOME", "/srv/codex")

    main(["service", "install", "--no-start", "--home", str(tmp_path)])

    drop_in = (units(home) / "tallystick.service.d/10-host.conf").read_text()
    assert f'Environment="TALLYSTICK_HOME={tmp_path}"' in drop_in
    assert "CODEX_HOME" not in drop_in


def test_every_variable_of_the_readme_is_carried() -> None:
    """
    An agent's variable that a reader is told of works for the service too.
    """
    table = (TOP / "README.md").read_text().partition("| agent | where")[2]

    named = set(re.findall(r"\$\{?([A-Z_]+)", table.partition("\n\n")[0]))

    assert named
    assert set() == named - set(CARRIED)


@pytest.mark.parametrize("verb", ["install", "start", "restart"])
def test_without_systemd_it_says_what_to_run_instead(home: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Nothing is started, which is no success; units that can be written are there all the same.
    """
    main(["service", "install", "--no-start"])

    assert 3 == main(["service", verb])
    assert "tallystick run" in " ".join(capsys.readouterr().err.split())


def test_status_says_the_next_step(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where nothing is installed that is to install; where no systemd is, to run the daemon oneself.
    """
    assert 1 == main(["service", "status", "--json"])
    before = json.loads(capsys.readouterr().out)
    main(["service", "install", "--no-start"])
    capsys.readouterr()
    assert 3 == main(["service", "status", "--json"])
    after = json.loads(capsys.readouterr().out)

    assert {"tallystick.service/1"} == {before["schema"], after["schema"]}
    assert (False, "tallystick service install") == (before["is_installed"], before["next"])
    assert (True, False, "tallystick run") == (after["is_installed"], after["is_enabled"], after["next"])
    assert (None, None) == (after["state"], after["has_linger"])
    assert {"unit": "tallystick-reconcile.timer", "is_enabled": False, "state": None} == after["reconcile_timer"]
    assert {"unit": "tallystick-reconcile.service", "result": None, "exit_status": None} == after["reconcile"]
    assert (None, None) == (after["web_socket"], after["web"])


def test_the_next_step_means_the_same_home_and_state_directory(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Typed as it stands it installs what was asked about; what an earlier install was told is known without a word.
    """
    state = tmp_path / "another disk"
    places = ["--home", str(tmp_path), "--state-dir", str(state)]
    assert 1 == main(["service", "status", "--json", *places])
    words = shlex.split(json.loads(capsys.readouterr().out)["next"])
    assert ["tallystick", "service", "install", *places] == words

    assert 0 == main([*words[1:], "--no-start"])
    capsys.readouterr()
    assert 3 == main(["service", "status", "--json"])
    after = json.loads(capsys.readouterr().out)

    assert ["tallystick", "run", *places] == shlex.split(after["next"])
    assert str(state) == after["state_directory"]


def test_show_is_what_an_install_would_write_now(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    An installed service keeps what it was told; what is shown says so, too.
    """
    main(["service", "install", "--no-start", "--home", str(tmp_path), "--state-dir", str(tmp_path / "state")])
    capsys.readouterr()

    assert 0 == main(["service", "show"])

    shown = capsys.readouterr().out
    assert all(f"# {path}\n{path.read_text()}" in shown for path in units(home).rglob("*") if path.is_file())


def test_show_touches_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    It prints every file that install would write, under its path.
    """
    assert 0 == main(["service", "show"])

    shown = capsys.readouterr().out
    assert [] == list(home.iterdir())
    main(["service", "install", "--no-start"])
    assert all(f"# {path}\n{path.read_text()}" in shown for path in units(home).rglob("*") if path.is_file())


def test_uninstall_removes_what_is_ours_and_nothing_else(home: Path) -> None:
    """
    Log and tables stay, and so does what an operator added.
    """
    main(["service", "install", "--no-start"])
    own = units(home) / "tallystick.service.d/50-mine.conf"
    own.write_text("[Service]\nNice=5\n")

    assert 0 == main(["service", "uninstall"])

    assert [own] == [path for path in units(home).rglob("*") if path.is_file()]
    assert (home / ".local/state/tallystick/log").is_dir()


def test_what_answers_over_http_is_installed_only_when_asked_for_and_then_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    An upgrade does not take it away, its drop-in opens no place to it, and all of it goes with the service.
    """
    assert 0 == main(["service", "install", "--no-start"])
    assert not any((units(home) / name).exists() for name in OF_WEB)
    assert 0 == main(["service", "install", "--no-start", "--web"])
    assert 0 == main(["service", "install", "--no-start"])
    capsys.readouterr()
    main(["service", "status", "--json"])
    status = json.loads(capsys.readouterr().out)

    assert sorted((*SHIPPED, *OF_WEB)) == sorted(path.name for path in units(home).iterdir() if path.is_file())
    assert all((TOP / "systemd" / name).read_text() == (units(home) / name).read_text() for name in OF_WEB)
    drop_in = (units(home) / "tallystick-web.service.d/10-host.conf").read_text()
    assert " serve\n" in drop_in
    assert f'"TALLYSTICK_STATE_DIR={home / ".local/state/tallystick"}"' in drop_in
    assert "ReadWritePaths" not in drop_in
    assert "ReadWritePaths=" in (units(home) / "tallystick.service.d/10-host.conf").read_text()
    assert {"unit": "tallystick-web.socket", "is_enabled": False, "state": None} == status["web_socket"]
    assert {"unit": "tallystick-web.service", "result": None, "exit_status": None} == status["web"]

    assert 0 == main(["service", "uninstall"])
    assert [] == [path for path in units(home).rglob("*") if path.is_file()]


def test_an_unknown_user_is_refused_before_anything_is_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A template's instance is an account of this host.
    """
    assert 2 == main(["service", "install", "--system", "nobody-of-that-name"])
    assert "user=nobody-of-that-name" in capsys.readouterr().err


def test_a_template_protects_the_real_home_and_keeps_its_state_by_user(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The template cannot know a home: the drop-in names the secrets in it.
    """
    assert 0 == main(["service", "show", "--system", "root"])

    shown = capsys.readouterr().out
    assert "# /etc/systemd/system/tallystick@root.service.d/10-host.conf\n" in shown
    assert f'InaccessiblePaths="-{Path("~root").expanduser()}/.ssh"\n' in shown
    assert "TALLYSTICK_STATE_DIR" not in shown.partition("tallystick@root.service.d")[2]


@pytest.mark.parametrize(
    ("switch", "word", "expected"),
    [
        ("kernel/unprivileged_userns_clone", "0", False),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", False),
        ("user/max_user_namespaces", "0", False),
        ("user/max_user_namespaces", "15000", True),
        ("kernel/unprivileged_userns_clone", "1", True),
    ],
)
def test_denied_user_namespaces_are_noticed(tmp_path: Path, switch: str, word: str, expected: bool) -> None:
    """
    Without them a user's manager protects no file: that is told, and not found out by a unit that does not start.
    """
    (tmp_path / switch).parent.mkdir()
    (tmp_path / switch).write_text(word + "\n")

    assert expected == has_namespaces(tmp_path)


def test_a_path_is_one_word_of_a_unit_file() -> None:
    """
    Blanks, quotes, backslashes and percent signs of a path mean themselves.
    """
    assert r'"/srv/a b/\"c\"/%%h/\\d"' == quoted('/srv/a b/"c"/%h/\\d')


def test_the_checkout_shows_the_very_units_that_the_wheel_carries() -> None:
    """
    `systemd/` is where a reader looks; the files lie in the package, so that a wheel has them.
    """
    listed = subprocess.run(["ls", "systemd/"], cwd=TOP, capture_output=True, text=True, check=True).stdout.split()

    assert set(SHIPPED) < set(listed)
    assert TOP / "daemon/service/units" == (TOP / "systemd").resolve()
