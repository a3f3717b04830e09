"""
The race between an agent's own clean-up and our reading: how long evidence that is not in the log still lives.

Agents delete by a file's age. What is read is safe; what is behind the mark, or cannot be read, is gone with its file.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

from daemon.bootstrap import seen_files
from daemon.discover import Found
from daemon.git_files import open_regular, read_small
from daemon.health.finding import Finding
from daemon.health.typed import typed
from daemon.hooks.places import claude_directories
from daemon.ingest import key_of
from daemon.settings import Settings

#: Days after which Claude Code deletes a transcript when its settings say nothing.
CLAUDE_DEFAULT_DAYS: Final = 30
#: Fewer days left than these are told, and are critical.
WARNING_DAYS, CRITICAL_DAYS = 3.0, 1.0
#: At most so many files are looked at, and so much of the end of one, in bytes.
FILES_MAX: Final = 1_000
TAIL_BYTES_MAX: Final = 64 * 1024
#: A silence that was longer than a clean-up is told for so long after its end.
TOLD_FOR: Final = timedelta(days=1)

_SETTINGS_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Race:
    """
    How long an agent's unread evidence lives.

    Args:
        agent: Whose logs.
        cleanup_days: After how many days it deletes its logs; null when it never does.
        oldest_unread_at: When the oldest file that is not read to its end was written last, UTC; null when all are.
        days_left: Until that file may be deleted; null when it is not, or nothing is unread. Below zero: any moment.
    """

    agent: str
    cleanup_days: int | None
    oldest_unread_at: datetime | None
    days_left: float | None


def cleanup_days(settings: Settings) -> dict[str, int | None]:
    """
    Return after how many days each agent deletes its own logs; null when it never does.

    Of several settings of Claude Code the shortest counts: each may belong to logs of its own. Codex keeps rollouts
    until somebody deletes them, and so do gptme and OpenCode.
    """
    stated = [_stated_days(os.fspath(each / name)) for each in claude_directories(settings) for name in _CLAUDE_FILES]
    known = [each for each in stated if each is not None]
    return {"claude_code": min(known, default=CLAUDE_DEFAULT_DAYS), "codex": None, "gptme": None, "opencode": None}


_CLAUDE_FILES: Final = ("settings.json", "settings.local.json")


def _stated_days(path: str) -> int | None:
    """Return what one file of settings says; ``None`` where it says nothing that can be read."""
    try:
        stated: Any = json.loads(read_small(path, _SETTINGS_BYTES_MAX) or b"")
    except (OSError, ValueError, RecursionError):
        return None
    days = stated.get("cleanupPeriodDays") if isinstance(stated, dict) else None
    return days if isinstance(days, int) and not isinstance(days, bool) and 0 <= days <= 1_000_000 else None


def races(settings: Settings, connection: duckdb.DuckDBPyConnection, now: datetime) -> list[Race]:
    """
    Return how it stands with each agent, by the marks of the tables: the daemon's own or the published ones.

    Files that nobody has met yet are not in the tables; a sweep over all roots meets them.
    """
    oldest = _oldest_unread(connection)
    return [_race(agent, days, oldest.get(agent), now) for agent, days in cleanup_days(settings).items()]


def races_on_disk(settings: Settings, connection: duckdb.DuckDBPyConnection, now: datetime) -> list[Race]:
    """
    Return the same for what lies on the disk, met or not: a sweep over all roots against the marks of the tables.

    For somebody who asks once, while no daemon reads. Only logs that grow by lines are in it.
    """
    oldest: dict[str, datetime] = {}
    marks = dict(connection.execute("SELECT source_key, offset_bytes FROM high_water_marks").fetchall())
    for seen in seen_files(settings):
        if not isinstance(seen, Found) or seen.adapter.kind != "lines":
            continue
        mark = marks.get(key_of(seen.adapter, seen.path), 0)
        if mark and seen.path.endswith(".zst"):
            continue  # its mark counts what was compressed
        at = _unread_since(seen.path, mark, is_readable=True)
        if at is not None:
            oldest[seen.adapter.agent] = min(at, oldest.get(seen.adapter.agent, at))
    return [_race(agent, days, oldest.get(agent), now) for agent, days in cleanup_days(settings).items()]


def _race(agent: str, days: int | None, oldest: datetime | None, now: datetime) -> Race:
    if days is None or oldest is None:
        return Race(agent, days, oldest, None)
    return Race(agent, days, oldest, round(days - (now - oldest) / timedelta(days=1), 2))


def _oldest_unread(connection: duckdb.DuckDBPyConnection) -> dict[str, datetime]:
    """Return by agent when the oldest file was written that is not in the log to its end."""
    query = (
        "SELECT agent, source, offset_bytes, state FROM high_water_marks WHERE state = 'unreadable' OR "
        "(state = 'present' AND source_name IS NOT NULL AND size_bytes > offset_bytes AND source NOT LIKE '%.zst') "
        "ORDER BY committed_at LIMIT ?"
    )
    found: dict[str, datetime] = {}
    for agent, source, offset_bytes, state in connection.execute(query, [FILES_MAX]).fetchall():
        at = _unread_since(source, offset_bytes, is_readable=state == "present")
        if at is not None:
            found[agent] = min(at, found.get(agent, at))
    return found


def _unread_since(path: str, offset_bytes: int, *, is_readable: bool) -> datetime | None:
    """Return when a file was written last; ``None`` when it is gone, or nothing of it but a last half line is left."""
    try:
        status = os.stat(path)  # noqa: PTH116 - by its name alone
        if is_readable and not _has_line(path, offset_bytes, status.st_size):
            return None
    except OSError:
        return None
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _has_line(path: str, offset_bytes: int, size_bytes: int) -> bool:
    """Say whether a whole line stands behind the mark; a half one is what a killed agent left, and is read as it is."""
    if size_bytes - offset_bytes > TAIL_BYTES_MAX:
        return True
    with open(open_regular(path), "rb") as file:  # noqa: PTH123 - a descriptor
        file.seek(offset_bytes)
        return b"\n" in file.read(TAIL_BYTES_MAX)


@dataclass(slots=True)
class RetentionRace:
    """Judges whether unread logs are about to be deleted, or may have been while nobody read."""

    settings: Settings
    _silence: tuple[datetime, datetime] | None = None
    _is_asked: bool = False

    def __call__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterable[Finding]:
        """Return the agents whose clean-up is about to win, and those where it may have won."""
        for race in races(self.settings, connection, now):
            if race.days_left is not None and race.days_left < WARNING_DAYS:
                yield _losing(race, typed(self.settings, "status"))
            yield from self._lost(race, connection, now)

    def _lost(self, race: Race, connection: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
        silence = self._last_silence(connection)
        if silence is None or race.cleanup_days is None or now - silence[1] > TOLD_FOR:
            return
        days = (silence[1] - silence[0]) / timedelta(days=1)
        if days >= race.cleanup_days and _has_logs(connection, race.agent):
            message = (
                f"nobody read for {days:.0f} days, and {race.agent} deletes after {race.cleanup_days}: "
                "what it wrote in between may be gone"
            )
            since = silence[0].isoformat(timespec="seconds")
            yield Finding("retention_race", f"{race.agent}:silence", since, message, typed(self.settings, "status"))

    def _last_silence(self, connection: duckdb.DuckDBPyConnection) -> tuple[datetime, datetime] | None:
        """Return the last commit before this daemon began, and when it began; asked once: neither changes."""
        if not self._is_asked:
            started = connection.execute(
                "SELECT max(seq), max_by(ingested_at, seq) FROM events WHERE kind = 'daemon' AND change = 'started'"
            ).fetchone()
            if started is None or started[0] is None:
                return None
            before = connection.execute("SELECT max(ingested_at) FROM events WHERE seq < ?", [started[0]]).fetchone()
            self._is_asked = True
            if before is not None and before[0] is not None:
                self._silence = before[0].replace(tzinfo=UTC), started[1].replace(tzinfo=UTC)
        return self._silence


def _has_logs(connection: duckdb.DuckDBPyConnection, agent: str) -> bool:
    query = "SELECT 1 FROM high_water_marks WHERE agent = ? AND source_name IS NOT NULL LIMIT 1"
    return connection.execute(query, [agent]).fetchone() is not None


def _losing(race: Race, next_step: str) -> Finding:
    left = race.days_left or 0.0
    when = f"in {left:.1f} days" if left > 0 else "at its next start"
    return Finding(
        "retention_race",
        race.agent,
        None if race.oldest_unread_at is None else race.oldest_unread_at.isoformat(timespec="seconds"),
        f"{race.agent} deletes a log after {race.cleanup_days} days, the oldest that is not read to its end {when}",
        next_step,
        "critical" if left < CRITICAL_DAYS else None,
    )
