"""
Agents that write, and everything that happens to their files: the disk as a model of the tail sees it.

Every line is unlike every other, and what it comes to is noted when it is written, by the simplest rule there is. So
what the product says can be held against what was there to be read.
"""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard

from daemon.identity import line_hash

#: Files beyond this size are only appended to, moved, packed and deleted: of larger ones continuity is sampled.
SMALL_BYTES: Final = 24 * 1024

Agent = str
Totals = dict[tuple[Agent, str], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Said:
    """
    What one line comes to: a call, and the tokens it states of it.

    ``session`` is null where the folder names it. Of a running total ``tokens`` is the increase.
    """

    agent: Agent
    call: str
    tokens: int
    at: int
    session: str | None = None


@dataclass(slots=True)
class File:
    """
    One log of one session: where it is, what stands in it, and what is still to be written.

    ``full`` is all that its writer ever meant to stand in it: what a whole-file rewrite brings back.
    """

    agent: Agent
    session: str
    path: Path
    content: bytes = b""
    todo: bytes = b""
    full: bytes = b""
    total: int = 0
    calls: int = 0
    links: list[Path] = field(default_factory=list)
    is_packed: bool = False
    is_blocked: bool = False

    @property
    def is_small(self) -> bool:
        return len(self.full) < SMALL_BYTES


class Writers:
    """
    Some sessions of three agents below one home; whatever they write is noted in `said`, by line hash.
    """

    def __init__(self, home: Path, dice: random.Random) -> None:
        self.home = home
        self.dice = dice
        self.files: list[File] = []
        self.deleted: list[File] = []
        self.away: dict[Path, Path] = {}
        self.said: dict[str, Said] = {}
        self._tick = 0
        self._names = 0

    # -- who writes ----------------------------------------------------------------------------------------------

    def begin(self, agent: Agent | None = None) -> File:
        """Let a new session begin; its file is there with its first byte."""
        agent = agent or self.dice.choice(("claude_code", "claude_code", "codex", "gptme"))
        self._names += 1
        number = f"{self._names:012}"
        if agent == "claude_code":
            session = f"11111111-1111-4111-8111-{number}"
            path = self.home / f".claude/projects/-srv-{self.dice.randint(1, 3)}/{session}.jsonl"
        elif agent == "codex":
            session = f"019a0000-0001-7000-8000-{number}"
            path = self.home / f".codex/sessions/2026/11/01/rollout-2026-11-01T10-00-00-{session}.jsonl"
        else:
            session = f"2026-11-01-fox-{number}"
            path = self.home / f".local/share/gptme/logs/{session}/conversation.jsonl"
        if not self._can_be(path):
            self.bring_root_back()
        file = File(agent, session, path)
        self.files.append(file)
        self.speak(file)
        return file

    def speak(self, file: File) -> None:
        """Let an agent have one to four lines to write."""
        for _ in range(self.dice.randint(1, 4)):
            line = {"claude_code": self._claude, "codex": self._codex, "gptme": self._gptme}[file.agent](file)
            file.todo += self._noisy(file, line)

    def _claude(self, file: File) -> bytes:
        known = [said for said in self.said.values() if said.session == file.session]
        if known and self.dice.random() < 0.4:
            call, tokens = self.dice.choice(known).call, self.dice.randint(1, 2_000)  # a partial, or a richer line
        else:
            call, tokens = f"msg_{self._next()}", self.dice.randint(1, 2_000)
        return self._claude_line(file.session, call, tokens)

    def _claude_line(self, session: str, call: str, output: int, at: int | None = None) -> bytes:
        at = self._next() if at is None else at
        line: dict[str, Any] = {
            "type": "assistant",
            "uuid": f"u-{self._next()}",
            "sessionId": session,
            "timestamp": _time(at),
            "message": {
                "id": call,
                "model": "claude-opus-4-8",
                "stop_reason": None if output < 50 else "end_turn",
                "usage": {"input_tokens": 10, "output_tokens": output},
            },
            "note": "h\u00e9\u2192\U0001f600",
        }
        return self._noted(line, Said("claude_code", call, 10 + output, at, session))

    def _codex(self, file: File) -> bytes:
        head = b""
        if not file.calls:
            head = self._noted(
                {
                    "type": "session_meta",
                    "timestamp": _time(self._next()),
                    "payload": {"id": file.session, "cwd": "/srv"},
                }
            )
            head += self._noted(
                {"type": "turn_context", "timestamp": _time(self._next()), "payload": {"model": "gpt-5.5"}}
            )
        added = self.dice.randint(100, 2_000)
        # Sometimes the count begins anew, as after a compaction.
        file.total = added if self.dice.random() < 0.05 and file.total > 5 * added else file.total + added
        file.calls += 1
        usage = {"input_tokens": file.total, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": file.total}
        last = usage | {"input_tokens": added, "total_tokens": added}
        at = self._next()
        line = {
            "type": "event_msg",
            "timestamp": _time(at),
            "payload": {"type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": last}},
        }
        return head + self._noted(line, Said("codex", f"{file.session}:{file.calls}", added, at, file.session))

    def _gptme(self, file: File) -> bytes:
        at, output = self._next(), self.dice.randint(1, 2_000)
        line = {
            "role": "assistant",
            "content": "h\u00e9\u2192\U0001f600",
            "timestamp": _time(at).rstrip("Z"),
            "metadata": {"model": "local/m", "usage": {"input_tokens": 5, "output_tokens": output}},
        }
        return self._noted(line, Said("gptme", f"{at}:{5 + output}", 5 + output, at))

    def _noisy(self, file: File, line: bytes) -> bytes:
        """Put around a line what stands around lines in real files."""
        chance = self.dice.random()
        bare, said = line[:-1], self.said.get(line_hash(line[:-1]))
        if chance < 0.04 and said:
            return self._also(bare + b"\r", said)
        if chance < 0.06 and said and not file.full and not file.todo:
            return self._also(b"\xef\xbb\xbf" + bare, said)
        if chance < 0.08 and said:
            return self._also(b"\0" * 64 + bare, said)
        if chance < 0.10:
            return line + b"\n  \n"
        if chance < 0.12:
            return line + b'{"type": "user", "n": %d}\n' % self._next()
        if chance < 0.14:
            return line + b'{"broken %d\n' % self._next()
        if chance < 0.15:
            return line + b'{"broken \xff\xc3 %d\n' % self._next()
        return line

    def _also(self, bare: bytes, said: Said) -> bytes:
        self.said[line_hash(bare)] = said
        return bare + b"\n"

    def _noted(self, line: dict[str, Any], said: Said | None = None) -> bytes:
        bare = json.dumps(line, ensure_ascii=False).encode()
        if said is not None:
            self.said[line_hash(bare)] = said
        return bare + b"\n"

    def _next(self) -> int:
        self._tick += 1
        return self._tick

    # -- what becomes of files -----------------------------------------------------------------------------------

    def here(self, *, packed: bool = False) -> list[File]:
        """Return the files that are at their place and may be written."""
        return [
            file
            for file in self.files
            if not file.is_blocked and (packed or not file.is_packed) and self._is_here(file)
        ]

    def _is_here(self, file: File) -> bool:
        return not any(file.path.is_relative_to(root) for root in self.away)

    def write(self, file: File, size: int | None = None) -> None:
        """Append some of what is to be written; the cut may lie anywhere, also inside a character."""
        part = file.todo[: size if size is not None else self.dice.randint(1, max(len(file.todo), 1))]
        file.todo = file.todo[len(part) :]
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with file.path.open("ab", buffering=0) as stream:
            stream.write(part)
        file.content += part
        file.full += part

    def truncate(self, file: File, size: int) -> None:
        """Cut it off; a line that was half written goes with its rest, which could make another line of it."""
        if file.agent != "codex" and not file.content.endswith(b"\n"):
            file.todo = file.todo.partition(b"\n")[2]
        os.truncate(file.path, size)
        file.content = file.content[:size]

    def rewrite(self, file: File, content: bytes) -> Iterator[None]:
        """Write the whole file anew, as gptme does; it can be looked at while it is empty, and at half."""
        with file.path.open("wb", buffering=0) as stream:
            file.content = b""
            yield
            half = self.dice.randint(0, len(content))
            for part in (content[:half], content[half:]):
                stream.write(part)
                file.content += part
                yield
        file.full = content

    def replace(self, file: File, content: bytes) -> None:
        """Put another file in its place, by rename."""
        fresh = file.path.with_name("new.tmp")
        fresh.write_bytes(content)
        fresh.replace(file.path)
        file.content = file.full = content

    def overwrite(self, file: File) -> None:
        """Change figures in the middle of the file, which keeps its size."""
        if file.agent == "codex" or not file.is_small:
            return
        lines = file.content.split(b"\n")
        picked = [
            n for n, line in enumerate(lines[:-1]) if line_hash(line) in self.said and b'"output_tokens": ' in line
        ]
        if not picked:
            return
        number = self.dice.choice(picked)
        before = self.said[line_hash(lines[number])]
        head, _, rest = lines[number].partition(b'"output_tokens": ')
        digits = rest[: len(rest) - len(rest.lstrip(b"0123456789"))]
        other = str(self.dice.randint(10 ** (len(digits) - 1), 10 ** len(digits) - 1)).encode()
        lines[number] = head + b'"output_tokens": ' + other + rest[len(digits) :]
        tokens = before.tokens - int(digits) + int(other)
        call = before.call if before.agent == "claude_code" else f"{before.at}:{tokens}"
        if tokens != before.tokens:
            self.said[line_hash(lines[number])] = Said(before.agent, call, tokens, before.at, before.session)
        content = b"\n".join(lines)
        with file.path.open("r+b", buffering=0) as stream:
            stream.write(content)
        file.content = file.full = content

    def move(self, file: File) -> None:
        """Rename it: archived and back, another project, another name of a conversation."""
        if file.agent == "codex":
            archive = self.home / ".codex/archived_sessions"
            day = self.home / ".codex/sessions/2026/11/01"
            target = (day if file.path.parent == archive else archive) / file.path.name
        elif file.agent == "claude_code":
            target = self.home / f".claude/projects/-srv-{self.dice.randint(4, 6)}" / file.path.name
        else:
            self._names += 1
            target = file.path.parent.with_name(f"2026-11-02-owl-{self._names:04}") / file.path.name
        if target.exists() or not self._can_be(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        file.path.rename(target)
        file.path = target

    def _can_be(self, target: Path) -> bool:
        return not any(target.is_relative_to(root) for root in self.away)

    def pack(self, file: File) -> Iterator[None]:
        """Compress it as Codex does; both files are there for a moment, and the packed one grows."""
        plain, packed = file.path, file.path.with_name(file.path.name + ".zst")
        if packed.exists() or file.links:
            return
        content = zstandard.ZstdCompressor().compress(file.content)
        with packed.open("wb", buffering=0) as stream:
            half = self.dice.randint(0, len(content))
            stream.write(content[:half])
            yield
            stream.write(content[half:])
        yield
        status = plain.stat()
        os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
        plain.unlink()
        file.path, file.is_packed = packed, True

    def unpack(self, file: File) -> None:
        packed, plain = file.path, file.path.with_suffix("")
        if plain.exists():
            return
        plain.write_bytes(file.content)
        packed.unlink()
        file.path, file.is_packed = plain, False

    def delete(self, file: File) -> None:
        file.path.unlink()
        for link in file.links:
            link.unlink(missing_ok=True)
        file.links = []
        self.files.remove(file)
        self.deleted.append(file)

    def restore(self) -> None:
        """Bring a deleted file back from a backup."""
        if not self.deleted:
            return
        file = self.deleted.pop(self.dice.randrange(len(self.deleted)))
        if file.path.exists() or not self._can_be(file.path) or file.is_packed:
            return
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.content = file.full
        file.todo = file.todo if file.agent == "codex" else b""
        file.path.write_bytes(file.content)
        self.files.append(file)

    def copy_history(self, file: File) -> None:
        """Let a session be resumed in a new file that begins with a copy of the old one's lines."""
        if file.agent == "codex" or not file.is_small:
            return
        child = self.begin(file.agent)
        child.todo = b"".join(self._copied(line, child) for line in file.content.splitlines(keepends=True)) + child.todo
        self.write(child)

    def _copied(self, line: bytes, child: File) -> bytes:
        said = self.said.get(line_hash(line[:-1])) if line.endswith(b"\n") else None
        if said is None:
            return b""
        if said.agent == "gptme":
            return line
        return self._claude_line(child.session, said.call, said.tokens - 10, said.at)

    def link(self, file: File) -> None:
        """Give it a second name, in another folder."""
        if file.links or file.is_packed:
            return
        folder = {"claude_code": ".claude/projects/-srv-0", "codex": ".codex/archived_sessions"}.get(file.agent)
        if folder is None:
            return
        link = self.home / folder / file.path.name
        if link.exists() or not self._can_be(link):
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(file.path)
        file.links = [link]

    def unlink(self, file: File) -> None:
        for link in file.links:
            link.unlink(missing_ok=True)
        file.links = []

    def block(self, file: File) -> None:
        """Let something stand in its place that is no file."""
        kept = self.home / f"kept-{file.path.parent.name}-{file.path.name}"
        file.path.rename(kept)
        if self.dice.random() < 0.5:
            file.path.mkdir()
        else:
            file.path.symlink_to(kept)
        file.is_blocked = True

    def unblock(self, file: File) -> None:
        if file.path.is_symlink():
            file.path.unlink()
        else:
            file.path.rmdir()
        (self.home / f"kept-{file.path.parent.name}-{file.path.name}").rename(file.path)
        file.is_blocked = False

    def take_root_away(self) -> None:
        """Rename a root: as an unmounted disk."""
        roots = [self.home / name for name in (".claude/projects", ".codex/sessions", ".local/share/gptme/logs")]
        root = self.dice.choice(roots)
        if root in self.away or not root.exists():
            return
        aside = root.with_name(root.name + "-away")
        root.rename(aside)
        self.away[root] = aside

    def bring_root_back(self) -> None:
        for root, aside in list(self.away.items()):
            aside.rename(root)
            del self.away[root]

    # -- what is there to be read ----------------------------------------------------------------------------------

    def lines(self, path: Path) -> tuple[list[bytes], bytes]:
        """Return the complete lines that stand in a file on disk, and what follows the last newline."""
        try:
            content = path.read_bytes()
        except OSError:
            return [], b""
        if path.suffix == ".zst":
            content = _unpacked(content)
        *complete, rest = content.split(b"\n")
        return complete, rest


def totals(evidence: set[tuple[str, str]], said: dict[str, Said]) -> Totals:
    """
    Return calls and tokens by agent and session, of lines that were seen: each as its hash and its file's session.

    The richest statement of a call counts, for the session that stated it first.
    """
    calls: dict[tuple[Agent, str], list[tuple[Said, str]]] = {}
    for name, folder in evidence:
        if name in said:
            each = said[name]
            calls.setdefault((each.agent, each.call), []).append((each, each.session or folder))
    sums: Totals = {}
    for (agent, _), statements in calls.items():
        owner = min((each.at, session) for each, session in statements)[1]
        tokens = max(each.tokens for each, _ in statements)
        count, whole = sums.get((agent, owner), (0, 0))
        sums[agent, owner] = (count + 1, whole + tokens)
    return sums


def _unpacked(content: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except zstandard.ZstdError:
        return b""


def _time(tick: int) -> str:
    return f"2026-11-{1 + tick // 86_400:02}T{tick // 3_600 % 24:02}:{tick // 60 % 60:02}:{tick % 60:02}.000Z"
