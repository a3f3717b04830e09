"""
The database is damaged, held, given up by its library, or of another version: it is disposable.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from daemon.bootstrap import catch_up, open_log, seen_files
from daemon.ingest import Ingest
from daemon.settings import Settings
from projections.build import Projection
from projections.hashes import tables_hash
from state.paths import StatePaths
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import Daemon, append, daemon, until
from tests.faults.injected import failing
from tests.faults.mutations import TOP

_READER = """
import duckdb, sys
path, long = sys.argv[1], sys.argv[2] == "long"
held = duckdb.connect(path, read_only=True) if long else None
file = open(path, "rb") if long else None
whole = file.read() if long else b""
print("up", flush=True)
newest = 0
for line in sys.stdin:
    connection = held or duckdb.connect(path, read_only=True)
    (count,) = connection.execute("SELECT count(*) FROM usage_measured").fetchone()
    if long:
        file.seek(0)
        assert file.read() == whole, "what it holds is another"
    else:
        connection.close()
    assert count >= newest, (count, newest)
    newest = count
    print(count, flush=True)
"""

#: Brings the tables up to the log below the directory given; prints the version and both hashes of them.
_REFRESH = """
import json, sys, duckdb
from pathlib import Path
from projections.build import Projection
from projections.hashes import facts_hash, tables_hash
from state.paths import StatePaths
paths = StatePaths(Path(sys.argv[1]))
with Projection.open(paths) as projection:
    projection.refresh(paths.log_directory)
    print(json.dumps([duckdb.__version__, tables_hash(projection.connection), facts_hash(projection.connection)]))
"""

Change = Callable[[bytes], bytes]


def refreshed(paths: StatePaths) -> str:
    """Bring the tables up to the log, and return the hash of every row."""
    with Projection.open(paths) as projection:
        projection.refresh(paths.log_directory)
        return tables_hash(projection.connection)


def killed_after_a_refresh(host: Host) -> tuple[Path, Path]:
    """Leave tables, and beside them the journal of a refresh, as a kill does; return both paths."""
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    append(host.claude(), claude_line("msg_b", 6, second=1))
    with open_log(host.settings) as log:
        Ingest(log, lambda: host.now).run(seen_files(host.settings))
    tables = host.state.projection
    journal = tables.with_name(tables.name + ".wal")
    with Projection.open(host.state) as projection:
        projection.refresh(host.state.log_directory)
        held = tables.read_bytes(), journal.read_bytes()
    for path, content in zip((tables, journal), held, strict=True):
        path.write_bytes(content)
    return tables, journal


@pytest.mark.parametrize(
    ("in_tables", "in_journal"),
    [
        pytest.param(lambda content: bytes(len(content)), None, id="zeroed"),
        pytest.param(lambda content: content[: len(content) // 2], None, id="cut"),
        pytest.param(lambda _: b"", None, id="emptied"),
        pytest.param(None, lambda content: content[: len(content) // 2], id="journal_cut"),
        pytest.param(None, lambda content: content[:2000] + b"\0" + content[2001:], id="journal_flipped"),
    ],
)
def test_damaged_tables(host: Host, in_tables: Change | None, in_journal: Change | None) -> None:
    """
    The database is disposable: whatever happened to it or its journal, the next refresh gives the rows of the log.
    """
    tables, journal = killed_after_a_refresh(host)
    whole = refreshed(StatePaths(copied(host.state.root)))

    for path, change in ((tables, in_tables), (journal, in_journal)):
        if change is not None:
            path.write_bytes(change(path.read_bytes()))

    assert whole == refreshed(host.state)


def copied(directory: Path) -> Path:
    return Path(shutil.copytree(directory, directory.with_name("copy")))


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


def test_database_that_gives_up(host: Host) -> None:
    """
    The kernel reports EIO for every write to it: told in the heartbeat, while lines go on to be evidence; once the disk
    writes again the tables are there again.
    """
    append(host.claude(), claude_line("msg_a", 5))
    with daemon(host) as run:
        run.has_published(1, 15)
        with failing(run, host.state.projection, "pwrite64", "EIO"):
            append(host.claude(), claude_line("msg_b", 6, second=1))
            run.has_read(host.claude())
            until(lambda: run.health()["tables"]["failure"] or not is_projecting(run), "the failure is told")
            append(host.claude(), claude_line("msg_c", 7, second=2))
            run.has_read(host.claude())

            assert is_projecting(run)
            assert (1, 15) == host.totals()

        run.has_published(3, 48)
        until(lambda: run.health()["tables"]["failure"] is None, "the failure is over")
        assert 0 == run.stop()


def is_projecting(run: Daemon) -> bool:
    is_alive: bool = run.health()["workers"]["projector"]["is_alive"]
    return is_alive


def other_interpreter() -> Path:
    """Return the interpreter of the environment with the other DuckDB."""
    found = [TOP / name / "bin" / "python" for name in (".venv-duckdb2", ".venv")]
    others = [path for path in found if path.exists() and path.parent != Path(sys.executable).parent]
    if not others:
        pytest.skip("only one environment here; `make test-duckdb2` builds the other")
    return others[0]


def test_other_version_of_the_database(tmp_path: Path) -> None:
    """
    Made by DuckDB 1.5 or 2.x, from nothing or over the tables of the other, upgraded or downgraded: one log, one hash.
    """
    here, other = Path(sys.executable), other_interpreter()
    paths = StatePaths(tmp_path / "state")
    settings = Settings(TOP / "daemon" / "demo_logs" / "home", paths, zone="UTC", host="test")
    catch_up(settings, seen_files(settings))

    def refreshed_by(interpreter: Path) -> tuple[str, list[str]]:
        command = [str(interpreter), "-c", _REFRESH, str(paths.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP)
        version, *hashes = json.loads(done.stdout)
        return version, hashes

    answers = [refreshed_by(interpreter) for interpreter in (here, other, here)]
    paths.projection.unlink()
    answers += [refreshed_by(other), refreshed_by(here)]

    assert duckdb.__version__ == answers[0][0] != answers[1][0]
    assert [answers[0][1]] * 5 == [hashes for _, hashes in answers]
