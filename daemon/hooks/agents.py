"""Which agents can call us, by the name of the hook."""

from typing import Final

#: Agent, as its adapter names it, by the name of its hook.
AGENTS: Final[dict[str, str]] = {"claude-code": "claude_code", "codex": "codex"}
