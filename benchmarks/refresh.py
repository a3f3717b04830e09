"""
A refresh of the tables by one event and by a hundred, over histories of growing length.

The aim is a cost that does not depend on the history.
"""

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from projections.build import Projection
from state.cursors import Cursor
from state.log import Log
from state.paths import StatePaths

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int) -> bytes:
    """Return one of two statements about a call, as an adapter and the reader write it."""
    call = number // 2
    session = call // 200
    at = _EPOCH + timedelta(seconds=call * 3)
    return (
        b'{"k":"usage","source_id":"msg_%012d","basis":"call","witness":"transcript","confidence":"stated",'
        b'"session_id":"s%08d","line_id":"u%d","request_id":"req_%012d","source_created_at":"%b",'
        b'"model":"claude-opus-4-8","agent_version":"2.1.233","cwd":"/srv/repo%d","git_branch":"main",'
        b'"stop_reason":"end_turn","input_tokens":3,"cache_read_tokens":%d,"cache_write_tokens":100,'
        b'"output_tokens":%d,"raw":{"input_tokens":3,"output_tokens":%d},"offset_bytes":%d,"length_bytes":900,'
        b'"line_hash":"%032x","v":1,"agent":"claude_code","source_class":"claude_transcript",'
        b'"source_path":"/home/u/.claude/projects/-srv-repo%d/s%08d.jsonl","source_generation":"1:%d:%d",'
        b'"source_role":"main","source_session_id":"s%08d","parser":"claude_code","parser_version":1,'
        b'"ingested_at":"2026-11-22T10:00:00.000000Z"}'
    ) % (
        *(call, session, number, call, f"{at:%Y-%m-%dT%H:%M:%S.000Z}".encode(), session % 20, call % 90_000),
        *(5 + number % 2 * 20, 5 + number % 2 * 20, number * 900, number, session % 20, session, session, session),
        session,
    )


def refresh(lengths: list[int]) -> None:
    """Build tables over each length of history, then add to them."""
    print(f"{'events of history':>18} {'rebuild s CPU':>14} {'+1 ms':>8} {'+100 ms':>8}")
    for length in lengths:
        with tempfile.TemporaryDirectory(prefix="tallystick-bench-refresh-") as directory:
            _measure(StatePaths(Path(directory)), length)


def _measure(paths: StatePaths, length: int) -> None:
    with Log.open(paths, Cursor, host="bench") as log:
        for first in range(0, length, 1000):
            log.append([event(number) for number in range(first, min(first + 1000, length))], {})
        start = time.process_time()
        with Projection.open(paths) as projection:
            projection.refresh(paths.log_directory)
        rebuild = time.process_time() - start
        with Projection.open(paths, memory_mib=192, threads=1) as projection:
            costs = {count: _added(log, projection, paths, count) for count in (1, 100)}
    print(f"{length:18,} {rebuild:14.2f} {costs[1] * 1e3:8.1f} {costs[100] * 1e3:8.1f}")


def _added(log: Log[Cursor], projection: Projection, paths: StatePaths, count: int) -> float:
    """Return the CPU seconds of a refresh by *count* events; the median of five."""
    seconds = []
    for _ in range(5):
        first = log.head.seq + 1
        log.append([event(number) for number in range(first, first + count)], {})
        start = time.process_time()
        projection.refresh(paths.log_directory)
        seconds.append(time.process_time() - start)
    return sorted(seconds)[2]
