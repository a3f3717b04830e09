"""
Synthetic logs of the shape that real ones have: sizes, lines per call, repeats and copies; no text of anybody.

Real logs (706 MB, 5,658 files) have about 244 lines with usage per MB: several lines per call, long tool results
between. The same seed gives the same bytes.
"""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = 180


def write_home(
    home: Path,
    megabytes: int,
    seed: int = 1,
    *,
    since: datetime = _EPOCH,
    directories: Sequence[str] = ("/srv/repo",),
    text_share: float = 1.0,
) -> int:
    """
    Fill *home* with about *megabytes* of logs, 85 % Claude Code and 15 % Codex, and return the bytes written.

    Args:
        home: Where agents have their folders.
        megabytes: How much at least.
        seed: The same gives the same bytes.
        since: From then on, `DAYS` long.
        directories: In which sessions work, one after the other.
        text_share: So much of the text that real lines have.
    """
    rng = random.Random(seed)  # noqa: S311 - a benchmark's data
    text = Text(rng, text_share)
    written, number = 0, 0
    while written < megabytes * 1_000_000:
        number += 1
        session = f"{rng.getrandbits(32):08x}-0000-4000-8000-{number:012d}"
        start = since + timedelta(minutes=rng.randrange(DAYS * 24 * 60))
        cwd = directories[number % len(directories)]
        if rng.random() < 0.8:
            path = home / ".claude/projects" / f"-srv-repo{number % 40}" / f"{session}.jsonl"
            content = _claude(rng, text, session, start, cwd)
        else:
            path = home / ".codex/sessions" / f"{start:%Y/%m/%d}" / f"rollout-{start:%Y-%m-%dT%H-%M-%S}-{session}.jsonl"
            content = _codex(rng, text, session, start, cwd)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written += len(content)
    return written


class Text:
    """Words of no meaning, in pieces of about the length that was asked for, times a share."""

    def __init__(self, rng: random.Random, share: float) -> None:
        words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(2, 9))) for _ in range(2000)]
        self._text = " ".join(rng.choices(words, k=20_000))
        self._rng, self._share = rng, share

    def piece(self, mean: int) -> str:
        """Return some of it; the lengths are as spread as those of real lines."""
        length = int(self._share * min(int(self._rng.expovariate(1 / mean)), 60_000))
        start = self._rng.randrange(max(1, len(self._text) - length))
        return self._text[start : start + length]


def _lines(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()


def _claude(rng: random.Random, text: Text, session: str, start: datetime, cwd: str) -> bytes:
    lines: list[dict[str, Any]] = []
    cached = 10_000
    for call in range(int(rng.expovariate(1 / 30)) + 2):
        start += timedelta(seconds=rng.randrange(2, 60))
        common = {
            "parentUuid": f"{rng.getrandbits(128):032x}",
            "isSidechain": False,
            "userType": "external",
            "cwd": cwd,
            "sessionId": session,
            "version": "2.1.140",
            "gitBranch": "main",
        }
        stamp = f"{start:%Y-%m-%dT%H:%M:%S}.{rng.randrange(1000):03}Z"
        lines.append(
            common
            | {"type": "user", "timestamp": stamp, "uuid": f"{rng.getrandbits(128):032x}"}
            | {"message": {"role": "user", "content": [{"type": "tool_result", "content": text.piece(5000)}]}}
        )
        final = rng.randrange(20, 2000)
        blocks = rng.choice((1, 2, 2, 3))
        for block in range(blocks):
            usage = {
                "input_tokens": rng.randrange(1, 10) if block == 0 else 5,
                "cache_creation_input_tokens": 1200,
                "cache_read_input_tokens": cached,
                "cache_creation": {"ephemeral_5m_input_tokens": 1200, "ephemeral_1h_input_tokens": 0},
                "output_tokens": final if block == blocks - 1 else 1,
                "service_tier": "standard",
            }
            message = {
                "id": f"msg_{session[:8]}{call:06}",
                "type": "message",
                "role": "assistant",
                "model": rng.choice(("claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929")),
                "content": [{"type": "text", "text": text.piece(1200)}],
                "stop_reason": "tool_use" if block == blocks - 1 else None,
                "usage": usage,
            }
            lines.append(
                common
                | {"type": "assistant", "timestamp": stamp, "uuid": f"{rng.getrandbits(128):032x}"}
                | {"requestId": f"req_{session[:8]}{call:06}", "message": message}
            )
        cached += 1200
    return _lines(lines)


def _codex(rng: random.Random, text: Text, session: str, start: datetime, cwd: str) -> bytes:
    def line(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"timestamp": f"{start:%Y-%m-%dT%H:%M:%S}.000Z", "type": kind, "payload": payload}

    lines = [line("session_meta", {"id": session, "cwd": cwd, "originator": "codex_cli_rs", "cli_version": "0.140.0"})]
    total = dict.fromkeys(
        ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens"), 0
    )
    for _ in range(int(rng.expovariate(1 / 40)) + 2):
        start += timedelta(seconds=rng.randrange(2, 60))
        lines.append(line("turn_context", {"cwd": cwd, "model": "gpt-5.2-codex", "summary": "auto"}))
        lines.append(line("response_item", {"type": "reasoning", "encrypted_content": text.piece(2500)}))
        lines.append(line("response_item", {"type": "function_call_output", "output": text.piece(6000)}))
        fresh, output = rng.randrange(2000, 20_000), rng.randrange(20, 2000)
        last = {
            "input_tokens": fresh,
            "cached_input_tokens": fresh * 3 // 4,
            "output_tokens": output,
            "reasoning_output_tokens": output // 3,
            "total_tokens": fresh + output,
        }
        total = {name: total[name] + last[name] for name in total}
        info = {"total_token_usage": total, "last_token_usage": last, "model_context_window": 272_000}
        lines.extend(line("event_msg", {"type": "token_count", "info": info}) for _ in range(rng.choice((1, 1, 2))))
    return _lines(lines)
