"""What may stand in `config.toml`, and how a mistake in it is told."""

from pathlib import Path

import pytest

from daemon.config import Config, ConfigUnusable, read_config
from daemon.settings import load


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
