"""
How long a page takes: every question that the dashboard asks, of a history of a million events.

The history is made once, of logs in a home, and kept in `.bench/`: half a year, 40 repositories, a fourth of the
sessions declared to belong to a task. It is asked over HTTP by a process of its own that has settled the tables.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from logs import DAYS, write_home

from state.head import recall
from state.paths import StatePaths

_KEPT = Path(__file__).parent.parent / ".bench"
_REPOSITORIES = 40
_WINDOWS = ("24h", "7d", "30d", "90d")
#: So many events of usage are in a megabyte of logs with a fiftieth of the text of real ones.
_PER_MEGABYTE = 1_050
_TEXT_SHARE = 0.02
#: For so long the dashboard may be silent, in seconds.
_PATIENCE_SECONDS = 120


def pages(events: int, times: int) -> None:
    """Print milliseconds of each question: of the first time it is asked, and the median of those that follow."""
    top = _KEPT / f"pages-{events}"
    state = top / "state"
    if not (state / "published.duckdb").exists():
        _make(top, events)
    _tallystick(top, "ingest")  # publishes anew where the tables are of another version
    head = recall(StatePaths(state).head)
    size = (state / "published.duckdb").stat().st_size / 2**20
    print(f"{head.seq + 1 if head else 0:,} events, {size:.0f} MiB of tables, half a year")
    print(f"{'question':58} {'first ms':>9} {'later ms':>9} {'bytes':>9}")
    slowest = 0.0
    with _served(top) as (port, server):
        for path, query in _questions(top):
            first, size_bytes = _ask(port, top, path, query)
            later = [_ask(port, top, path, query)[0] for _ in range(times)]
            slowest = max(slowest, first)
            name = f"{path[:40]} {urlencode(query, safe=',')}"
            print(f"{name[:58]:58} {first:9.0f} {statistics.median(later):9.0f} {size_bytes:9,}", flush=True)
        memory = _memory_mib(server)
    print(f"the slowest took {slowest:.0f} ms; the aim is 300. Resident memory at most {memory:.0f} MiB.")


def _questions(top: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what the dashboard asks, view by view and window by window, then what lists and details are asked for."""
    for window in _WINDOWS:
        for by in ("day,agent", "day,model", "day,repo", "day,task"):
            yield "usage", {"group_by": by, "window": window, "include": "estimated,superseded,allocated"}
        for by in ("repo", "model", "task", "session", "agent", "provider", "branch", "host"):
            measured = "measured,allocated" if by == "task" else "measured"
            yield "usage", {"group_by": by, "window": window, "measurement": measured, "limit": "1000"}
        yield "usage", {"group_by": "task", "window": window, "measurement": "allocated", "limit": "1000"}
        yield "quality", {"since": window}
    yield from ((name, {}) for name in ("findings", "status", "health", "freshness", "repos", "tasks", "sessions"))
    yield from ((name, {"limit": "100"}) for name in ("events", "reconciliation", "high-water-marks"))
    session = _one(top, "SELECT session_id FROM sessions ORDER BY calls DESC LIMIT 1")
    call = _one(top, "SELECT source_id FROM calls ORDER BY source_id LIMIT 1")
    day = f"{datetime.now(UTC) - timedelta(days=5):%Y-%m-%d}"
    for what in (day, session, call):
        yield f"explain/{what}", {}
    yield f"sessions/{session}", {}


def _make(top: Path, events: int) -> None:
    shutil.rmtree(top, ignore_errors=True)
    print("making the history, once")
    folders = [top / "repositories" / f"repo{number}" for number in range(_REPOSITORIES)]
    for folder in folders:
        _repository(folder)
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    directories = [str(folder) for folder in folders]
    home = top / "home"
    write_home(home, events // _PER_MEGABYTE, since=since, directories=directories, text_share=_TEXT_SHARE)
    sessions = [path.stem for path in sorted((home / ".claude/projects").rglob("*.jsonl"))]
    with _served(top) as (port, _):
        shares = [
            {"task_id": f"T-{number % 500}", "session_id": session, "permille": 600}
            for number, session in enumerate(sessions[::4])
        ]
        for first in range(0, len(shares), 1000):
            _post(port, top, "allocations", shares[first : first + 1000])
    _tallystick(top, "ingest")


def _repository(folder: Path) -> None:
    folder.mkdir(parents=True)
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    for words in (
        ("init", "--quiet"),
        (*who, "commit", "--quiet", "--allow-empty", "--message", folder.name),
        ("remote", "add", "origin", f"git@example.org:bench/{folder.name}.git"),
    ):
        subprocess.run(["git", "-C", str(folder), *words], check=True)  # noqa: S607 - whichever git is there


def _command(top: Path, *words: str) -> list[str]:
    tallystick = str(Path(sys.executable).parent / "tallystick")
    return [tallystick, *words, "--home", str(top / "home"), "--state-dir", str(top / "state")]


def _environment() -> dict[str, str]:
    foreign = ("CLAUDE", "CODEX", "GPTME", "XDG", "TALLYSTICK")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {"TZ": "UTC"}


def _tallystick(top: Path, *words: str) -> None:
    subprocess.run(_command(top, *words), env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _one(top: Path, query: str) -> str:
    said = subprocess.run(_command(top, "sql", query, "--json"), env=_environment(), check=True, capture_output=True)
    (row,) = json.loads(said.stdout)["rows"]
    (value,) = row.values()
    return str(value)


@contextmanager
def _served(top: Path) -> Iterator[tuple[int, int]]:
    """Give port and process id of a server that has settled the tables."""
    with subprocess.Popen(
        _command(top, "serve", "--port", "0"), env=_environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().strip().rpartition(":")[2])
            started_at = time.monotonic()
            while _is_busy(server.pid):
                pass
            spent = time.monotonic() - started_at
            if spent > 1:
                print(f"settled after {spent:.1f} s")
            yield port, server.pid
        finally:
            server.terminate()


def _is_busy(pid: int) -> bool:
    """Say whether a process used the processor within half a second."""
    before = _ticks(pid)
    time.sleep(0.5)
    return _ticks(pid) - before > 2


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _ask(port: int, top: Path, path: str, query: dict[str, str]) -> tuple[float, int]:
    """Return milliseconds until the last byte was here, and how many there were."""
    words = f"/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")
    started_at = time.perf_counter()
    content = _answer(port, top, "GET", words, None)
    return 1000 * (time.perf_counter() - started_at), len(content)


def _post(port: int, top: Path, path: str, body: object) -> None:
    _answer(port, top, "POST", f"/api/v1/{path}", json.dumps(body))


def _answer(port: int, top: Path, method: str, words: str, body: str | None) -> bytes:
    token = (top / "state" / "api-token").read_text(encoding="ascii").strip()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request(
            method, words, body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 202):
            sys.exit(f"{words}: {answer.status} {content[:300]!r}")
        return content
    finally:
        connection.close()
