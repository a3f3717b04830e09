"""
A week of use: logs grow, move, are packed and deleted, and the daemon is killed again and again.

At the end the tables say what one pass over everything that was ever written says.
"""

import json
import random
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import QUICK, Daemon, append


@dataclass(slots=True)
class Session:
    """
    One log that is being written: what was meant to stand in it, and what is still to come.

    ``path`` is where it is, ``home`` where an untouched copy of it belongs; null and null after it was deleted.
    """

    agent: str
    name: str
    path: Path
    place: Path
    day: int
    content: bytes = b""
    total: int = 0
    lines: list[bytes] = field(default_factory=list)


class Week:
    """Seven days of three agents; everything that was ever written is kept aside, each file at its fullest."""

    def __init__(self, host: Host, aside: Host, run: Daemon, seed: int) -> None:
        self.host = host
        self.aside = aside
        self.run = run
        self.dice = random.Random(seed)
        self.open: list[Session] = []
        self.closed: list[Session] = []
        self._names = 0
        self._tick = 0

    # -- writing ---------------------------------------------------------------------------------------------------

    def begin(self, day: int, parent: Session | None = None) -> Session:
        """Let an agent begin a session; one with a *parent* begins with a copy of its history."""
        self._names += 1
        agent, number = self.dice.choice(("claude_code", "codex", "gptme")), f"{self._names:012}"
        agent = parent.agent if parent is not None else agent
        if agent == "claude_code":
            name = f"11111111-1111-4111-8111-{number}"
            place = Path(f".claude/projects/-srv-{self._names % 3}/{name}.jsonl")
        elif agent == "codex":
            name = f"019a0000-0001-7000-8000-{number}"
            place = Path(f".codex/sessions/2026/11/{day:02}/rollout-2026-11-{day:02}T10-00-00-{name}.jsonl")
        else:
            name = f"2026-11-{day:02}-fox-{number}"
            place = Path(f".local/share/gptme/logs/{name}/conversation.jsonl")
        session = Session(agent, name, self.host.home / place, place, day)
        if agent == "codex":
            meta = {"id": name, "cwd": "/srv/repo"} | ({"forked_from_id": parent.name} if parent is not None else {})
            session.lines += [
                self._line(day, {"type": "session_meta", "payload": meta}),
                *self._inherited(session, parent),
                self._line(day, {"type": "turn_context", "payload": {"model": "gpt-5.5"}}),
            ]
        else:
            session.lines += self._inherited(session, parent)
        self.open.append(session)
        self.say(session)
        return session

    def _inherited(self, child: Session, parent: Session | None) -> list[bytes]:
        if parent is None:
            return []
        child.total = parent.total
        lines = parent.content.splitlines(keepends=True)
        if child.agent == "codex":
            return [line for line in lines if b"token_count" in line]
        return [line.replace(parent.name.encode(), child.name.encode()) for line in lines]

    def say(self, session: Session) -> None:
        """Write one to five lines, in pieces that end anywhere."""
        for _ in range(self.dice.randint(1, 5)):
            session.lines.append(self._answer(session))
        content = b"".join(session.lines)
        session.lines = []
        while content:
            size = self.dice.randint(1, len(content))
            append(session.path, content[:size])
            session.content += content[:size]
            content = content[size:]
            time.sleep(self.dice.choice((0, 0, 0.01)))

    def _answer(self, session: Session) -> bytes:
        day, output = session.day, self.dice.randint(1, 2_000)
        if self.dice.random() < 0.03:
            return b'{"broken": %d\n' % self._next()
        if session.agent == "claude_code":
            call = f"msg_{self._next()}"
            parts = [
                claude_line(call, output // n, stop=None if n > 1 else "end_turn", session=session.name) for n in (3, 1)
            ]
            return re.sub(rb"2026-11-01T10:00:00.000Z", self._time(day).encode(), b"".join(parts))
        if session.agent == "gptme":
            usage = {"input_tokens": 5, "output_tokens": output}
            line = {"role": "assistant", "content": "x", "timestamp": self._time(day).rstrip("Z")}
            return json.dumps(line | {"metadata": {"model": "local/m", "usage": usage}}).encode() + b"\n"
        session.total += output
        total = {"input_tokens": session.total, "output_tokens": 0, "total_tokens": session.total}
        last = total | {"input_tokens": output, "total_tokens": output}
        info = {"total_token_usage": total, "last_token_usage": last}
        return self._line(day, {"type": "event_msg", "payload": {"type": "token_count", "info": info}})

    def _line(self, day: int, content: dict[str, object]) -> bytes:
        return json.dumps({"timestamp": self._time(day), **content}).encode() + b"\n"

    def _next(self) -> int:
        self._tick += 1
        return self._tick

    def _time(self, day: int) -> str:
        tick = self._next()
        return f"2026-11-{day:02}T{tick // 3_600 % 24:02}:{tick // 60 % 60:02}:{tick % 60:02}.000Z"

    # -- what becomes of logs ------------------------------------------------------------------------------------

    def keep(self, session: Session) -> None:
        """Put an untouched copy aside."""
        target = self.aside.home / session.place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(session.content)

    def delete(self, session: Session) -> None:
        """Delete what was read; what nobody has read yet must not go, or nobody could say what is right."""
        if session.path.suffix != ".zst":
            self.run.has_read(session.path)
        session.path.unlink()

    def archive(self, session: Session) -> None:
        target = self.host.home / ".codex/archived_sessions" / session.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        session.path.rename(target)
        session.path = target

    def pack(self, session: Session) -> None:
        """Compress it: the packed file appears whole, then the plain one goes."""
        self.run.has_read(session.path)
        packed = session.path.with_name(session.path.name + ".zst")
        fresh = packed.with_suffix(".tmp")
        fresh.write_bytes(zstandard.ZstdCompressor().compress(session.content))
        fresh.rename(packed)
        session.path.unlink()
        session.path = packed

    def rewrite(self, session: Session) -> None:
        """Write the whole file anew with one more answer, as gptme does."""
        more = self._answer(session)
        with session.path.open("wb", buffering=0) as file:
            half = len(session.content) // 2
            file.write(session.content[:half])
            time.sleep(0.01)
            file.write(session.content[half:] + more)
        session.content += more

    # -- days ----------------------------------------------------------------------------------------------------

    def hour(self, day: int) -> None:
        """Do one thing that happens in an hour."""
        if len(self.open) < 3 or self.dice.random() < 0.15:
            self.begin(day)
            return
        session = self.dice.choice(self.open)
        chance = self.dice.random()
        if chance < 0.75:
            self.say(session)
        elif chance < 0.8:
            self.begin(day, session)
        elif chance < 0.9 and session.agent == "gptme":
            self.rewrite(session)
        else:
            self.close(session)

    def close(self, session: Session) -> None:
        """End a session: it may stay, be archived, packed or deleted."""
        self.keep(session)
        self.open.remove(session)
        self.closed.append(session)
        if session.agent == "codex" and self.dice.random() < 0.6:
            self.archive(session)
        if session.agent != "gptme" and self.dice.random() < 0.4:
            self.pack(session)
        if self.dice.random() < 0.4:
            self.delete(session)
            self.closed.remove(session)


def blind_wrapper() -> tuple[str, ...]:
    """Return a wrapper without a single watch; none where namespaces are not allowed."""
    limit = "echo 0 > /proc/sys/user/max_inotify_instances"
    if subprocess.run(["unshare", "-Ur", "sh", "-c", limit], check=False, capture_output=True).returncode:
        return ()
    return ("unshare", "-Ur", "sh", "-c", f'{limit} && exec "$0" "$@"')


def live_through(host: Host, tmp_path: Path, kills: int) -> None:
    """Simulate a week in which the daemon is killed so often, and compare."""
    aside_root = tmp_path / "aside"
    aside_root.mkdir()
    aside = Host(aside_root)
    runs = [Daemon(host, pace=QUICK), Daemon(host, pace=QUICK, wrapper=blind_wrapper())]
    week = Week(host, aside, runs[0], seed=7)
    run = runs[0].start()
    try:
        for kill in range(kills):
            for _ in range(week.dice.randint(1, 8)):
                week.hour(day=1 + kill * 7 // kills)
            # Now and then at once: in its first sweep; else later, while it reads, projects or publishes.
            time.sleep(week.dice.choice((0, 0.05, 0.2, 0.5, 1.0, 1.5)) * week.dice.random())
            run.kill()
            week.run = run = runs[week.dice.random() < 0.3].start()
        run.ready()
        for session in (*week.open, *week.closed):
            if session.path.suffix != ".zst":
                run.has_read(session.path)
        assert 0 == run.stop()
    finally:
        run.kill()
    for session in week.open:
        week.keep(session)
    host.ingest()
    aside.ingest()

    assert aside.totals() == host.totals()
    assert aside.hashes()[0] == host.hashes()[0]
    assert "Traceback" not in run.told()


@pytest.mark.timeout(300)
def test_a_day_of_use_with_kills_ends_as_one_clean_pass(host: Host, tmp_path: Path) -> None:
    """
    The facts are those of a single pass over everything that was ever written.
    """
    live_through(host, tmp_path, kills=7)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_week_of_use_with_a_hundred_kills_ends_as_one_clean_pass(host: Host, tmp_path: Path) -> None:
    """
    The same, for seven days and a hundred kills.
    """
    live_through(host, tmp_path, kills=100)
