"""
The database is damaged, held, given up by its library, or of another version: it is disposable.
"""

import subprocess
import sys

import pytest

from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import append, daemon

_READER = """
import duckdb, sys, time
path, long, rounds = sys.argv[1], sys.argv[2] == "long", 0
held = duckdb.connect(path, read_only=True) if long else None
print("up", flush=True)
newest = 0
for line in sys.stdin:
    connection = held or duckdb.connect(path, read_only=True)
    (count,) = connection.execute("SELECT count(*) FROM usage_measured").fetchone()
    if not long:
        connection.close()
    assert count >= newest, (count, newest)
    newest = count
    print(count, flush=True)
"""


def said(reader: "subprocess.Popen[str]", ask: str = "") -> str:
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(ask)
    reader.stdin.flush()
    return reader.stdout.readline()


@pytest.mark.parametrize("publications", [2, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_tables_held_by_an_operator(host: Host, publications: int) -> None:
    """
    Published again and again while two other processes read: one anew each time, one that never lets go.
    """
    append(host.claude(), claude_line("msg_0", 1))
    with daemon(host) as run:
        run.has_published(1, 11)
        readers = {
            kind: subprocess.Popen(
                [sys.executable, "-c", _READER, str(host.state.published), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for kind in ("short", "long")
        }
        try:
            for reader in readers.values():
                assert "up\n" == said(reader)
            for n in range(1, publications + 1):
                append(host.claude(), claude_line(f"msg_{n}", 1, second=n))
                run.has_published(n + 1, 11 * (n + 1))
                assert f"{n + 1}\n" == said(readers["short"], "read\n")
                assert "1\n" == said(readers["long"], "read\n")
        finally:
            for reader in readers.values():
                reader.communicate()
        assert 0 == run.stop()
        assert "projection_failed" not in run.told()
    assert [0, 0] == [reader.returncode for reader in readers.values()]
