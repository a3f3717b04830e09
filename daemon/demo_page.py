"""`tallystick demo --serve`: the dashboard over the bundled logs, and over messages of the kinds that no log has."""

import os
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from daemon.bootstrap import catch_up, seen_files
from daemon.demo import NOW, copy_logs
from daemon.inbox_client import submit
from daemon.settings import Settings
from daemon.web.serve import serve
from state.paths import StatePaths

#: Sessions of the bundled logs: of Claude Code, and of Codex.
_CLAUDE: Final = "5e550001-0000-4000-8000-00000000c1a0"
_CODEX: Final = "0199c0de-0006-7000-8000-0000000c0de6"

#: What a queue of tasks and an operator say: an estimate where nothing was measured, which makes its day a flatline,
#: and whose work two sessions were.
_MESSAGES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "task",
        {
            "task_id": "ORCHARD-12",
            "status": "completed",
            "agent": "codex",
            "origin": "agent",
            "at": "2026-11-07T18:30:00Z",
            "estimated_input_tokens": 42_000,
            "estimated_output_tokens": 6_000,
        },
    ),
    ("allocation", {"session_id": _CLAUDE, "task_id": "ORCHARD-7"}),
    ("allocation", {"session_id": _CODEX, "task_id": "LIGHTHOUSE-3", "permille": 600}),
)


def demo_page(port: int) -> int:
    """Read the bundled logs into a directory of its own, and answer on a loopback port until it is ended."""
    with TemporaryDirectory(prefix="tallystick-demo-") as place:
        settings = Settings(Path(place) / "home", StatePaths(Path(place) / "state"), zone="UTC", host="demo")
        copy_logs(files("daemon") / "demo_logs" / "home", settings.home)
        _make_old(settings.home)
        settings.state.create()
        for kind, body in _MESSAGES:
            submit(settings.state, kind, body, producer="demo")
        catch_up(settings, seen_files(settings), clock=lambda: NOW)
        return serve(settings, None, port, is_for_a_person=True)


def _make_old(home: Path) -> None:
    """Let the logs be as old as they say: what was written just now would be somebody at work."""
    at = NOW.timestamp() - 86_400
    for path in home.rglob("*"):
        os.utime(path, (at, at))
