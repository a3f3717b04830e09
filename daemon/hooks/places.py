"""Where an agent's settings are: its own variable, else its place below the home."""

from pathlib import Path

from daemon.settings import Settings


def claude_directory(settings: Settings) -> Path:
    """Return Claude Code's directory: the first that `$CLAUDE_CONFIG_DIR` names, else `~/.claude`."""
    return claude_directories(settings)[0]


def claude_directories(settings: Settings) -> list[Path]:
    """Return every directory in which Claude Code may keep settings, its own first."""
    named = [part.strip() for part in settings.agent_environment.get("CLAUDE_CONFIG_DIR", "").split(",")]
    configured = [settings.home / part.removeprefix("~/") for part in named if part]
    return configured or [settings.home / ".claude", settings.home / ".config" / "claude"]


def codex_directory(settings: Settings) -> Path:
    """Return Codex' directory: `$CODEX_HOME`, else `~/.codex`."""
    return settings.home / (settings.agent_environment.get("CODEX_HOME") or ".codex")


def hooks_file(settings: Settings, hook: str) -> Path:
    """Return the file in which the agent of *hook* looks for its hooks."""
    if hook == "codex":
        return codex_directory(settings) / "hooks.json"
    return claude_directory(settings) / "settings.json"
