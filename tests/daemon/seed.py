"""
The story of the first seed: a harness that recorded the newest log of the day, which was an evaluation's.

Nineteen records point at one evaluation. Eighteen of them have the directory of their own run beside; one says the
time of another session, which has its own log. A hundred and twenty-four older ones are stamped at noon, and healthy
ones stand between.
"""

import json
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from tests.daemon.conftest import Host
from tests.daemon.live import append

EVALUATION: Final = "2026-04-19-gptme-evals-openrouter--anthropic--claude-opus-4-7-markdown-64bdd50c"
DAY: Final = datetime(2026, 4, 19, 0, 0, 17)  # noqa: DTZ001 - local times, as the harness writes names
CROSS_WIRED: Final = "a284"
POISONED: Final = 18
HEALTHY: Final = 12
NOON: Final = 124


class Seed:
    """The files of the story, with random counts of tokens."""

    def __init__(self, host: Host, random: Random) -> None:
        self.host = host
        self._random = random
        self.fingerprint = {
            "input_tokens": random.randrange(5_000, 50_000),
            "output_tokens": random.randrange(100, 900),
        }
        log(host, EVALUATION, DAY - timedelta(hours=1), **self.fingerprint)
        self.poisoned = [self._poisoned(n) for n in range(POISONED)]
        self.healthy = [self._healthy(n) for n in range(HEALTHY)]
        self.cross_wired = self._pointing_at_the_evaluation(CROSS_WIRED, self._start(0, 30))
        self.noon = [self._noon(n) for n in range(NOON)]
        between = [each for pair in zip(self.poisoned, self.healthy, strict=False) for each in pair]
        self.records = [*self.noon, *between, self.cross_wired, *self.poisoned[HEALTHY:]]

    def write(self) -> None:
        """Write the harness's file of records."""
        self.host.records(*self.records)

    def own_path(self, number: int) -> str:
        """Return the log that a poisoned record should have pointed at."""
        return str(self.host.gptme(run_name(self._start(number, 0))))

    def _start(self, number: int, minute: int) -> datetime:
        return DAY + timedelta(hours=number, minutes=minute)

    def _poisoned(self, number: int) -> dict[str, Any]:
        start = self._start(number, 0)
        self._run(start)
        return self._pointing_at_the_evaluation(f"p{number:03}", start)

    def _pointing_at_the_evaluation(self, session: str, start: datetime) -> dict[str, Any]:
        log_path = f"~/.local/share/gptme/logs/{EVALUATION}/conversation.jsonl"
        return record(session, start, trajectory_path=log_path, cache_read_tokens=0, **self.fingerprint)

    def _healthy(self, number: int) -> dict[str, Any]:
        start = self._start(number, 30)
        tokens = self._run(start)
        return record(f"h{number:03}", start, trajectory_path=str(self.host.gptme(run_name(start))), **tokens)

    def _noon(self, number: int) -> dict[str, Any]:
        tokens = self._tokens()
        said = record(f"n{number:03}", DAY, timestamp="2026-04-15T12:00:00", trajectory_path=None, **tokens)
        return said | {"start_time": None, "end_time": None, "duration_seconds": None}

    def _run(self, start: datetime) -> dict[str, int]:
        tokens = self._tokens()
        log(self.host, run_name(start), start + timedelta(minutes=1), **tokens)
        return tokens

    def _tokens(self) -> dict[str, int]:
        return {
            "input_tokens": self._random.randrange(60_000, 900_000),
            "output_tokens": self._random.randrange(1_000, 9_000),
        }


def run_name(start: datetime) -> str:
    """Return how the inner script calls the directory of a run: it is there 43 seconds after the session's start."""
    return f"run-autonomous-{start + timedelta(seconds=43):%Y%m%d%H%M%S}"


def record(session: str, start: datetime, **over: Any) -> dict[str, Any]:
    """Return a record as the harness writes it."""
    end = start + timedelta(minutes=25)
    said = {
        "session_id": session,
        "timestamp": f"{end + timedelta(seconds=3):%Y-%m-%dT%H:%M:%S}",
        "start_time": f"{start.isoformat()}+00:00",
        "end_time": f"{end.isoformat()}+00:00",
        "duration_seconds": 1500,
        "harness": "gptme",
        "run_type": "autonomous",
        "category": ["cleanup", "strategic", "content"][len(session + str(start.hour)) % 3],
        "model": "m",
    }
    return said | over


def log(host: Host, name: str, at: datetime, input_tokens: int, output_tokens: int) -> None:
    """Write a conversation with one answer."""
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    metadata = {"model": "local/m", "usage": usage}
    line = {
        "role": "assistant",
        "content": "x",
        "timestamp": at.isoformat(timespec="microseconds"),
        "metadata": metadata,
    }
    append(host.gptme(name), json.dumps(line).encode() + b"\n")
